"""The Temporal SDK's own metrics and logs: counted by its core, read over loopback, logged by our loggers."""

import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass

import httpx2
import structlog
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

from runtime.embedded.ports import LOOPBACK, free_port

log = structlog.stdlib.get_logger(__name__)

TRIES = 5
READ_LIMIT_S = 1.0
CORE_LOGGER = "temporalio.core"
ChoosePort = Callable[[set[int]], int]


@dataclass(frozen=True, slots=True)
class SdkMetrics:
    """A runtime of the SDK whose core counts, and where its figures are.

    The core renders them itself, outside the interpreter's lock; a buffer of updates drained by Python would
    cost the hot path a call for each.
    """

    runtime: Runtime
    url: str

    async def read(self) -> bytes:
        """Return the SDK's metrics in Prometheus's text format.

        Raises:
            ConnectionError: The core does not answer.
        """
        try:
            # The empty context spares a start the 100 ms of loading authorities that plain HTTP never asks.
            no_authorities = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            async with httpx2.AsyncClient(
                verify=no_authorities, trust_env=False, timeout=READ_LIMIT_S
            ) as client:
                answer = await client.get(self.url)
                answer.raise_for_status()
        except httpx2.HTTPError as error:
            raise ConnectionError(f"the SDK's metrics at {self.url} cannot be read") from error
        return answer.content


def measured_runtime(choose: ChoosePort = free_port) -> SdkMetrics | None:
    """Start a runtime of the SDK that counts; its exporter listens on a free port of loopback.

    Args:
        choose: Names a port that is not among those tried.

    Returns:
        None where no port could be taken: a worker without these figures is better than none.
    """
    tried: set[int] = set()
    try:
        for _ in range(TRIES):
            # The core binds the port itself and does not say which one it got, so it is told a free one.
            port = choose(tried)
            tried.add(port)
            runtime = _runtime_at(port)
            if runtime is not None:
                return SdkMetrics(runtime, f"http://{LOOPBACK}:{port}/metrics")
    except OSError as error:
        log.error("metrics.sdk_not_measured", error=str(error))
        return None
    log.error("metrics.sdk_not_measured", error=f"{TRIES} ports were taken at the last moment")
    return None


def _runtime_at(port: int) -> Runtime | None:
    try:
        return Runtime(telemetry=_telemetry(port))
    except ValueError as error:  # the core's word for a port that somebody took meanwhile
        log.warning("metrics.sdk_port_taken", port=port, error=str(error))
        return None


def _telemetry(port: int) -> TelemetryConfig:
    return TelemetryConfig(
        logging=LoggingConfig(
            filter=TelemetryFilter(core_level="WARN", other_level="ERROR"),
            forwarding=LogForwardingConfig(
                logger=logging.getLogger(CORE_LOGGER),
                append_target_to_name=False,
                prepend_target_on_message=False,
            ),
        ),
        metrics=PrometheusConfig(
            bind_address=f"{LOOPBACK}:{port}",
            counters_total_suffix=True,
            unit_suffix=True,
            durations_as_seconds=True,
        ),
    )
