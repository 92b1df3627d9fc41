"""An order with a workflow of its own."""

from datetime import timedelta
from decimal import Decimal

from domain import messages
from domain.ids import order_workflow_id
from domain.messages import OrderAnswer
from domain.orders import AnswerKind, OrderState, Purpose, RebuildReason, Side, TimeInForce
from runtime.settings import TemporalSettings
from runtime.temporal_signals import TemporalSignals
from tests.fakes.exchange import FakeExchange, accepts, answers, fills, refused
from tests.workflows.floor import CLOCK, Floor, quick

D = Decimal


async def test_an_order_that_trades_at_once_is_filled(floor: Floor, exchange: FakeExchange):
    handle = await floor.start_order()
    answer: OrderAnswer = await handle.result()

    assert (answer.state, answer.filled_shares, answer.notional_usd) == (OrderState.FILLED, D(10), D("4.0"))
    assert exchange.order.state is OrderState.FILLED
    assert exchange.order.rule_id is None
    assert exchange.calls["read_market"] == 0


async def test_an_order_that_finds_nothing_is_canceled_and_not_tried_again(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(answers(AnswerKind.NO_LIQUIDITY))
    answer = await (await floor.start_order()).result()

    assert answer.state is OrderState.CANCELED
    assert len(exchange.posts) == 1


async def test_a_partly_filled_order_keeps_what_it_got(floor: Floor, exchange: FakeExchange):
    exchange.script(fills("4"))
    answer = await (await floor.start_order()).result()

    assert (answer.state, answer.filled_shares) == (OrderState.PARTIALLY_FILLED, D(4))
    assert len(exchange.posts) == 1


async def test_a_budget_that_is_spent_is_a_whole_fill(floor: Floor, exchange: FakeExchange):
    handle = await floor.start_order(shares=None, budget_usd=D(4))

    assert (await handle.result()).state is OrderState.FILLED


async def test_an_order_ends_only_when_its_fills_are_final(floor: Floor, exchange: FakeExchange):
    exchange.script(fills(confirmed=False))
    handle = await floor.start_order()
    await exchange.until(lambda: "confirmation" in exchange.order.detail)
    await exchange.confirm()

    assert (await handle.result()).state is OrderState.FILLED


async def test_a_resting_order_is_canceled_with_what_was_filled_first(floor: Floor, exchange: FakeExchange):
    exchange.script(accepts())
    handle = await floor.start_order(time_in_force=TimeInForce.GTC, tuning=quick(fallback_ms=30_000))
    await exchange.until(lambda: bool(exchange.orders))
    await exchange.fill("3", status=None)
    await exchange.until(lambda: exchange.calls["follow_order"] > 0)
    answer = await floor.cancel_order(handle)

    assert (answer.state, answer.filled_shares) == (OrderState.PARTIALLY_FILLED, D(3))
    assert exchange.calls["cancel_order"] == 1
    assert (await handle.result()).state is OrderState.PARTIALLY_FILLED


async def test_a_resting_order_shows_that_it_rests_and_fills_later(floor: Floor, exchange: FakeExchange):
    exchange.script(accepts())
    handle = await floor.start_order(time_in_force=TimeInForce.GTC)
    await exchange.until(lambda: exchange.order.state is OrderState.RESTING)
    await exchange.fill("10")

    assert (await handle.result()).state is OrderState.FILLED


async def test_a_cancel_that_the_venue_puts_off_is_asked_again(floor: Floor, exchange: FakeExchange):
    exchange.script(accepts())
    exchange.refuses_cancel = 1
    handle = await floor.start_order(time_in_force=TimeInForce.GTC)
    await exchange.until(lambda: exchange.order.state is OrderState.RESTING)
    answer = await floor.cancel_order(handle)

    assert answer.state is OrderState.CANCELED
    assert exchange.calls["cancel_order"] == 2


async def test_a_cancel_is_answered_before_the_fills_are_final(floor: Floor, exchange: FakeExchange):
    exchange.script(accepts())
    handle = await floor.start_order(time_in_force=TimeInForce.GTC, tuning=quick(fallback_ms=30_000))
    await exchange.until(lambda: bool(exchange.orders))
    await exchange.fill("3", status=None, confirmed=False)
    answer = await floor.cancel_order(handle)
    assert (answer.state, answer.filled_shares) == (OrderState.PARTIALLY_FILLED, D(3))
    await exchange.until(lambda: exchange.order.state is OrderState.PARTIALLY_FILLED)
    await exchange.confirm()

    assert (await handle.result()).filled_shares == D(3)


async def test_a_refused_entry_fails_with_the_reason(floor: Floor, exchange: FakeExchange):
    exchange.script(refused("12 USD is more than the limit of an order"))
    answer = await (await floor.start_order()).result()

    assert answer.state is OrderState.FAILED
    assert "limit of an order" in answer.detail


async def test_an_entry_that_the_venue_refuses_fails(floor: Floor, exchange: FakeExchange):
    exchange.script(answers(AnswerKind.REBUILD, rebuild=RebuildReason.BALANCE_SHORT))
    answer = await (await floor.start_order()).result()

    assert (answer.state, answer.filled_shares) == (OrderState.FAILED, D(0))


async def test_an_entry_refused_on_its_resend_is_settled_first(floor: Floor, exchange: FakeExchange):
    exchange.script(answers(AnswerKind.UNKNOWN), refused("too late", sent=True, doubt=True))
    answer = await (await floor.start_order(send_within_ms=10_000)).result()

    assert answer.state is OrderState.FAILED
    assert exchange.calls["confirm_absent"] == 1
    first = exchange.posts[0]
    assert first.send_until_ms == first.attempt.timestamp_ms + 10_000


async def test_an_order_that_cannot_be_built_fails_without_a_send(floor: Floor, exchange: FakeExchange):
    answer = await (await floor.start_order(limit_price=D("0.405"))).result()

    assert answer.state is OrderState.FAILED
    assert "tick" in answer.detail
    assert exchange.posts == []


async def test_a_good_till_date_order_signs_its_end(floor: Floor, exchange: FakeExchange):
    ends = CLOCK.now() + timedelta(minutes=10)
    handle = await floor.start_order(time_in_force=TimeInForce.GTD, expires_at=ends)
    await handle.result()

    assert exchange.attempts[0].expiration_s == int(ends.timestamp()) + 60


async def test_temporals_own_cancel_cancels_the_order_at_the_venue(floor: Floor, exchange: FakeExchange):
    exchange.script(accepts())
    handle = await floor.start_order(time_in_force=TimeInForce.GTC)
    await exchange.until(lambda: bool(exchange.orders))
    await handle.cancel()

    assert (await handle.result()).state is OrderState.CANCELED
    assert exchange.calls["cancel_order"] == 1


async def test_an_adopted_exit_is_worked_until_nothing_of_it_is_left(floor: Floor, exchange: FakeExchange):
    exchange.script(fills("2"), answers(AnswerKind.NO_LIQUIDITY))
    handle = await floor.start_order(
        side=Side.SELL, purpose=Purpose.EXIT, shares=D(6), limit_price=D("0.01"), adopts=True
    )
    answer = await handle.result()

    assert (answer.state, answer.filled_shares) == (OrderState.FILLED, D(6))
    assert [attempt.shares for attempt in exchange.attempts] == [D(6), D(4), D(4)]
    assert exchange.shares == D(4)
    assert exchange.alarms == ["fill.reversed"]


async def test_an_exit_that_is_adopted_again_and_again_is_sold_once(floor: Floor, exchange: FakeExchange):
    prefix = floor.task_queue.removesuffix(messages.QUEUE_CORE)
    signals = TemporalSignals(floor.client, TemporalSettings(task_queue_prefix=prefix))
    start = floor.order_start(
        side=Side.SELL, purpose=Purpose.EXIT, shares=D(6), limit_price=D("0.01"), adopts=True
    )
    await signals.adopt_order(start)
    await signals.adopt_order(start)
    handle = floor.client.get_workflow_handle(order_workflow_id(start.order_id))
    floor.started.append(handle)
    await handle.result()
    await signals.adopt_order(start)

    assert (await handle.describe()).close_time is not None
    assert [attempt.shares for attempt in exchange.attempts] == [D(6)]


async def test_an_adopted_exit_sells_no_more_than_is_held(floor: Floor, exchange: FakeExchange):
    exchange.shares = D(2)
    handle = await floor.start_order(
        side=Side.SELL, purpose=Purpose.EXIT, shares=D(6), limit_price=D("0.01"), adopts=True
    )

    assert (await handle.result()).filled_shares == D(2)


async def test_signals_do_not_put_off_the_next_look_up(floor: Floor, exchange: FakeExchange):
    exchange.script(accepts())
    handle = await floor.start_order(
        tuning=quick(fallback_ms=500, fallback_cap_ms=60_000, absent_settles_ms=60_000)
    )
    await exchange.until(lambda: exchange.posts)
    signals = 0
    while not exchange.calls["look_up"]:
        signals += 1
        await handle.signal(messages.SIGNAL_ORDER_UPDATE)
        await exchange.until(
            lambda n=signals: exchange.calls["follow_order"] + exchange.calls["look_up"] >= n
        )
    assert exchange.calls["look_up"] == 1
    await exchange.fill("10")
    await handle.result()


async def test_order_that_rests_no_longer_is_looked_up_soon(floor: Floor, exchange: FakeExchange):
    exchange.script(accepts())
    handle = await floor.start_order(
        time_in_force=TimeInForce.GTC,
        tuning=quick(fallback_ms=50_000, fallback_cap_ms=100, resting_cap_ms=60_000),
    )
    await exchange.until(lambda: exchange.order.state is OrderState.RESTING)
    seen = exchange.calls["look_up"]
    exchange.orders[exchange.attempts[0].order_id, 1].unbooked = D(6)
    await exchange.fill("4")
    await exchange.until(lambda: exchange.calls["look_up"] > seen + 1)
    exchange.orders[exchange.attempts[0].order_id, 1].unbooked = D(0)
    await exchange.fill("6")

    assert (await handle.result()).filled_shares == D(10)


async def test_a_resting_order_goes_on_in_a_new_run(floor: Floor, exchange: FakeExchange):
    exchange.script(accepts())
    handle = await floor.start_order(
        time_in_force=TimeInForce.GTC, tuning=quick(max_history_events=20, fallback_ms=10)
    )
    await exchange.until(lambda: exchange.calls["look_up"] + exchange.calls["follow_order"] > 5)
    await exchange.fill("10")

    assert (await handle.result()).filled_shares == D(10)
    assert len(exchange.posts) == 1
