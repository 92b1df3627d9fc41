"""`ClusterStack`: the deployment of `docker-compose.yml` without containers, two of each part.

Two Temporal servers on one durable Postgres, two workers of each role (one on each server), the API and the
simulator. The scripts and the configuration that it uses are the deployment's own, so running it tries them.
"""

import asyncio
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from pydantic import SecretStr

from runtime.cluster.postgres import contrib_cluster
from runtime.cluster.programs import SERVER, SQL_TOOL, resolve
from runtime.cluster.temporal_node import TemporalDatabase, TemporalNode, service_ports
from runtime.embedded import env_file
from runtime.embedded.go_build import TOOLS, Announce
from runtime.embedded.layout import DataDir, DataDirLock
from runtime.embedded.ports import LOOPBACK, free_port
from runtime.embedded.postgres import PostgresCluster
from runtime.embedded.probes import Probe, file_exists, http_answers
from runtime.embedded.process import Command, PidsFile
from runtime.embedded.stack import simulator_urls
from runtime.embedded.supervisor import Observer, PartSpec, Supervisor
from runtime.settings import Settings, load
from runtime.temporal_namespace import prepare

DEPLOY = TOOLS.parent / "deploy"
NODES = (1, 2)
ROLES = ("core", "feed", "io")
POSTGRES, SIMULATOR, API = "postgres", "simulator", "api"
HOLDFAST_PASSWORD, TEMPORAL_PASSWORD = "HOLDFAST_DB_PASSWORD", "TEMPORAL_DB_PASSWORD"


class StepFailed(Exception):
    """A one-shot step of the deployment failed; the text is its output."""


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """What to run and how.

    Attributes:
        data_dir: Where everything is kept; an existing one is used again.
        postgres_packages: Folder of the installed Postgres package.
        announce: Receives progress of long steps.
        observe: Receives each change of a part.
    """

    data_dir: Path
    postgres_packages: Path
    announce: Announce
    observe: Observer | None = None


def temporal_part(node: int) -> str:
    """Returns the name of a Temporal server."""
    return f"temporal-{node}"


def worker_part(role: str, node: int) -> str:
    """Returns the name of a worker."""
    return f"worker-{role}-{node}"


class ClusterStack:
    """A cluster on one machine; use it as `async with ClusterStack(options) as stack`."""

    def __init__(self, options: ClusterOptions) -> None:
        self._options = options
        self.data_dir = DataDir(options.data_dir.resolve())
        self._lock = DataDirLock(self.data_dir)
        self._pids = PidsFile(self.data_dir.pids_file)
        self.supervisor = Supervisor(self._pids, observe=options.observe)
        self._taken: set[int] = set()
        self._ports = {name: self._port() for name in (POSTGRES, SIMULATOR, "simulator_admin", API)}
        self._secrets: dict[str, str] = {}
        self._nodes: dict[int, TemporalNode] = {}

    def _port(self) -> int:
        port = free_port(self._taken)
        self._taken.add(port)
        return port

    @property
    def api_url(self) -> str:
        """Base URL of the API."""
        return f"http://{LOOPBACK}:{self._ports[API]}"

    @property
    def simulator_admin_url(self) -> str:
        """Base URL of the simulator's admin endpoint."""
        return f"http://{LOOPBACK}:{self._ports['simulator_admin']}"

    @property
    def admin_key(self) -> SecretStr:
        """The API's first key."""
        return SecretStr(self._secrets[env_file.API_ADMIN_KEY])

    @property
    def postgres(self) -> PostgresCluster:
        """The database cluster."""
        return contrib_cluster(
            self._options.postgres_packages,
            self.data_dir.postgres,
            port=self._ports[POSTGRES],
            password=SecretStr(self._secrets[env_file.POSTGRES_PASSWORD]),
        )

    @property
    def temporal_database(self) -> TemporalDatabase:
        """Where the Temporal servers keep their state."""
        return TemporalDatabase(self._ports[POSTGRES], SecretStr(self._secrets[TEMPORAL_PASSWORD]))

    def node(self, number: int) -> TemporalNode:
        """Returns one of the Temporal servers."""
        return self._nodes[number]

    def settings(self, overrides: Mapping[str, str] | None = None) -> Settings:
        """Returns the settings by which a program of this stack runs."""
        return load(overrides, env_file=self.data_dir.env_file)

    async def start(self) -> None:
        """Starts all parts and waits until they are healthy; what was started is stopped again on failure.

        Raises:
            ServerProgramMissing: The Temporal server could not be built.
            PostgresUnusable: The cluster cannot be used.
            StepFailed: A script or the migration failed.
            NamespaceUnusable: Temporal did not become usable.
            PartFailed: A part did not become healthy.
        """
        server = await asyncio.to_thread(resolve, SERVER, self._options.announce)
        await asyncio.to_thread(resolve, SQL_TOOL, self._options.announce)
        self.data_dir.create()
        self._lock.acquire()
        try:
            await self._pids.end_strays()
            self._choose_secrets()
            self._nodes = {
                number: TemporalNode(
                    server,
                    self.data_dir.temporal_database.parent,
                    self.temporal_database,
                    DEPLOY / "temporal" / "dynamic_config.yaml",
                    service_ports(self._taken),
                )
                for number in NODES
            }
            self._write_env_file()
            await self._start_postgres()
            await self._start_temporal()
            await self._start_programs()
        except BaseException:
            await self.stop()
            raise

    def _choose_secrets(self) -> None:
        """Keeps the secrets of an earlier run, since its database was made with them."""
        present = env_file.read_env_file(self.data_dir.env_file)
        fresh = {name: secrets.token_urlsafe(24) for name in (HOLDFAST_PASSWORD, TEMPORAL_PASSWORD)}
        kept = {name: present.get(name, made) for name, made in fresh.items()}
        self._secrets = {**env_file.secrets_of(self.data_dir.env_file), **kept}

    def _write_env_file(self) -> None:
        simulator = f"http://{LOOPBACK}:{self._ports[SIMULATOR]}"
        password = quote(self._secrets[HOLDFAST_PASSWORD], safe="")
        urls = {
            "HOLDFAST_DATABASE_URL": f"postgresql://holdfast:{password}@{LOOPBACK}:{self._ports[POSTGRES]}/holdfast",
            "HOLDFAST_TEMPORAL_ADDRESS": self._nodes[1].address,
            "HOLDFAST_API_HOST": LOOPBACK,
            "HOLDFAST_API_PORT": str(self._ports[API]),
            "HOLDFAST_SIMULATOR_ADMIN_URL": self.simulator_admin_url,
            **simulator_urls(simulator),
        }
        env_file.refresh_env_file(self.data_dir.env_file, urls, self._secrets)

    async def _start_postgres(self) -> None:
        cluster = self.postgres
        fresh = await cluster.initialise()
        await self.supervisor.start(self._spec(POSTGRES, cluster.command(), cluster.answers))
        if fresh:
            await self._step([str(DEPLOY / "postgres" / "10-databases.sh")], self._superuser_environment())

    def _superuser_environment(self) -> dict[str, str]:
        cluster = self.postgres
        return {
            "PATH": f"{cluster.installation / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PGHOST": LOOPBACK,
            "PGPORT": str(cluster.port),
            "PGPASSWORD": cluster.password.get_secret_value(),
            "POSTGRES_USER": cluster.role,
            **{name: self._secrets[name] for name in (HOLDFAST_PASSWORD, TEMPORAL_PASSWORD)},
        }

    async def _start_temporal(self) -> None:
        tool = await asyncio.to_thread(resolve, SQL_TOOL, self._options.announce)
        path = f"{tool.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        await self._step(
            [str(DEPLOY / "temporal" / "schema.sh")],
            {"PATH": path, **self.temporal_database.tool_environment()},
        )
        # One after another: two that boot an empty database at once race for its first row, and one ends.
        for number, node in self._nodes.items():
            await self.supervisor.start(self._spec(temporal_part(number), node.command(), node.answers))
        # Each server learns of the namespace and its attributes for itself.
        for node in self._nodes.values():
            await prepare(self.settings({"HOLDFAST_TEMPORAL_ADDRESS": node.address}).temporal, 120)

    async def _start_programs(self) -> None:
        await self._step([sys.executable, "-m", "storage.migrate", "upgrade"], self._migration_environment())
        await self.supervisor.start(self._simulator_spec())
        workers = [self._worker_spec(role, node) for node in NODES for role in ROLES]
        parts = [self._api_spec(), *workers]
        for spec in parts:
            self.supervisor.add(spec)
        await asyncio.gather(*(self.supervisor.wait_healthy(spec.name, 180) for spec in parts))

    def _migration_environment(self) -> dict[str, str]:
        url = self.settings().database.dsn()
        return {**self._program_environment(), "HOLDFAST_DATABASE_URL": url}

    def _simulator_spec(self) -> PartSpec:
        command = self._program(
            SIMULATOR,
            "--port", str(self._ports[SIMULATOR]),
            "--admin-port", str(self._ports["simulator_admin"]),
            "--state", str(self.data_dir.simulator_state),
        )  # fmt: skip
        return self._spec(SIMULATOR, command, http_answers(f"{self.simulator_admin_url}/health"))

    def _api_spec(self) -> PartSpec:
        return self._spec(API, self._program(API), http_answers(f"{self.api_url}/api/health"))

    def _worker_spec(self, role: str, node: int) -> PartSpec:
        name = worker_part(role, node)
        ready = self.data_dir.ready / name
        command = self._program(
            "worker", "--role", role,
            HOLDFAST_READY_FILE=str(ready),
            HOLDFAST_TEMPORAL_ADDRESS=self._nodes[node].address,
        )  # fmt: skip
        return self._spec(name, command, file_exists(ready), ready_file=ready)

    def _spec(self, name: str, command: Command, probe: Probe, *, ready_file: Path | None = None) -> PartSpec:
        return PartSpec(
            name=name,
            command=command,
            log_file=self.data_dir.logs / f"{name}.log",
            probe=probe,
            start_limit=90.0,
            before_start=None if ready_file is None else lambda: ready_file.unlink(missing_ok=True),
        )

    def _program(self, module: str, *arguments: str, **variables: str) -> Command:
        argv = (sys.executable, "-m", module, *arguments)
        return Command(argv, {**self._program_environment(), **variables}, Path.cwd())

    def _program_environment(self) -> dict[str, str]:
        inherited = {name: text for name, text in os.environ.items() if not name.startswith("HOLDFAST_")}
        return {**inherited, "HOLDFAST_ENV_FILE": str(self.data_dir.env_file), "PYTHONUNBUFFERED": "1"}

    async def _step(self, argv: list[str], environment: Mapping[str, str]) -> None:
        """Runs a one-shot step.

        Raises:
            StepFailed: It ended with an error.
        """
        process = await asyncio.create_subprocess_exec(
            *argv,
            env=dict(environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        text = output.decode(errors="replace")
        with (self.data_dir.logs / "steps.log").open("a") as log:
            log.write(f"$ {' '.join(argv)}\n{text}")
        if process.returncode != 0:
            raise StepFailed(f"{' '.join(argv)}: {text.strip()[-2000:]}")

    async def stop(self) -> None:
        """Stops all parts: programs first, then Temporal, then Postgres; safe to call again."""
        programs = frozenset({API, *(worker_part(role, node) for node in NODES for role in ROLES)})
        temporal = frozenset({SIMULATOR, *(temporal_part(node) for node in NODES)})
        await self.supervisor.stop_all(programs, temporal)
        self._lock.release()

    def kill(self, part: str) -> None:
        """Kills a part with SIGKILL; it is started again, as a container would be."""
        self.supervisor.kill(part)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
