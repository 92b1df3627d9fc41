"""The Temporal dev server on a SQLite file, tuned, with our search attributes and retention."""

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from runtime.embedded.ports import LOOPBACK
from runtime.embedded.process import Command
from runtime.embedded.visibility import columns_of_attributes, keep_indexes
from runtime.temporal_namespace import configure_namespace
from runtime.temporal_tuning import SEARCH_ATTRIBUTES, TUNED_DYNAMIC_CONFIG

Synchronous = Literal["full", "normal"]


@dataclass(frozen=True, slots=True)
class TemporalServer:
    """A dev server to run.

    Attributes:
        binary: The `temporal` program.
        database: SQLite file; made when missing.
        port: gRPC port.
        ui_port: Port of the web UI; None runs without it.
        http_port: Port of the HTTP API, which the UI does not need but the server always opens.
        metrics_port: Port of the server's own metrics.
        synchronous: `full` survives a power cut, `normal` survives a killed process at three times the pace.
        namespace: Namespace to configure.
        codec_endpoint: Where the UI has encrypted payloads decrypted; None where none are encrypted.
    """

    binary: Path
    database: Path
    port: int
    ui_port: int | None
    http_port: int
    metrics_port: int
    synchronous: Synchronous = "full"
    namespace: str = "default"
    codec_endpoint: str | None = None

    @property
    def address(self) -> str:
        """Host and port of the gRPC frontend."""
        return f"{LOOPBACK}:{self.port}"

    def command(self) -> Command:
        """Returns how to run it, bound to loopback only."""
        ui = ["--headless"] if self.ui_port is None else ["--ui-port", str(self.ui_port)]
        argv = [
            str(self.binary), "server", "start-dev",
            "--ip", LOOPBACK,
            "--port", str(self.port),
            "--http-port", str(self.http_port),
            "--metrics-port", str(self.metrics_port),
            *ui,
            "--db-filename", str(self.database),
            "--sqlite-pragma", "journal_mode=wal",
            "--sqlite-pragma", f"synchronous={self.synchronous}",
            # Whoever else writes the file, as the dropping of indexes does, is waited for.
            "--sqlite-pragma", "busy_timeout=10000",
            "--log-level", "error",
            "--log-format", "json",
            "--disable-config-env",
            "--disable-config-file",
        ]  # fmt: skip
        if self.codec_endpoint is not None:
            argv += ["--ui-codec-endpoint", self.codec_endpoint]
        if self.namespace != "default":
            argv += ["--namespace", self.namespace]
        for name in SEARCH_ATTRIBUTES:
            argv += ["--search-attribute", f"{name}=Keyword"]
        for key, value in TUNED_DYNAMIC_CONFIG.items():
            argv += ["--dynamic-config-value", f"{key}={json.dumps(value)}"]
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.database.parent)}
        return Command(tuple(argv), environment, self.database.parent)

    async def connect(self) -> Client | None:
        """Returns a client when the frontend serves the namespace, else None."""
        try:
            client = await asyncio.wait_for(Client.connect(self.address, namespace=self.namespace), 2)
            await client.workflow_service.describe_namespace(
                DescribeNamespaceRequest(namespace=self.namespace)
            )
        except (RuntimeError, RPCError, TimeoutError):
            return None
        return client

    async def answers(self) -> bool:
        """Tells whether the frontend serves the namespace."""
        return await self.connect() is not None

    async def configure(self) -> None:
        """Sets retention, search attributes and indexes, also on a file made by an older version.

        Raises:
            RPCError: The server refused.
            sqlite3.Error: The file is damaged, or was busy for long.
        """
        client = await Client.connect(self.address, namespace=self.namespace)
        await configure_namespace(client, self.namespace)
        columns = await columns_of_attributes(client, self.namespace)
        await asyncio.to_thread(keep_indexes, self.database, columns)
