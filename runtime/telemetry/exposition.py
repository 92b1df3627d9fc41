"""One process's whole answer to `/metrics`."""

from typing import Protocol

import structlog
from prometheus_client import generate_latest
from prometheus_client.registry import Collector

from runtime.telemetry.meters import Meters
from runtime.telemetry.temporal_sdk import SdkMetrics

log = structlog.stdlib.get_logger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Reading(Collector, Protocol):
    """Metrics that must be fetched before they can be shown."""

    async def refresh(self) -> None:
        """Fetch them; what cannot be reached is left out, and a metric says so."""
        ...


class Exposition:
    """Our own metrics, those of the SDK, and whatever was added; their names are apart."""

    def __init__(self, meters: Meters, sdk: SdkMetrics | None) -> None:
        """Take what is counted here, and by the SDK's core if that counts."""
        self._meters = meters
        self._sdk = sdk
        self._readings: list[Reading] = []

    def add(self, reading: Reading) -> None:
        """Show more from now on."""
        self._meters.registry.register(reading)
        self._readings.append(reading)

    @property
    def meter(self) -> Meters:
        """What is counted here."""
        return self._meters

    async def render(self) -> bytes:
        """Return everything in Prometheus's text format."""
        for reading in self._readings:
            await reading.refresh()
        of_sdk = await self._read_sdk()
        self._meters.sdk_read(ok=of_sdk is not None)
        return generate_latest(self._meters.registry) + (of_sdk or b"")

    async def _read_sdk(self) -> bytes | None:
        if self._sdk is None:
            return None
        try:
            return await self._sdk.read()
        except ConnectionError as error:
            log.warning("metrics.sdk_not_read", error=str(error))
            return None
