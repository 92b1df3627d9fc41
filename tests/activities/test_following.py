"""Following, confirming, cancelling and releasing."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from temporalio.exceptions import ApplicationError

from domain.errors import CredentialsMissing, UnknownToken, VenueBlocked
from domain.ids import RuleId, exit_order_id
from domain.messages import FollowOrder, ForgottenSales, ReadMarket, RecallOrder, RecallSales, ReleaseShares
from domain.orders import Answer, AnswerKind, MarketState, Mode, Side, TimeInForce, VenueOrderStatus
from domain.quotes import MAX_LADDER_LEVELS
from tests.activities.floor import HEARD_BY, Desk, make_ref
from tests.domain.builders import ACCOUNT, MARKET, TOKEN, make_attempt
from tests.fakes.trading import FakeTrading, make_holding, make_order, venue_id

RESTING = make_attempt("ord_resting", time_in_force=TimeInForce.GTC)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def release(*held_by: str) -> ReleaseShares:
    return ReleaseShares(
        account_id=ACCOUNT,
        venue="polymarket",
        mode=Mode.LIVE,
        market_id=MARKET,
        token_id=TOKEN,
        for_order_id="ord_exit",
        held_by=held_by,
    )


async def test_the_ledger_alone_answers_without_a_look_up(desk: Desk):
    desk.trading.away = 1
    facts = await desk.activities.follow_order(FollowOrder(ref=make_ref(), look_up=False))

    assert not facts.looked_up
    assert facts.at_ms == int(desk.clock.time.timestamp() * 1000)
    assert facts.holding == desk.ledger.held
    assert desk.ledger.bookings == []


async def test_a_look_up_is_booked_before_the_facts_are_read(desk: Desk):
    ref = make_ref()
    order = make_order(ref.venue_order_id, VenueOrderStatus.MATCHED, side=Side.SELL)
    desk.trading.known[ref.venue_order_id] = order
    facts = await desk.activities.follow_order(FollowOrder(ref=ref, look_up=True))

    assert facts.looked_up
    assert desk.ledger.bookings == [((), (order,))]


async def test_a_venue_that_cannot_be_asked_shows_in_the_facts(desk: Desk):
    desk.trading.away = 1
    facts = await desk.activities.follow_order(FollowOrder(ref=make_ref(), look_up=True))

    assert not facts.looked_up


async def test_a_look_up_without_credentials_says_what_blocks_it(desk: Desk):
    desk.venues.missing = CredentialsMissing("the account has no key")
    facts = await desk.activities.follow_order(FollowOrder(ref=make_ref(), look_up=True))

    assert (facts.looked_up, facts.blocked) == (False, "the account has no key")
    assert not await desk.activities.confirm_absent(make_ref())


async def test_a_cancel_without_credentials_is_not_tried_again(desk: Desk):
    desk.venues.missing = CredentialsMissing("the account has no key")
    with pytest.raises(ApplicationError) as raised:
        await desk.activities.cancel_order(make_ref())

    assert (raised.value.type, raised.value.non_retryable) == (CredentialsMissing.code, True)


@pytest.mark.parametrize(("seen", "absent"), [("10", True), ("4", False)])
async def test_an_absent_order_is_confirmed_by_the_refreshed_balance(desk: Desk, seen: str, absent: bool):
    desk.trading.seen = Decimal(seen)

    assert await desk.activities.confirm_absent(make_ref()) is absent
    assert desk.trading.refreshed == 1


@pytest.mark.parametrize(("side", "absent"), [(Side.SELL, True), (Side.BUY, False)])
async def test_more_shares_than_the_ledger_s_rule_out_a_sale_and_no_purchase(
    desk: Desk, side: Side, absent: bool
):
    attempt = make_attempt(side=side)
    await desk.place(attempt)
    desk.trading.seen = Decimal(14)

    assert await desk.activities.confirm_absent(make_ref(attempt)) is absent


@pytest.mark.parametrize(("side", "seen"), [(Side.SELL, "4"), (Side.BUY, "14")])
async def test_an_order_of_which_nothing_was_heard_for_long_is_absent_whatever_moved_elsewhere(
    desk: Desk, side: Side, seen: str
):
    attempt = make_attempt(side=side)
    await desk.place(attempt)
    desk.trading.seen = Decimal(seen)
    last_post = desk.clock.time

    desk.clock.time = last_post + HEARD_BY - timedelta(seconds=1)
    assert not await desk.activities.confirm_absent(make_ref(attempt))
    desk.clock.time = last_post + HEARD_BY
    assert await desk.activities.confirm_absent(make_ref(attempt))


async def test_an_order_that_was_sent_again_lately_is_not_absent_by_its_age(desk: Desk):
    desk.trading.answers += [Answer(kind=AnswerKind.UNKNOWN, code="timeout")] * 2
    attempt = make_attempt()
    await desk.place(attempt)
    desk.clock.time += HEARD_BY
    await desk.place(attempt)
    desk.trading.seen = Decimal(4)

    assert not await desk.activities.confirm_absent(make_ref(attempt))


async def test_a_fill_in_the_ledger_stays_one_however_old_the_order_is(desk: Desk):
    desk.ledger.facts = replace(desk.ledger.facts, booked_shares=Decimal(4))
    desk.clock.time += HEARD_BY

    assert not await desk.activities.confirm_absent(make_ref())


async def test_a_sale_is_ruled_out_when_the_wallets_that_are_served_hold_it_all(desk: Desk):
    former = FakeTrading()
    former.unaskable = VenueBlocked("the key was revoked")
    desk.venues.others = [former]
    await desk.place()

    assert await desk.activities.confirm_absent(make_ref())


async def test_an_old_attempt_is_absent_though_a_wallet_is_refused(desk: Desk):
    former = FakeTrading()
    former.unaskable = VenueBlocked("the key was revoked")
    desk.venues.others = [former]
    desk.trading.seen = Decimal(4)
    desk.clock.time += HEARD_BY

    assert await desk.activities.confirm_absent(make_ref())


async def test_an_order_that_the_venue_knows_is_not_absent(desk: Desk):
    ref = make_ref()
    desk.trading.known[ref.venue_order_id] = make_order(ref.venue_order_id, side=Side.SELL)

    assert not await desk.activities.confirm_absent(ref)


async def test_a_cancel_books_what_the_venue_says_afterwards(desk: Desk):
    ref = make_ref()
    desk.trading.known[ref.venue_order_id] = make_order(ref.venue_order_id, side=Side.SELL, matched="3")
    await desk.activities.cancel_order(ref)

    [(_, [order])] = desk.ledger.bookings
    assert (order.status, order.matched_shares) == (VenueOrderStatus.CANCELED, 3)


async def test_recalled_claims_say_which_are_settled(desk: Desk):
    desk.trading.answers.append(Answer(kind=AnswerKind.NO_LIQUIDITY, code="killed"))
    await desk.place()
    await desk.place(make_attempt(attempt=2))
    recalled = await desk.activities.recall_order(RecallOrder(order_id="ord_1"))

    assert [(c.attempt.attempt, c.settled) for c in recalled.claims] == [(1, True), (2, False)]


async def test_sales_of_generations_that_a_rule_knows_are_not_recalled(desk: Desk):
    rule = RuleId("rul_1")
    await desk.place(make_attempt(order_id=exit_order_id(rule, 1)))
    await desk.place(make_attempt(order_id=exit_order_id(rule, 3)))
    desk.ledger.facts = replace(
        desk.ledger.facts, booked_shares=Decimal(4), notional_usd=Decimal("1.60"), fee_usd=Decimal("0.01")
    )

    async def recalled(generation: int) -> ForgottenSales:
        asked = RecallSales(rule_id=rule, host_workflow_id="rule/rul_1", generation=generation)
        return await desk.activities.recall_sales(asked)

    nothing = ForgottenSales(shares=Decimal(0), proceeds_usd=Decimal(0), fee_usd=Decimal(0))
    sold = ForgottenSales(shares=Decimal(4), proceeds_usd=Decimal("1.60"), fee_usd=Decimal("0.01"))
    assert [await recalled(2), await recalled(3)] == [sold, nothing]


async def test_a_read_is_kept_and_cut_to_a_ladder(desk: Desk):
    request = ReadMarket(
        account_id=ACCOUNT, venue="polymarket", mode=Mode.LIVE, market_id=MARKET, token_id=TOKEN
    )
    read = await desk.activities.read_market(request)

    assert len(read.bids) == MAX_LADDER_LEVELS
    assert desk.instruments.kept == [read.instrument]
    assert read.holding == desk.ledger.held


async def test_only_the_orders_that_hold_the_shares_are_cancelled(desk: Desk):
    await desk.place(RESTING)
    held, other = venue_id(RESTING), "0xother"
    desk.trading.known = {i: make_order(i, side=Side.SELL) for i in (held, other)}

    assert await desk.activities.release_shares(release("ord_resting")) == 1
    assert desk.trading.canceled == [held]
    assert set(desk.venues.wallets) == {RESTING.wallet.wallet_id}


async def test_shares_that_no_key_can_release_are_not_tried_again(desk: Desk):
    desk.venues.missing = CredentialsMissing("the account has no key")
    with pytest.raises(ApplicationError) as raised:
        await desk.activities.release_shares(release())

    assert (raised.value.type, raised.value.non_retryable) == (CredentialsMissing.code, True)


async def test_an_order_in_flight_is_followed_with_the_wallet_that_signed_it(desk: Desk):
    await desk.place(RESTING)
    ref = replace(make_ref(), wallet_id="wal_former")
    await desk.activities.follow_order(FollowOrder(ref=ref, look_up=True))
    await desk.activities.cancel_order(ref)

    assert desk.venues.wallets[0] == RESTING.wallet.wallet_id
    assert set(desk.venues.wallets[1:]) == {"wal_former"}


async def test_an_attempt_is_absent_once_all_wallets_together_hold_what_the_ledger_says(desk: Desk):
    former = FakeTrading()
    desk.trading.seen, former.seen = Decimal(60), Decimal(39)
    desk.venues.others = [former]
    desk.ledger.held = make_holding("100")
    assert not await desk.activities.confirm_absent(make_ref())
    former.seen = Decimal(40)
    assert await desk.activities.confirm_absent(make_ref())
    assert former.refreshed == 2


async def test_a_wallet_that_nobody_can_ask_costs_no_read_of_the_book(desk: Desk):
    desk.trading.unaskable = VenueBlocked("the key was revoked")
    request = ReadMarket(
        account_id=ACCOUNT,
        venue="polymarket",
        mode=Mode.LIVE,
        market_id=MARKET,
        token_id=TOKEN,
        holder=True,
    )
    read = await desk.activities.read_market(request)

    assert read.holder is None
    assert read.instrument == desk.data.token


async def test_an_attempt_is_not_absent_while_a_wallet_that_is_refused_may_hold_what_is_missing(desk: Desk):
    former = FakeTrading()
    former.unaskable = VenueBlocked("the key was revoked")
    desk.venues.others = [former]
    desk.trading.seen = Decimal(4)
    assert not await desk.activities.confirm_absent(make_ref())


async def test_no_order_is_cancelled_while_a_wallet_that_is_refused_may_hold_what_is_missing(desk: Desk):
    former = FakeTrading()
    former.unaskable = VenueBlocked("the key was revoked")
    desk.venues.others = [former]
    desk.trading.seen = Decimal(6)
    desk.trading.known["0xsell"] = make_order("0xsell", side=Side.SELL)

    assert await desk.activities.release_shares(release()) == 0
    assert desk.trading.canceled == []


async def test_a_holder_that_is_gone_already_is_booked_as_it_ended(desk: Desk):
    await desk.place(RESTING)
    held = venue_id(RESTING)
    desk.trading.known[held] = make_order(held, VenueOrderStatus.CANCELED, side=Side.SELL)
    await desk.activities.release_shares(release("ord_resting"))

    [(_, [order])] = desk.ledger.bookings
    assert order.status is VenueOrderStatus.CANCELED


async def test_a_short_balance_that_resting_sells_bind_is_released(desk: Desk):
    desk.trading.known = {
        "0xsell": make_order("0xsell", side=Side.SELL),
        "0xbuy": make_order("0xbuy", side=Side.BUY),
    }

    assert await desk.activities.release_shares(release()) == 1
    assert desk.trading.canceled == ["0xsell"]


async def test_a_balance_that_lags_behind_a_purchase_cancels_nothing(desk: Desk):
    desk.ledger.held = replace(make_holding(), shares=Decimal(20))
    desk.trading.known["0xsell"] = make_order("0xsell", side=Side.SELL)

    assert await desk.activities.release_shares(release()) == 0
    assert desk.trading.canceled == []
    assert desk.trading.refreshed == 1


async def test_a_market_at_its_end_is_read_without_a_book(desk: Desk):
    desk.data.bookless = True
    request = ReadMarket(
        account_id=ACCOUNT, venue="polymarket", mode=Mode.LIVE, market_id=MARKET, token_id=TOKEN
    )
    with pytest.raises(UnknownToken):
        await desk.activities.read_market(request)

    desk.data.token = replace(desk.data.token, state=MarketState.RESOLVED)
    read = await desk.activities.read_market(request)
    assert (read.instrument.state, read.bids, read.asks) == (MarketState.RESOLVED, (), ())
    assert desk.instruments.kept[-1].state is MarketState.RESOLVED
