"""What every venue's session must do, whoever the venue is: one case each, run on all of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from pydantic import SecretStr

from domain.fees import taker_fee
from domain.fills import Fill, FillState
from domain.ids import OrderId, WalletId
from domain.orders import (
    AnswerKind,
    Attempt,
    Purpose,
    RebuildReason,
    Side,
    TimeInForce,
    VenueOrder,
    VenueOrderStatus,
    WalletIdentity,
)
from domain.ports import AccountEvent, AccountEventKind, CancelOutcome, Trading
from tests.venues.builders import CHAIN, make_attempt
from tests.venues.exchange import LocalExchange
from venues.polymarket.authentication import wallet_identity

D = Decimal
RATE = D("0.05")
BIDS = [("0.50", "30"), ("0.49", "40"), ("0.45", "100")]
ASKS = [("0.52", "30"), ("0.53", "40"), ("0.60", "100")]
HELD = D(100)


@dataclass
class Venue:
    """A session under test, on a local exchange with a book of three levels a side.

    `meet_book` lets resting orders meet the book as it stands, `release_holds` ends every hold now.
    `stranger` is another account's session.
    """

    exchange: LocalExchange
    trading: Trading
    stranger: Trading
    wallet: WalletIdentity
    meet_book: Callable[[], Awaitable[None]]
    release_holds: Callable[[], Awaitable[None]]
    serial: int = 0

    def attempt(self, shares: str, price: str, **changes: object) -> Attempt:
        self.serial += 1
        values: dict[str, object] = {
            "order_id": OrderId(f"ord_{self.serial}"),
            "market_id": self.exchange.market_id,
            "token_id": self.exchange.yes,
            "shares": D(shares),
            "limit_price": D(price),
            "wallet": self.wallet,
        }
        return make_attempt(**(values | changes))

    def buy(self, shares: str, price: str, **changes: object) -> Attempt:
        return self.attempt(shares, price, **({"side": Side.BUY, "purpose": Purpose.ENTRY} | changes))

    def resting(self, shares: str, price: str, **changes: object) -> Attempt:
        return self.attempt(shares, price, **({"time_in_force": TimeInForce.GTC} | changes))

    async def fills_of(self, attempt: Attempt) -> list[Fill]:
        order_id = self.trading.venue_order_id(attempt)
        fills = await self.trading.fills(after=None, market_id=self.exchange.market_id)
        return [fill for fill in fills if fill.venue_order_id == order_id]

    async def order_of(self, attempt: Attempt) -> VenueOrder:
        order_id = self.trading.venue_order_id(attempt)
        order = await self.trading.find_order(order_id, self.exchange.market_id)
        assert order is not None
        return order

    async def ends(self, events: AsyncIterator[AccountEvent], attempt: Attempt) -> None:
        """Waits until the account hears that an order can fill no more."""
        order_id = self.trading.venue_order_id(attempt)
        async with asyncio.timeout(10):
            async for event in events:
                order = event.order
                if order is not None and order.venue_order_id == order_id and order.status.is_terminal:
                    return

    async def rests_on_no(self, side: Side, shares: str, price: str) -> None:
        """Lets another trader of the exchange place a limit order for the other outcome."""
        exchange = self.exchange
        await exchange.fund(exchange.rival_key)
        rival = await exchange.trading(exchange.rival_key)
        wallet = wallet_identity(WalletId("wal_2"), SecretStr(exchange.rival_key), chain_id=CHAIN)
        values: dict[str, object] = {"token_id": exchange.no, "side": side, "wallet": wallet}
        answer = await rival.place(self.resting(shares, price, purpose=Purpose.ENTRY, **values))
        assert answer.kind is AnswerKind.ACCEPTED, answer


class VenueContract:
    """Cases; a subclass gives the `venue` fixture and names what cannot apply by setting it to None."""

    async def test_exit_sells_at_the_best_bid_not_at_its_limit(self, venue: Venue) -> None:
        attempt = venue.attempt("20", "0.40")
        answer = await venue.trading.place(attempt)
        assert answer.kind is AnswerKind.ACCEPTED
        assert answer.status is VenueOrderStatus.MATCHED
        (fill,) = await venue.fills_of(attempt)
        assert (fill.side, fill.shares, fill.notional_usd) == (Side.SELL, D(20), D(10))

    async def test_exit_goes_down_the_book_one_fill_for_each_price(self, venue: Venue) -> None:
        attempt = venue.attempt("50", "0.40")
        await venue.trading.place(attempt)
        fills = await venue.fills_of(attempt)
        assert sorted((f.shares, f.notional_usd) for f in fills) == [(D(20), D("9.8")), (D(30), D(15))]
        assert len({fill.fill_key for fill in fills}) == 2

    async def test_exit_never_sells_below_its_limit(self, venue: Venue) -> None:
        attempt = venue.attempt("100", "0.49")
        await venue.trading.place(attempt)
        assert sum(fill.shares for fill in await venue.fills_of(attempt)) == 70

    async def test_killed_rest_leaves_a_terminal_order_with_what_matched(self, venue: Venue) -> None:
        attempt = venue.attempt("100", "0.49")
        answer = await venue.trading.place(attempt)
        assert answer.venue_order_id is not None
        order = await venue.trading.find_order(answer.venue_order_id, venue.exchange.market_id)
        assert order is not None
        assert order.status.is_terminal
        assert (order.original_shares, order.matched_shares) == (D(100), D(70))

    async def test_fak_without_a_match_is_no_liquidity(self, venue: Venue) -> None:
        answer = await venue.trading.place(venue.attempt("20", "0.51"))
        assert (answer.kind, answer.code) == (AnswerKind.NO_LIQUIDITY, "fak_unmatched")

    async def test_fok_that_cannot_fill_whole_is_no_liquidity_and_sells_nothing(self, venue: Venue) -> None:
        attempt = venue.attempt("100", "0.49", time_in_force=TimeInForce.FOK)
        answer = await venue.trading.place(attempt)
        assert (answer.kind, answer.code) == (AnswerKind.NO_LIQUIDITY, "fok_killed")
        assert await venue.fills_of(attempt) == []

    async def test_fok_that_can_fill_whole_does(self, venue: Venue) -> None:
        attempt = venue.attempt("70", "0.49", time_in_force=TimeInForce.FOK)
        assert (await venue.trading.place(attempt)).kind is AnswerKind.ACCEPTED
        assert sum(fill.shares for fill in await venue.fills_of(attempt)) == 70

    async def test_sell_above_the_market_rests(self, venue: Venue) -> None:
        attempt = venue.resting("20", "0.51")
        answer = await venue.trading.place(attempt)
        assert (answer.kind, answer.status) == (AnswerKind.ACCEPTED, VenueOrderStatus.LIVE)
        (order,) = await venue.trading.open_orders(venue.exchange.yes)
        assert order.venue_order_id == answer.venue_order_id
        assert (order.status, order.price, order.matched_shares) == (VenueOrderStatus.LIVE, D("0.51"), 0)

    async def test_limit_sell_takes_what_crosses_and_rests_with_the_remainder(self, venue: Venue) -> None:
        attempt = venue.resting("50", "0.50")
        answer = await venue.trading.place(attempt)
        assert answer.venue_order_id is not None
        order = await venue.trading.find_order(answer.venue_order_id, venue.exchange.market_id)
        assert order is not None
        assert (order.status, order.matched_shares) == (VenueOrderStatus.LIVE, D(30))

    async def test_resting_sell_fills_at_its_own_price_when_the_bid_comes(self, venue: Venue) -> None:
        attempt = venue.resting("20", "0.51")
        await venue.trading.place(attempt)
        await venue.exchange.book([("0.51", "25")], ASKS)
        await venue.meet_book()
        (fill,) = await venue.fills_of(attempt)
        assert (fill.shares, fill.notional_usd) == (D(20), D("10.2"))
        assert await venue.trading.open_orders(venue.exchange.yes) == []

    async def test_resting_buy_fills_at_its_own_price_when_the_ask_comes(self, venue: Venue) -> None:
        attempt = venue.buy("20", "0.51", time_in_force=TimeInForce.GTC)
        await venue.trading.place(attempt)
        await venue.exchange.book([("0.40", "25")], [("0.51", "25")])
        await venue.meet_book()
        (fill,) = await venue.fills_of(attempt)
        assert (fill.side, fill.shares, fill.notional_usd) == (Side.BUY, D(20), D("10.2"))

    async def test_taker_pays_the_floored_fee_on_each_fill(self, venue: Venue) -> None:
        attempt = venue.attempt("50", "0.40")
        await venue.trading.place(attempt)
        fees = {fill.shares: fill.fee_usd for fill in await venue.fills_of(attempt)}
        assert fees == {
            D(30): taker_fee(D(30), D("0.50"), RATE),
            D(20): taker_fee(D(20), D("0.49"), RATE),
        }

    async def test_maker_pays_no_fee(self, venue: Venue) -> None:
        attempt = venue.resting("20", "0.51")
        await venue.trading.place(attempt)
        await venue.exchange.book([("0.51", "25")], ASKS)
        await venue.meet_book()
        (fill,) = await venue.fills_of(attempt)
        assert fill.fee_usd == 0

    async def test_immediate_buy_spends_its_budget_and_gets_more_shares_at_a_better_price(
        self, venue: Venue
    ) -> None:
        attempt = venue.buy("20", "0.60")
        await venue.trading.place(attempt)
        fills = await venue.fills_of(attempt)
        spent = sum((fill.notional_usd for fill in fills), D(0))
        assert D(12) - D("0.000001") <= spent <= D(12)
        assert sum(fill.shares for fill in fills) > 20

    async def test_buy_takes_cost_and_fee_from_the_collateral(self, venue: Venue) -> None:
        before = (await venue.trading.collateral()).amount
        attempt = venue.buy("20", "0.52")
        await venue.trading.place(attempt)
        cost = sum((f.notional_usd + f.fee_usd for f in await venue.fills_of(attempt)), D(0))
        assert cost > D("10.4")
        assert (await venue.trading.collateral()).amount == before - cost

    async def test_sell_adds_proceeds_less_fee_to_the_collateral(self, venue: Venue) -> None:
        before = (await venue.trading.collateral()).amount
        await venue.trading.place(venue.attempt("20", "0.40"))
        gained = D(10) - taker_fee(D(20), D("0.50"), RATE)
        assert (await venue.trading.collateral()).amount == before + gained

    async def test_holding_follows_the_fills(self, venue: Venue) -> None:
        await venue.trading.place(venue.attempt("20", "0.40"))
        await venue.trading.refresh_holding(venue.exchange.yes)
        assert (await venue.trading.holding(venue.exchange.yes)).amount == HELD - 20

    async def test_what_is_held_is_listed(self, venue: Venue) -> None:
        await venue.trading.place(venue.attempt("20", "0.40"))
        held = {each.token_id: each for each in await venue.trading.held_tokens()}
        assert held[venue.exchange.yes].shares == HELD - 20
        assert held[venue.exchange.yes].market_id == venue.exchange.market_id

    async def test_allowance_covers_what_is_held(self, venue: Venue) -> None:
        holding = await venue.trading.holding(venue.exchange.yes)
        assert holding.amount == HELD
        assert holding.allowance >= holding.amount

    async def test_same_attempt_twice_is_registered_once(self, venue: Venue) -> None:
        attempt = venue.attempt("20", "0.40")
        await venue.trading.place(attempt)
        again = await venue.trading.place(attempt)
        assert (again.kind, again.code) == (AnswerKind.REGISTERED, "duplicated")
        assert len(await venue.fills_of(attempt)) == 1
        assert (await venue.trading.holding(venue.exchange.yes)).amount == HELD - 20

    async def test_same_attempt_at_once_from_two_tries_is_registered_once(self, venue: Venue) -> None:
        attempt = venue.attempt("20", "0.40")
        answers = await asyncio.gather(*(venue.trading.place(attempt) for _ in range(4)))
        kinds = [answer.kind for answer in answers]
        assert sorted(kinds) == [AnswerKind.ACCEPTED, *[AnswerKind.REGISTERED] * 3]
        assert len(await venue.fills_of(attempt)) == 1

    async def test_killed_order_posted_again_is_registered_earlier(self, venue: Venue) -> None:
        attempt = venue.attempt("20", "0.51")
        await venue.trading.place(attempt)
        assert (await venue.trading.place(attempt)).kind is AnswerKind.REGISTERED

    async def test_next_attempt_is_an_order_of_its_own(self, venue: Venue) -> None:
        first = venue.attempt("20", "0.40", order_id=OrderId("ord_same"), attempt=1)
        second = venue.attempt("20", "0.40", order_id=OrderId("ord_same"), attempt=2)
        answers = [await venue.trading.place(attempt) for attempt in (first, second)]
        assert [answer.kind for answer in answers] == [AnswerKind.ACCEPTED] * 2
        assert answers[0].venue_order_id != answers[1].venue_order_id

    async def test_id_is_known_before_the_order_is_placed(self, venue: Venue) -> None:
        attempt = venue.attempt("20", "0.40")
        expected = venue.trading.venue_order_id(attempt)
        assert (await venue.trading.place(attempt)).venue_order_id == expected
        order = await venue.trading.find_order(expected, venue.exchange.market_id)
        assert order is not None
        assert order.venue_order_id == expected

    async def test_unknown_order_is_found_nowhere(self, venue: Venue) -> None:
        unknown = venue.trading.venue_order_id(venue.attempt("20", "0.40"))
        assert await venue.trading.find_order(unknown, venue.exchange.market_id) is None

    async def test_canceled_order_leaves_the_book(self, venue: Venue) -> None:
        answer = await venue.trading.place(venue.resting("20", "0.51"))
        assert answer.venue_order_id is not None
        assert await venue.trading.cancel(answer.venue_order_id) is CancelOutcome.CANCELED
        assert await venue.trading.open_orders() == []
        order = await venue.trading.find_order(answer.venue_order_id, venue.exchange.market_id)
        assert order is not None
        assert order.status is VenueOrderStatus.CANCELED

    async def test_second_cancel_finds_the_order_finished(self, venue: Venue) -> None:
        answer = await venue.trading.place(venue.resting("20", "0.51"))
        assert answer.venue_order_id is not None
        await venue.trading.cancel(answer.venue_order_id)
        assert await venue.trading.cancel(answer.venue_order_id) is CancelOutcome.ALREADY_TERMINAL

    async def test_cancel_of_a_filled_order_finds_it_finished(self, venue: Venue) -> None:
        answer = await venue.trading.place(venue.attempt("20", "0.40"))
        assert answer.venue_order_id is not None
        assert await venue.trading.cancel(answer.venue_order_id) is CancelOutcome.ALREADY_TERMINAL

    async def test_cancel_of_an_unknown_order_finds_nothing(self, venue: Venue) -> None:
        unknown = venue.trading.venue_order_id(venue.attempt("20", "0.40"))
        assert await venue.trading.cancel(unknown) is CancelOutcome.NOT_FOUND

    async def test_cancel_frees_the_shares(self, venue: Venue) -> None:
        answer = await venue.trading.place(venue.resting("80", "0.51"))
        assert answer.venue_order_id is not None
        await venue.trading.cancel(answer.venue_order_id)
        assert (await venue.trading.place(venue.attempt("60", "0.40"))).kind is AnswerKind.ACCEPTED

    async def test_selling_more_than_held_is_short_of_balance(self, venue: Venue) -> None:
        answer = await venue.trading.place(venue.attempt("101", "0.40"))
        assert (answer.kind, answer.rebuild) == (AnswerKind.REBUILD, RebuildReason.BALANCE_SHORT)

    async def test_shares_of_a_resting_sell_cannot_be_sold_again(self, venue: Venue) -> None:
        await venue.trading.place(venue.resting("80", "0.51"))
        answer = await venue.trading.place(venue.attempt("60", "0.40"))
        assert answer.rebuild is RebuildReason.BALANCE_SHORT

    async def test_buying_beyond_the_collateral_is_short_of_balance(self, venue: Venue) -> None:
        answer = await venue.trading.place(venue.buy("30000", "0.52"))
        assert answer.rebuild is RebuildReason.BALANCE_SHORT

    async def test_price_off_the_tick_asks_for_a_rebuild(self, venue: Venue) -> None:
        answer = await venue.trading.place(venue.resting("20", "0.515"))
        assert (answer.kind, answer.rebuild) == (AnswerKind.REBUILD, RebuildReason.TICK_CHANGED)

    async def test_resting_order_below_the_minimum_asks_for_a_rebuild(self, venue: Venue) -> None:
        answer = await venue.trading.place(venue.resting("4", "0.51"))
        assert (answer.kind, answer.rebuild) == (AnswerKind.REBUILD, RebuildReason.BELOW_MINIMUM)

    async def test_marketable_buy_below_a_dollar_asks_for_a_rebuild(self, venue: Venue) -> None:
        answer = await venue.trading.place(venue.buy("1", "0.52"))
        assert (answer.kind, answer.rebuild) == (AnswerKind.REBUILD, RebuildReason.BELOW_MINIMUM)

    async def test_post_only_that_would_cross_asks_for_a_rebuild(self, venue: Venue) -> None:
        answer = await venue.trading.place(venue.resting("20", "0.50", post_only=True))
        assert (answer.kind, answer.rebuild) == (AnswerKind.REBUILD, RebuildReason.POST_ONLY_WOULD_CROSS)
        assert await venue.trading.open_orders() == []

    async def test_post_only_that_does_not_cross_rests(self, venue: Venue) -> None:
        answer = await venue.trading.place(venue.resting("20", "0.51", post_only=True))
        assert (answer.kind, answer.status) == (AnswerKind.ACCEPTED, VenueOrderStatus.LIVE)

    async def test_post_only_that_cannot_rest_is_our_own_invalid_order(self, venue: Venue) -> None:
        answer = await venue.trading.place(venue.attempt("20", "0.40", post_only=True))
        assert answer.kind is AnswerKind.FINAL

    async def test_expiration_within_three_minutes_is_our_own_invalid_order(self, venue: Venue) -> None:
        soon = int(datetime.now(UTC).timestamp()) + 120
        answer = await venue.trading.place(
            venue.resting("20", "0.51", time_in_force=TimeInForce.GTD, expiration_s=soon)
        )
        assert (answer.kind, answer.code) == (AnswerKind.FINAL, "invalid_expiration")

    async def test_expiring_order_rests_until_its_time(self, venue: Venue) -> None:
        later = int(datetime.now(UTC).timestamp()) + 3600
        answer = await venue.trading.place(
            venue.resting("20", "0.51", time_in_force=TimeInForce.GTD, expiration_s=later)
        )
        assert (answer.kind, answer.status) == (AnswerKind.ACCEPTED, VenueOrderStatus.LIVE)

    async def test_market_that_does_not_accept_orders_asks_to_wait(self, venue: Venue) -> None:
        await venue.exchange.post(f"/markets/{venue.exchange.market_id}/state", accepting_orders=False)
        answer = await venue.trading.place(venue.attempt("20", "0.40"))
        assert (answer.kind, answer.code) == (AnswerKind.TRANSIENT, "market_not_ready")

    async def test_resolved_market_is_final(self, venue: Venue) -> None:
        await venue.exchange.post(f"/markets/{venue.exchange.market_id}/resolve", winner=venue.exchange.yes)
        answer = await venue.trading.place(venue.attempt("20", "0.40"))
        assert (answer.kind, answer.code) == (AnswerKind.FINAL, "market_gone")

    async def test_paused_market_asks_to_wait_and_takes_the_same_order_afterwards(self, venue: Venue) -> None:
        attempt = venue.attempt("20", "0.40")
        await venue.exchange.market(active=False)
        answer = await venue.trading.place(attempt)
        assert (answer.kind, answer.code) == (AnswerKind.TRANSIENT, "market_not_ready")
        await venue.exchange.market(active=True)
        assert (await venue.trading.place(attempt)).kind is AnswerKind.ACCEPTED
        assert len(await venue.fills_of(attempt)) == 1

    async def test_paused_market_lets_resting_orders_be_canceled(self, venue: Venue) -> None:
        answer = await venue.trading.place(venue.resting("20", "0.51"))
        await venue.exchange.market(active=False)
        assert answer.venue_order_id is not None
        assert await venue.trading.cancel(answer.venue_order_id) is CancelOutcome.CANCELED

    async def test_cancel_only_venue_asks_to_wait_and_lets_resting_orders_be_canceled(
        self, venue: Venue
    ) -> None:
        resting = await venue.trading.place(venue.resting("20", "0.51"))
        await venue.exchange.post("/faults", kind="cancel_only", times=None)
        answer = await venue.trading.place(venue.attempt("20", "0.40"))
        assert (answer.kind, answer.code) == (AnswerKind.TRANSIENT, "cancel_only")
        assert resting.venue_order_id is not None
        assert await venue.trading.cancel(resting.venue_order_id) is CancelOutcome.CANCELED

    async def test_coarser_tick_asks_for_a_rebuild_and_the_next_attempt_fits_it(self, venue: Venue) -> None:
        before = await venue.exchange.instrument()
        built = venue.resting("20", "0.55", tick=before.tick)
        await venue.exchange.post(f"/markets/{venue.exchange.market_id}/tick-size", tick_size="0.1")
        answer = await venue.trading.place(built)
        assert (answer.kind, answer.rebuild) == (AnswerKind.REBUILD, RebuildReason.TICK_CHANGED)
        now = await venue.exchange.instrument()
        assert (before.tick, now.tick) == (D("0.01"), D("0.1"))
        rebuilt = venue.resting("20", "0.6", tick=now.tick)
        assert (await venue.trading.place(rebuilt)).status is VenueOrderStatus.LIVE

    async def test_resting_order_stays_through_a_change_of_tick(self, venue: Venue) -> None:
        attempt = venue.resting("20", "0.51")
        await venue.trading.place(attempt)
        await venue.exchange.post(f"/markets/{venue.exchange.market_id}/tick-size", tick_size="0.1")
        await venue.exchange.book([("0.6", "25")], [("0.7", "5")])
        await venue.meet_book()
        (fill,) = await venue.fills_of(attempt)
        assert (fill.shares, fill.notional_usd) == (D(20), D("10.2"))

    async def test_neg_risk_market_takes_orders_that_are_signed_for_its_exchange(self, venue: Venue) -> None:
        market_id, token = await venue.exchange.open_market(neg_risk=True)
        await venue.exchange.post(f"/books/{token}", bids=[], asks=[("0.52", "30")])
        instrument = await venue.exchange.instrument(token)
        assert instrument.neg_risk
        values: dict[str, object] = {"market_id": market_id, "token_id": token}
        attempt = venue.buy("20", "0.52", neg_risk=instrument.neg_risk, **values)
        assert (await venue.trading.place(attempt)).kind is AnswerKind.ACCEPTED
        fills = await venue.trading.fills(after=None, market_id=market_id)
        assert [(fill.token_id, fill.shares) for fill in fills] == [(token, D(20))]

    async def test_neg_risk_market_refuses_the_standard_exchanges_signature(self, venue: Venue) -> None:
        market_id, token = await venue.exchange.open_market(neg_risk=True)
        values: dict[str, object] = {"market_id": market_id, "token_id": token}
        answer = await venue.trading.place(venue.buy("20", "0.52", neg_risk=False, **values))
        assert (answer.kind, answer.code) == (AnswerKind.BLOCKED, "invalid_signature")

    async def test_buy_meets_a_buyer_of_the_other_outcome(self, venue: Venue) -> None:
        """A pair is minted: what the other pays for No is missing to one for Yes."""
        await venue.rests_on_no(Side.BUY, "20", "0.49")
        attempt = venue.buy("20", "0.51")
        await venue.trading.place(attempt)
        (fill,) = await venue.fills_of(attempt)
        assert (fill.token_id, fill.side, fill.shares) == (venue.exchange.yes, Side.BUY, D(20))
        assert (fill.notional_usd, fill.fee_usd) == (D("10.2"), taker_fee(D(20), D("0.51"), RATE))

    async def test_sell_meets_a_seller_of_the_other_outcome(self, venue: Venue) -> None:
        """A pair is merged: one USD is paid out, and each gets the own price."""
        await venue.rests_on_no(Side.SELL, "20", "0.49")
        attempt = venue.attempt("20", "0.51")
        await venue.trading.place(attempt)
        (fill,) = await venue.fills_of(attempt)
        assert (fill.token_id, fill.side, fill.shares) == (venue.exchange.yes, Side.SELL, D(20))
        assert (fill.notional_usd, fill.fee_usd) == (D("10.2"), taker_fee(D(20), D("0.51"), RATE))

    async def test_resting_buy_is_met_by_a_buyer_of_the_other_outcome(self, venue: Venue) -> None:
        attempt = venue.buy("20", "0.51", time_in_force=TimeInForce.GTC)
        await venue.trading.place(attempt)
        await venue.rests_on_no(Side.BUY, "20", "0.49")
        (fill,) = await venue.fills_of(attempt)
        assert (fill.token_id, fill.side, fill.shares) == (venue.exchange.yes, Side.BUY, D(20))
        assert (fill.notional_usd, fill.fee_usd) == (D("10.2"), D(0))

    async def test_resting_sell_is_met_by_a_seller_of_the_other_outcome(self, venue: Venue) -> None:
        attempt = venue.resting("20", "0.51")
        await venue.trading.place(attempt)
        await venue.rests_on_no(Side.SELL, "20", "0.49")
        (fill,) = await venue.fills_of(attempt)
        assert (fill.token_id, fill.side, fill.shares) == (venue.exchange.yes, Side.SELL, D(20))
        assert (fill.notional_usd, fill.fee_usd) == (D("10.2"), D(0))

    async def test_held_order_is_taken_as_delayed_and_fills_when_its_hold_is_over(self, venue: Venue) -> None:
        await venue.exchange.market(seconds_delay=600)
        attempt = venue.attempt("20", "0.40")
        async with venue.trading.events() as events:
            await next_of(events, AccountEventKind.GAP)
            answer = await venue.trading.place(attempt)
            assert (answer.kind, answer.status) == (AnswerKind.ACCEPTED, VenueOrderStatus.DELAYED)
            order = await venue.order_of(attempt)
            assert (order.status, order.matched_shares) == (VenueOrderStatus.DELAYED, D(0))
            assert not order.status.is_terminal
            await venue.release_holds()
            await venue.ends(events, attempt)
        assert (await venue.order_of(attempt)).status is VenueOrderStatus.MATCHED
        assert sum(fill.shares for fill in await venue.fills_of(attempt)) == 20

    async def test_held_order_whose_counterpart_leaves_is_killed_without_a_fill(self, venue: Venue) -> None:
        await venue.exchange.market(seconds_delay=600)
        attempt = venue.attempt("20", "0.45")
        async with venue.trading.events() as events:
            await next_of(events, AccountEventKind.GAP)
            await venue.trading.place(attempt)
            await venue.exchange.book([("0.40", "100")], ASKS)
            await venue.release_holds()
            await venue.ends(events, attempt)
        assert (await venue.order_of(attempt)).status is VenueOrderStatus.CANCELED
        assert await venue.fills_of(attempt) == []
        assert (await venue.trading.place(attempt)).kind is AnswerKind.REGISTERED

    async def test_held_order_cannot_be_canceled_and_binds_its_shares(self, venue: Venue) -> None:
        await venue.exchange.market(seconds_delay=60)
        answer = await venue.trading.place(venue.attempt("80", "0.40"))
        assert answer.venue_order_id is not None
        assert await venue.trading.cancel(answer.venue_order_id) is CancelOutcome.NOT_CANCELABLE
        again = await venue.trading.place(venue.attempt("60", "0.40"))
        assert again.rebuild is RebuildReason.BALANCE_SHORT

    async def test_held_limit_order_that_nobody_meets_rests_afterwards(self, venue: Venue) -> None:
        await venue.exchange.market(seconds_delay=600)
        attempt = venue.resting("20", "0.50")
        async with venue.trading.events() as events:
            await next_of(events, AccountEventKind.GAP)
            assert (await venue.trading.place(attempt)).status is VenueOrderStatus.DELAYED
            await venue.exchange.book([("0.40", "100")], ASKS)
            await venue.release_holds()
            async with asyncio.timeout(10):
                async for event in events:
                    if event.order is not None and event.order.status is VenueOrderStatus.LIVE:
                        break
        (order,) = await venue.trading.open_orders(venue.exchange.yes)
        assert (order.status, order.matched_shares) == (VenueOrderStatus.LIVE, D(0))

    async def test_held_order_whose_market_stops_meanwhile_ends_without_a_fill(self, venue: Venue) -> None:
        await venue.exchange.market(seconds_delay=600)
        attempt = venue.attempt("20", "0.40")
        async with venue.trading.events() as events:
            await next_of(events, AccountEventKind.GAP)
            await venue.trading.place(attempt)
            await venue.exchange.market(accepting_orders=False)
            await venue.release_holds()
            await venue.ends(events, attempt)
        assert (await venue.order_of(attempt)).status is VenueOrderStatus.INVALID
        assert await venue.fills_of(attempt) == []
        assert (await venue.trading.holding(venue.exchange.yes)).amount == HELD

    async def test_held_buy_spends_its_budget_when_its_hold_is_over(self, venue: Venue) -> None:
        await venue.exchange.market(seconds_delay=600)
        attempt = venue.buy("20", "0.60")
        async with venue.trading.events() as events:
            await next_of(events, AccountEventKind.GAP)
            assert (await venue.trading.place(attempt)).status is VenueOrderStatus.DELAYED
            await venue.release_holds()
            await venue.ends(events, attempt)
        fills = await venue.fills_of(attempt)
        spent = sum((fill.notional_usd for fill in fills), D(0))
        assert D(12) - D("0.000001") <= spent <= D(12)
        assert sum(fill.shares for fill in fills) > 20

    async def test_order_that_would_not_trade_at_once_is_not_held(self, venue: Venue) -> None:
        await venue.exchange.market(seconds_delay=600)
        answer = await venue.trading.place(venue.resting("20", "0.51"))
        assert (answer.kind, answer.status) == (AnswerKind.ACCEPTED, VenueOrderStatus.LIVE)
        answer = await venue.trading.place(venue.attempt("20", "0.51"))
        assert (answer.kind, answer.code) == (AnswerKind.NO_LIQUIDITY, "fak_unmatched")

    async def test_short_hold_lets_the_call_wait_for_the_result(self, venue: Venue) -> None:
        await venue.exchange.market(short_hold=True)
        attempt = venue.attempt("20", "0.40")
        answer = await venue.trading.place(attempt)
        assert (answer.kind, answer.status) == (AnswerKind.ACCEPTED, VenueOrderStatus.MATCHED)
        assert sum(fill.shares for fill in await venue.fills_of(attempt)) == 20

    @pytest.mark.parametrize("kind", [TimeInForce.FAK, TimeInForce.GTC])
    async def test_amounts_with_too_many_decimals_are_our_own_invalid_order(
        self, venue: Venue, kind: TimeInForce
    ) -> None:
        answer = await venue.trading.place(venue.attempt("20.001", "0.45", time_in_force=kind))
        assert (answer.kind, answer.code) == (AnswerKind.FINAL, "invalid_amounts")
        assert (await venue.trading.holding(venue.exchange.yes)).amount == HELD

    async def test_orders_above_the_accounts_rate_are_told_to_wait_and_pass_later(self, venue: Venue) -> None:
        await venue.exchange.post("/settings", signer_limits="enforced", orders_per_s=1, orders_burst=1)
        try:
            for _ in range(15):  # tokens come back while a slow machine places
                attempt = venue.resting("5", "0.51")
                answer = await venue.trading.place(attempt)
                if answer.kind is not AnswerKind.ACCEPTED:
                    break
            assert (answer.kind, answer.code) == (AnswerKind.TRANSIENT, "rate_limited")
            assert answer.wait_ms is not None
            await asyncio.sleep(answer.wait_ms / 1000)
            assert (await venue.trading.place(attempt)).kind is AnswerKind.ACCEPTED
        finally:
            await venue.exchange.post("/settings", signer_limits="off", orders_per_s=40, orders_burst=60)

    async def test_several_orders_are_canceled_together(self, venue: Venue) -> None:
        attempts = [venue.resting("20", "0.51"), venue.resting("20", "0.55"), venue.resting("20", "0.60")]
        for attempt in attempts:
            await venue.trading.place(attempt)
        filled, unknown = venue.attempt("20", "0.40"), venue.attempt("20", "0.41")
        await venue.trading.place(filled)
        first, second, third = [venue.trading.venue_order_id(attempt) for attempt in attempts]
        done, nobody = [venue.trading.venue_order_id(attempt) for attempt in (filled, unknown)]
        assert await venue.trading.cancel_many([first, second, done, nobody]) == {
            first: CancelOutcome.CANCELED,
            second: CancelOutcome.CANCELED,
            done: CancelOutcome.ALREADY_TERMINAL,
            nobody: CancelOutcome.NOT_FOUND,
        }
        assert [order.venue_order_id for order in await venue.trading.open_orders()] == [third]
        again = await venue.trading.cancel_many([first, third])
        assert list(again.values()) == [CancelOutcome.ALREADY_TERMINAL, CancelOutcome.CANCELED]
        assert await venue.trading.cancel_many([]) == {}

    async def test_closed_market_whose_outcome_is_disputed_asks_to_wait(self, venue: Venue) -> None:
        await venue.exchange.market(closed=True, uma_statuses=["proposed", "disputed"])
        answer = await venue.trading.place(venue.attempt("20", "0.40"))
        assert (answer.kind, answer.code) == (AnswerKind.TRANSIENT, "market_not_ready")
        await venue.exchange.post(f"/markets/{venue.exchange.market_id}/resolve", winner=venue.exchange.yes)
        answer = await venue.trading.place(venue.attempt("20", "0.41"))
        assert (answer.kind, answer.code) == (AnswerKind.FINAL, "market_gone")

    async def test_closed_market_is_final(self, venue: Venue) -> None:
        await venue.exchange.market(closed=True)
        answer = await venue.trading.place(venue.attempt("20", "0.40"))
        assert (answer.kind, answer.code) == (AnswerKind.FINAL, "market_gone")

    async def test_fills_before_the_asked_time_are_left_out(self, venue: Venue) -> None:
        await venue.trading.place(venue.attempt("20", "0.40"))
        hour = timedelta(hours=1)
        assert await venue.trading.fills(after=datetime.now(UTC) + hour) == []
        recent = await venue.trading.fills(after=datetime.now(UTC) - hour)
        assert D(20) in {fill.shares for fill in recent}

    async def test_fills_are_confirmed_in_the_end(self, venue: Venue) -> None:
        attempt = venue.attempt("50", "0.40")
        confirmed: set[str] = set()
        async with venue.trading.events() as events, asyncio.timeout(10):
            await next_of(events, AccountEventKind.GAP)
            await venue.trading.place(attempt)
            while len(confirmed) < 2:
                event = await next_of(events, AccountEventKind.FILL)
                if event.fill is not None and event.fill.state is FillState.CONFIRMED:
                    confirmed.add(event.fill.fill_key)
        fills = await venue.fills_of(attempt)
        assert {fill.fill_key for fill in fills} == confirmed
        assert {fill.state for fill in fills} == {FillState.CONFIRMED}

    async def test_accounts_do_not_see_each_others_orders(self, venue: Venue) -> None:
        answer = await venue.trading.place(venue.resting("20", "0.51"))
        assert answer.venue_order_id is not None
        assert await venue.stranger.open_orders() == []
        assert await venue.stranger.find_order(answer.venue_order_id, venue.exchange.market_id) is None
        assert await venue.stranger.cancel(answer.venue_order_id) is CancelOutcome.NOT_FOUND
        assert len(await venue.trading.open_orders()) == 1

    async def test_accounts_do_not_see_each_others_fills(self, venue: Venue) -> None:
        attempt = venue.attempt("20", "0.40")
        await venue.trading.place(attempt)
        foreign = await venue.stranger.fills(after=None)
        assert venue.trading.venue_order_id(attempt) not in {fill.venue_order_id for fill in foreign}

    async def test_event_tells_of_a_fill(self, venue: Venue) -> None:
        async with venue.trading.events() as events:
            attempt = venue.attempt("20", "0.40")
            await next_of(events, AccountEventKind.GAP)
            await venue.trading.place(attempt)
            event = await next_of(events, AccountEventKind.FILL)
        assert event.fill is not None
        assert event.fill.venue_order_id == venue.trading.venue_order_id(attempt)
        assert (event.fill.shares, event.fill.side) == (D(20), Side.SELL)

    async def test_event_tells_of_an_order_at_its_end(self, venue: Venue) -> None:
        async with venue.trading.events() as events:
            await next_of(events, AccountEventKind.GAP)
            answer = await venue.trading.place(venue.resting("20", "0.51"))
            assert answer.venue_order_id is not None
            await venue.trading.cancel(answer.venue_order_id)
            async with asyncio.timeout(10):
                async for event in events:
                    if event.order is not None and event.order.status is VenueOrderStatus.CANCELED:
                        break
        assert event.order is not None
        assert event.order.venue_order_id == answer.venue_order_id

    async def test_lost_connection_never_raises_out_of_place(self, venue: Venue) -> None:
        await venue.exchange.post("/faults", kind="drop_before", times=None)
        answer = await venue.trading.place(venue.attempt("20", "0.40"))
        assert answer.kind in (AnswerKind.UNKNOWN, AnswerKind.TRANSIENT)


async def next_of(events: AsyncIterator[AccountEvent], kind: AccountEventKind) -> AccountEvent:
    async with asyncio.timeout(10):
        async for event in events:
            if event.kind is kind:
                return event
    raise AssertionError("the events ended")
