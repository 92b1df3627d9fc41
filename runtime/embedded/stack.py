"""`EmbeddedStack`: everything on one machine, as one object. `holdfast up`, demo, tests and bench use it."""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog
from pydantic import SecretStr

from runtime.embedded import env_file
from runtime.embedded.layout import DataDir, DataDirLock
from runtime.embedded.ports import LOOPBACK, Ports, free_port
from runtime.embedded.postgres import PostgresCluster
from runtime.embedded.probes import Probe, file_exists, http_answers
from runtime.embedded.process import Command, PidsFile
from runtime.embedded.supervisor import Observer, Pace, PartSpec, Supervisor
from runtime.embedded.temporal_binary import Announce, BinarySearch, TemporalBinary, default_search
from runtime.embedded.temporal_server import Synchronous, TemporalServer
from runtime.settings import Settings, load

log = structlog.stdlib.get_logger(__name__)


class Part(StrEnum):
    """The parts of a stack, in the order of their start."""

    POSTGRES = "postgres"
    TEMPORAL = "temporal"
    SIMULATOR = "simulator"
    API = "api"
    WORKER_CORE_1 = "worker-core-1"
    WORKER_CORE_2 = "worker-core-2"
    WORKER_FEED = "worker-feed"
    WORKER_IO = "worker-io"


STORES = frozenset({Part.POSTGRES, Part.TEMPORAL})
WORKERS = frozenset({Part.WORKER_CORE_1, Part.WORKER_CORE_2, Part.WORKER_FEED, Part.WORKER_IO})
ALL_PARTS = frozenset(Part)
_ROLES = {
    Part.WORKER_CORE_1: "core",
    Part.WORKER_CORE_2: "core",
    Part.WORKER_FEED: "feed",
    Part.WORKER_IO: "io",
}


@dataclass(frozen=True, slots=True)
class StackOptions:
    """What to run and how.

    Attributes:
        data_dir: Where everything is kept.
        parts: Which parts to run.
        ports: Wanted ports; 0 chooses a free one.
        port_options: For each port, what a user writes to choose another one (for the error).
        fsync: False gives up power-cut safety of Postgres.
        synchronous: The same choice for Temporal's SQLite file.
        ui: Whether the Temporal UI runs.
        migrate: Whether the projection's tables are made and brought up to date.
        temporal_search: How the `temporal` program is found.
        overrides: Variables for api, workers and simulator that win over the env file.
        commands: Arguments that replace a part's own (stand-ins in tests); the first is the program.
        announce: Receives progress of long steps.
        observe: Receives each change of a part.
        pace: How fast the supervisor probes and restarts.
    """

    data_dir: Path
    parts: frozenset[Part] = ALL_PARTS
    ports: Ports = field(default_factory=Ports)
    port_options: Mapping[str, str] = field(default_factory=dict[str, str])
    fsync: bool = True
    synchronous: Synchronous = "full"
    ui: bool = True
    migrate: bool = True
    temporal_search: BinarySearch | None = None
    overrides: Mapping[str, str] = field(default_factory=dict[str, str])
    commands: Mapping[Part, tuple[str, ...]] = field(default_factory=dict[Part, tuple[str, ...]])
    announce: Announce | None = None
    observe: Observer | None = None
    pace: Pace | None = None


class MigrationFailed(Exception):
    """The projection's tables could not be brought up to date; the text is the command's output."""


class EmbeddedStack:
    """A stack on one machine; use it as `async with EmbeddedStack(options) as stack`.

    It must be started and stopped in the same event loop, by a thread that lives as long as the stack.
    """

    def __init__(self, options: StackOptions) -> None:
        self._options = options
        self._directory = DataDir(options.data_dir.resolve())
        self._lock = DataDirLock(self._directory)
        self._pids = PidsFile(self._directory.pids_file)
        self._supervisor = Supervisor(self._pids, observe=options.observe, pace=options.pace)
        self._variables: dict[str, str] = {}
        self._postgres: PostgresCluster | None = None
        self._temporal: TemporalServer | None = None
        self._binary: TemporalBinary | None = None
        self.ports = options.ports

    @property
    def data_dir(self) -> DataDir:
        """Paths of this stack."""
        return self._directory

    @property
    def binary(self) -> TemporalBinary | None:
        """The Temporal program in use and the way it came."""
        return self._binary

    @property
    def postgres(self) -> PostgresCluster:
        """The database cluster."""
        if self._postgres is None:
            raise ValueError("this stack was not started with postgres")
        return self._postgres

    @property
    def temporal_address(self) -> str:
        """Host and port of Temporal's frontend."""
        return f"{LOOPBACK}:{self.ports.temporal}"

    @property
    def database_url(self) -> str:
        """`postgresql://…` of the projection, password included."""
        return self.postgres.url()

    @property
    def simulator_url(self) -> str:
        """Base URL of the simulated exchange."""
        return f"http://{LOOPBACK}:{self.ports.simulator}"

    @property
    def simulator_admin_url(self) -> str:
        """Base URL of the simulator's admin endpoint."""
        return f"http://{LOOPBACK}:{self.ports.simulator_admin}"

    @property
    def api_url(self) -> str:
        """Base URL of the API."""
        return f"http://{LOOPBACK}:{self.ports.api}"

    @property
    def temporal_ui_url(self) -> str:
        """URL of the Temporal UI."""
        return f"http://{LOOPBACK}:{self.ports.temporal_ui}"

    @property
    def admin_key(self) -> SecretStr:
        """The API's first key."""
        return SecretStr(self._variables[env_file.API_ADMIN_KEY])

    @property
    def supervisor(self) -> Supervisor:
        """The supervisor, for states and process ids."""
        return self._supervisor

    def environment(self) -> dict[str, str]:
        """Returns what api, workers, simulator and clients of this stack need, secrets included."""
        return {**self._variables, **self._options.overrides}

    def settings(self, overrides: Mapping[str, str] | None = None) -> Settings:
        """Returns the settings by which a program of this stack runs."""
        return load({**self.environment(), **(overrides or {})}, env_file=self._directory.env_file)

    async def start(self) -> None:
        """Starts all parts and waits until they are healthy; what was started is stopped again on failure.

        Raises:
            StackAlreadyRunning: The data directory is in use.
            PortBusy: A wanted port is taken.
            TemporalBinaryMissing: No way led to the `temporal` program.
            PostgresUnusable: The cluster cannot be used.
            MigrationFailed: The tables could not be brought up to date.
            PartFailed: A part did not become healthy.
        """
        self._directory.create()
        self._lock.acquire()
        try:
            await self._pids.end_strays()
            self.ports = self._options.ports.resolved(options=self._options.port_options)
            self._write_env_file()
            await self._start_stores()
            await self._start_programs()
        except BaseException:
            await self.stop()
            raise

    def _write_env_file(self) -> None:
        kept = env_file.secrets_of(self._directory.env_file)
        if Part.POSTGRES in self._options.parts:
            self._postgres = PostgresCluster.at(
                self._directory.postgres,
                port=self.ports.postgres,
                password=SecretStr(kept[env_file.POSTGRES_PASSWORD]),
                fsync=self._options.fsync,
            )
        self._variables = env_file.refresh_env_file(self._directory.env_file, self._urls(), kept)

    def _urls(self) -> dict[str, str]:
        urls: dict[str, str] = {}
        if Part.POSTGRES in self._options.parts:
            urls["HOLDFAST_DATABASE_URL"] = self.postgres.url()
        if Part.TEMPORAL in self._options.parts:
            urls["HOLDFAST_TEMPORAL_ADDRESS"] = self.temporal_address
            urls["HOLDFAST_TEMPORAL_UI_URL"] = self.temporal_ui_url
        if Part.SIMULATOR in self._options.parts:
            urls |= simulator_urls(self.simulator_url)
            urls["HOLDFAST_SIMULATOR_ADMIN_URL"] = self.simulator_admin_url
        if Part.API in self._options.parts:
            urls["HOLDFAST_API_HOST"] = LOOPBACK
            urls["HOLDFAST_API_PORT"] = str(self.ports.api)
        return urls

    async def _start_stores(self) -> None:
        """Starts what needs nothing else, side by side."""
        steps = {
            Part.POSTGRES: self._start_postgres,
            Part.TEMPORAL: self._start_temporal,
            Part.SIMULATOR: self._start_simulator,
        }
        try:
            async with asyncio.TaskGroup() as group:
                for part, step in steps.items():
                    if part in self._options.parts:
                        group.create_task(step())
        except BaseExceptionGroup as failures:
            # The others were cancelled because of the first; its own error is what the caller can act on.
            raise failures.exceptions[0] from None

    async def _start_postgres(self) -> None:
        cluster = self.postgres
        if await cluster.initialise():
            log.info("postgres.initialised", directory=str(cluster.directory))
        spec = self._spec(Part.POSTGRES, cluster.command(), cluster.answers)
        await self._supervisor.start(spec)
        await cluster.create_database()
        if self._options.migrate:
            await self.migrate()

    async def migrate(self, overrides: Mapping[str, str] | None = None) -> None:
        """Brings the projection's tables up to date.

        Args:
            overrides: Variables for the migration alone, such as another database's URL.

        Raises:
            MigrationFailed: The command failed.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "storage.migrate",
            "upgrade",
            env={
                **self._program_environment(),
                "HOLDFAST_DATABASE_URL": self.postgres.url(),
                **(overrides or {}),
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode != 0:
            raise MigrationFailed(output.decode(errors="replace").strip()[-4000:])

    async def _start_temporal(self) -> None:
        search = self._options.temporal_search or default_search(load().embedded.temporal_cli)
        self._binary = await asyncio.to_thread(search.resolve, self._options.announce or _unannounced)
        taken = {getattr(self.ports, name) for name in Ports.__slots__}
        http_port = free_port(taken)
        self._temporal = TemporalServer(
            binary=self._binary.path,
            database=self._directory.temporal_database,
            port=self.ports.temporal,
            ui_port=self.ports.temporal_ui if self._options.ui else None,
            http_port=http_port,
            metrics_port=free_port(taken | {http_port}),
            synchronous=self._options.synchronous,
        )
        spec = self._spec(Part.TEMPORAL, self._temporal.command(), self._temporal.answers)
        await self._supervisor.start(spec)
        await self._temporal.configure()

    async def _start_simulator(self) -> None:
        arguments = (
            "--port", str(self.ports.simulator),
            "--admin-port", str(self.ports.simulator_admin),
            "--state", str(self._directory.simulator_state),
            "--durability", "normal" if self._options.fsync else "off",
        )  # fmt: skip
        command = self._program(Part.SIMULATOR, "simulator", *arguments)
        probe = http_answers(f"{self.simulator_admin_url}/health")
        await self._supervisor.start(self._spec(Part.SIMULATOR, command, probe))

    async def _start_programs(self) -> None:
        """Starts api and workers side by side: each spends seconds on imports."""
        wanted = [
            part for part in Part if part in self._options.parts and (part in _ROLES or part is Part.API)
        ]
        for part in wanted:
            self._supervisor.add(self._api_spec() if part is Part.API else self._worker_spec(part))
        await asyncio.gather(*(self._supervisor.wait_healthy(part, 120) for part in wanted))

    def _api_spec(self) -> PartSpec:
        return self._spec(
            Part.API, self._program(Part.API, "api"), http_answers(f"{self.api_url}/api/health")
        )

    def _worker_spec(self, part: Part) -> PartSpec:
        ready = self._directory.ready / part
        command = self._program(
            part, "worker", "--role", _ROLES[part], HOLDFAST_READY_FILE=str(ready), HOLDFAST_WORKER_NAME=part
        )
        return self._spec(
            part,
            command,
            file_exists(ready),
            before_start=lambda: ready.unlink(missing_ok=True),
            restart_after=frozenset({Part.TEMPORAL}),
        )

    def _spec(
        self,
        part: Part,
        command: Command,
        probe: Probe,
        *,
        before_start: Callable[[], None] | None = None,
        restart_after: frozenset[str] = frozenset(),
    ) -> PartSpec:
        return PartSpec(
            name=part,
            command=command,
            log_file=self._directory.logs / f"{part}.log",
            probe=probe,
            # On a busy machine five interpreters share their seconds of imports with everything else.
            start_limit=60.0,
            before_start=before_start,
            restart_after=restart_after,
        )

    def _program(self, part: Part, module: str, *arguments: str, **variables: str) -> Command:
        argv = self._options.commands.get(part, (sys.executable, "-m", module, *arguments))
        return Command(argv, {**self._program_environment(), **variables}, Path.cwd())

    def _program_environment(self) -> dict[str, str]:
        """Returns the environment of our own programs: what the env file says is read there, secrets too."""
        inherited = {name: text for name, text in os.environ.items() if name not in self._variables}
        own = {"HOLDFAST_ENV_FILE": str(self._directory.env_file), "PYTHONUNBUFFERED": "1"}
        return {**inherited, **own, **self._options.overrides}

    async def stop(self) -> None:
        """Stops all parts: programs first, then the stores; safe to call again."""
        programs = frozenset[str](WORKERS | {Part.API})
        await self._supervisor.stop_all(programs, frozenset({Part.SIMULATOR, Part.TEMPORAL}))
        self._lock.release()

    def kill(self, part: Part) -> None:
        """Kills a part with SIGKILL; the supervisor starts it again."""
        self._supervisor.kill(part)

    def pause(self, part: Part) -> None:
        """Freezes a part (SIGSTOP)."""
        self._supervisor.pause(part)

    def resume(self, part: Part) -> None:
        """Lets a frozen part go on (SIGCONT)."""
        self._supervisor.resume(part)

    async def restart(self, part: Part) -> None:
        """Stops a part in order and waits until it is healthy again."""
        await self._supervisor.restart(part)

    async def wait_healthy(self, part: Part | None = None, timeout: float = 60.0, *, after: int = 0) -> None:
        """Waits until a part (or every part) is healthy; `after` asks for a later generation than that.

        Raises:
            PartFailed: It is not, within `timeout` seconds.
        """
        for name in (part,) if part else self._supervisor.parts:
            await self._supervisor.wait_healthy(name, timeout, after=after)

    async def wait_ended(self) -> None:
        """Runs until a keeper fails, which is a defect; cancel it to end the waiting."""
        await self._supervisor.wait_failed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


def simulator_urls(base: str) -> dict[str, str]:
    """Returns the variables that point the venue adapter at a simulator at `base` (http)."""
    return {
        "HOLDFAST_POLYMARKET_CLOB_URL": base,
        "HOLDFAST_POLYMARKET_GAMMA_URL": f"{base}/gamma",
        "HOLDFAST_POLYMARKET_DATA_URL": f"{base}/data-api",
        "HOLDFAST_POLYMARKET_WS_URL": base.replace("http://", "ws://", 1) + "/ws",
        "HOLDFAST_POLYMARKET_GEOBLOCK_URL": f"{base}/api/geoblock",
    }


def _unannounced(_text: str) -> None:
    return
