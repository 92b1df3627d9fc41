"""What a rule costs in history, and that it survives what operators do to it."""

import json
from decimal import Decimal

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle

from domain import messages
from domain.ids import exit_order_id
from domain.messages import RulePhase, RuleStatus
from domain.orders import AnswerKind
from tests.fakes.exchange import FakeExchange, answers, fills
from tests.workflows.floor import STOP, TARGET, Floor, RunningRule, quick

D = Decimal
UPSERTED = EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES
SCHEDULED = EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
MAX_EVENTS = 40


async def events_of(handle: WorkflowHandle):
    return [event async for event in handle.fetch_history_events()]


async def test_a_whole_life_without_incident_is_short(floor: Floor, exchange: FakeExchange):
    exchange.script(fills(confirmed=False))
    rule = await floor.arm(STOP, expires_at="2040-01-01T00:00:00Z", tuning=quick(fallback_ms=30_000))
    await rule.cross("0.39")
    await exchange.until(lambda: "confirmation" in exchange.rule.detail)
    await exchange.confirm()
    await rule.result()

    assert len(await events_of(rule.handle)) < MAX_EVENTS


async def test_the_order_is_scheduled_in_the_task_of_the_crossing(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm()
    await rule.cross("0.39")
    await rule.result()

    events = await events_of(rule.handle)
    crossed = next(
        i for i, e in enumerate(events) if e.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
    )
    scheduled = next(e for e in events if e.event_type == SCHEDULED)
    attributes = scheduled.activity_task_scheduled_event_attributes
    assert attributes.activity_type.name == "place_order"
    completed = [
        e
        for e in events[crossed:]
        if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED and e.event_id < scheduled.event_id
    ]
    assert len(completed) == 1
    assert attributes.workflow_task_completed_event_id == completed[0].event_id


async def test_the_search_attributes_follow_the_order(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm()
    await rule.cross("0.39")
    await rule.result()

    kinds = [event.event_type for event in await events_of(rule.handle)]
    assert kinds.index(UPSERTED) > kinds.index(EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED)


async def test_an_exit_that_waits_before_its_first_order_is_shown_as_triggered(
    floor: Floor, exchange: FakeExchange
):
    exchange.bids = [("0.20", "1000")]
    rule = await floor.arm(STOP, floor="0.30")
    await rule.cross("0.20")
    await exchange.until(lambda: exchange.rule.phase is RulePhase.WAITING)
    await rule.patch(STOP)  # is told that it lost, by a later task

    assert UPSERTED in [event.event_type for event in await events_of(rule.handle)]


async def test_the_request_to_place_an_order_is_small(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm(STOP, TARGET, {"type": "trailing_stop", "percent": "5"})
    await rule.cross("0.39")
    await rule.result()

    scheduled = next(e for e in await events_of(rule.handle) if e.event_type == SCHEDULED)
    [payload] = scheduled.activity_task_scheduled_event_attributes.input.payloads
    assert len(payload.data) < 6_000
    assert "definition" in json.loads(payload.data)["rule"]["rule"]


async def test_a_fired_rule_that_is_reset_adopts_its_order(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm()
    await rule.cross("0.39")
    await rule.result()
    events = await events_of(rule.handle)
    first_task = next(e for e in events if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
    await reset(floor, rule.handle, first_task.event_id)
    again = floor.client.get_workflow_handle(rule.handle.id, result_type=type(await rule.result()))
    answer = await again.result()

    assert answer.status is RuleStatus.TRIGGERED
    assert len({(a.order_id, a.attempt) for a in exchange.attempts}) == 1
    assert len(exchange.orders) == 1
    assert exchange.sold == D(10)
    assert "order.adopted" in exchange.kinds


async def test_a_reset_rule_whose_position_is_gone_recalls_its_order(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm()
    exchange.script(fills(confirmed=False))
    await rule.cross("0.39")
    await exchange.until(lambda: "confirmation" in exchange.rule.detail)
    await rule.holds("0")  # the stream's word, reapplied with the crossing
    await exchange.confirm()
    await rule.result()
    events = await events_of(rule.handle)
    first_task = next(e for e in events if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
    posts = len(exchange.posts)
    await reset(floor, rule.handle, first_task.event_id)
    answer = await floor.client.get_workflow_handle(
        rule.handle.id, result_type=type(await rule.result())
    ).result()

    assert answer.status is RuleStatus.TRIGGERED
    assert len(exchange.posts) <= posts + 2
    assert len(exchange.orders) == 1


async def reset_between_two_attempts(floor: Floor, rule: RunningRule) -> WorkflowHandle:
    """Forgets all that came after the pause behind the first attempt, but for the signals."""
    ended = await rule.result()
    events = await events_of(rule.handle)
    waits = next(e for e in events if e.event_type == EventType.EVENT_TYPE_TIMER_STARTED)
    await reset(floor, rule.handle, waits.timer_started_event_attributes.workflow_task_completed_event_id)
    return floor.client.get_workflow_handle(rule.handle.id, result_type=type(ended))


async def test_a_rule_reset_between_two_attempts_finds_the_one_that_it_forgot(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(answers(AnswerKind.NO_LIQUIDITY))
    rule = await floor.arm()
    await rule.cross("0.39")
    answer = await (await reset_between_two_attempts(floor, rule)).result()

    assert (answer.status, answer.sold_shares) == (RuleStatus.TRIGGERED, D(10))
    assert [order.attempt.attempt for order in exchange.orders.values() if order.filled] == [2]
    assert exchange.rule.sold_shares == D(10)


async def test_an_attempt_is_found_though_a_signal_told_the_reset_rule_that_all_is_sold(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(answers(AnswerKind.NO_LIQUIDITY), fills(confirmed=False))
    rule = await floor.arm()
    await rule.cross("0.39")
    await exchange.until(lambda: "confirmation" in exchange.rule.detail)
    await rule.holds("0")  # comes again after the reset, before the next look at the book
    await exchange.confirm()
    answer = await (await reset_between_two_attempts(floor, rule)).result()

    assert (answer.status, answer.sold_shares) == (RuleStatus.TRIGGERED, D(10))
    assert len(exchange.orders) == 2


async def test_a_forgotten_attempt_that_sold_all_but_dust_is_found(floor: Floor, exchange: FakeExchange):
    exchange.script(answers(AnswerKind.NO_LIQUIDITY), fills("9.995"))
    rule = await floor.arm()
    await rule.cross("0.39")
    answer = await (await reset_between_two_attempts(floor, rule)).result()

    assert (answer.status, answer.sold_shares) == (RuleStatus.TRIGGERED, D("9.995"))
    assert exchange.rule.dust_shares == D("0.005")


async def test_a_canceled_exit_that_was_reset_names_what_its_forgotten_attempt_sold(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(answers(AnswerKind.NO_LIQUIDITY), fills("4"), *[answers(AnswerKind.NO_LIQUIDITY)] * 50)
    rule = await floor.arm(tuning=quick(retry_ms=200))
    await rule.cross("0.39")
    await exchange.until(lambda: exchange.rule.sold_shares == D(4))
    await rule.cancel()
    answer = await (await reset_between_two_attempts(floor, rule)).result()  # the cancel comes again, too

    assert (answer.status, answer.sold_shares) == (RuleStatus.CANCELED, D(4))


async def test_news_of_an_order_makes_an_armed_rule_recall_it(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm()
    # An earlier history of this rule fired and sold a part; then Temporal was restored from a backup.
    order_id = exit_order_id(rule.start.rule_id, 1)
    other = await floor.arm()
    exchange.script(fills("4"), *[answers(AnswerKind.NO_LIQUIDITY)] * 50)
    await other.cross("0.39")
    await exchange.until(lambda: exchange.calls["follow_order"] > 0)
    await other.cancel()
    [known] = [o for o in exchange.orders.values() if o.filled]
    exchange.orders.clear()
    exchange.orders[(order_id, 1)] = known
    await rule.handle.signal("order_update")
    await exchange.until(
        lambda: any(
            s.rule and s.rule.rule.rule_id == rule.start.rule_id and s.rule.rule.generation == 2
            for s in exchange.steps
        )
    )
    row = exchange.rule

    assert (row.rule_id, row.status, row.sold_shares) == (rule.start.rule_id, RuleStatus.ACTIVE, D(4))
    assert exchange.watch.shares == D(6)
    exchange.faults.clear()  # two rules wrote here


async def test_an_armed_rule_goes_on_in_a_new_run(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm(tuning=quick(max_history_events=12))
    first = await rule.run_id()
    await rule.patch({"type": "stop_loss", "price": "0.30"})
    for shares in ("11", "12", "13"):
        await rule.holds(shares)
        await exchange.until(lambda shares=shares: exchange.watch.shares == D(shares))
    later = await rule.run_id()
    await rule.cross("0.29", generation=2)
    answer = await rule.result()

    assert answer.status is RuleStatus.TRIGGERED
    assert later != first
    assert (exchange.rule.generation, exchange.attempts[0].shares) == (2, D(13))
    assert exchange.rule.fired.level == D("0.40")  # what the feed said
    assert exchange.rule.resolved.conditions[0].level == D("0.30")


async def in_a_new_run(floor: Floor, exchange: FakeExchange) -> RunningRule:
    """A target whose exit sold 4 of 10 shares, not confirmed yet, armed again; 3 are held in the new run."""
    exchange.script(fills("4", confirmed=False))
    exchange.bids = [("0.55", "1000")]
    rule = await floor.arm(TARGET, tuning=quick(max_history_events=60))
    await rule.cross("0.60")
    await exchange.event("rule.rearmed")
    exchange.hold("3")  # the others sold elsewhere; what tells the new run is the look at its exit's fills
    first = await rule.run_id()
    while await rule.run_id() == first:
        version = exchange.rule.version
        await rule.handle.signal(messages.SIGNAL_SHOW)
        await exchange.until(lambda version=version: exchange.rule.version > version)
    return rule


async def test_a_new_run_watches_the_size_that_it_finds_held(floor: Floor, exchange: FakeExchange):
    await in_a_new_run(floor, exchange)

    await exchange.until(lambda: exchange.watch.shares == D(3))


async def test_a_new_run_counts_what_an_unconfirmed_exit_before_it_sold(floor: Floor, exchange: FakeExchange):
    rule = await in_a_new_run(floor, exchange)
    exchange.bids = [("0.60", "1000")]
    await exchange.confirm()
    await rule.cross("0.60", generation=2)
    answer = await rule.result()

    assert answer.status is RuleStatus.TRIGGERED
    assert exchange.rule.sold_shares == D(7)


async def test_an_exit_goes_on_in_a_new_run(floor: Floor, exchange: FakeExchange):
    exchange.script(fills("4"), *[answers(AnswerKind.NO_LIQUIDITY)] * 3)
    rule = await floor.arm(tuning=quick(max_history_events=25))
    await rule.cross("0.39")
    answer = await rule.result()

    assert answer.status is RuleStatus.TRIGGERED
    assert exchange.rule.sold_shares == D(10)
    assert [a.attempt for a in exchange.attempts] == [1, 2, 3, 4, 5]
    assert [a.shares for a in exchange.attempts] == [D(10), D(6), D(6), D(6), D(6)]


async def test_a_wait_for_confirmation_goes_on_in_a_new_run(floor: Floor, exchange: FakeExchange):
    exchange.script(fills("10", confirmed=False))
    rule = await floor.arm(tuning=quick(max_history_events=20, fallback_ms=10))
    await rule.cross("0.39")
    await exchange.until(lambda: exchange.calls["look_up"] + exchange.calls["follow_order"] > 4)
    await exchange.take_back()
    answer = await rule.result()

    assert answer.status is RuleStatus.TRIGGERED
    assert exchange.rule.sold_shares == D(10)
    assert [a.attempt for a in exchange.attempts] == [1, 2]


async def reset(floor: Floor, handle: WorkflowHandle, event_id: int) -> None:
    """Resets a workflow to the end of a workflow task, as an operator would in the Temporal UI."""
    description = await handle.describe()
    assert description.status is WorkflowExecutionStatus.COMPLETED
    await floor.client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=floor.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=handle.id, run_id=description.run_id),
            reason="test",
            workflow_task_finish_event_id=event_id,
            request_id=f"reset-{handle.id}-{event_id}",
        )
    )
