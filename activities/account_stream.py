"""The account stream's activity: user socket and REST sweep, booking facts until there is no business."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import structlog
from temporalio import activity

from activities.ingest import TRADES_MARGIN, Ingest
from domain.errors import CredentialsMissing, StorageUnavailable, VenueError
from domain.messages import StreamStart
from domain.ports import AccountEvent, AccountEventKind, Clock, Trading, Venues
from storage.repositories.ledger import BusyAccount, Ledger

log = structlog.get_logger()


class AccountStreamActivities:
    """Follows one account at one venue."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        ingest: Ingest,
        venues: Venues,
        clock: Clock,
        sweep_min_s: float = 5.0,
        sweep_max_s: float = 60.0,
    ) -> None:
        """Take the ports and the sweep's pace in seconds."""
        self._ledger = ledger
        self._ingest = ingest
        self._venues = venues
        self._clock = clock
        self._sweep_min_s = sweep_min_s
        self._sweep_max_s = sweep_max_s

    @activity.defn
    async def run_stream(self, start: StreamStart) -> None:
        """Stream until nothing is unsettled and no position is open, or the worker stops.

        Raises:
            VenueError: the socket cannot be opened; Temporal tries again.
        """
        try:
            trading = await self._venues.trading(start.account_id, start.venue, start.mode)
        except CredentialsMissing:
            log.warning("stream.no_credentials", account_id=start.account_id, venue=start.venue)
            return
        follower = _Follower(start, trading, self._ledger, self._ingest, self._clock)
        async with trading.events() as events:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_heartbeat(start))
                    group.create_task(follower.listen(events))
                    group.create_task(follower.sweep(self._sweep_min_s, self._sweep_max_s))
                    group.create_task(_stop_with_worker())
            except* _Done as done:
                log.info("stream.ends", account_id=start.account_id, reason=str(done.exceptions[0]))


class _Done(Exception):
    """The stream has nothing more to do here."""


async def _heartbeat(start: StreamStart) -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(start.heartbeat_ms / 1000 / 3)


async def _stop_with_worker() -> None:
    await activity.wait_for_worker_shutdown()
    raise _Done("the worker stops")


class _Follower:
    """Books what the socket tells, and asks by REST for what it may have missed."""

    def __init__(
        self, start: StreamStart, trading: Trading, ledger: Ledger, ingest: Ingest, clock: Clock
    ) -> None:
        self._start = start
        self._trading = trading
        self._ledger = ledger
        self._ingest = ingest
        self._clock = clock
        self._swept_to: datetime | None = None
        self._sweep_now = asyncio.Event()

    async def listen(self, events: AsyncIterator[AccountEvent]) -> None:
        """Book each fact as it comes; what cannot be booked now is left to the sweep."""
        async for event in events:
            if event.kind is AccountEventKind.GAP:
                self._sweep_now.set()
                continue
            try:
                await self._book(event)
            except StorageUnavailable as error:
                log.warning("stream.fact_left_to_sweep", error=str(error))
                self._sweep_now.set()

    async def _book(self, event: AccountEvent) -> None:
        start = self._start
        await self._ingest.book(
            start.account_id,
            start.venue,
            start.mode,
            fills=[event.fill] if event.fill is not None else [],
            orders=[event.order] if event.order is not None else [],
        )

    async def sweep(self, least_s: float, most_s: float) -> None:
        """Ask for unsettled orders and new fills, less often while nothing comes of it."""
        wait_s = least_s
        while True:
            self._sweep_now.clear()
            try:
                news = await self._sweep_once()
            except (StorageUnavailable, VenueError) as error:
                log.warning("stream.sweep_failed", account_id=self._start.account_id, error=str(error))
                news = True
            wait_s = least_s if news else min(wait_s * 2, most_s)
            try:
                async with asyncio.timeout(wait_s):
                    await self._sweep_now.wait()
            except TimeoutError:
                continue

    async def _sweep_once(self) -> bool:
        """Return whether the sweep booked anything new; ends the stream when there is no business."""
        start = self._start
        began = self._clock.now()
        mine = BusyAccount(account_id=start.account_id, venue=start.venue, mode=start.mode)
        if mine not in await self._ledger.busy_accounts():
            raise _Done("nothing is unsettled and no position is open")
        refs = await self._ledger.unsettled_orders(start.account_id, start.venue, start.mode)
        await self._ingest.look_up_all(refs)
        after = await self._unswept()
        fills = await self._trading.fills(after=after)
        booked = await self._ingest.book(start.account_id, start.venue, start.mode, fills=fills)
        self._swept_to = began
        return bool(refs) or booked.new_entries > 0

    async def _unswept(self) -> datetime:
        """Return from when on fills must be read: the last sweep, or the oldest fill still unconfirmed."""
        start = self._start
        unconfirmed = await self._ledger.unconfirmed_since(start.account_id, start.venue, start.mode)
        known = self._swept_to or self._clock.now() - timedelta(days=1)
        return min(known, unconfirmed or known) - TRADES_MARGIN
