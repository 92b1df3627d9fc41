"""The paper venue: orders fill against live books, money is imaginary."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import accumulate

import structlog

from domain.errors import UnknownToken, VenueError
from domain.fees import taker_fee
from domain.fills import Fill, FillState
from domain.ids import MarketId, TokenId, VenueOrderId
from domain.money import from_micros, plain
from domain.orders import (
    Answer,
    AnswerKind,
    Attempt,
    Instrument,
    Side,
    TimeInForce,
    VenueOrder,
    VenueOrderStatus,
)
from domain.paper import PaperAccount, PaperOrder, Registration
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
from venues.paper.ledger import PaperLedger
from venues.paper.matching import Match, UsedDepth, is_immediate, match_budget, match_shares, matched

_ID_SEPARATOR = "\x1f"
_EXPIRES_EARLY = timedelta(seconds=60)  # as the live venue does with GTD
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperConfig:
    """Paper money and pace.

    Attributes:
        start_usd: collateral that each account begins with.
        poll_s: how often resting orders are compared with live books.
        payout_every: every so many polls held tokens are asked whether their market resolved.
    """

    start_usd: Decimal = Decimal(10_000)
    poll_s: float = 1.0
    payout_every: int = 60


class PaperTrading:
    """`Trading` in paper mode for one account, over the live market data of its venue.

    Differs from a live session where there is no chain: fills are confirmed at once and never reversed, a
    bought share can be sold at once, allowances are unlimited, and no depth is taken from other accounts.

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
        self._used: dict[TokenId, UsedDepth] = {}

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
        used = self._used.setdefault(attempt.token_id, UsedDepth())
        now_ms = self._clock.monotonic_ms()
        matches = _matches(attempt, book, used, now_ms)
        order = self._order(attempt, order_id, matches)
        fills = self._taker_fills(order, matches, instrument.fee_rate)
        registration = await self._ledger.register(order, fills, self._config.start_usd)
        if registration is Registration.DUPLICATE:
            return refusals.DUPLICATED.answer(order_id)
        if registration is Registration.SHORT:
            return refusals.BALANCE_SHORT.answer(order_id)
        _use(book, attempt.side, matches, used, now_ms)
        if is_immediate(attempt.time_in_force) and not matches:
            killed = attempt.time_in_force is TimeInForce.FOK
            return (refusals.FOK_KILLED if killed else refusals.FAK_UNMATCHED).answer(order_id)
        return Answer(kind=AnswerKind.ACCEPTED, code="accepted", venue_order_id=order_id, status=order.status)

    def _order(self, attempt: Attempt, order_id: VenueOrderId, matches: Sequence[Match]) -> PaperOrder:
        got = matched(matches)
        if is_immediate(attempt.time_in_force):
            status = VenueOrderStatus.MATCHED if matches else VenueOrderStatus.CANCELED
        else:
            status = VenueOrderStatus.MATCHED if got >= attempt.shares else VenueOrderStatus.LIVE
        return PaperOrder(
            venue_order_id=order_id,
            account=self._account,
            market_id=attempt.market_id,
            token_id=attempt.token_id,
            side=attempt.side,
            time_in_force=attempt.time_in_force,
            shares=attempt.shares,
            limit_price=attempt.limit_price,
            matched_shares=got,
            status=status,
            expiration_s=attempt.expiration_s,
            created_at=self._clock.now(),
        )

    def _taker_fills(
        self, order: PaperOrder, matches: Sequence[Match], fee_rate: Decimal
    ) -> tuple[Fill, ...]:
        return tuple(
            self._fill(order, place, match, taker_fee(match.shares, match.price, fee_rate))
            for place, match in zip(accumulate(match.shares for match in matches), matches, strict=True)
        )

    def _fill(self, order: PaperOrder, place: Decimal, match: Match, fee_usd: Decimal) -> Fill:
        """`place` is the order's matched shares with this fill: it names the fill within the order."""
        return Fill(
            fill_key=f"{order.venue_order_id}:{plain(place)}",
            venue_order_id=order.venue_order_id,
            market_id=order.market_id,
            token_id=order.token_id,
            side=order.side,
            shares=match.shares,
            notional_usd=match.notional_usd,
            fee_usd=fee_usd,
            state=FillState.CONFIRMED,
            traded_at=self._clock.now(),
        )

    async def find_order(self, venue_order_id: VenueOrderId, market_id: MarketId) -> VenueOrder | None:
        """Return the paper order, or None."""
        order = await self._ledger.find(self._account, venue_order_id)
        return None if order is None else order.as_venue_order()

    async def cancel(self, venue_order_id: VenueOrderId) -> CancelOutcome:
        """Cancel a resting order; repeating it is harmless."""
        while (order := await self._ledger.find(self._account, venue_order_id)) is not None:
            if order.status.is_terminal:
                return CancelOutcome.ALREADY_TERMINAL
            if await self._ledger.record(order, (), VenueOrderStatus.CANCELED) is not None:
                return CancelOutcome.CANCELED
        return CancelOutcome.NOT_FOUND

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

    async def touch(self, book: Book) -> None:
        """Fill and expire the resting orders of a token by its live book."""
        now_ms = self._clock.monotonic_ms()
        for order in await self._ledger.open_orders(self._account, book.token_id):
            if self._has_expired(order):
                await self._ledger.record(order, (), VenueOrderStatus.CANCELED)
                continue
            used = self._used.setdefault(book.token_id, UsedDepth())
            matches = match_shares(book, order.side, order.limit_price, order.remaining, used, now_ms)
            got = matched(matches)
            if got <= 0:
                continue
            # It rested first, so it trades at its own price and pays no fee.
            place = order.matched_shares + got
            fill = self._fill(order, place, Match(got, order.limit_price), Decimal(0))
            done = got == order.remaining
            status = VenueOrderStatus.MATCHED if done else VenueOrderStatus.LIVE
            if await self._ledger.record(order, (fill,), status) is not None:
                _use(book, order.side, matches, used, now_ms)

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
        changes = self._changes(await self._ledger.edge(self._account))
        try:
            yield changes
        finally:
            await changes.aclose()

    async def _changes(self, edge: int) -> AsyncGenerator[AccountEvent]:
        polls = 0
        yield AccountEvent(kind=AccountEventKind.GAP)  # as a socket that has just been opened
        while True:
            await self._meet_books()
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

    async def _meet_books(self) -> None:
        resting = {order.token_id for order in await self._ledger.open_orders(self._account, None)}
        if not resting:
            return
        try:
            books = await self._market_data.books(sorted(resting))
        except VenueError as error:
            _log.warning("paper.books_unavailable", code=error.code)
            return
        for book in books:
            await self.touch(book)

    async def pay_out_resolved(self) -> None:
        """Turn held shares of resolved markets into collateral."""
        for token_id in [held.token_id for held in await self._ledger.held_tokens(self._account)]:
            try:
                payout = (await self._market_data.instrument(token_id)).payout
            except VenueError as error:
                _log.warning("paper.instrument_unavailable", code=error.code)
                continue
            if payout is not None:
                await self._ledger.pay_out(self._account, token_id, payout)


def paper_order_id(attempt: Attempt) -> VenueOrderId:
    """Return the paper id: a digest of what a signature would cover and of how the order works."""
    parts = (
        attempt.order_id,
        attempt.attempt,
        attempt.account_id,
        attempt.venue,
        attempt.market_id,
        attempt.token_id,
        attempt.side,
        attempt.time_in_force,
        attempt.post_only,
        attempt.maker_amount,
        attempt.taker_amount,
        attempt.salt,
        attempt.timestamp_ms,
        attempt.expiration_s,
    )
    text = _ID_SEPARATOR.join(str(part) for part in parts)
    return VenueOrderId("paper-" + hashlib.sha256(text.encode()).hexdigest())


def _matches(attempt: Attempt, book: Book, used: UsedDepth, now_ms: int) -> tuple[Match, ...]:
    if attempt.side is Side.BUY and is_immediate(attempt.time_in_force):
        budget = from_micros(attempt.maker_amount)
        matches = match_budget(book, attempt.limit_price, budget, used, now_ms)
        # A full fill leaves less than a millionth of a share's price unspent.
        complete = matched(matches) >= from_micros(attempt.taker_amount)
    else:
        matches = match_shares(book, attempt.side, attempt.limit_price, attempt.shares, used, now_ms)
        complete = matched(matches) >= attempt.shares
    return () if attempt.time_in_force is TimeInForce.FOK and not complete else matches


def _use(book: Book, side: Side, matches: Sequence[Match], used: UsedDepth, now_ms: int) -> None:
    levels = book.asks if side is Side.BUY else book.bids
    by_price: Mapping[Decimal, Decimal] = {match.price: match.shares for match in matches}
    for level in levels:
        taken = by_price.get(level.price)
        if taken is not None:
            used.take(side, level, taken, now_ms)
