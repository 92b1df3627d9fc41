"""`LocalStack`: what every stack on one machine has in common, from the lock on its data to its programs."""

import asyncio
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import SecretStr

from runtime.embedded import env_file
from runtime.embedded.forking import FORK_SERVER, Forking
from runtime.embedded.layout import DataDir, DataDirLock
from runtime.embedded.probes import Probe, file_exists, http_answers
from runtime.embedded.process import Command, PidsFile, run_to_end
from runtime.embedded.supervisor import Observer, Pace, PartSpec, Supervisor
from runtime.settings import Settings, load

# On a busy machine several interpreters share their seconds of imports with everything else.
_START_LIMIT_S = 60.0
_PROGRAMS_LIMIT_S = 180.0


class StepFailed(Exception):
    """A one-shot step of a start failed; the text is what was run and the end of its output."""


class MigrationFailed(Exception):
    """The projection's tables could not be brought up to date; the text is the command's output."""


class LocalStack(ABC):
    """Parts on one machine over one data directory; use it as `async with Stack(options) as stack`.

    It must be started and stopped in the same event loop, by a thread that lives as long as the stack.

    Args:
        data_dir: Where everything is kept; an existing one is used again.
        overrides: Variables for api, workers and simulator that win over the env file.
        observe: Receives each change of a part.
        pace: How fast the supervisor probes and restarts.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        overrides: Mapping[str, str] | None = None,
        observe: Observer | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.data_dir = DataDir(data_dir.resolve())
        self._overrides = dict(overrides or {})
        self._lock = DataDirLock(self.data_dir)
        self._pids = PidsFile(self.data_dir.pids_file)
        self.forking = Forking(
            self._pids, self.data_dir.logs / f"{FORK_SERVER}.log", self._program_environment
        )
        self.supervisor = Supervisor(self._pids, observe=observe, pace=pace, spawn=self.forking.spawn)
        self._variables: dict[str, str] = {}
        self._metered = 0  # workers that were given a place for their metrics

    # -- what each kind of stack says of itself -------------------------------------------------

    @property
    @abstractmethod
    def api_url(self) -> str:
        """Base URL of the API."""

    @property
    @abstractmethod
    def simulator_admin_url(self) -> str:
        """Base URL of the simulator's admin endpoint."""

    @property
    @abstractmethod
    def database_url(self) -> str:
        """`postgresql://…` of the projection, password included."""

    @abstractmethod
    async def _bring_up(self) -> None:
        """Starts all parts and waits until they are healthy; the lock is held, strays are gone."""

    @abstractmethod
    def _waves(self) -> tuple[frozenset[str], ...]:
        """Returns which parts are stopped together, one wave after another; the rest follows."""

    # -- settings -------------------------------------------------------------------------------

    @property
    def admin_key(self) -> SecretStr:
        """The API's first key."""
        return SecretStr(self._variables[env_file.API_ADMIN_KEY])

    def environment(self) -> dict[str, str]:
        """Returns what api, workers, simulator and clients of this stack need, secrets included."""
        return {**self._variables, **self._overrides}

    def settings(self, overrides: Mapping[str, str] | None = None) -> Settings:
        """Returns the settings by which a program of this stack runs."""
        return load({**self.environment(), **(overrides or {})}, env_file=self.data_dir.env_file)

    # -- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Starts all parts and waits until they are healthy; what was started is stopped again on failure.

        Raises:
            StackAlreadyRunning: The data directory is in use.
            PostgresUnusable: The cluster cannot be used.
            MigrationFailed: The tables could not be brought up to date.
            PartFailed: A part did not become healthy.
        """
        await self._begin(self._bring_up)

    async def _begin(self, step: Callable[[], Awaitable[None]]) -> None:
        """Takes the data directory over, then runs `step`; what was started is stopped when it fails."""
        self.data_dir.create()
        self._lock.acquire()
        try:
            await self._pids.end_strays()
            self.data_dir.forget_endpoints()
            await step()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stops all parts: programs first, then the stores; safe to call again."""
        await self.supervisor.stop_all(*self._waves())
        await self.forking.stop()
        self._lock.release()

    def kill(self, part: str) -> None:
        """Kills a part with SIGKILL; the supervisor starts it again."""
        self.supervisor.kill(part)

    def pause(self, part: str) -> None:
        """Freezes a part (SIGSTOP)."""
        self.supervisor.pause(part)

    def resume(self, part: str) -> None:
        """Lets a frozen part go on (SIGCONT)."""
        self.supervisor.resume(part)

    async def restart(self, part: str) -> None:
        """Stops a part in order and waits until it is healthy again."""
        await self.supervisor.restart(part)

    async def wait_healthy(self, part: str | None = None, timeout: float = 60.0, *, after: int = 0) -> None:
        """Waits until a part (or every part) is healthy; `after` asks for a later generation than that.

        Raises:
            PartFailed: It is not, within `timeout` seconds.
        """
        for name in (part,) if part else self.supervisor.parts:
            await self.supervisor.wait_healthy(name, timeout, after=after)

    async def wait_ended(self) -> None:
        """Runs until a keeper fails, which is a defect; cancel it to end the waiting."""
        await self.supervisor.wait_failed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # -- steps and parts ------------------------------------------------------------------------

    async def migrate(self, overrides: Mapping[str, str] | None = None) -> None:
        """Brings the projection's tables up to date.

        Args:
            overrides: Variables for the migration alone, such as another database's URL.

        Raises:
            MigrationFailed: The command failed.
        """
        address = {"HOLDFAST_DATABASE_URL": self.database_url}
        environment = {**self._program_environment(), **address, **(overrides or {})}
        try:
            await self._step((sys.executable, "-m", "storage.migrate", "upgrade"), environment)
        except StepFailed as failed:
            raise MigrationFailed(str(failed)) from None

    async def _step(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        """Runs a one-shot program to its end; its output goes to `steps.log`.

        Raises:
            StepFailed: It ended with an error.
        """
        ended = await run_to_end(Command(tuple(argv), environment, Path.cwd()))
        words = " ".join(argv)
        with (self.data_dir.logs / "steps.log").open("a") as log:
            log.write(f"$ {words}\n{ended.output}\n")
        if ended.code != 0:
            raise StepFailed(f"{words}: {ended.output[-4000:]}")

    async def _start_together(self, specs: Sequence[PartSpec]) -> None:
        """Starts programs side by side: each spends seconds on imports."""
        for spec in specs:
            self.supervisor.add(spec)
        await asyncio.gather(*(self.supervisor.wait_healthy(spec.name, _PROGRAMS_LIMIT_S) for spec in specs))

    def _simulator_spec(self, name: str, port: int, admin_port: int, *arguments: str) -> PartSpec:
        places = ("--port", str(port), "--admin-port", str(admin_port))
        state = ("--state", str(self.data_dir.simulator_state))
        command = self._program(name, "simulator", *places, *state, *arguments)
        return self._spec(name, command, http_answers(f"{self.simulator_admin_url}/health"))

    def _api_spec(self, name: str) -> PartSpec:
        return self._spec(name, self._program(name, "api"), http_answers(f"{self.api_url}/api/health"))

    def _worker_spec(
        self, name: str, role: str, restart_after: frozenset[str], *options: str, **variables: str
    ) -> PartSpec:
        ready = self.data_dir.ready / name
        own = {"HOLDFAST_READY_FILE": str(ready), "HOLDFAST_WORKER_NAME": name}
        given = {**own, **self._metrics_port(), **variables}
        return self._spec(
            name,
            self._program(name, "worker", "--role", role, *options, **given),
            file_exists(ready),
            before_start=lambda: ready.unlink(missing_ok=True),
            restart_after=restart_after,
        )

    def _spec(
        self,
        name: str,
        command: Command,
        probe: Probe,
        *,
        before_start: Callable[[], None] | None = None,
        restart_after: frozenset[str] = frozenset(),
    ) -> PartSpec:
        return PartSpec(
            name=name,
            command=command,
            log_file=self.data_dir.logs / f"{name}.log",
            probe=probe,
            start_limit=_START_LIMIT_S,
            before_start=before_start,
            restart_after=restart_after,
        )

    def _metrics_port(self) -> dict[str, str]:
        """Returns where the next worker serves its metrics: counted up from the port that is set."""
        first = self.settings().telemetry.port
        port, self._metered = first + self._metered, self._metered + 1
        return {"HOLDFAST_METRICS_PORT": str(port)} if first else {}

    def _program(self, part: str, module: str, *arguments: str, **variables: str) -> Command:
        stand_in = self._stand_in(part)
        argv = stand_in or (sys.executable, "-m", module, *arguments)
        endpoint = {"HOLDFAST_METRICS_DIR": str(self.data_dir.metrics), "HOLDFAST_METRICS_PROCESS": part}
        environment = {**self._program_environment(), **endpoint, **variables}
        return Command(argv, environment, Path.cwd(), module=None if stand_in else module)

    def _stand_in(self, part: str) -> tuple[str, ...] | None:
        """Returns what runs in place of a part's own program; None runs that."""
        del part
        return None

    def _program_environment(self) -> dict[str, str]:
        """Returns the environment of our own programs: what the env file says is read there, secrets too."""
        inherited = {name: text for name, text in os.environ.items() if name not in self._variables}
        own = {"HOLDFAST_ENV_FILE": str(self.data_dir.env_file), "PYTHONUNBUFFERED": "1"}
        return {**inherited, **own, **self._overrides}


def simulator_urls(base: str) -> dict[str, str]:
    """Returns the variables that point the venue adapter at a simulator at `base` (http)."""
    return {
        "HOLDFAST_POLYMARKET_CLOB_URL": base,
        "HOLDFAST_POLYMARKET_GAMMA_URL": f"{base}/gamma",
        "HOLDFAST_POLYMARKET_DATA_URL": f"{base}/data-api",
        "HOLDFAST_POLYMARKET_WS_URL": base.replace("http://", "ws://", 1) + "/ws",
        "HOLDFAST_POLYMARKET_GEOBLOCK_URL": f"{base}/api/geoblock",
    }
