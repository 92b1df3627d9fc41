"""What an open breaker does to exits and entries, as their hosts see it."""

from decimal import Decimal

import pytest

from domain.messages import SIGNAL_ORDER_UPDATE, PlaceOrder, RulePhase, Severity
from domain.orders import AnswerKind, OrderState
from tests.fakes.exchange import FakeExchange, Reply, answers, refused
from tests.workflows.floor import Floor, RunningRule, quick

D = Decimal
WHY = "the breaker of polymarket is open: exits go out one at a time until one gets an answer"
LONG_MS = 600_000


def held_back(*, sent: bool = False, turn_ms: int = 0) -> Reply:
    return refused(WHY, code="breaker_open", sent=sent, doubt=sent, turn_ms=turn_ms)


def same_bytes(posts: list[PlaceOrder]) -> bool:
    return all(request.attempt == posts[0].attempt for request in posts)


async def waits_ms(rule: RunningRule) -> list[int]:
    history = await rule.handle.fetch_history()
    timers = [e for e in history.events if e.HasField("timer_started_event_attributes")]
    return [e.timer_started_event_attributes.start_to_fire_timeout.ToMilliseconds() for e in timers]


async def test_exit_held_back_waits_visibly_and_sells_once_it_may(floor: Floor, exchange: FakeExchange):
    exchange.script(held_back(), held_back(), held_back())
    rule = await floor.arm()
    await rule.cross("0.39")
    await exchange.until(lambda: exchange.rule.phase is RulePhase.WAITING)
    assert exchange.rule.detail == WHY
    await rule.result()

    assert exchange.sold == D(10)
    assert [attempt.attempt for attempt in exchange.attempts] == [1, 1, 1, 1]
    assert exchange.kinds.count("order.submitted") == 1
    [event] = [event for event in exchange.events.values() if event.type == "order.held_back"]
    assert (event.severity, event.message) == (Severity.WARNING, f"Held back: {WHY}")


async def test_resend_held_back_goes_out_again_soon_with_the_same_bytes(floor: Floor, exchange: FakeExchange):
    exchange.script(answers(AnswerKind.UNKNOWN), held_back(sent=True), held_back(sent=True))
    rule = await floor.arm(tuning=quick(absent_settles_ms=LONG_MS))
    await rule.cross("0.39")
    await rule.result()

    assert len(exchange.posts) == 4
    assert same_bytes(exchange.posts)
    assert exchange.calls["confirm_absent"] == 0
    assert exchange.calls["look_up"] == 0
    assert exchange.sold == D(10)


@pytest.mark.parametrize("sent", [False, True])
async def test_exit_in_a_long_queue_goes_on_when_it_is_told(floor: Floor, exchange: FakeExchange, sent: bool):
    exchange.script(held_back(sent=sent, turn_ms=LONG_MS))
    rule = await floor.arm()
    await rule.cross("0.39")
    await exchange.event("order.held_back")
    await rule.handle.signal(SIGNAL_ORDER_UPDATE)
    await rule.result()

    assert LONG_MS in await waits_ms(rule)
    assert len(exchange.posts) == 2
    assert exchange.sold == D(10)


async def test_fill_that_is_booked_while_its_resend_is_held_back_ends_the_exit(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(answers(AnswerKind.UNKNOWN), *[held_back(sent=True)] * 1_000)
    rule = await floor.arm()
    await rule.cross("0.39")
    await exchange.event("order.held_back")
    await exchange.fill("10")
    await rule.result()

    assert same_bytes(exchange.posts)
    assert exchange.sold == D(10)
    assert len(exchange.orders) == 1


async def test_exit_held_back_for_long_is_alarmed_once(floor: Floor, exchange: FakeExchange):
    exchange.script(*[held_back()] * 8)
    rule = await floor.arm(tuning=quick(retry_ms=1, attempts_before_alarm=6))
    await rule.cross("0.39")
    await rule.result()

    assert exchange.sold == D(10)
    assert exchange.alarms == ["order.stuck"]


@pytest.mark.parametrize(
    "replies",
    [[answers(AnswerKind.UNKNOWN)] * 8, [*[held_back()] * 8, answers(AnswerKind.NO_LIQUIDITY)]],
    ids=["unknown", "held back"],
)
async def test_exit_of_a_sick_venue_is_tried_soon_however_long_it_lasts(
    floor: Floor, exchange: FakeExchange, replies: list[Reply]
):
    exchange.script(*replies)
    tuning = quick(retry_ms=4, retry_cap_ms=LONG_MS)
    rule = await floor.arm(tuning=tuning)
    await rule.cross("0.39")
    await rule.result()

    waits = await waits_ms(rule)
    assert len(waits) >= 8
    assert max(waits) <= tuning.fallback_cap_ms


async def test_cancel_ends_an_exit_that_is_held_back(floor: Floor, exchange: FakeExchange):
    exchange.script(*[held_back()] * 3)
    rule = await floor.arm(tuning=quick(retry_ms=LONG_MS, retry_cap_ms=LONG_MS))
    await rule.cross("0.39")
    await exchange.event("order.held_back")
    await rule.cancel()
    await rule.result()

    assert exchange.sold == D(0)
    assert len(exchange.posts) == 1


async def test_entry_under_an_open_breaker_ends_with_the_reason(floor: Floor, exchange: FakeExchange):
    why = "the breaker of polymarket is open: entries pause"
    exchange.script(refused(why, code="breaker_open"))
    answer = await (await floor.start_order()).result()

    assert (answer.state, answer.detail) == (OrderState.FAILED, why)
    assert "order.held_back" not in exchange.kinds


async def test_unknown_entry_is_settled_before_an_open_breaker_ends_it(floor: Floor, exchange: FakeExchange):
    exchange.script(answers(AnswerKind.UNKNOWN), held_back(sent=True))
    answer = await (await floor.start_order()).result()

    assert answer.state is OrderState.FAILED
    assert exchange.calls["confirm_absent"] == 1
    assert len(exchange.posts) == 2
