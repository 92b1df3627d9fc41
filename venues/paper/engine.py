"""Paper orders of one account against their live markets: placed, held, served, ended."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import structlog

from domain.errors import UnknownToken, VenueError
from domain.ids import TokenId, VenueOrderId
from domain.orders import Answer, AnswerKind, Attempt, MarketState, TimeInForce, VenueOrderStatus
from domain.paper import DepthSeen, PaperAccount, PaperOrder, Registration
from domain.ports import Clock, MarketData
from venues.paper import refusals
from venues.paper.checks import refusal_at_book, refusal_before_book
from venues.paper.execution import Met, Offer, held, is_due, meet, new_order
from venues.paper.fills import maker_fills
from venues.paper.ledger import PaperLedger
from venues.paper.matching import USED_FOR, crosses, matched
from venues.paper.refusals import Refusal
from venues.paper.resting import Found, Look, in_turn, look_at
from venues.paper.watch import book_ms

ANSWERED_AT_ONCE_MS = 1_000
"""From here on a hold is answered `delayed`; shorter ones let the call wait (venue's documentation)."""
_EXPIRES_EARLY = timedelta(seconds=60)  # as the live venue does with GTD
_log = structlog.get_logger(__name__)


class PaperEngine:
    """Matches one account's paper orders, as the venue would the same orders in its present state.

    Args:
        account: whose paper.
        market_data: the venue's public reads.
        ledger: where orders and fills are kept.
        clock: time of fills, holds and expirations.
        start_usd: collateral that the account began with.
    """

    def __init__(
        self,
        account: PaperAccount,
        market_data: MarketData,
        ledger: PaperLedger,
        clock: Clock,
        start_usd: Decimal,
    ) -> None:
        self._account = account
        self._market_data = market_data
        self._ledger = ledger
        self._clock = clock
        self._start_usd = start_usd

    async def place(self, attempt: Attempt, order_id: VenueOrderId) -> Answer:
        """Let a new order meet its market, or hold it where its market holds orders that would trade.

        Raises:
            StorageUnavailable: the paper ledger cannot be reached; nothing was registered.
        """
        if await self._ledger.find(self._account, order_id) is not None:
            return refusals.DUPLICATED.answer(order_id)
        offer = await self._offer(attempt)
        if isinstance(offer, Offer) and 0 < _hold_ms(attempt, offer) < ANSWERED_AT_ONCE_MS:
            await asyncio.sleep(offer.instrument.hold_ms / 1000)
            offer = await self._offer(attempt)
        if isinstance(offer, Refusal):
            return offer.answer(order_id)
        order = new_order(attempt, order_id, self._account, self._clock.now())
        return _answer(*await self._register(order, offer))

    async def _offer(self, attempt: Attempt) -> Offer | Refusal:
        """Return what the market offers an order now, or why it takes none."""
        try:
            instrument = await self._market_data.instrument(attempt.token_id)
        except UnknownToken:
            return refusals.UNKNOWN_MARKET
        except VenueError:
            return refusals.NO_MARKET_DATA
        early = refusal_before_book(attempt, instrument, int(self._clock.now().timestamp()))
        if early is not None:
            return early
        try:
            book = await self._market_data.book(attempt.token_id)
        except UnknownToken:
            return refusals.NO_BOOK
        except VenueError:
            return refusals.NO_MARKET_DATA
        offer = Offer(instrument=instrument, book=book, at_ms=book_ms(book, self._clock))
        return refusal_at_book(attempt, book) or offer

    async def _register(self, order: PaperOrder, offer: Offer) -> tuple[Registration, PaperOrder]:
        """Match an order with the depth that is left now, and take it with what that came to."""
        while True:
            now, seen = self._clock.now(), await self._depth_seen(order.token_id)
            met = meet(order, offer, seen.used, now)
            if met.fills and offer.instrument.hold_ms >= ANSWERED_AT_ONCE_MS:
                met = Met(order=held(order, offer.instrument.hold_ms, now), fills=())
            done = await self._ledger.register(met.order, met.fills, self._start_usd, seen)
            # Another process was first to use this depth, so each new turn has one fewer to wait for.
            if done is not Registration.OUTDATED:
                return done, met.order

    async def release_due(self, orders: Sequence[PaperOrder]) -> None:
        """Let those of the orders meet their book whose hold is over."""
        for order in orders:
            if is_due(order, self._clock.now()):
                await self._release(order)

    async def _release(self, order: PaperOrder) -> None:
        """Let a held order meet the book as it is now; what would refuse a new order ends it.

        While its market cannot be read it stays held.
        """
        try:
            instrument = await self._market_data.instrument(order.token_id)
            if instrument.state is not MarketState.OPEN:
                await self.end(order, VenueOrderStatus.INVALID)
                return
            book = await self._market_data.book(order.token_id)
        except VenueError as error:
            _log.warning("paper.hold_goes_on", venue_order_id=order.venue_order_id, code=error.code)
            return
        offer = Offer(instrument=instrument, book=book, at_ms=book_ms(book, self._clock))
        done = Registration.OUTDATED
        while done is Registration.OUTDATED:
            seen = await self._depth_seen(order.token_id)
            met = meet(order, offer, seen.used, self._clock.now())
            done = await self._ledger.release(order, met.order, met.fills, self._start_usd, seen)
        if done is Registration.SHORT:
            await self.end(order, VenueOrderStatus.INVALID)

    async def end(self, order: PaperOrder, status: VenueOrderStatus = VenueOrderStatus.CANCELED) -> bool:
        """End an order unless it has changed; an expiry shows as a cancellation too."""
        return await self._ledger.record(order, replace(order, status=status), ())

    async def meet(self, look: Look) -> None:
        """Let the resting orders of a token meet what was seen of its market; expired ones end."""
        token_id = look.book.token_id
        resting: list[PaperOrder] = []
        for order in await self._ledger.open_orders(self._account, token_id):
            if order.status is not VenueOrderStatus.LIVE:
                continue
            if _has_expired(order, self._clock.now()):
                await self.end(order)
            else:
                resting.append(order)
        if not resting:
            return
        seen, left = await self._depth_seen(token_id), tuple(trade.shares for trade in look.trades)
        for order in in_turn(resting):
            seen, left = await self._serve(order, look, left, seen)

    async def _serve(
        self, order: PaperOrder, look: Look, left: Sequence[Decimal], seen: DepthSeen
    ) -> tuple[DepthSeen, tuple[Decimal, ...]]:
        """Book what a look gives an order; returns the depth used then, and what is left of the trades.

        Another process may have changed the order meanwhile, or used the depth, or it was canceled: it is
        then judged anew, as what it is, since trades are told once and would pass it by. What any try gave it
        of a trade is not given to those behind it: the other process may have booked just that.
        """
        current: PaperOrder | None = order
        remains = tuple(left)
        while current is not None and current.status is VenueOrderStatus.LIVE:
            found = look_at(current, look, left, seen.used)
            remains = tuple(map(min, remains, found.left))
            if await self._book(found, seen):
                return replace(seen, used=found.used), remains
            seen = await self._depth_seen(order.token_id)
            current = await self._ledger.find(self._account, order.venue_order_id)
        return seen, remains

    async def _book(self, found: Found, seen: DepthSeen) -> bool:
        """Change an order by what was found for it, unless what it was judged by has changed."""
        order, got = found.order, matched(found.matches)
        after = replace(
            order,
            matched_shares=order.matched_shares + got,
            status=VenueOrderStatus.MATCHED if got == order.remaining else VenueOrderStatus.LIVE,
            queue=found.queue,
            touched_at=order.touched_at or (self._clock.now() if found.touched else None),
        )
        if after == order:
            return True
        fills = maker_fills(order, found.matches, self._clock.now())
        return await self._ledger.record(order, after, fills, seen)

    async def _depth_seen(self, token_id: TokenId) -> DepthSeen:
        since = self._clock.now() - USED_FOR
        used = await self._ledger.used_depth(self._account, token_id, since)
        return DepthSeen(since=since, used=used)


def _hold_ms(attempt: Attempt, offer: Offer) -> int:
    """Return how long the market holds this order: only what would trade at once is held."""
    trades = crosses(offer.book, attempt.side, attempt.limit_price)
    return offer.instrument.hold_ms if trades else 0


def _answer(registration: Registration, order: PaperOrder) -> Answer:
    order_id = order.venue_order_id
    if registration is Registration.DUPLICATE:
        return refusals.DUPLICATED.answer(order_id)
    if registration is Registration.SHORT:
        return refusals.BALANCE_SHORT.answer(order_id)
    if order.status is VenueOrderStatus.CANCELED:
        killed = order.time_in_force is TimeInForce.FOK
        return (refusals.FOK_KILLED if killed else refusals.FAK_UNMATCHED).answer(order_id)
    return Answer(kind=AnswerKind.ACCEPTED, code="accepted", venue_order_id=order_id, status=order.status)


def _has_expired(order: PaperOrder, now: datetime) -> bool:
    if order.time_in_force is not TimeInForce.GTD:
        return False
    return now + _EXPIRES_EARLY >= datetime.fromtimestamp(order.expiration_s, tz=now.tzinfo)
