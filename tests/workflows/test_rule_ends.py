"""How rules end without selling, or in the middle of it: cancel, expiry, time, position."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from domain import messages
from domain.ids import RuleId, exit_order_id
from domain.messages import RuleOutcome, RulePhase, RuleStatus
from domain.orders import AnswerKind, MarketState, OrderState, VenueOrderStatus
from runtime.settings import TemporalSettings
from runtime.temporal_signals import TemporalSignals
from tests.domain.builders import make_attempt
from tests.fakes.exchange import FakeExchange, Registered, accepts, answers, fills
from tests.workflows.floor import CLOCK, STOP, TARGET, Floor, quick

D = Decimal


def in_ms(milliseconds: int) -> str:
    return (CLOCK.now() + timedelta(milliseconds=milliseconds)).isoformat()


async def test_a_cancel_before_the_crossing_ends_the_rule(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm()
    answer = await rule.cancel()

    assert (answer.outcome, answer.status) == (RuleOutcome.DONE, RuleStatus.CANCELED)
    await rule.result()
    assert not exchange.watch.armed
    assert exchange.rule.phase is RulePhase.DONE


async def test_a_rule_that_reconcile_cancels_ends_as_canceled(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm()
    signals = TemporalSignals(floor.client, TemporalSettings())
    assert await signals.cancel_rule(rule.start.rule_id)

    assert (await rule.result()).status is RuleStatus.CANCELED
    assert await signals.cancel_rule(rule.start.rule_id)  # one that has ended stays as it ended
    assert not await signals.cancel_rule(RuleId("rul_nobody"))


async def test_an_armed_rule_ends_when_its_market_is_resolved(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm()
    closed = replace(exchange.instrument, state=MarketState.CLOSED)
    await rule.handle.signal(messages.SIGNAL_MARKET_CHANGED, closed)  # may open again
    resolved = replace(exchange.instrument, state=MarketState.RESOLVED)
    await rule.handle.signal(messages.SIGNAL_MARKET_CHANGED, resolved)
    answer = await rule.result()

    assert (answer.status, answer.detail) == (RuleStatus.EXPIRED, "market_resolved")
    assert not exchange.watch.armed


async def test_a_cancel_during_the_exit_names_what_stays(floor: Floor, exchange: FakeExchange):
    exchange.script(fills("4"), *[answers(AnswerKind.NO_LIQUIDITY)] * 20)
    rule = await floor.arm(tuning=quick(retry_ms=5_000))
    await rule.cross("0.39")
    await exchange.until(lambda: len(exchange.posts) == 2 and exchange.rule.phase is RulePhase.WAITING)
    answer = await rule.cancel()

    assert answer.outcome is RuleOutcome.CANCELED_WITH_RESIDUAL
    assert (answer.status, answer.residual_shares) == (RuleStatus.CANCELED, D(6))
    await rule.result()
    assert exchange.order.state is OrderState.PARTIALLY_FILLED
    assert exchange.rule.sold_shares == D(4)


async def test_a_cancel_that_a_fill_overtakes_is_told_that_the_crossing_won(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(accepts())
    rule = await floor.arm(tuning=quick(fallback_ms=10_000))
    await rule.cross("0.39")
    await exchange.until(lambda: bool(exchange.orders))
    exchange.orders[next(iter(exchange.orders))].status = None
    await exchange.fill("10", confirmed=False)
    answer = await rule.cancel()

    assert answer.outcome is RuleOutcome.CROSSING_WON
    await exchange.until(lambda: "confirmation" in exchange.rule.detail)
    await exchange.confirm()
    assert (await rule.result()).status is RuleStatus.TRIGGERED


async def test_a_cancel_after_the_end_is_told_that_the_crossing_won(floor: Floor, exchange: FakeExchange):
    exchange.script(fills(confirmed=False))
    rule = await floor.arm()
    await rule.cross("0.39")
    await exchange.until(lambda: "confirmation" in exchange.rule.detail)
    answer = await rule.cancel()

    assert (answer.outcome, answer.status) == (RuleOutcome.CROSSING_WON, RuleStatus.TRIGGERED)
    await exchange.confirm()
    assert (await rule.result()).status is RuleStatus.TRIGGERED


async def test_temporals_own_cancel_runs_the_cancel_path(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm()
    await rule.handle.cancel()
    answer = await rule.result()

    assert answer.status is RuleStatus.CANCELED
    assert "Temporal" in exchange.rule.detail
    assert not exchange.watch.armed


async def test_temporals_own_cancel_during_the_exit_settles_what_is_out(floor: Floor, exchange: FakeExchange):
    exchange.script(accepts(), fills())
    rule = await floor.arm(tuning=quick(fallback_ms=10_000))
    await rule.cross("0.39")
    await exchange.until(lambda: bool(exchange.orders))
    await rule.handle.cancel()
    await exchange.until(lambda: exchange.calls["look_up"] > 0)
    await exchange.fill("4")
    answer = await rule.result()

    assert answer.status is RuleStatus.CANCELED
    assert exchange.rule.residual_shares == D(6)
    assert len(exchange.attempts) == 1


async def test_a_rule_expires(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm(STOP, expires_at=in_ms(300))
    answer = await rule.result()

    assert answer.status is RuleStatus.EXPIRED
    assert not exchange.watch.armed
    assert "rule.expired" in exchange.kinds


async def test_a_time_exit_fires_at_its_moment(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm(STOP, {"type": "at", "time": in_ms(300)})
    answer = await rule.result()

    assert answer.status is RuleStatus.TRIGGERED
    assert exchange.rule.fired.condition == "at"
    assert exchange.calls["read_market"] == 1
    assert exchange.sold == D(10)


async def test_max_hold_counts_from_the_opening_of_the_position(floor: Floor, exchange: FakeExchange):
    rule = await floor.start_rule(STOP, {"type": "max_hold", "seconds": 60})  # opened long ago

    assert (await rule.result()).status is RuleStatus.TRIGGERED
    assert exchange.rule.fired.condition == "max_hold"


async def test_an_exit_before_the_market_end_fires(floor: Floor, exchange: FakeExchange):
    end = CLOCK.now() + timedelta(seconds=60)
    rule = await floor.start_rule(STOP, {"type": "before_market_end", "seconds": 60}, market_end=end)

    assert (await rule.result()).status is RuleStatus.TRIGGERED
    assert exchange.rule.fired.condition == "before_market_end"


async def test_of_several_times_that_are_due_the_first_in_the_list_wins(floor: Floor, exchange: FakeExchange):
    late, early = in_ms(-1_000), in_ms(-2_000)
    rule = await floor.start_rule({"type": "at", "time": late}, {"type": "at", "time": early})
    await rule.result()

    assert exchange.rule.fired.condition_index == 0


async def test_a_time_exit_behind_the_expiry_never_fires(floor: Floor, exchange: FakeExchange):
    rule = await floor.start_rule({"type": "at", "time": in_ms(-1_000)}, expires_at=in_ms(-2_000))

    assert (await rule.result()).status is RuleStatus.EXPIRED
    assert exchange.attempts == []


async def test_no_time_is_due_while_a_followed_token_is_not_held(floor: Floor, exchange: FakeExchange):
    exchange.hold("0")
    rule = await floor.start_rule(
        {"type": "at", "time": in_ms(-1_000)}, follow_token=True, expires_at=in_ms(300)
    )

    assert (await rule.result()).status is RuleStatus.EXPIRED
    assert "rule.triggered" not in exchange.kinds


async def test_a_position_closed_elsewhere_ends_the_rule(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm()
    await rule.holds("0")
    answer = await rule.result()

    assert (answer.status, answer.detail) == (RuleStatus.CANCELED, "position_closed")
    assert not exchange.watch.armed


def forget_a_sale(exchange: FakeExchange, host: str) -> None:
    """Lets a later generation have sold everything, as behind the point to which a rule was reset."""
    forgotten = make_attempt(order_id=exit_order_id(exchange.rule.rule_id, 2), limit_price=D("0.39"))
    exchange.orders[forgotten.order_id, 1] = Registered(
        attempt=forgotten, host=host, status=VenueOrderStatus.MATCHED, filled=D(10)
    )


async def test_a_position_that_a_forgotten_exit_sold_ends_the_rule_as_sold(
    floor: Floor, exchange: FakeExchange
):
    rule = await floor.arm()
    forget_a_sale(exchange, rule.handle.id)
    await rule.holds("0")
    answer = await rule.result()

    assert (answer.status, answer.sold_shares) == (RuleStatus.TRIGGERED, D(10))
    assert answer.detail == "sold 10 shares for 3.9 USD"


async def test_an_exit_that_finds_all_sold_by_a_forgotten_one_ends_as_sold(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(*[answers(AnswerKind.NO_LIQUIDITY)] * 20)
    rule = await floor.arm()
    await rule.cross("0.39")
    await exchange.until(lambda: exchange.rule.phase is RulePhase.WAITING)
    forget_a_sale(exchange, rule.handle.id)
    await rule.holds("0")
    answer = await rule.result()

    assert (answer.status, answer.detail) == (RuleStatus.TRIGGERED, "sold 10 shares for 3.9 USD")


async def test_an_exit_that_was_found_counts_what_a_forgotten_one_sold_too(
    floor: Floor, exchange: FakeExchange
):
    rule = await floor.arm()
    forget_a_sale(exchange, rule.handle.id)
    found = make_attempt(order_id=exit_order_id(exchange.rule.rule_id, 1), limit_price=D("0.39"))
    exchange.orders[found.order_id, 1] = Registered(
        attempt=found, host=rule.handle.id, status=VenueOrderStatus.MATCHED, filled=D(4)
    )
    await rule.holds("0")
    answer = await rule.result()

    assert (answer.status, answer.sold_shares) == (RuleStatus.TRIGGERED, D(14))


async def test_a_position_closed_elsewhere_during_the_exit_ends_the_rule(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(*[answers(AnswerKind.NO_LIQUIDITY)] * 20)
    rule = await floor.arm()
    await rule.cross("0.39")
    await exchange.until(lambda: exchange.rule.phase is RulePhase.WAITING)
    await rule.holds("0")
    answer = await rule.result()

    assert (answer.status, answer.detail) == (RuleStatus.CANCELED, "position_closed")
    assert exchange.sold == 0


async def test_the_watch_follows_the_size_of_the_position(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm()
    await rule.holds("25")
    await exchange.until(lambda: exchange.watch.shares == D(25))
    await rule.holds("3")
    await exchange.until(lambda: exchange.watch.shares == D(3))
    await rule.cross("0.39")
    await rule.result()

    assert exchange.attempts[0].shares == D(3)


async def test_a_position_that_changes_during_the_exit_is_sold_as_it_is(floor: Floor, exchange: FakeExchange):
    exchange.script(answers(AnswerKind.NO_LIQUIDITY), answers(AnswerKind.NO_LIQUIDITY))
    rule = await floor.arm()
    await rule.cross("0.39")
    await exchange.until(lambda: exchange.rule.phase is RulePhase.WAITING)
    await rule.holds("15")
    await exchange.until(lambda: len(exchange.posts) == 2 and exchange.rule.phase is RulePhase.WAITING)
    await rule.holds("7")
    await rule.result()

    assert [attempt.shares for attempt in exchange.attempts] == [D(10), D(15), D(7)]


async def test_a_rule_on_nothing_is_watched_once_something_is_held(floor: Floor, exchange: FakeExchange):
    exchange.shares = D(0)
    rule = await floor.arm(STOP, expect_position=True)
    assert not exchange.watch.armed
    await rule.holds("10")
    await exchange.until(lambda: exchange.watch.armed)
    await rule.cross("0.39")

    assert (await rule.result()).status is RuleStatus.TRIGGERED


async def test_a_reversal_while_confirmation_is_awaited_reopens_the_exit(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(fills(confirmed=False))
    rule = await floor.arm()
    await rule.cross("0.39")
    await exchange.until(lambda: "confirmation" in exchange.rule.detail)
    await exchange.take_back()
    answer = await rule.result()

    assert answer.status is RuleStatus.TRIGGERED
    assert [attempt.attempt for attempt in exchange.attempts] == [1, 2]
    assert exchange.rule.sold_shares == D(10)
    assert "fill.reversed" in exchange.kinds


async def test_a_partial_sale_sells_its_amount_and_no_more(floor: Floor, exchange: FakeExchange):
    exchange.script(fills("1"))
    rule = await floor.arm(STOP, action={"type": "SELL_PARTIAL", "amount": "4"})
    assert exchange.watch.shares == D(4)
    await rule.cross("0.39")
    answer = await rule.result()

    assert answer.status is RuleStatus.TRIGGERED
    assert [attempt.shares for attempt in exchange.attempts] == [D(4), D(3)]
    assert (exchange.sold, exchange.shares) == (D(4), D(6))


async def test_a_fill_of_an_earlier_generation_that_is_taken_back_is_sold_again(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(fills("4", confirmed=False))
    exchange.bids = [("0.55", "1000")]
    rule = await floor.arm(TARGET, action={"type": "SELL_PARTIAL", "amount": "6"})
    await rule.cross("0.60")
    await exchange.event("rule.rearmed")
    assert exchange.watch.shares == D(2)
    await exchange.take_back()
    await rule.holds("10")
    await exchange.until(lambda: exchange.watch.shares == D(6))
    await rule.cross("0.60", generation=2)
    await rule.result()

    assert exchange.sold == D(6)


async def test_a_cancel_is_answered_though_something_else_arrives_meanwhile(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(fills("4"))
    rule = await floor.arm()
    await rule.cross("0.39")
    await exchange.until(lambda: exchange.calls["follow_order"] > 0)  # the next read is under way
    answer = await rule.cancel()

    assert answer.outcome in (RuleOutcome.CANCELED_WITH_RESIDUAL, RuleOutcome.CROSSING_WON)
    await rule.result()
