"""The one way of venue facts into the ledger, whoever brought them: socket, sweep or look-up."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import structlog
from storage.repositories.rules import Rules

from domain.fills import Fill
from domain.ids import AccountId, OrderId
from domain.messages import OrderRef, PositionChanged
from domain.orders import Mode, VenueOrder
from domain.ports import Signals, Venues
from storage.repositories.ledger import Booked, Ledger

log = structlog.get_logger()

# Venue and host clocks may differ, and trades are filtered by whole seconds.
TRADES_MARGIN = timedelta(seconds=60)


class Ingest:
    """Books facts, then tells hosts and rules. Booking again changes nothing and tells nobody."""

    def __init__(self, ledger: Ledger, rules: Rules, venues: Venues, signals: Signals) -> None:
        """Take the ledger and the ways out."""
        self._ledger = ledger
        self._rules = rules
        self._venues = venues
        self._signals = signals

    async def book(
        self,
        account_id: AccountId,
        venue: str,
        mode: Mode,
        *,
        fills: Sequence[Fill] = (),
        orders: Sequence[VenueOrder] = (),
    ) -> Booked:
        """Book facts in one transaction, then signal what they change."""
        booked = await self._ledger.book(account_id, venue, mode, fills, orders)
        await self._tell(booked)
        return booked

    async def _tell(self, booked: Booked) -> None:
        for host in booked.hosts:
            if not await self._signals.order_update(host):
                log.info("order.host_closed", host=host)
        for key, holding in booked.changed_positions:
            change = PositionChanged(holding=holding)
            for rule_id in await self._rules.open_rules_on(key):
                await self._signals.position_changed(rule_id, change)

    async def look_up(self, ref: OrderRef) -> VenueOrder | None:
        """Ask the venue about one order, book its answer with the fills that belong to it, return it.

        Raises:
            VenueError: the venue could not be asked.
        """
        trading = await self._venues.trading(ref.account_id, ref.venue, ref.mode)
        order = await trading.find_order(ref.venue_order_id, ref.market_id)
        after = datetime.fromtimestamp(ref.placed_at_ms / 1000, UTC) - TRADES_MARGIN
        fills = await trading.fills(after=after, market_id=ref.market_id)
        own = [fill for fill in fills if fill.venue_order_id == ref.venue_order_id]
        if order is not None or own:
            orders = [order] if order is not None else []
            await self.book(ref.account_id, ref.venue, ref.mode, fills=own, orders=orders)
        return order

    async def look_up_all(self, refs: Sequence[OrderRef]) -> dict[OrderId, VenueOrder | None]:
        """Look several orders up, one after another: a sweep is never in a hurry."""
        return {ref.order_id: await self.look_up(ref) for ref in refs}
