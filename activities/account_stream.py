"""The account stream's activity: user socket and REST sweep, booking facts until there is no business."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta

import structlog
from temporalio import activity

from activities.ingest import TRADES_MARGIN, Ingest
from activities.wallets import ask_wallets
from domain.errors import CredentialsMissing, StorageUnavailable, VenueError
from domain.fills import Fill
from domain.messages import StreamStart
from domain.ports import AccountEvent, AccountEventKind, Clock, Trading, Venues
from storage.repositories.ledger import Booked, BusyAccount, Ledger

log = structlog.get_logger()

# A venue tells one match in several messages, milliseconds apart. Each booking of its own would cost the
# order's host a signal and a workflow task of its own.
GATHERED_S = 0.02


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

        Every wallet of the account is followed: fills of orders that a former one signed come to it alone.

        Raises:
            VenueError: the socket cannot be opened; Temporal tries again.
        """
        follower = _Follower(start, self._venues, self._ledger, self._ingest, self._clock)
        try:
            while await self._follow(start, follower):
                log.info("stream.sessions_changed", account_id=start.account_id, venue=start.venue)
        except CredentialsMissing:
            log.warning("stream.no_credentials", account_id=start.account_id, venue=start.venue)

    async def _follow(self, start: StreamStart, follower: "_Follower") -> bool:
        """Follow the sessions of now; return whether others have taken their place."""
        again = False
        sessions = await follower.open_sessions()
        async with AsyncExitStack() as sockets:
            sources = [await sockets.enter_async_context(session.events()) for session in sessions]
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_heartbeat(start))
                    for events in sources:
                        group.create_task(follower.listen(events))
                    group.create_task(follower.book(group))
                    group.create_task(follower.sweep(self._sweep_min_s, self._sweep_max_s))
                    group.create_task(_stop_with_worker())
            except* _Done as done:
                log.info("stream.ends", account_id=start.account_id, reason=str(done.exceptions[0]))
            except* _Changed:
                again = True
        return again


class _Done(Exception):
    """The stream has nothing more to do here."""


class _Changed(Exception):
    """The account's sessions are others now: a wallet came, or credentials were rotated."""


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
        self, start: StreamStart, venues: Venues, ledger: Ledger, ingest: Ingest, clock: Clock
    ) -> None:
        self._start = start
        self._venues = venues
        self._sessions: tuple[Trading, ...] = ()
        self._ledger = ledger
        self._ingest = ingest
        self._clock = clock
        self._swept_to: dict[Trading, datetime] = {}
        self._sweep_now = asyncio.Event()
        self._facts: list[AccountEvent] = []
        self._facts_came = asyncio.Event()

    async def open_sessions(self) -> Sequence[Trading]:
        """Take the account's present sessions as those to follow. Raises CredentialsMissing."""
        self._sessions = await self._present_sessions()
        self._swept_to = {each: to for each, to in self._swept_to.items() if each in self._sessions}
        return self._sessions

    async def _present_sessions(self) -> tuple[Trading, ...]:
        start = self._start
        return tuple(await self._venues.sessions(start.account_id, start.venue, start.mode))

    async def listen(self, events: AsyncIterator[AccountEvent]) -> None:
        """Take each fact as it comes; a gap is left to the sweep."""
        async for event in events:
            if event.kind is AccountEventKind.GAP:
                self._sweep_now.set()
                continue
            self._facts.append(event)
            self._facts_came.set()

    async def book(self, group: asyncio.TaskGroup) -> None:
        """Book what came, all that is told within moments at once, and tell it while the next is booked."""
        while True:
            await self._facts_came.wait()
            await asyncio.sleep(GATHERED_S)
            self._facts_came.clear()
            facts, self._facts = self._facts, []
            try:
                booked = await self._record(facts)
            except StorageUnavailable as error:
                log.warning("stream.facts_left_to_sweep", facts=len(facts), error=str(error))
                self._sweep_now.set()
            else:
                group.create_task(self._ingest.tell(booked))

    async def _record(self, facts: Sequence[AccountEvent]) -> Booked:
        start = self._start
        return await self._ledger.book(
            start.account_id,
            start.venue,
            start.mode,
            fills=[event.fill for event in facts if event.fill is not None],
            orders=[event.order for event in facts if event.order is not None],
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
        if await self._present_sessions() != self._sessions:
            raise _Changed
        refs = await self._ledger.unsettled_orders(start.account_id, start.venue, start.mode)
        await self._ingest.look_up_all(refs)
        booked = await self._book_unswept(began)
        return bool(refs) or booked.new_entries > 0

    async def _book_unswept(self, began: datetime) -> Booked:
        """Book the fills of each wallet since it was swept last, or since the oldest one still unconfirmed.

        A wallet that the venue refuses is read from there on once it is served again.
        """
        start = self._start
        unconfirmed = await self._ledger.unconfirmed_since(start.account_id, start.venue, start.mode)

        async def unswept(session: Trading) -> Sequence[Fill]:
            known = self._swept_to.get(session) or began - timedelta(days=1)
            return await session.fills(after=min(known, unconfirmed or known) - TRADES_MARGIN)

        asked = await ask_wallets(self._sessions, unswept)
        fills = [fill for fills in asked.answers for fill in fills]
        booked = await self._ingest.book(start.account_id, start.venue, start.mode, fills=fills)
        self._swept_to |= {session: began for session, _ in asked.given}
        return booked
