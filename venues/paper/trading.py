"""The paper venue: orders fill against live books, money is imaginary."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import structlog

from domain.errors import VenueError
from domain.fills import Fill
from domain.ids import MarketId, TokenId, VenueOrderId
from domain.orders import Answer, Attempt, VenueOrder, VenueOrderStatus
from domain.paper import PaperAccount, PaperOrder
from domain.ports import (
    AccountEvent,
    AccountEventKind,
    Balance,
    CancelOutcome,
    Clock,
    HeldToken,
    MarketData,
)
from venues.paper.engine import PaperEngine
from venues.paper.identity import paper_order_id
from venues.paper.ledger import PaperLedger
from venues.paper.resting import Look
from venues.paper.watch import MarketWatch

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
        clock: time of fills, holds and expirations.
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
        self._engine = PaperEngine(account, market_data, ledger, clock, self._config.start_usd)

    def venue_order_id(self, attempt: Attempt) -> VenueOrderId:
        """Return the paper id: a digest of every field of the attempt."""
        return paper_order_id(attempt)

    def prepare(self, attempt: Attempt) -> None:
        """Nothing is signed on paper."""

    async def place(self, attempt: Attempt) -> Answer:
        """Meet the live book, or be held before it. Never raises for a failed read of the market.

        Raises:
            StorageUnavailable: the paper ledger cannot be reached; nothing was registered.
        """
        return await self._engine.place(attempt, self.venue_order_id(attempt))

    async def find_order(self, venue_order_id: VenueOrderId, market_id: MarketId) -> VenueOrder | None:
        """Return the paper order, or None. A hold that is over ends here too, where no stream runs."""
        order = await self._find(venue_order_id)
        return None if order is None else order.as_venue_order()

    async def _find(self, venue_order_id: VenueOrderId) -> PaperOrder | None:
        order = await self._ledger.find(self._account, venue_order_id)
        if order is None or order.status is not VenueOrderStatus.DELAYED:
            return order
        await self._engine.release_due([order])
        return await self._ledger.find(self._account, venue_order_id)

    async def cancel(self, venue_order_id: VenueOrderId) -> CancelOutcome:
        """Cancel a resting order; repeating it is harmless. A held one cannot be canceled."""
        while (order := await self._find(venue_order_id)) is not None:
            if order.status.is_terminal:
                return CancelOutcome.ALREADY_TERMINAL
            if order.status is VenueOrderStatus.DELAYED:
                return CancelOutcome.NOT_CANCELABLE
            if await self._engine.end(order):
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

    async def meet(self, look: Look) -> None:
        """Let the resting orders of a token meet what was seen of its market; expired ones end."""
        await self._engine.meet(look)

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
        orders = await self._ledger.open_orders(self._account, None)
        await self._engine.release_due(orders)
        resting = {order.token_id for order in orders if order.status is VenueOrderStatus.LIVE}
        try:
            looks = await market.look(resting)
        except VenueError as error:
            _log.warning("paper.books_unavailable", code=error.code)
            return
        for look in looks:
            await self.meet(look)

    async def pay_out_resolved(self) -> None:
        """Turn held shares of resolved markets into collateral, and end what is open in a final market."""
        open_orders: dict[TokenId, list[PaperOrder]] = {}
        for order in await self._ledger.open_orders(self._account, None):
            open_orders.setdefault(order.token_id, []).append(order)
        owned = {each.token_id for each in await self._ledger.held_tokens(self._account)}
        for token_id in sorted(owned | open_orders.keys()):
            try:
                instrument = await self._market_data.instrument(token_id)
            except VenueError as error:
                _log.warning("paper.instrument_unavailable", code=error.code)
                continue
            if instrument.state.is_final:
                for order in open_orders.get(token_id, ()):
                    await self._end_surely(order)
            if instrument.payout is not None:
                await self._ledger.pay_out(self._account, token_id, instrument.payout)

    async def _end_surely(self, order: PaperOrder) -> None:
        """End an order of a final market, held or resting, whatever becomes of it meanwhile."""
        known: PaperOrder | None = order
        while known is not None and not known.status.is_terminal and not await self._engine.end(known):
            known = await self._ledger.find(self._account, order.venue_order_id)
