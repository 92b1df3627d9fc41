"""One way to Temporal for the API, workers, tests and benchmarks: client, data converter, sandbox."""

from collections.abc import Sequence
from datetime import timedelta

from temporalio.client import Client, Interceptor, TLSConfig
from temporalio.runtime import Runtime
from temporalio.service import RetryConfig
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from domain.messages import Tuning
from runtime.settings import TemporalSettings, TuningSettings
from runtime.temporal_payloads import converter_of

# All of ours passes through: what the sandbox imports anew it imports for every single run, which cost a
# rule's start most of its time and each cached rule half a megabyte. See docs/decisions/0007.
PASSED_THROUGH = ("workflows", "domain", "activities", "storage", "structlog")

# A call that found Temporal away sleeps in the SDK between its tries, and nobody can wake it: with the SDK's
# own pauses of up to 6 s a crossing would still wait when the server has long been back.
RETRIES = RetryConfig(max_interval_millis=500, max_elapsed_time_millis=10_000, max_retries=40)


def workflow_runner() -> SandboxedWorkflowRunner:
    """Return the sandbox that workers and replayers use."""
    return SandboxedWorkflowRunner(
        restrictions=SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH)
    )


async def connect(
    settings: TemporalSettings,
    *,
    lazy: bool = False,
    runtime: Runtime | None = None,
    interceptors: Sequence[Interceptor] = (),
) -> Client:
    """Connect to Temporal; with `lazy` the first call does, so a process starts while Temporal is away.

    `runtime` is a runtime of the SDK that measures; without one the SDK's own is used. `interceptors` carry
    traces; workers of this client take them over.
    """
    return await Client.connect(
        settings.address,
        namespace=settings.namespace,
        data_converter=converter_of(settings),
        api_key=settings.api_key.get_secret_value() if settings.api_key else None,
        tls=_tls(settings),
        retry_config=RETRIES,
        lazy=lazy,
        runtime=runtime,
        interceptors=interceptors,
    )


def _tls(settings: TemporalSettings) -> TLSConfig | bool:
    if not settings.tls:
        return False
    return TLSConfig(
        server_root_ca_cert=settings.tls_server_ca.read_bytes() if settings.tls_server_ca else None,
        client_cert=settings.tls_client_cert.read_bytes() if settings.tls_client_cert else None,
        client_private_key=settings.tls_client_key.read_bytes() if settings.tls_client_key else None,
    )


def queue(settings: TemporalSettings, name: str) -> str:
    """Return a task queue's full name."""
    return f"{settings.task_queue_prefix}{name}"


def workflow_tuning(settings: TuningSettings) -> Tuning:
    """Return the durations that a workflow gets as part of its input, in milliseconds."""
    return Tuning(
        ladder_fresh_ms=_ms(settings.ladder_max_age),
        fallback_ms=_ms(settings.host_fallback_first),
        fallback_cap_ms=_ms(settings.host_fallback),
        retry_ms=_ms(settings.resend_first),
        retry_cap_ms=_ms(settings.resend_cap),
        blocked_retry_ms=_ms(settings.blocked_retry),
        absent_settles_ms=_ms(settings.absent_after),
        unsettled_alarm_ms=_ms(settings.unsettled_alarm),
        place_start_to_close_ms=_ms(settings.place_order_timeout),
        place_first_retry_ms=_ms(settings.place_order_first_retry),
    )


def _ms(duration: timedelta) -> int:
    return int(duration / timedelta(milliseconds=1))
