"""The one way of venue facts into the ledger, whoever brought them: socket, sweep or look-up."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import structlog

from activities.position_news import PositionNews
from domain.errors import CredentialsMissing, StorageUnavailable, VenueError
from domain.fills import Fill
from domain.ids import AccountId, RuleId, adopting_order_id, hosted_rule
from domain.messages import (
    ORDER_REVISION,
    EventRow,
    OrderRef,
    OrderStart,
    RuleRow,
    RuleStatus,
    Severity,
    Tuning,
)
from domain.money import plain
from domain.orders import Instrument, Mode, Purpose, Side, TimeInForce, VenueOrder
from domain.ports import Signals, Venues
from domain.rules.selling import lowest_price_fired
from storage.repositories.ledger import Booked, Ledger, Reversed
from storage.repositories.projections import Projections
from storage.repositories.rules import Rules

log = structlog.get_logger()

# Venue and host clocks may differ, and trades are filtered by whole seconds.
TRADES_MARGIN = timedelta(seconds=60)


# Rules that ended so sold what they were to sell; what the venue takes back of it is sold again. After a
# cancel or an expiry the position is its owner's business.
_SELLS_AGAIN = frozenset({RuleStatus.TRIGGERED, RuleStatus.FAILED})


class Ingest:
    """Books facts, then tells hosts and rules. Booking again changes nothing and tells nobody.

    What could not be told (Temporal or the venue was away) is told after a later booking, which the streams'
    sweeps make sure of.
    """

    def __init__(
        self,
        ledger: Ledger,
        rules: Rules,
        venues: Venues,
        signals: Signals,
        projections: Projections,
        *,
        tuning: Tuning | None = None,
    ) -> None:
        """Take the ledger, the ways out, the event log, and the durations of orders that are started here."""
        self._ledger = ledger
        self._rules = rules
        self._venues = venues
        self._signals = signals
        self._projections = projections
        self._tuning = tuning or Tuning()
        self._news = PositionNews(rules, signals)
        self._untold: list[Booked] = []

    async def book(
        self,
        account_id: AccountId,
        venue: str,
        mode: Mode,
        *,
        fills: Sequence[Fill] = (),
        orders: Sequence[VenueOrder] = (),
    ) -> Booked:
        """Book facts in one transaction, then signal what they change.

        Raises:
            StorageUnavailable: nothing was booked.
        """
        booked = await self._ledger.book(account_id, venue, mode, fills, orders)
        await self.tell(booked)
        return booked

    async def tell(self, booked: Booked) -> None:
        """Signal what a booking changed; what cannot be told now is told after a later one."""
        waiting, self._untold = [*self._untold, booked], []
        while waiting:
            facts = waiting.pop(0)
            try:
                await self._tell_hosts(facts)
            except (ConnectionError, VenueError, CredentialsMissing, StorageUnavailable) as error:
                log.warning("facts.not_told", error=str(error))
                self._untold.append(facts)
            except asyncio.CancelledError:  # a reversal is booked only once, and must not be forgotten
                self._untold += [facts, *waiting]
                raise
            except BaseException:  # a fault of ours: it is raised once, and holds up nothing else
                self._untold += waiting
                raise
        try:
            await self._news.tell()
        except (ConnectionError, StorageUnavailable) as error:
            log.warning("position.not_told", error=str(error))

    async def _tell_hosts(self, booked: Booked) -> None:
        """Signal hosts, and take in what their rules' positions hold now; all of it can be repeated."""
        alive = await self._hear_with_their_answer(booked)
        for host in booked.hosts:
            if host not in alive and await self._signals.order_update(host):
                alive.add(host)
        for reversal in booked.reversals:
            if reversal.host_workflow_id is not None and reversal.host_workflow_id not in alive:
                await self._adopt(reversal, reversal.host_workflow_id)
        for key, holding in booked.changed_positions:
            self._news.take(key, holding, alive)

    async def take_up(self, reversal: Reversed) -> None:
        """Tell a reversal that was booked earlier, by whoever; all of it can be repeated.

        Raises:
            ConnectionError: Temporal is away.
            VenueError: The venue could not be asked what the shares trade by, or who holds them.
            CredentialsMissing: The account has no usable credentials.
            StorageUnavailable: Postgres cannot be reached now.
        """
        hosts = () if reversal.host_workflow_id is None else (reversal.host_workflow_id,)
        await self._tell_hosts(Booked(hosts=hosts, reversals=(reversal,)))

    async def _hear_with_their_answer(self, booked: Booked) -> set[str]:
        """Return the hosts whose order is being sent: a signal would cost each a task that does nothing."""
        if not booked.sending:
            return set()
        taken_back = {reversal.host_workflow_id for reversal in booked.reversals}
        try:
            return await self._ledger.still_sending(booked.sending) - taken_back
        except StorageUnavailable as error:
            log.warning("hosts.told_to_be_sure", error=str(error))
            return set()

    async def _adopt(self, reversal: Reversed, host: str) -> None:
        """Start an order for shares that came back after their exit had ended."""
        entry, rule_id = reversal.entry, hosted_rule(host)
        rule = await self._rules.find_any(rule_id) if rule_id is not None else None
        owners_business = rule is not None and rule.status not in _SELLS_AGAIN
        if entry.side is not Side.SELL or owners_business:
            log.error("fill.reversed_without_host", host=host, fill_key=entry.fill_key, side=entry.side.value)
            await self._projections.tell(_left_to_owner(reversal, rule_id))
            return
        instrument = await self._venues.market_data(entry.venue).instrument(entry.token_id)
        start = OrderStart(
            order_id=adopting_order_id(entry.fill_key, entry.account_id),
            account_id=entry.account_id,
            mode=entry.mode,
            venue=entry.venue,
            instrument=instrument,
            wallet=await self._venues.wallet(
                entry.account_id, entry.venue, entry.mode, holding=entry.token_id
            ),
            side=Side.SELL,
            purpose=Purpose.EXIT,
            time_in_force=TimeInForce.FAK,
            shares=entry.shares,
            budget_usd=None,
            limit_price=_lowest_price(rule, instrument),
            adopts=True,
            created_at=entry.traded_at,
            tuning=self._tuning,
            revision=ORDER_REVISION,
        )
        await self._signals.adopt_order(start)
        log.error("fill.reversed_and_adopted", host=host, fill_key=entry.fill_key, order_id=start.order_id)

    async def look_up(self, ref: OrderRef) -> VenueOrder | None:
        """Ask the venue about one order, book its answer with the fills that belong to it, return it.

        Raises:
            VenueError: the venue could not be asked.
        """
        trading = await self._venues.trading(ref.account_id, ref.venue, ref.mode, ref.wallet_id)
        order = await trading.find_order(ref.venue_order_id, ref.market_id)
        after = datetime.fromtimestamp(ref.placed_at_ms / 1000, UTC) - TRADES_MARGIN
        fills = await trading.fills(after=after, market_id=ref.market_id)
        own = [fill for fill in fills if fill.venue_order_id == ref.venue_order_id]
        if order is not None or own:
            orders = [order] if order is not None else []
            await self.book(ref.account_id, ref.venue, ref.mode, fills=own, orders=orders)
        return order

    async def look_up_all(self, refs: Sequence[OrderRef]) -> None:
        """Look several orders up; one of which nobody can say anything stops none of the others."""
        for ref in refs:
            try:
                await self.look_up(ref)
            except (CredentialsMissing, VenueError) as error:
                log.warning("order.look_up_failed", order_id=ref.order_id, code=error.code)


def _left_to_owner(reversal: Reversed, rule_id: RuleId | None) -> EventRow:
    """Return the alarm for a fill that was taken back and that nobody makes good."""
    entry = reversal.entry
    shares, token = plain(entry.shares), entry.token_id
    if entry.side is Side.SELL:
        what = f"a sale of {shares} shares of {token}: they are held again, and nothing sells them"
    else:
        what = f"a purchase of {shares} shares of {token}: they are not held any more"
    return EventRow(
        event_key=f"fill.reversed/{entry.fill_key}",
        account_id=entry.account_id,
        rule_id=rule_id,
        order_id=reversal.order_id,
        type="fill.reversed",
        severity=Severity.ALARM,
        message=f"The venue took back {what}.",
        data={
            "token_id": token,
            "shares": shares,
            "side": entry.side.value,
            "venue": entry.venue,
            "mode": entry.mode.value,
        },
    )


def _lowest_price(rule: RuleRow | None, instrument: Instrument) -> Decimal:
    """A target never sells below its level, its floor holds for any rule; all else sells at any price."""
    if rule is None:
        return instrument.tick
    level = None if rule.resolved is None else lowest_price_fired(rule.fired, rule.resolved)
    bounds = (instrument.tick, rule.definition.floor, level)
    return max(price for price in bounds if price is not None)
