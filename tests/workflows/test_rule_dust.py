"""Exits that leave too little to sell, or that sell on when they seemed to be over."""

from decimal import Decimal

from domain.messages import PlaceOrder, PlaceResult, RuleOutcome, RulePhase, RuleStatus
from domain.orders import AnswerKind
from tests.fakes.exchange import FakeExchange, answers, fills
from tests.workflows.floor import Floor, RunningRule, quick

D = Decimal


async def leaves_dust(floor: Floor, exchange: FakeExchange, **tuning) -> RunningRule:
    """A stop that sold all that can be sold, not confirmed yet."""
    exchange.script(fills(confirmed=False))
    exchange.hold("10.0056")
    rule = await floor.arm(tuning=quick(**tuning))
    await rule.cross("0.39")
    await exchange.until(lambda: "confirmation" in exchange.rule.detail)
    return rule


async def test_what_is_bought_before_a_sale_that_left_dust_is_confirmed_is_not_sold(
    floor: Floor, exchange: FakeExchange
):
    rule = await leaves_dust(floor, exchange)
    await rule.holds("50.0056")  # of the same episode: the position was never flat
    await exchange.confirm()
    answer = await rule.result()

    assert (answer.status, exchange.sold) == (RuleStatus.TRIGGERED, D(10))
    assert exchange.rule.dust_shares == D("0.0056")


async def test_what_is_bought_after_dust_was_left_is_not_sold_in_a_new_run(
    floor: Floor, exchange: FakeExchange
):
    rule = await leaves_dust(floor, exchange, max_history_events=20, fallback_ms=10)
    first = await rule.run_id()
    await exchange.until(lambda: exchange.calls["look_up"] + exchange.calls["follow_order"] > 4)
    await rule.holds("50.0056")
    await exchange.confirm()
    answer = await rule.result()

    assert await rule.run_id() != first
    assert (answer.status, exchange.sold) == (RuleStatus.TRIGGERED, D(10))


async def test_a_sale_that_left_dust_and_is_taken_back_is_made_again(floor: Floor, exchange: FakeExchange):
    rule = await leaves_dust(floor, exchange)
    await exchange.take_back()
    answer = await rule.result()

    assert (answer.status, answer.sold_shares) == (RuleStatus.TRIGGERED, D(10))
    assert [attempt.attempt for attempt in exchange.attempts] == [1, 2]
    assert exchange.rule.dust_shares == D("0.0056")


def others_sell_the_rest(exchange: FakeExchange, request: PlaceOrder) -> PlaceResult:
    """Six shares are filled; the others are sold elsewhere meanwhile. Nothing of it is confirmed."""
    result = fills("6", confirmed=False)(exchange, request)
    exchange.sold_by_others = D(4)
    exchange.hold("0")
    return result


async def test_a_cancel_stops_an_exit_that_sells_on_after_all_seemed_to_be_sold(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(others_sell_the_rest, *[answers(AnswerKind.NO_LIQUIDITY)] * 20)
    rule = await floor.arm(tuning=quick(retry_ms=5_000))
    await rule.cross("0.39")
    await exchange.until(lambda: "confirmation" in exchange.rule.detail)
    exchange.sold_by_others = D(0)
    exchange.hold("4")  # the venue took back what others sold
    await exchange.confirm()
    await exchange.until(lambda: len(exchange.posts) == 2 and exchange.rule.phase is RulePhase.WAITING)
    answer = await rule.cancel()

    assert (answer.outcome, answer.residual_shares) == (RuleOutcome.CANCELED_WITH_RESIDUAL, D(4))
    assert exchange.sold == D(6)
