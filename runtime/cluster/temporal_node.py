"""One process of a Temporal server on Postgres: all four services, configured by the environment alone.

The server reads its built-in template, so compose and this module set the same variables.
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr
from temporalio.client import Client

from runtime.embedded.ports import LOOPBACK, free_port
from runtime.embedded.process import Command
from runtime.temporal_tuning import HISTORY_SHARDS

PLUGIN = "postgres12_pgx"
"""Persistence plugin; its name says the oldest Postgres that it serves."""

SERVER_ENVIRONMENT: Mapping[str, str] = {
    "DB": PLUGIN,
    "NUM_HISTORY_SHARDS": str(HISTORY_SHARDS),
    "LOG_LEVEL": "warn",
}
"""What every process of a server has in common, here and in compose."""

_SERVICE_PORTS = (
    "FRONTEND_GRPC_PORT",
    "FRONTEND_HTTP_PORT",
    "FRONTEND_MEMBERSHIP_PORT",
    "HISTORY_GRPC_PORT",
    "HISTORY_MEMBERSHIP_PORT",
    "MATCHING_GRPC_PORT",
    "MATCHING_MEMBERSHIP_PORT",
    "WORKER_GRPC_PORT",
    "WORKER_MEMBERSHIP_PORT",
)


@dataclass(frozen=True, slots=True)
class TemporalDatabase:
    """Where a server keeps `temporal` and `temporal_visibility`."""

    port: int
    password: SecretStr
    user: str = "temporal"
    host: str = LOOPBACK

    def server_environment(self) -> dict[str, str]:
        """Returns the server's variables for it."""
        return {
            "POSTGRES_SEEDS": self.host,
            "DB_PORT": str(self.port),
            "POSTGRES_USER": self.user,
            "POSTGRES_PWD": self.password.get_secret_value(),
        }

    def tool_environment(self) -> dict[str, str]:
        """Returns the variables of `temporal-sql-tool` for it."""
        return {
            "SQL_HOST": self.host,
            "SQL_PORT": str(self.port),
            "SQL_USER": self.user,
            "SQL_PASSWORD": self.password.get_secret_value(),
        }


@dataclass(frozen=True, slots=True)
class TemporalNode:
    """A process of the server on loopback; several on one database find each other by it.

    Attributes:
        binary: `temporal-server`.
        directory: Working directory.
        database: The shared database.
        dynamic_config: The tuned values.
        ports: Port of each service by the variable that sets it.
    """

    binary: Path
    directory: Path
    database: TemporalDatabase
    dynamic_config: Path
    ports: Mapping[str, int]

    @property
    def address(self) -> str:
        """Host and port of its frontend."""
        return f"{LOOPBACK}:{self.ports['FRONTEND_GRPC_PORT']}"

    @property
    def http_url(self) -> str:
        """Base URL of its HTTP API."""
        return f"http://{LOOPBACK}:{self.ports['FRONTEND_HTTP_PORT']}"

    def command(self) -> Command:
        """Returns how to run it."""
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.directory),
            **SERVER_ENVIRONMENT,
            **self.database.server_environment(),
            **{name: str(port) for name, port in self.ports.items()},
            "BIND_ON_IP": LOOPBACK,
            "TEMPORAL_BROADCAST_ADDRESS": LOOPBACK,
            "DYNAMIC_CONFIG_FILE_PATH": str(self.dynamic_config),
        }
        return Command((str(self.binary), "start"), environment, self.directory)

    async def answers(self) -> bool:
        """Tells whether its frontend serves."""
        try:
            await asyncio.wait_for(Client.connect(self.address), 2)
        except (RuntimeError, TimeoutError):
            return False
        return True


def service_ports(taken: set[int]) -> dict[str, int]:
    """Returns a free port for each service, and adds them to `taken`."""
    ports: dict[str, int] = {}
    for name in _SERVICE_PORTS:
        ports[name] = free_port(taken)
        taken.add(ports[name])
    return ports
