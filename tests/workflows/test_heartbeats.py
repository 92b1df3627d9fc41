"""Tasks that wait for Postgres longer than a task may last: the worker renews them, and they replay.

Where the task before it gave no command either, a renewed task has another time when it is replayed: that of
its last renewal, not of its beginning. What a workflow does must not hang on it.
"""

from datetime import timedelta

from temporalio.api.enums.v1 import EventType
from temporalio.worker import Replayer

from domain.messages import SIGNAL_ORDER_UPDATE, RuleStatus
from runtime.temporal import workflow_runner
from runtime.temporal_payloads import CONVERTER
from tests.e2e.waiting import until
from tests.fakes.exchange import FakeExchange, accepts_unseen, refused
from tests.workflows.floor import Floor, RunningRule, quick
from workflows.rule import Rule

LONG_MS = 600_000
TASK = timedelta(seconds=1)
"""Tasks are renewed after four fifths of this."""


async def tasks(rule: RunningRule) -> int:
    """How many tasks have ended; one that is renewed ends, too."""
    types = [event.event_type for event in (await rule.handle.fetch_history()).events]
    return types.count(EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)


async def until_heard(rule: RunningRule) -> None:
    """Wait until the last signal's task has ended; it gives no command while only the venue is awaited."""

    async def heard() -> bool:
        types = [event.event_type for event in (await rule.handle.fetch_history()).events]
        after = types[::-1].index(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
        return EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED in types[len(types) - after :]

    await until(heard, bool, "the signal's task", limit_s=10)


async def replay(rule: RunningRule) -> None:
    replayer = Replayer(workflows=[Rule], data_converter=CONVERTER, workflow_runner=workflow_runner())
    await replayer.replay_workflow(await rule.handle.fetch_history())


async def until_renewed(rule: RunningRule) -> None:
    before = await tasks(rule)
    await until(lambda: tasks(rule), lambda ended: ended > before, "a task that is renewed", limit_s=10)


async def test_look_up_that_fell_due_while_the_ledger_was_slow_replays(
    floor: Floor, exchange: FakeExchange
) -> None:
    # The first attempt shows the rule's state, so that the second one's tasks have nothing to say.
    exchange.script(refused(code="breaker_open"), accepts_unseen())
    tuning = quick(
        retry_ms=200,
        fallback_ms=500,
        fallback_cap_ms=500,
        absent_settles_ms=LONG_MS,
        unsettled_alarm_ms=LONG_MS,
    )
    rule = await floor.arm(task_timeout=TASK, tuning=tuning)
    await rule.cross("0.39")
    await exchange.event("order.held_back")
    exchange.venue.clear()
    exchange.within_tasks.clear()
    await exchange.until(lambda: len(exchange.posts) == 2)
    await rule.handle.signal(SIGNAL_ORDER_UPDATE)
    await until_heard(rule)
    exchange.venue.set()
    await exchange.until(lambda: exchange.calls["follow_order"] > 0)
    await until_renewed(rule)
    await rule.handle.signal(SIGNAL_ORDER_UPDATE)
    exchange.within_tasks.set()
    await exchange.until(lambda: exchange.calls["look_up"] > 0)
    await exchange.fill("10")
    await rule.result()

    assert exchange.sold == 10
    await replay(rule)


async def test_order_that_was_not_absent_for_long_enough_before_a_slow_write_is_not_so_at_its_replay(
    floor: Floor, exchange: FakeExchange
) -> None:
    exchange.signals = False
    exchange.script(refused(code="breaker_open"), accepts_unseen())
    tuning = quick(retry_ms=200, fallback_ms=100, absent_settles_ms=800, unsettled_alarm_ms=50)
    rule = await floor.arm(task_timeout=TASK, tuning=tuning)
    await rule.cross("0.39")
    await exchange.event("order.held_back")
    exchange.within_tasks.clear()  # the next that is written is the alarm that the order is not seen
    await exchange.until(lambda: len(exchange.posts) == 2)
    exchange.venue.clear()
    await exchange.until(lambda: exchange.calls["look_up"] > 0)
    await rule.handle.signal(SIGNAL_ORDER_UPDATE)
    await until_heard(rule)
    exchange.venue.set()
    await until_renewed(rule)
    exchange.within_tasks.set()
    await rule.result()

    assert exchange.sold == 10
    await replay(rule)


async def test_time_exit_of_a_rule_whose_arming_was_slow_to_be_written_sells(
    floor: Floor, exchange: FakeExchange
) -> None:
    exchange.opened_at = None  # its age counts from the arming
    exchange.within_tasks.clear()
    rule = await floor.start_rule({"type": "max_hold", "seconds": 2}, task_timeout=TASK)
    await until_renewed(rule)
    exchange.within_tasks.set()
    answer = await rule.result()

    assert (answer.status, exchange.sold) == (RuleStatus.TRIGGERED, 10)
    await replay(rule)
