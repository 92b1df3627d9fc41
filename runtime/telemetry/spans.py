"""Spans by OpenTelemetry: requests, workflows and activities, and within them claims, POSTs and crossings."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Tracer
from structlog.typing import EventDict, WrappedLogger
from temporalio.contrib.opentelemetry import TracingInterceptor

from activities.telemetry import DeliveryOutcome, FeedVitals, Telemetry
from domain.claims import ClaimAnswer
from domain.messages import FeedShard, OrderProjection, RuleProjection
from domain.orders import Answer, Attempt
from domain.rules.crossing import Crossing
from runtime.logging import REDACTED
from runtime.telemetry.meters import claim_word
from runtime.telemetry.tracing import Tracing

SERVICE = "holdfast"
_QUERY = "url.query"


class TracedActivities:
    """Makes a span of each delivery, claim and POST, around whoever counts them."""

    def __init__(self, inner: Telemetry, tracer: Tracer) -> None:
        """Take who counts, and where spans go."""
        self._inner = inner
        self._tracer = tracer

    async def delivering(self, crossing: Crossing, delivery: Awaitable[DeliveryOutcome]) -> DeliveryOutcome:
        """Begin a trace with the delivery of a crossing: the feed's own span lasts for ever."""
        about = {"holdfast.rule_id": crossing.rule_id, "holdfast.condition": crossing.condition.value}
        with self._tracer.start_as_current_span("crossing", Context(), attributes=about) as span:
            outcome = await self._inner.delivering(crossing, delivery)
            span.set_attribute("holdfast.outcome", outcome.value)
            return outcome

    async def claiming(self, attempt: Attempt, claim: Awaitable[ClaimAnswer]) -> ClaimAnswer:
        """Make a span of a claim."""
        with self._tracer.start_as_current_span("claim", attributes=_about(attempt)) as span:
            answer = await self._inner.claiming(attempt, claim)
            span.set_attribute("holdfast.answer", claim_word(answer))
            return answer

    async def posting(self, attempt: Attempt, post: Awaitable[Answer]) -> Answer:
        """Make a span of a POST."""
        about = _about(attempt)
        with self._tracer.start_as_current_span("order.post", kind=SpanKind.CLIENT, attributes=about) as span:
            answer = await self._inner.posting(attempt, post)
            span.set_attribute("holdfast.answer", answer.kind.value)
            return answer

    def projected(self, rule: RuleProjection | None, order: OrderProjection | None = None) -> None:
        """Only count."""
        self._inner.projected(rule, order)

    def feeding(self, shard: FeedShard, vitals: Callable[[], FeedVitals]) -> AbstractContextManager[None]:
        """Only look."""
        return self._inner.feeding(shard, vitals)


class _WithoutQueries(SpanProcessor):
    """Takes the query out of a request's span, as our own log lines leave it out."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Blank it before anybody exports the span."""
        if span.attributes and _QUERY in span.attributes:
            span.set_attribute(_QUERY, REDACTED)


class SpanTracing(Tracing):
    """Traces whose spans go to a processor."""

    def __init__(self, processor: SpanProcessor, *, role: str) -> None:
        """Begin to trace; Temporal's interceptor carries a trace over its queues."""
        resource = Resource.create({"service.name": SERVICE, "holdfast.role": role})
        self._spans = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._spans.add_span_processor(_WithoutQueries())
        self._spans.add_span_processor(processor)
        self.provider = self._spans
        self._tracer = self._spans.get_tracer(SERVICE)
        self.interceptors = (TracingInterceptor(self._tracer),)
        self.processors = (add_trace,)

    def around(self, telemetry: Telemetry) -> Telemetry:
        """Return a port of measurements that also makes spans."""
        return TracedActivities(telemetry, self._tracer)

    def close(self) -> None:
        """Send what waits; a collector that is away costs its time limit, and the spans."""
        self._spans.shutdown()


def exported_spans(endpoint: str, *, role: str) -> SpanTracing:
    """Return traces whose spans go in batches, from a thread of its own, to a collector (OTLP over HTTP)."""
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=2)
    return SpanTracing(BatchSpanProcessor(exporter), role=role)


def add_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add to a log line the trace and the span in which it was written."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event


def _about(attempt: Attempt) -> dict[str, str | int]:
    return {
        "holdfast.order_id": attempt.order_id,
        "holdfast.attempt": attempt.attempt,
        "holdfast.venue": attempt.venue,
        "holdfast.mode": attempt.mode.value,
    }
