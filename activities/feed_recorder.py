"""What a feed writes, once a second: changes of books, marks, gaps. Of the feeds of a shard one writes.

A standby sees the same and keeps it until the writer's has arrived. When it takes over it writes what the
tape does not hold yet, so that nothing is missing between the two; the first feed of the shard asks for the
lease back when it sees again.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

import structlog

from activities.feed_gaps import Blind, GapLog, GapReason
from activities.feed_tape import MarkBatch, TapeBatch
from domain.errors import StorageUnavailable
from domain.messages import FeedShard
from domain.ports import Clock
from domain.rules.watch import TrailMark
from storage.repositories.feed_leases import FeedLeases, Lease, LeaseLost, LeaseState
from storage.repositories.watches import Watches

log = structlog.get_logger()

# Two feeds see a change at times of their own: at a hand-over rather twice on the tape than never.
OVERLAP = timedelta(milliseconds=500)
# A writer whose socket is silent finds its marks in REST books, by the check of silence; meanwhile a standby
# may hold higher ones. Marks written twice do no harm.
MARKS_KEPT = timedelta(minutes=1)


class FeedSuperseded(Exception):
    """The same feed runs elsewhere by now: this one is a remnant and has to end."""


class Recorder:
    """The writing side of one session of a feed."""

    def __init__(
        self, shard: FeedShard, *, leases: FeedLeases, watches: Watches, clock: Clock, reason: GapReason
    ) -> None:
        """Take where to write, and why nobody saw before this session when nobody did."""
        self._shard = shard
        self._leases = leases
        self._clock = clock
        self._reason = reason
        self._lease: Lease | None = None
        self._held_before = False
        self._live_since: datetime | None = None
        self._marks = MarkBatch(watches)
        self.batch = TapeBatch(shard.venue)
        self.gaps = GapLog(shard)

    @property
    def writes(self) -> bool:
        """Whether it holds the lease of the shard."""
        return self._lease is not None

    async def last_sight(self) -> Blind | None:
        """Return since when the tape does not tell what was to be seen, None when nobody ever saw.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        since = await self._leases.seen_until(self._shard)
        return None if since is None else Blind(since, self._reason)

    def live(self) -> None:
        """Take in that the feed sees from now on."""
        self._live_since = self._clock.now()

    async def flush(self, marks: Iterable[TrailMark], until: datetime | None = None) -> None:
        """Write what waits, when it is this feed's to write; what fails is kept for the next time.

        Args:
            marks: that moved since the last call.
            until: up to when the feed saw; now unless said.

        Raises:
            FeedSuperseded: the same feed runs elsewhere.
        """
        self._marks.add(marks, self._clock.now())
        try:
            if self._lease is None:
                await self._stand_by()
            if self._lease is not None:
                await self._write(self._lease, until or self._clock.now())
        except StorageUnavailable as error:
            log.warning("feed.flush_failed", error=str(error), rows=len(self.batch))

    async def give_back(self) -> None:
        """Let another feed of the shard write at once; what is not written by now is the others' to write."""
        lease, self._lease = self._lease, None
        if lease is None:
            return
        try:
            await self._leases.give_back(self._shard, lease)
        except StorageUnavailable as error:
            log.warning("feed.lease_runs_out", error=str(error))

    async def _stand_by(self) -> None:
        """Forget what the writer has written; take the lease when it is to be had and this feed sees."""
        state = await self._leases.read(self._shard)
        if state is not None and state.seen_until is not None:
            self._forget(state.seen_until)
        if self._live_since is None:
            return
        if state is not None and state.replica == self._shard.replica and self._held_before:
            raise FeedSuperseded
        if state is not None and self._is_the_standbys(state, self._live_since):
            return
        if state is None or state.is_open_to(self._shard.replica) or self._comes_before(state.replica):
            lease = await self._leases.take(self._shard)
            if lease is not None:
                self._begin(lease, self._live_since)

    def _is_the_standbys(self, state: LeaseState, live_since: datetime) -> bool:
        """Whether a standby has seen what came before this feed saw: it shall write that first.

        It takes the lease when nobody renews it, and gives it back when it is asked to.
        """
        held_by_another = state.replica not in (None, self._shard.replica)
        missed = state.seen_until is not None and state.seen_until < live_since
        return state.standby_sees and missed and not held_by_another

    def _comes_before(self, replica: int | None) -> bool:
        return replica is None or self._shard.replica < replica

    def _begin(self, lease: Lease, live_since: datetime) -> None:
        """Go on where the tape ends; what nobody saw in between is a gap."""
        self._lease, self._held_before = lease, True
        if lease.seen_until is not None:
            self._forget(lease.seen_until)
            if lease.seen_until < live_since:
                self.gaps.end(Blind(lease.seen_until, self._reason), live_since)
        log.info("feed.writes_tape", venue=self._shard.venue, shard=self._shard.shard, fence=lease.fence)

    def _forget(self, seen_until: datetime) -> None:
        """Drop what another feed has written."""
        self.batch.forget(seen_until - OVERLAP)
        self.gaps.forget(seen_until)
        self._marks.forget(seen_until - MARKS_KEPT)

    async def _write(self, lease: Lease, until: datetime) -> None:
        changes, gaps = self.batch.take(), self.gaps.take()
        try:
            wanted = await self._leases.write(self._shard, lease, until=until, changes=changes, gaps=gaps)
        except BaseException as error:
            self.batch.put_back(changes)
            self.gaps.put_back(gaps)
            if not isinstance(error, LeaseLost):
                raise
            log.warning("feed.lease_lost", venue=self._shard.venue, shard=self._shard.shard)
            self._lease = None
            return
        self._lease = lease.written(until)
        self._tell_dropped()
        await self._marks.flush()
        if wanted:
            await self.give_back()

    def _tell_dropped(self) -> None:
        """What the tape lacks is a gap of it, though the feed saw: told once, now that the tape goes on."""
        dropped = self.batch.take_dropped()
        if dropped is not None:
            log.warning("feed.tape_rows_dropped", rows=dropped.rows)
            self.gaps.end(Blind(dropped.first, GapReason.TAPE_FULL), dropped.last)
