"""Traces: off unless the settings ask for them, and then by OpenTelemetry, which is an extra."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from opentelemetry.trace import TracerProvider
from structlog.typing import Processor
from temporalio.client import Interceptor

from activities.telemetry import Telemetry
from runtime.settings import SettingsError, TracingSettings


class Tracing:
    """No traces at all; `runtime.telemetry.spans` has those that are.

    Attributes:
        provider: Where the API's spans go; None for nowhere.
        interceptors: What carries a trace through Temporal; workers take them over from their client.
        processors: What adds the trace to a log line.
    """

    provider: TracerProvider | None = None
    interceptors: Sequence[Interceptor] = ()
    processors: Sequence[Processor] = ()

    def around(self, telemetry: Telemetry) -> Telemetry:
        """Return a port of measurements that also makes spans."""
        return telemetry

    def close(self) -> None:
        """Send what waits."""


NO_TRACING = Tracing()


@contextmanager
def tracing_of(settings: TracingSettings, *, role: str) -> Generator[Tracing]:
    """Trace as the settings say while the context lasts.

    Raises:
        SettingsError: Traces are asked for, and the extra is not installed.
    """
    tracing = _started(settings, role) if settings.enabled else NO_TRACING
    try:
        yield tracing
    finally:
        tracing.close()


def _started(settings: TracingSettings, role: str) -> Tracing:
    try:
        # An import of a quarter of a second, and of packages that are there with the extra alone.
        from runtime.telemetry.spans import exported_spans
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"HOLDFAST_TRACING_ENABLED needs the package {error.name}: pip install 'holdfast[otel]'"
        ) from error
    return exported_spans(settings.endpoint, role=role)
