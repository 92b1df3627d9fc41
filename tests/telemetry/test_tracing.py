"""Traces: nothing unless asked for; then one from the request to the POST, through Temporal's queues."""

import io
import json
import sys
from types import SimpleNamespace

import httpx2
import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from temporalio.client import Client
from temporalio.worker import Worker

import runtime.logging
from activities.telemetry import UNMEASURED, DeliveryOutcome
from api.app import create_app
from domain.orders import Answer, AnswerKind, OrderState
from runtime.settings import SettingsError, TracingSettings
from runtime.telemetry.spans import SpanTracing
from runtime.telemetry.tracing import NO_TRACING, tracing_of
from runtime.temporal import workflow_runner
from tests.fakes.exchange import FakeExchange
from tests.telemetry.test_meters import ATTEMPT, CROSSING, soon
from tests.workflows.floor import Floor
from workflows.order import Order

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE = 0x4BF92F3577B34DA6A3CE929D0E0E4736


class Traces:
    """Traces that are kept in memory."""

    def __init__(self) -> None:
        self.kept = InMemorySpanExporter()
        self.tracing = SpanTracing(SimpleSpanProcessor(self.kept), role="test")
        assert self.tracing.provider is not None
        self.tracer = self.tracing.provider.get_tracer("test")

    def named(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.kept.get_finished_spans()}


@pytest.fixture
def traces() -> Traces:
    return Traces()


def test_no_traces_unless_asked_for() -> None:
    with tracing_of(TracingSettings(), role="core") as tracing:
        assert tracing is NO_TRACING
        assert tracing.around(UNMEASURED) is UNMEASURED
        assert (tracing.provider, tracing.interceptors, tracing.processors) == (None, (), ())


def test_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "runtime.telemetry.spans")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)

    with (
        pytest.raises(SettingsError, match=r"holdfast\[otel\]"),
        tracing_of(TracingSettings(enabled=True), role="core"),
    ):
        pass


@pytest.mark.parametrize("cached", [100, 0], ids=["cached", "replayed"])
async def test_a_trace_goes_through_workflow_and_activities(
    temporal_client: Client, task_queue_prefix: str, traces: Traces, cached: int
) -> None:
    config = temporal_client.config()
    config["interceptors"] = [*config["interceptors"], *traces.tracing.interceptors]
    client = Client(**config)
    exchange = FakeExchange(client)
    async with Worker(
        client,
        task_queue=f"{task_queue_prefix}core",
        workflows=[Order],
        activities=exchange.activities(),
        workflow_runner=workflow_runner(),
        max_cached_workflows=cached,
    ):
        with traces.tracer.start_as_current_span("request") as request:
            handle = await Floor(client, exchange, f"{task_queue_prefix}core").start_order()
        answer = await handle.result()

    assert answer.state is OrderState.FILLED
    of_request = {
        span.name for span in traces.kept.get_finished_spans()
        if span.context.trace_id == request.get_span_context().trace_id
    }  # fmt: skip
    assert {
        "StartWorkflow:Order",
        "RunWorkflow:Order",
        "StartActivity:place_order",
        "RunActivity:place_order",
    } <= (of_request)


async def test_post_is_a_span_within_its_activity_and_names_its_order(traces: Traces) -> None:
    telemetry = traces.tracing.around(UNMEASURED)
    answer = Answer(kind=AnswerKind.ACCEPTED, code="accepted")

    with traces.tracer.start_as_current_span("RunActivity:place_order") as running:
        assert await telemetry.posting(ATTEMPT, soon(answer)) is answer  # type: ignore[arg-type]

    post = traces.named()["order.post"]
    assert post.parent is not None
    assert post.parent.span_id == running.get_span_context().span_id
    assert post.attributes == {
        "holdfast.order_id": ATTEMPT.order_id,
        "holdfast.attempt": ATTEMPT.attempt,
        "holdfast.venue": ATTEMPT.venue,
        "holdfast.mode": ATTEMPT.mode.value,
        "holdfast.answer": "accepted",
    }


async def test_each_crossing_begins_a_trace_of_its_own(traces: Traces) -> None:
    telemetry = traces.tracing.around(UNMEASURED)

    with traces.tracer.start_as_current_span("RunActivity:run_feed"):
        await telemetry.delivering(CROSSING, soon(DeliveryOutcome.SUPERSEDED))  # type: ignore[arg-type]

    crossing = traces.named()["crossing"]
    assert crossing.parent is None
    assert crossing.status.is_unset
    assert (crossing.attributes or {})["holdfast.outcome"] == "superseded"


async def test_request_goes_on_with_the_callers_trace_and_liveness_makes_no_span(traces: Traces) -> None:
    def unused() -> None:
        raise NotImplementedError

    app = create_app(unused, traces=traces.tracing.provider)  # type: ignore[arg-type]
    app.state.services = SimpleNamespace(metrics=None)
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="http://holdfast.test"
    ) as http:
        await http.get("/api/health")
        await http.get("/openapi.json?api_key=secret", headers={"traceparent": PARENT})

    (span,) = traces.kept.get_finished_spans()
    assert span.context is not None
    assert span.context.trace_id == TRACE
    assert "secret" not in span.to_json()


def test_log_lines_name_the_trace_they_are_written_in(traces: Traces) -> None:
    stream = io.StringIO()
    try:
        runtime.logging.configure(stream=stream, json=True, more=traces.tracing.processors)
        with traces.tracer.start_as_current_span("here") as span:
            structlog.stdlib.get_logger("test").info("within")
        structlog.stdlib.get_logger("test").info("outside")
    finally:
        structlog.reset_defaults()
        runtime.logging.configure()

    within, outside = (json.loads(line) for line in stream.getvalue().splitlines())
    assert within["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert "trace_id" not in outside
