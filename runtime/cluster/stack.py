"""`ClusterStack`: the deployment of `docker-compose.yml` without containers, two of each part.

Two Temporal servers on one durable Postgres, two workers of each role (one on each server), the API and the
simulator. The scripts and the configuration that it uses are the deployment's own, so running it tries them.
"""

import asyncio
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from pydantic import SecretStr

from runtime.cluster.postgres import contrib_cluster
from runtime.cluster.programs import SERVER, SQL_TOOL, resolve
from runtime.cluster.temporal_node import TemporalDatabase, TemporalNode, service_ports
from runtime.embedded import env_file
from runtime.embedded.go_build import TOOLS, Announce
from runtime.embedded.local_stack import LocalStack, simulator_urls
from runtime.embedded.ports import LOOPBACK, free_port
from runtime.embedded.postgres import PostgresCluster
from runtime.embedded.supervisor import Observer, Pace, PartSpec
from runtime.temporal_namespace import prepare

DEPLOY = TOOLS.parent / "deploy"
NODES = (1, 2)
ROLES = ("core", "feed", "io")
POSTGRES, SIMULATOR, API = "postgres", "simulator", "api"
HOLDFAST_PASSWORD, TEMPORAL_PASSWORD = "HOLDFAST_DB_PASSWORD", "TEMPORAL_DB_PASSWORD"


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """What to run and how.

    Attributes:
        data_dir: Where everything is kept; an existing one is used again.
        postgres_packages: Folder of the installed Postgres package.
        announce: Receives progress of long steps.
        overrides: Variables for api, workers and simulator that win over the env file.
        observe: Receives each change of a part.
        pace: How fast the supervisor probes and restarts.
        roles: Roles whose workers run, two of each.
    """

    data_dir: Path
    postgres_packages: Path
    announce: Announce
    overrides: Mapping[str, str] = field(default_factory=dict[str, str])
    observe: Observer | None = None
    pace: Pace | None = None
    roles: tuple[str, ...] = ROLES


def temporal_part(node: int) -> str:
    """Returns the name of a Temporal server."""
    return f"temporal-{node}"


def worker_part(role: str, node: int) -> str:
    """Returns the name of a worker."""
    return f"worker-{role}-{node}"


class ClusterStack(LocalStack):
    """A cluster on one machine; use it as `async with ClusterStack(options) as stack`."""

    def __init__(self, options: ClusterOptions) -> None:
        super().__init__(
            options.data_dir, overrides=options.overrides, observe=options.observe, pace=options.pace
        )
        self._options = options
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
    def simulator_url(self) -> str:
        """Base URL of the simulated exchange."""
        return f"http://{LOOPBACK}:{self._ports[SIMULATOR]}"

    @property
    def database_url(self) -> str:
        """`postgresql://…` of the projection as its owner, password included."""
        password = quote(self._secrets[HOLDFAST_PASSWORD], safe="")
        return f"postgresql://holdfast:{password}@{LOOPBACK}:{self._ports[POSTGRES]}/holdfast"

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

    async def _bring_up(self) -> None:
        """Starts all parts.

        Raises:
            ServerProgramMissing: The Temporal server could not be built.
            StepFailed: A script of the deployment failed.
            NamespaceUnusable: Temporal did not become usable.
        """
        server = await asyncio.to_thread(resolve, SERVER, self._options.announce)
        tool = await asyncio.to_thread(resolve, SQL_TOOL, self._options.announce)
        self._choose_secrets()
        self._nodes = {number: self._make_node(server) for number in NODES}
        self._write_env_file()
        await self._start_postgres()
        await self._start_temporal(tool)
        await self.migrate()
        await self._start_programs()

    def _make_node(self, server: Path) -> TemporalNode:
        return TemporalNode(
            server,
            self.data_dir.temporal_database.parent,
            self.temporal_database,
            DEPLOY / "temporal" / "dynamic_config.yaml",
            service_ports(self._taken),
        )

    def _choose_secrets(self) -> None:
        """Keeps the secrets of an earlier run, since its database was made with them."""
        present = env_file.read_env_file(self.data_dir.env_file)
        fresh = {name: secrets.token_urlsafe(24) for name in (HOLDFAST_PASSWORD, TEMPORAL_PASSWORD)}
        kept = {name: present.get(name, made) for name, made in fresh.items()}
        self._secrets = {**env_file.secrets_of(self.data_dir.env_file), **kept}

    def _write_env_file(self) -> None:
        urls = {
            "HOLDFAST_DATABASE_URL": self.database_url,
            "HOLDFAST_TEMPORAL_ADDRESS": self._nodes[1].address,
            "HOLDFAST_API_HOST": LOOPBACK,
            "HOLDFAST_API_PORT": str(self._ports[API]),
            "HOLDFAST_SIMULATOR_ADMIN_URL": self.simulator_admin_url,
            **simulator_urls(self.simulator_url),
        }
        self._variables = env_file.refresh_env_file(self.data_dir.env_file, urls, self._secrets)

    async def _start_postgres(self) -> None:
        cluster = self.postgres
        await cluster.initialise()
        await self.supervisor.start(self._spec(POSTGRES, cluster.command(), cluster.answers))
        if not await cluster.has_database("temporal_visibility"):  # the last that the script makes
            await self.postgres_script("10-databases.sh")

    async def postgres_script(self, name: str, *arguments: str) -> None:
        """Runs one of the deployment's scripts for Postgres, while Postgres runs.

        Raises:
            StepFailed: It ended with an error.
        """
        await self._step([str(DEPLOY / "postgres" / name), *arguments], self._superuser_environment())

    async def restore(self, folder: Path) -> None:
        """Restores a backup of `backup.sh` into a stopped cluster's Postgres, which runs for the while.

        Raises:
            StepFailed: It ended with an error.
        """

        async def restored() -> None:
            self._choose_secrets()
            await self._start_postgres()
            await self.postgres_script("restore.sh", str(folder))

        await self._begin(restored)
        await self.stop()

    def _superuser_environment(self) -> dict[str, str]:
        """Returns what the deployment's scripts for Postgres read, secrets included."""
        cluster = self.postgres
        return {
            "PATH": f"{cluster.installation / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PGHOST": LOOPBACK,
            "PGPORT": str(cluster.port),
            "PGPASSWORD": cluster.password.get_secret_value(),
            "POSTGRES_USER": cluster.role,
            **{name: self._secrets[name] for name in (HOLDFAST_PASSWORD, TEMPORAL_PASSWORD)},
        }

    async def _start_temporal(self, tool: Path) -> None:
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
        ports = (self._ports[SIMULATOR], self._ports["simulator_admin"])
        await self.supervisor.start(self._simulator_spec(SIMULATOR, *ports))
        await self._start_together([self._api_spec(API)])
        await self.start_workers(*self._options.roles)

    async def start_workers(self, *roles: str) -> None:
        """Starts the workers of some roles, two of each, and waits until they poll.

        Raises:
            PartFailed: One did not become healthy.
        """
        await self._start_together([self._role_spec(role, node) for node in NODES for role in roles])

    def _role_spec(self, role: str, node: int) -> PartSpec:
        # Nothing starts it anew when its server comes back: neither does compose.
        address = self._nodes[node].address
        name = worker_part(role, node)
        return self._worker_spec(name, role, frozenset(), HOLDFAST_TEMPORAL_ADDRESS=address)

    def _waves(self) -> tuple[frozenset[str], ...]:
        programs = frozenset({API, *(worker_part(role, node) for node in NODES for role in ROLES)})
        return programs, frozenset({SIMULATOR, *(temporal_part(node) for node in NODES)})
