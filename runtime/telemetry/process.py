"""The measurements of one process: what counts, the SDK's runtime that counts too, and who may read."""

from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager

import structlog
from temporalio.runtime import Runtime

from activities.telemetry import UNMEASURED, Telemetry
from runtime.clock import SystemClock
from runtime.settings import TelemetrySettings
from runtime.telemetry.endpoint import announced, metrics_endpoint
from runtime.telemetry.exposition import Exposition
from runtime.telemetry.meters import Meters
from runtime.telemetry.temporal_sdk import measured_runtime

log = structlog.stdlib.get_logger(__name__)


class ProcessTelemetry:
    """Made once, at the start of a process, before it connects to Temporal.

    Attributes:
        activities: The port of measurements for activities.
        runtime: The SDK's runtime to connect with; None for the SDK's own, which counts nothing.
        exposition: What `/metrics` says; None where metrics are switched off.
    """

    def __init__(self, settings: TelemetrySettings, *, role: str) -> None:
        """Begin to count, unless that is switched off.

        Raises:
            RuntimeError: The SDK found no port for its metrics.
        """
        self._settings = settings
        self._role = role
        self.activities: Telemetry = UNMEASURED
        self.runtime: Runtime | None = None
        self.exposition: Exposition | None = None
        if settings.enabled:
            sdk = measured_runtime()
            meters = Meters(SystemClock())
            self.activities, self.runtime = meters, sdk.runtime
            self.exposition = Exposition(meters, sdk)

    @asynccontextmanager
    async def served(self) -> AsyncGenerator[None]:
        """Serve the metrics on a port of their own while the context lasts, and name it in the folder.

        A process that cannot works without: protecting positions comes first.
        """
        async with AsyncExitStack() as stack:
            if self.exposition is not None:
                host, port = self._settings.host, self._settings.port
                try:
                    endpoint = metrics_endpoint(self.exposition.render, host=host, port=port)
                    taken = await stack.enter_async_context(endpoint)
                    log.info("metrics.served", host=host, port=taken)
                    stack.enter_context(self.announced(host, taken))
                except OSError as error:
                    log.error("metrics.not_served", host=host, port=port, error=str(error))
            yield

    def announced(self, host: str, port: int) -> AbstractContextManager[None]:
        """Return a context in which the folder of the settings names this process's endpoint."""
        return announced(
            self._settings.dir,
            process=self._settings.process or self._role,
            role=self._role,
            address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        )
