"""From a crossing to what the exit came to."""

from dataclasses import replace
from decimal import Decimal

from domain import messages
from domain.ids import WalletId
from domain.messages import RulePhase, RuleStatus
from domain.orders import AnswerKind, MarketState, OrderState, RebuildReason, VenueOrderStatus, WalletHolding
from domain.quotes import Quote
from tests.domain.builders import WALLET
from tests.fakes.exchange import (
    FakeExchange,
    accepts,
    answers,
    fills,
    fills_before_it_answers,
    finds_no_bid_and_holds,
    held,
    reduced,
    refused,
)
from tests.workflows.floor import STOP, TARGET, Floor, RunningRule, now_ms, quick

D = Decimal


async def test_a_crossed_stop_sells_all(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm()
    await rule.cross("0.39")
    answer = await rule.result()

    assert (answer.status, answer.phase) == (RuleStatus.TRIGGERED, RulePhase.DONE)
    [attempt] = exchange.attempts
    assert (attempt.shares, attempt.limit_price) == (D(10), D("0.34"))
    assert exchange.rule.sold_shares == D(10)
    assert exchange.order.state is OrderState.FILLED
    assert not exchange.watch.armed
    assert "rule.done" in exchange.kinds


async def test_fills_that_were_booked_before_the_answer_came_need_no_further_look(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(fills_before_it_answers())
    rule = await floor.arm()
    await rule.cross("0.39")
    answer = await rule.result()

    assert (answer.status, exchange.rule.sold_shares) == (RuleStatus.TRIGGERED, D(10))
    assert exchange.calls["follow_order"] == 0


async def test_crossing_that_waited_for_its_turn_sells_into_the_book_that_it_left_with(
    floor: Floor, exchange: FakeExchange
):
    rule = await floor.arm()
    await rule.cross("0.39", observed_at_ms=now_ms() - 60_000, ladder_at_ms=now_ms())
    await rule.result()

    assert exchange.calls["read_market"] == 0
    assert exchange.sold == D(10)


async def test_target_that_nobody_paid_is_armed_again_for_what_was_left_to_it_meanwhile(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(finds_no_bid_and_holds("4"))
    rule = await floor.arm(TARGET)
    await rule.cross("0.60")
    await exchange.event("rule.rearmed")

    assert exchange.watch.shares == D(4)


async def test_a_target_that_nobody_paid_and_whose_position_is_gone_meanwhile_is_over(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(finds_no_bid_and_holds("0"))
    rule = await floor.arm(TARGET)
    await rule.cross("0.60")
    answer = await rule.result()

    assert (answer.status, exchange.rule.detail) == (RuleStatus.CANCELED, "position_closed")
    assert not exchange.watch.armed


async def test_a_partial_fill_is_followed_by_a_second_attempt_from_a_fresh_read(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(fills("4"))
    exchange.bids = [("0.30", "1000")]
    rule = await floor.arm()
    await rule.cross("0.39")
    await rule.result()

    first, second = exchange.attempts
    assert (first.attempt, second.attempt) == (1, 2)
    assert (second.shares, second.limit_price) == (D(6), D("0.25"))
    assert first.salt != second.salt
    assert exchange.calls["read_market"] == 1
    assert exchange.order.filled_shares == D(10)


async def test_no_liquidity_is_a_normal_outcome_and_tried_again(floor: Floor, exchange: FakeExchange):
    exchange.script(answers(AnswerKind.NO_LIQUIDITY), answers(AnswerKind.NO_LIQUIDITY))
    rule = await floor.arm()
    await rule.cross("0.39")
    await rule.result()

    assert [attempt.attempt for attempt in exchange.attempts] == [1, 2, 3]
    assert exchange.sold == D(10)


async def test_a_transient_or_unknown_answer_resends_the_same_bytes(floor: Floor, exchange: FakeExchange):
    exchange.script(answers(AnswerKind.TRANSIENT), answers(AnswerKind.UNKNOWN))
    rule = await floor.arm()
    await rule.cross("0.39")
    await rule.result()

    assert len(exchange.attempts) == 3
    assert len(set(exchange.attempts)) == 1
    assert exchange.sold == D(10)


async def test_a_rebuild_after_an_unknown_settles_nothing(floor: Floor, exchange: FakeExchange):
    exchange.script(
        answers(AnswerKind.UNKNOWN),
        answers(AnswerKind.REBUILD, taken="10", unknown_before=True, rebuild=RebuildReason.TICK_CHANGED),
    )
    rule = await floor.arm()
    await rule.cross("0.39")
    answer = await rule.result()

    assert answer.status is RuleStatus.TRIGGERED
    assert len(set(exchange.attempts)) == 1
    assert exchange.sold == D(10)


async def test_an_attempt_absent_everywhere_is_settled_after_its_time(floor: Floor, exchange: FakeExchange):
    exchange.script(
        answers(AnswerKind.UNKNOWN),
        answers(AnswerKind.REBUILD, unknown_before=True, rebuild=RebuildReason.BALANCE_SHORT),
    )
    rule = await floor.arm()
    await rule.cross("0.39")
    await rule.result()

    assert [attempt.attempt for attempt in exchange.attempts] == [1, 1, 2]
    assert exchange.calls["confirm_absent"] == 1


async def test_shares_in_two_wallets_are_sold_by_each_in_turn(floor: Floor, exchange: FakeExchange):
    other = replace(WALLET, wallet_id=WalletId("wal_2"))
    exchange.script(answers(AnswerKind.REBUILD, rebuild=RebuildReason.BALANCE_SHORT))
    exchange.holders.extend(
        (WalletHolding(wallet=other, shares=D(7)), WalletHolding(wallet=WALLET, shares=D(3)))
    )
    rule = await floor.arm()
    await rule.cross("0.39")
    await rule.result()

    asked = [(attempt.shares, attempt.wallet.wallet_id) for attempt in exchange.attempts]
    assert asked == [(D(10), "wal_1"), (D(7), "wal_2"), (D(3), "wal_1")]
    assert exchange.sold == D(10)


async def test_a_wallet_that_seems_empty_after_a_refusal_is_asked_for_all_again(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(answers(AnswerKind.REBUILD, rebuild=RebuildReason.BALANCE_SHORT))
    exchange.holders.append(WalletHolding(wallet=WALLET, shares=D(0)))
    rule = await floor.arm()
    await rule.cross("0.39")
    await rule.result()

    assert [attempt.shares for attempt in exchange.attempts] == [D(10), D(10)]


async def test_a_blocked_exit_waits_alarms_once_and_goes_on(floor: Floor, exchange: FakeExchange):
    exchange.script(*[answers(AnswerKind.BLOCKED)] * 3)
    rule = await floor.arm()
    await rule.cross("0.39")
    await exchange.until(lambda: exchange.rule.phase is RulePhase.BLOCKED)
    answer = await rule.result()

    assert answer.status is RuleStatus.TRIGGERED
    assert exchange.alarms == ["order.blocked"]
    assert exchange.sold == D(10)


async def test_only_a_final_answer_fails_the_rule(floor: Floor, exchange: FakeExchange):
    exchange.script(answers(AnswerKind.FINAL))
    rule = await floor.arm()
    await rule.cross("0.39")
    answer = await rule.result()

    assert answer.status is RuleStatus.FAILED
    assert exchange.rule.residual_shares == D(10)
    assert exchange.order.state is OrderState.FAILED
    assert "rule.failed" in exchange.alarms


async def waits_for_shares(floor: Floor, exchange: FakeExchange) -> RunningRule:
    """A crossed stop whose shares another exit has claimed."""
    exchange.script(reduced("0"))
    rule = await floor.arm()
    await rule.cross("0.39")
    await exchange.until(lambda: exchange.rule.phase is RulePhase.WAITING)
    return rule


async def test_a_claim_reduced_to_nothing_waits_for_the_other_exit(floor: Floor, exchange: FakeExchange):
    rule = await waits_for_shares(floor, exchange)
    await rule.holds("0")
    answer = await rule.result()

    assert (answer.status, answer.detail) == (RuleStatus.CANCELED, "position_closed")
    assert exchange.sold == 0


async def test_a_target_whose_shares_another_exit_has_claimed_waits_for_them(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(reduced("0"))
    exchange.bids = [("0.60", "1000")]
    rule = await floor.arm(TARGET)
    await rule.cross("0.60")
    await exchange.until(lambda: exchange.rule.phase is RulePhase.WAITING)
    assert exchange.rule.detail == "the shares are bound by another order"
    answer = await rule.result()

    assert (answer.status, exchange.sold) == (RuleStatus.TRIGGERED, D(10))
    assert "rule.rearmed" not in exchange.kinds


async def test_a_target_that_waited_for_its_shares_watches_again_when_the_price_has_gone(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(reduced("0"))
    exchange.bids = [("0.55", "1000")]
    rule = await floor.arm(TARGET)
    await rule.cross("0.60")
    await exchange.event("rule.rearmed")

    assert (exchange.rule.status, exchange.watch.generation) == (RuleStatus.ACTIVE, 2)
    await rule.cross("0.60", generation=2)
    await rule.result()
    assert exchange.sold == D(10)


async def test_a_target_whose_shares_stay_claimed_watches_again_as_it_did(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(*[reduced("0")] * 3)
    exchange.bids = [("0.60", "1000")]
    rule = await floor.arm(TARGET, STOP, tuning=quick(attempts_before_alarm=3))
    await rule.cross("0.60")
    await exchange.event("rule.rearmed")

    assert (exchange.watch.armed, exchange.watch.resolved.targets_need_bid) == (True, False)
    assert exchange.alarms == []
    await rule.cross("0.39", index=1, generation=2)
    await rule.result()
    assert exchange.sold == D(10)


async def test_an_exit_that_waits_leaves_the_next_position_alone(floor: Floor, exchange: FakeExchange):
    rule = await waits_for_shares(floor, exchange)
    exchange.open_next()
    await rule.holds("50")
    answer = await rule.result()

    assert (answer.status, answer.detail, exchange.sold) == (RuleStatus.CANCELED, "position_closed", 0)


async def test_what_is_bought_before_a_sale_is_confirmed_is_not_sold_by_its_exit(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(fills(confirmed=False))
    rule = await floor.arm()
    await rule.cross("0.39")
    await exchange.until(lambda: exchange.rule.sold_shares == D(10))
    exchange.open_next()
    await rule.holds("50")
    await exchange.confirm()
    answer = await rule.result()

    assert (answer.status, answer.sold_shares, exchange.rule.dust_shares) == (RuleStatus.TRIGGERED, D(10), 0)
    assert exchange.sold == D(10)


async def test_an_exit_sells_what_the_venue_takes_back_from_another_one(floor: Floor, exchange: FakeExchange):
    rule = await waits_for_shares(floor, exchange)
    exchange.sold_by_others = D(10)
    await rule.holds("0")
    await exchange.until(lambda: "not confirmed" in exchange.rule.detail)
    exchange.sold_by_others = D(0)
    await rule.holds("10")
    answer = await rule.result()

    assert (answer.status, exchange.sold, exchange.alarms) == (RuleStatus.TRIGGERED, D(10), [])


async def test_an_exit_whose_shares_another_one_sold_ends_once_that_is_confirmed(
    floor: Floor, exchange: FakeExchange
):
    exchange.sold_by_others = D(10)
    exchange.script(reduced("0"))
    rule = await floor.arm()
    await rule.cross("0.39")
    await rule.holds("0")
    await exchange.until(lambda: "not confirmed" in exchange.rule.detail)
    exchange.sold_by_others = D(0)
    exchange.hold("0")  # nobody tells: the exit looks
    answer = await rule.result()

    assert (answer.status, answer.detail) == (RuleStatus.CANCELED, "position_closed")


async def test_cancel_ends_an_exit_that_waits_for_the_venue_s_word(floor: Floor, exchange: FakeExchange):
    exchange.sold_by_others = D(10)
    exchange.script(reduced("0"))
    rule = await floor.arm(tuning=quick(fallback_cap_ms=60_000))
    await rule.cross("0.39")
    await rule.holds("0")
    await exchange.until(lambda: "not confirmed" in exchange.rule.detail)
    await rule.cancel()

    assert (await rule.result()).status is RuleStatus.CANCELED


async def test_a_reduced_claim_is_built_again_for_what_is_free(floor: Floor, exchange: FakeExchange):
    exchange.script(reduced("4"))
    rule = await floor.arm()
    await rule.cross("0.39")
    await rule.result()

    assert [attempt.shares for attempt in exchange.attempts] == [D(10), D(4), D(6)]
    assert [attempt.attempt for attempt in exchange.attempts] == [1, 1, 2]


async def test_shares_held_by_a_resting_sell_are_released_and_then_sold(floor: Floor, exchange: FakeExchange):
    exchange.script(held("ord_resting"))
    rule = await floor.arm()
    await rule.cross("0.39")
    await rule.result()

    [released] = exchange.released
    assert released.held_by == ("ord_resting",)
    assert exchange.sold == D(10)


async def test_an_exit_refused_by_the_kill_switch_waits_and_goes_on(floor: Floor, exchange: FakeExchange):
    exchange.script(refused(), refused())
    rule = await floor.arm()
    await rule.cross("0.39")
    await exchange.until(lambda: exchange.rule.phase is RulePhase.WAITING)
    assert "kill switch" in exchange.rule.detail
    await rule.result()

    assert exchange.sold == D(10)


async def test_refusals_by_the_kill_switch_are_no_tries_of_the_exit(floor: Floor, exchange: FakeExchange):
    exchange.script(*[refused()] * 2, *[answers(AnswerKind.NO_LIQUIDITY)] * 2)
    rule = await floor.arm(tuning=quick(attempts_before_alarm=3))
    await rule.cross("0.39")
    await rule.result()

    assert exchange.alarms == []
    assert "order.held_back" in exchange.kinds


async def test_a_target_that_the_kill_switch_held_keeps_all_its_looks_for_its_shares(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(*[refused()] * 2, *[reduced("0")] * 3)
    exchange.bids = [("0.60", "1000")]
    rule = await floor.arm(TARGET, tuning=quick(attempts_before_alarm=3))
    await rule.cross("0.60")
    await exchange.event("rule.rearmed")
    looks = exchange.calls["place_order"]
    await rule.cross("0.60", generation=2)
    await rule.result()

    assert (looks, exchange.sold) == (5, D(10))


async def test_an_exit_that_the_kill_switch_holds_looks_when_it_is_told_that_it_was_lifted(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(refused())
    rule = await floor.arm(tuning=quick(retry_ms=600_000, retry_cap_ms=600_000))
    await rule.cross("0.39")
    await exchange.until(lambda: exchange.rule.phase is RulePhase.WAITING)
    await rule.handle.signal(messages.SIGNAL_ORDER_UPDATE)
    await rule.result()

    assert exchange.sold == D(10)


async def test_an_exit_whose_bytes_may_be_out_sends_them_again_once_the_kill_switch_is_lifted(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(answers(AnswerKind.UNKNOWN), refused(sent=True, doubt=True))
    rule = await floor.arm(tuning=quick(retry_cap_ms=600_000, absent_settles_ms=600_000))
    await rule.cross("0.39")
    await rule.result()

    assert [attempt.attempt for attempt in exchange.attempts] == [1, 1, 1]
    assert len(set(exchange.attempts)) == 1
    assert exchange.calls["confirm_absent"] == 0
    assert exchange.sold == D(10)


async def test_a_fill_that_is_found_under_the_kill_switch_ends_the_exit(floor: Floor, exchange: FakeExchange):
    exchange.script(answers(AnswerKind.UNKNOWN), *[refused(sent=True, doubt=True)] * 9)
    rule = await floor.arm(tuning=quick(retry_ms=200, retry_cap_ms=600_000, absent_settles_ms=600_000))
    await rule.cross("0.39")
    await exchange.event("order.held_back")
    await exchange.fill("10")
    await rule.result()

    assert {attempt.attempt for attempt in exchange.attempts} == {1}
    assert exchange.sold == D(10)


async def test_what_is_found_resting_under_the_kill_switch_is_followed_and_not_sent_again(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(answers(AnswerKind.UNKNOWN), *[refused(sent=True, doubt=True)] * 9)
    rule = await floor.arm(tuning=quick(retry_ms=400, retry_cap_ms=600_000, absent_settles_ms=600_000))
    await rule.cross("0.39")
    await exchange.event("order.held_back")
    await exchange.fill("4", status=VenueOrderStatus.LIVE)
    await exchange.until(lambda: exchange.order.state is OrderState.RESTING)
    await exchange.fill("6")
    await rule.result()

    assert len(exchange.posts) == 2
    assert exchange.sold == D(10)


async def test_what_stays_absent_under_the_kill_switch_is_settled_before_the_next_attempt(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(answers(AnswerKind.UNKNOWN), refused(sent=True, doubt=True))
    rule = await floor.arm(tuning=quick(retry_ms=200, absent_settles_ms=120))
    await rule.cross("0.39")
    await rule.result()

    assert [attempt.attempt for attempt in exchange.attempts] == [1, 1, 2]
    assert exchange.calls["confirm_absent"] == 1
    assert exchange.sold == D(10)


async def test_an_order_of_which_nothing_is_known_is_looked_up_when_its_absence_settles_it(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(answers(AnswerKind.UNKNOWN), refused(code="not_acknowledged", sent=True, doubt=True))
    rule = await floor.arm(tuning=quick(fallback_ms=700, fallback_cap_ms=60_000, absent_settles_ms=1_000))
    await rule.cross("0.39")
    await rule.result()

    events = [event async for event in rule.handle.fetch_history_events()]
    timers = [
        e.timer_started_event_attributes for e in events if e.HasField("timer_started_event_attributes")
    ]
    pauses_ms = [timer.start_to_fire_timeout.ToMilliseconds() for timer in timers]
    first = pauses_ms.index(700)
    assert pauses_ms[first + 1] <= 300  # not the doubled pause
    assert exchange.calls["confirm_absent"] == 1


async def test_a_target_below_its_level_is_armed_again(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm(TARGET)
    await rule.cross("0.60", ladder=[("0.59", "1000")])
    await exchange.event("rule.rearmed")

    assert exchange.rule.status is RuleStatus.ACTIVE
    assert (exchange.rule.generation, exchange.watch.generation) == (2, 2)
    assert exchange.watch.armed
    assert exchange.watch.not_before_ms is not None
    assert exchange.attempts == []

    await rule.cross("0.61", generation=2)
    answer = await rule.result()
    assert answer.status is RuleStatus.TRIGGERED
    assert exchange.attempts[0].limit_price == D("0.60")


async def test_a_target_that_nobody_paid_waits_for_a_bid_at_its_level(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm(TARGET)
    await rule.cross("0.60", ladder=[("0.59", "1000")])
    await exchange.event("rule.rearmed")
    assert exchange.watch.resolved.targets_need_bid

    await rule.cross("0.60", generation=2, quote=Quote(D("0.59"), D("0.61"), None))
    await exchange.event("crossing.refused")
    assert exchange.attempts == []
    assert exchange.watch.resolved.targets_need_bid

    await rule.cross("0.60", generation=3)
    assert (await rule.result()).status is RuleStatus.TRIGGERED


async def test_a_target_that_nobody_pays_keeps_its_stop_awake(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm(TARGET, tuning=quick(rearm_ms=60_000))
    for generation in (1, 2, 3):
        await rule.cross("0.60", generation=generation, ladder=[("0.59", "1000")])
        await exchange.until(lambda g=generation: exchange.watch.generation > g)

    assert exchange.watch.not_before_ms is not None
    assert exchange.watch.not_before_ms - now_ms() <= 60_000  # the pause holds the whole rule: it never grows


async def test_a_patched_target_fires_by_its_price_alone_again(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm(TARGET)
    await rule.cross("0.60", ladder=[("0.59", "1000")])
    await exchange.event("rule.rearmed")
    await rule.patch(TARGET)

    assert not exchange.watch.resolved.targets_need_bid


async def test_what_a_target_did_not_fill_stays_armed(floor: Floor, exchange: FakeExchange):
    exchange.script(fills("4"))
    exchange.bids = [("0.55", "1000")]
    rule = await floor.arm(TARGET)
    await rule.cross("0.60")
    await exchange.event("rule.rearmed")

    assert exchange.rule.sold_shares == D(4)
    assert exchange.watch.shares == D(6)
    await rule.cross("0.60", generation=2)
    await rule.result()
    assert exchange.rule.sold_shares == D(10)


async def test_a_stop_below_its_floor_waits_for_a_better_book(floor: Floor, exchange: FakeExchange):
    exchange.bids = [("0.20", "1000")]
    rule = await floor.arm(STOP, floor="0.30")
    await rule.cross("0.20")
    await exchange.until(lambda: exchange.rule.phase is RulePhase.WAITING)
    exchange.bids = [("0.35", "1000")]
    await rule.result()

    assert exchange.attempts[0].limit_price == D("0.30")


async def test_a_stuck_exit_alarms_once(floor: Floor, exchange: FakeExchange):
    exchange.script(*[answers(AnswerKind.NO_LIQUIDITY)] * 5)
    rule = await floor.arm(tuning=quick(attempts_before_alarm=3))
    await rule.cross("0.39")
    await rule.result()

    assert exchange.alarms == ["order.stuck"]


async def test_a_book_that_cannot_be_read_is_waited_out(floor: Floor, exchange: FakeExchange):
    exchange.unreadable = 1
    rule = await floor.arm()
    await rule.cross("0.39", observed_at_ms=now_ms() - 60_000)  # an old ladder: a fresh read comes first
    await exchange.until(lambda: exchange.rule.phase is RulePhase.WAITING)
    await rule.result()

    assert exchange.calls["read_market"] == 2
    assert exchange.attempts[0].limit_price == D("0.34")


async def test_an_exit_in_a_resolved_market_fails(floor: Floor, exchange: FakeExchange):
    exchange.bids = [("0.20", "1000")]
    rule = await floor.arm(STOP, floor="0.30")
    await rule.cross("0.20")
    await exchange.until(lambda: exchange.rule.phase is RulePhase.WAITING)
    exchange.instrument = replace(exchange.instrument, state=MarketState.RESOLVED)
    await rule.handle.signal(messages.SIGNAL_MARKET_CHANGED, exchange.instrument)
    answer = await rule.result()

    assert (answer.status, exchange.attempts) == (RuleStatus.FAILED, [])
    assert "resolved" in answer.detail


async def test_a_changed_tick_is_used_by_the_exit(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm()
    finer = replace(exchange.instrument, tick=D("0.001"))
    await rule.handle.signal(messages.SIGNAL_MARKET_CHANGED, finer)
    await rule.cross("0.3955")
    await rule.result()

    assert (exchange.attempts[0].tick, exchange.attempts[0].limit_price) == (D("0.001"), D("0.345"))


async def test_what_is_too_little_to_sell_is_named_dust(floor: Floor, exchange: FakeExchange):
    exchange.script(fills("9.995"))
    rule = await floor.arm()
    await rule.cross("0.39")
    answer = await rule.result()

    assert answer.status is RuleStatus.TRIGGERED
    assert exchange.rule.dust_shares == D("0.005")
    assert len(exchange.attempts) == 1


async def test_an_order_that_cannot_be_looked_up_without_a_key_is_blocked_until_there_is_one(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(accepts())
    exchange.keyless = 2
    rule = await floor.arm()
    await rule.cross("0.39")
    await exchange.until(lambda: exchange.rule.phase is RulePhase.BLOCKED)
    assert exchange.rule.detail == "no key"
    await exchange.fill("10")
    await rule.result()

    assert exchange.alarms == ["order.blocked"]
    assert len(exchange.attempts) == 1


async def test_missing_credentials_block_and_alarm_until_they_are_there(floor: Floor, exchange: FakeExchange):
    exchange.script(refused("no key", code="credentials_missing"))
    rule = await floor.arm()
    await rule.cross("0.39")
    await exchange.until(lambda: exchange.rule.phase is RulePhase.BLOCKED)
    await rule.result()

    assert exchange.alarms == ["order.blocked"]
    assert exchange.sold == D(10)


async def test_an_exit_that_is_asked_for_its_rows_writes_them(floor: Floor, exchange: FakeExchange):
    exchange.bids = [("0.20", "1000")]
    rule = await floor.arm(STOP, floor="0.30", tuning=quick(retry_ms=60_000, retry_cap_ms=60_000))
    await rule.cross("0.20")
    await exchange.until(lambda: exchange.rule.phase is RulePhase.WAITING)
    written = exchange.rule.version
    await rule.handle.signal(messages.SIGNAL_SHOW)
    await exchange.until(lambda: exchange.rule.version > written)

    assert exchange.rule.phase is RulePhase.WAITING
    await rule.cancel()
