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
        """Begin to count, unless that is switched off."""
        self._settings = settings
        self._role = role
        self.activities: Telemetry = UNMEASURED
        self.runtime: Runtime | None = None
        self.exposition: Exposition | None = None
        if settings.enabled:
            sdk = measured_runtime()
            meters = Meters(SystemClock())
            self.activities, self.runtime = meters, sdk.runtime if sdk is not None else None
            self.exposition = Exposition(meters, sdk)

    @asynccontextmanager
    async def served(self, *, beside: tuple[str, int] | None = None) -> AsyncGenerator[None]:
        """Serve the metrics while the context lasts, and name the place in the folder.

        A process that cannot works without: protecting positions comes first.

        Args:
            beside: Host and port where the process serves them itself, beside other things; without it they
                get a port of their own.
        """
        async with AsyncExitStack() as stack:
            if self.exposition is not None:
                host, port = beside or (self._settings.host, self._settings.port)
                try:
                    if beside is None:
                        endpoint = metrics_endpoint(self.exposition.render, host=host, port=port)
                        port = await stack.enter_async_context(endpoint)
                    stack.enter_context(self._announced(host, port))
                    log.info("metrics.served", host=host, port=port)
                except OSError as error:
                    log.error("metrics.not_served", host=host, port=port, error=str(error))
            yield

    def _announced(self, host: str, port: int) -> AbstractContextManager[None]:
        """Return a context in which the folder of the settings names this process's endpoint."""
        return announced(
            self._settings.dir,
            process=self._settings.process or self._role,
            role=self._role,
            address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        )
