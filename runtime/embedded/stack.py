"""`EmbeddedStack`: everything on one machine, as one object. `holdfast up`, demo, tests and bench use it."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

import structlog
from pydantic import SecretStr

from runtime.embedded import env_file
from runtime.embedded.local_stack import LocalStack, simulator_urls
from runtime.embedded.ports import LOOPBACK, Ports, free_port
from runtime.embedded.postgres import PostgresCluster
from runtime.embedded.supervisor import Observer, Pace
from runtime.embedded.temporal_binary import Announce, BinarySearch, TemporalBinary, default_search
from runtime.embedded.temporal_server import Synchronous, TemporalServer
from runtime.settings import load
from runtime.temporal_codec import CODEC_PATH

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
    WORKER_FEED_STANDBY = "worker-feed-standby"


DATABASE_URL, API_PORT = "HOLDFAST_DATABASE_URL", "HOLDFAST_API_PORT"
SIMULATOR_ADMIN_URL = "HOLDFAST_SIMULATOR_ADMIN_URL"
STORES = frozenset({Part.POSTGRES, Part.TEMPORAL})
_ROLES = {
    Part.WORKER_CORE_1: ("core",),
    Part.WORKER_CORE_2: ("core",),
    Part.WORKER_FEED: ("feed",),
    Part.WORKER_IO: ("io",),
    Part.WORKER_FEED_STANDBY: ("feed", "--standby"),
}
WORKERS = frozenset(_ROLES)
_PROGRAMS = frozenset[Part](WORKERS | {Part.API})
_SPARE = frozenset({Part.WORKER_IO, Part.WORKER_FEED_STANDBY})
"""An exit goes out without these: after Temporal's return they start once the others stand again.

No core worker is among them: one alone works a crowd off at half the pace, and the other starts against it.
"""
ALL_PARTS = frozenset(Part) - {Part.WORKER_FEED_STANDBY}
"""What a stack runs unless it is told otherwise."""


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


class VenueContradicted(Exception):
    """What a stack was told of its venue does not go together."""


def _simulated_venue(present: Mapping[str, str]) -> dict[str, str]:
    """Returns the simulator's addresses, if a folder's books are of it: it stays their venue.

    Without them a start that leaves the simulator out would compare those books with the real venue.
    """
    if not is_simulated(present):
        return {}
    return {name: present[name] for name in (*simulator_urls(""), SIMULATOR_ADMIN_URL) if name in present}


def is_simulated(present: Mapping[str, str]) -> bool:
    """Tells by the variables of a folder's env file whether the simulator is its venue."""
    return SIMULATOR_ADMIN_URL in present


def _trades_elsewhere(present: Mapping[str, str]) -> bool:
    """Tells whether a folder has a venue that is not the simulator: named there, or one that it ran with."""
    named = simulator_urls("").keys() & present.keys()
    ran = {DATABASE_URL, API_PORT} <= present.keys()
    return not is_simulated(present) and (bool(named) or ran)


class EmbeddedStack(LocalStack):
    """A stack on one machine; use it as `async with EmbeddedStack(options) as stack`."""

    def __init__(self, options: StackOptions) -> None:
        super().__init__(
            options.data_dir, overrides=options.overrides, observe=options.observe, pace=options.pace
        )
        self._options = options
        self._postgres: PostgresCluster | None = None
        self._temporal: TemporalServer | None = None
        self._binary: TemporalBinary | None = None
        self.ports = options.ports

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

    async def _bring_up(self) -> None:
        """Starts all parts.

        Raises:
            PortBusy: A wanted port is taken.
            TemporalBinaryMissing: No way led to the `temporal` program.
            VenueContradicted: The environment names hosts of a venue, and this stack runs the simulator.
        """
        self._check_venue()
        self.ports = self._options.ports.resolved(options=self._options.port_options)
        self._write_env_file()
        if _PROGRAMS & self._options.parts - frozenset(self._options.commands):
            self.forking.begin(("worker", "api"))  # its imports go on while the stores start
        await self._start_stores()
        await self._start_programs()

    def _waves(self) -> tuple[frozenset[str], ...]:
        return _PROGRAMS, frozenset({Part.SIMULATOR, Part.TEMPORAL})

    def _stand_in(self, part: str) -> tuple[str, ...] | None:
        return self._options.commands.get(Part(part))

    def _check_venue(self) -> None:
        """Refuses to trade at the simulator while somebody believes that the hosts they named are used."""
        named = sorted(simulator_urls("").keys() & os.environ.keys())
        if Part.SIMULATOR in self._options.parts and named:
            raise VenueContradicted(f"{', '.join(named)} is set, but this stack runs the simulator")
        if Part.SIMULATOR in self._options.parts and _trades_elsewhere(
            env_file.read_env_file(self.data_dir.env_file)
        ):
            raise VenueContradicted(
                f"{self.data_dir.root} belongs to a real venue, but this stack runs the simulator, "
                "whose balances would take the place of yours"
            )

    def _write_env_file(self) -> None:
        present = env_file.read_env_file(self.data_dir.env_file)
        kept = env_file.secrets_of(self.data_dir.env_file)
        if Part.POSTGRES in self._options.parts:
            self._postgres = PostgresCluster.at(
                self.data_dir.postgres,
                port=self.ports.postgres,
                password=SecretStr(kept[env_file.POSTGRES_PASSWORD]),
                fsync=self._options.fsync,
            )
        self._variables = env_file.refresh_env_file(
            self.data_dir.env_file, {**_simulated_venue(present), **self._urls()}, kept
        )

    def _urls(self) -> dict[str, str]:
        urls: dict[str, str] = {}
        if Part.POSTGRES in self._options.parts:
            urls[DATABASE_URL] = self.postgres.url()
        if Part.TEMPORAL in self._options.parts:
            urls["HOLDFAST_TEMPORAL_ADDRESS"] = self.temporal_address
            urls["HOLDFAST_TEMPORAL_UI_URL"] = self.temporal_ui_url
        if Part.SIMULATOR in self._options.parts:
            urls |= simulator_urls(self.simulator_url)
            urls[SIMULATOR_ADMIN_URL] = self.simulator_admin_url
        if Part.API in self._options.parts:
            urls["HOLDFAST_API_HOST"] = LOOPBACK
            urls[API_PORT] = str(self.ports.api)
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
        await self.supervisor.start(spec)
        await cluster.create_database()
        if self._options.migrate:
            await self.migrate()

    async def _start_temporal(self) -> None:
        search = self._options.temporal_search or default_search(load().embedded.temporal_cli)
        self._binary = await asyncio.to_thread(search.resolve, self._options.announce or _unannounced)
        taken = {getattr(self.ports, name) for name in Ports.__slots__}
        http_port = free_port(taken)
        self._temporal = TemporalServer(
            binary=self._binary.path,
            database=self.data_dir.temporal_database,
            port=self.ports.temporal,
            ui_port=self.ports.temporal_ui if self._options.ui else None,
            http_port=http_port,
            metrics_port=free_port(taken | {http_port}),
            synchronous=self._options.synchronous,
            codec_endpoint=self._codec_endpoint(),
        )
        spec = self._spec(Part.TEMPORAL, self._temporal.command(), self._temporal.answers)
        await self.supervisor.start(spec)
        await self._temporal.configure()

    def _codec_endpoint(self) -> str | None:
        """Returns where the UI has payloads decrypted; None where none are encrypted, or no API runs."""
        encrypted = self.settings().temporal.payload_keys is not None
        return self.api_url + CODEC_PATH if encrypted and Part.API in self._options.parts else None

    async def _start_simulator(self) -> None:
        durability = ("--durability", "normal" if self._options.fsync else "off")
        ports = (self.ports.simulator, self.ports.simulator_admin)
        await self.supervisor.start(self._simulator_spec(Part.SIMULATOR, *ports, *durability))

    async def _start_programs(self) -> None:
        wanted = [part for part in Part if part in self._options.parts]
        workers = [
            replace(
                self._worker_spec(part, _ROLES[part][0], frozenset({Part.TEMPORAL}), *_ROLES[part][1:]),
                restart_last=part in _SPARE,
            )
            for part in wanted
            if part in _ROLES
        ]
        api = [self._api_spec(Part.API)] if Part.API in wanted else []
        await self._start_together([*api, *workers])


def _unannounced(_text: str) -> None:
    return
