"""The paper venue: orders fill against live books, money is imaginary."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

import structlog

from domain.errors import UnknownToken, VenueError
from domain.fills import Fill
from domain.ids import MarketId, TokenId, VenueOrderId
from domain.orders import (
    Answer,
    AnswerKind,
    Attempt,
    Instrument,
    TimeInForce,
    VenueOrder,
    VenueOrderStatus,
)
from domain.paper import DepthSeen, PaperAccount, PaperOrder, Registration
from domain.ports import (
    AccountEvent,
    AccountEventKind,
    Balance,
    Book,
    CancelOutcome,
    Clock,
    HeldToken,
    MarketData,
)
from venues.paper import refusals
from venues.paper.checks import refusal_at_book, refusal_before_book
from venues.paper.fills import maker_fills, taker_fills
from venues.paper.identity import paper_order_id
from venues.paper.ledger import PaperLedger
from venues.paper.matching import (
    USED_FOR,
    Match,
    crosses,
    is_immediate,
    match_attempt,
    matched,
)
from venues.paper.queue import join
from venues.paper.resting import Found, Look, in_turn, look_at
from venues.paper.watch import MarketWatch, book_ms

_EXPIRES_EARLY = timedelta(seconds=60)  # as the live venue does with GTD
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperConfig:
    """Paper money and pace.

    Attributes:
        start_usd: collateral that each account begins with.
        poll_s: how often resting orders meet their market, and changes are told.
        sockets: whether resting orders may follow the market by socket; without, they see no trades.
        payout_every: every so many polls held tokens are asked whether their market resolved.
    """

    start_usd: Decimal = Decimal(10_000)
    poll_s: float = 1.0
    sockets: bool = True
    payout_every: int = 60


class PaperTrading:
    """`Trading` in paper mode for one account, over the live market data of its venue.

    Differs from a live session where there is no chain: fills are confirmed at once and never reversed, a
    bought share can be sold at once, allowances are unlimited, and no depth is taken from other accounts.

    Resting orders queue behind what stands at their price (`venues.paper.queue`); `PaperOrder.touched_at`
    shows beside it when the plain rule, price touched and all filled, would have filled them.

    Args:
        account: whose paper.
        market_data: the venue's public reads.
        ledger: where orders and fills are kept.
        clock: time of fills and expirations.
        config: paper money and pace.
    """

    def __init__(
        self,
        account: PaperAccount,
        market_data: MarketData,
        ledger: PaperLedger,
        clock: Clock,
        config: PaperConfig | None = None,
    ) -> None:
        self._account = account
        self._market_data = market_data
        self._ledger = ledger
        self._clock = clock
        self._config = config or PaperConfig()

    def venue_order_id(self, attempt: Attempt) -> VenueOrderId:
        """Return the paper id: a digest of every field of the attempt."""
        return paper_order_id(attempt)

    def prepare(self, attempt: Attempt) -> None:
        """Nothing is signed on paper."""

    async def place(self, attempt: Attempt) -> Answer:
        """Match once against the live book and register. Never raises for a failed read of the market.

        Raises:
            StorageUnavailable: the paper ledger cannot be reached; nothing was registered.
        """
        order_id = self.venue_order_id(attempt)
        if await self._ledger.find(self._account, order_id) is not None:
            return refusals.DUPLICATED.answer(order_id)
        try:
            instrument = await self._market_data.instrument(attempt.token_id)
            early = refusal_before_book(attempt, instrument, int(self._clock.now().timestamp()))
            if early is not None:
                return early.answer(order_id)
            book = await self._market_data.book(attempt.token_id)
        except UnknownToken:
            return refusals.UNKNOWN_MARKET.answer(order_id)
        except VenueError:
            return refusals.NO_MARKET_DATA.answer(order_id)
        late = refusal_at_book(attempt, book)
        if late is not None:
            return late.answer(order_id)
        return await self._execute(attempt, order_id, instrument, book)

    async def _execute(
        self, attempt: Attempt, order_id: VenueOrderId, instrument: Instrument, book: Book
    ) -> Answer:
        registration, matches, order = await self._register(attempt, order_id, instrument, book)
        while registration is Registration.OUTDATED:
            # Another process was first to use this depth, so each new turn has one fewer to wait for.
            registration, matches, order = await self._register(attempt, order_id, instrument, book)
        if registration is Registration.DUPLICATE:
            return refusals.DUPLICATED.answer(order_id)
        if registration is Registration.SHORT:
            return refusals.BALANCE_SHORT.answer(order_id)
        if is_immediate(attempt.time_in_force) and not matches:
            killed = attempt.time_in_force is TimeInForce.FOK
            return (refusals.FOK_KILLED if killed else refusals.FAK_UNMATCHED).answer(order_id)
        return Answer(kind=AnswerKind.ACCEPTED, code="accepted", venue_order_id=order_id, status=order.status)

    async def _register(
        self, attempt: Attempt, order_id: VenueOrderId, instrument: Instrument, book: Book
    ) -> tuple[Registration, Sequence[Match], PaperOrder]:
        """Match an order with the depth that is left now, and register what that came to."""
        seen = await self._depth_seen(attempt.token_id)
        matches = match_attempt(attempt, book, seen.used)
        order = self._order(attempt, order_id, book, matches)
        fills = taker_fills(order, matches, instrument.fee_rate, self._clock.now())
        registration = await self._ledger.register(order, fills, self._config.start_usd, seen)
        return registration, matches, order

    def _order(
        self, attempt: Attempt, order_id: VenueOrderId, book: Book, matches: Sequence[Match]
    ) -> PaperOrder:
        got, now = matched(matches), self._clock.now()
        side, price, queue = attempt.side, attempt.limit_price, None
        if is_immediate(attempt.time_in_force):
            status = VenueOrderStatus.MATCHED if matches else VenueOrderStatus.CANCELED
        else:
            status = VenueOrderStatus.MATCHED if got >= attempt.shares else VenueOrderStatus.LIVE
            queue = join(book, side, price, book_ms(book, self._clock))
        return PaperOrder(
            venue_order_id=order_id,
            account=self._account,
            market_id=attempt.market_id,
            token_id=attempt.token_id,
            side=side,
            time_in_force=attempt.time_in_force,
            shares=attempt.shares,
            limit_price=price,
            matched_shares=got,
            status=status,
            expiration_s=attempt.expiration_s,
            created_at=now,
            queue=queue,
            touched_at=now if crosses(book, side, price) else None,
        )

    async def _depth_seen(self, token_id: TokenId) -> DepthSeen:
        since = self._clock.now() - USED_FOR
        used = await self._ledger.used_depth(self._account, token_id, since)
        return DepthSeen(since=since, used=used)

    async def find_order(self, venue_order_id: VenueOrderId, market_id: MarketId) -> VenueOrder | None:
        """Return the paper order, or None."""
        order = await self._ledger.find(self._account, venue_order_id)
        return None if order is None else order.as_venue_order()

    async def cancel(self, venue_order_id: VenueOrderId) -> CancelOutcome:
        """Cancel a resting order; repeating it is harmless."""
        while (order := await self._ledger.find(self._account, venue_order_id)) is not None:
            if order.status.is_terminal:
                return CancelOutcome.ALREADY_TERMINAL
            if await self._end(order):
                return CancelOutcome.CANCELED
        return CancelOutcome.NOT_FOUND

    async def cancel_many(
        self, venue_order_ids: Sequence[VenueOrderId]
    ) -> Mapping[VenueOrderId, CancelOutcome]:
        """Cancel resting orders, one after another."""
        return {order_id: await self.cancel(order_id) for order_id in venue_order_ids}

    async def open_orders(self, token_id: TokenId | None = None) -> Sequence[VenueOrder]:
        """Return the resting orders."""
        return [order.as_venue_order() for order in await self._ledger.open_orders(self._account, token_id)]

    async def fills(self, *, after: datetime | None, market_id: MarketId | None = None) -> Sequence[Fill]:
        """Return the paper fills since a time."""
        return await self._ledger.fills(self._account, after, market_id)

    async def holding(self, token_id: TokenId) -> Balance:
        """Return the paper shares; paper needs no allowance."""
        shares = await self._ledger.shares(self._account, token_id)
        return Balance(amount=shares, allowance=shares)

    async def collateral(self) -> Balance:
        """Return the paper USD; paper needs no allowance."""
        cash = await self._ledger.cash(self._account, self._config.start_usd)
        return Balance(amount=cash, allowance=cash)

    async def held_tokens(self) -> Sequence[HeldToken]:
        """Return what paper holds."""
        return await self._ledger.held_tokens(self._account)

    async def refresh_holding(self, token_id: TokenId) -> None:
        """Do nothing: the paper ledger is no cache of a chain."""

    async def _end(self, order: PaperOrder) -> bool:
        """Cancel an order unless it has changed; an expiry shows as a cancellation too."""
        return await self._ledger.record(order, replace(order, status=VenueOrderStatus.CANCELED), ())

    async def meet(self, look: Look) -> None:
        """Let the resting orders of a token meet what was seen of its market; expired ones end."""
        token_id = look.book.token_id
        resting: list[PaperOrder] = []
        for order in await self._ledger.open_orders(self._account, token_id):
            if self._has_expired(order):
                await self._end(order)
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

    def _has_expired(self, order: PaperOrder) -> bool:
        if order.time_in_force is not TimeInForce.GTD:
            return False
        return self._clock.now() + _EXPIRES_EARLY >= datetime.fromtimestamp(
            order.expiration_s, tz=self._clock.now().tzinfo
        )

    def events(self) -> AbstractAsyncContextManager[AsyncIterator[AccountEvent]]:
        """Watch the account: fills and orders of any process, resting orders against live books."""
        return self._watch()

    @asynccontextmanager
    async def _watch(self) -> AsyncGenerator[AsyncIterator[AccountEvent]]:
        # The place in the sequence is taken before the caller goes on: what happens from now on is seen.
        edge = await self._ledger.edge(self._account)
        async with MarketWatch(self._market_data, self._clock, sockets=self._config.sockets) as market:
            changes = self._changes(market, edge)
            try:
                yield changes
            finally:
                await changes.aclose()

    async def _changes(self, market: MarketWatch, edge: int) -> AsyncGenerator[AccountEvent]:
        polls = 0
        yield AccountEvent(kind=AccountEventKind.GAP)  # as a socket that has just been opened
        while True:
            await self._meet_market(market)
            if polls % self._config.payout_every == 0:
                await self.pay_out_resolved()
            changes = await self._ledger.changes(self._account, edge)
            edge = changes.edge
            for fill in changes.fills:
                yield AccountEvent(kind=AccountEventKind.FILL, fill=fill)
            for order in changes.orders:
                yield AccountEvent(kind=AccountEventKind.ORDER, order=order.as_venue_order())
            polls += 1
            await asyncio.sleep(self._config.poll_s)

    async def _meet_market(self, market: MarketWatch) -> None:
        resting = {order.token_id for order in await self._ledger.open_orders(self._account, None)}
        try:
            looks = await market.look(resting)
        except VenueError as error:
            _log.warning("paper.books_unavailable", code=error.code)
            return
        for look in looks:
            await self.meet(look)

    async def pay_out_resolved(self) -> None:
        """Turn held shares of resolved markets into collateral, and end what rests in a final market."""
        resting: dict[TokenId, list[PaperOrder]] = {}
        for order in await self._ledger.open_orders(self._account, None):
            resting.setdefault(order.token_id, []).append(order)
        held = {each.token_id for each in await self._ledger.held_tokens(self._account)}
        for token_id in sorted(held | resting.keys()):
            try:
                instrument = await self._market_data.instrument(token_id)
            except VenueError as error:
                _log.warning("paper.instrument_unavailable", code=error.code)
                continue
            if instrument.state.is_final:
                for order in resting.get(token_id, ()):
                    await self.cancel(order.venue_order_id)
            if instrument.payout is not None:
                await self._ledger.pay_out(self._account, token_id, instrument.payout)
