"""Leases: of the feeds that see one shard exactly one writes its tape, fenced against the others.

The rows of a venue are one layout, as many shards as it is cut into. The first feed of another layout lays
the rows anew; nothing is forgotten by that, since every new row begins where the oldest former one ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
from pydantic import TypeAdapter

from domain.messages import FeedShard
from storage.database import Database
from storage.records import read_all
from storage.repositories.tape import FeedGap, TapeEntry, write_changes, write_gaps


class LeaseLost(Exception):
    """Another feed writes the tape of this shard by now."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write, as long as nobody else was given a higher fence.

    Attributes:
        seen_until: up to when the tape holds what was seen, as the holder knows; None before the first feed.
    """

    fence: int
    seen_until: datetime | None

    def written(self, until: datetime) -> "Lease":
        """Return the lease after a write; a clock that was set back takes nothing back."""
        return Lease(self.fence, until if self.seen_until is None else max(until, self.seen_until))


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseState:
    """A shard's row.

    Attributes:
        free: its holder was quiet for too long, or it was given back and the one who asked did not come.
        standby_sees: a feed that comes after the reader reported lately, and may have seen what nobody wrote.
    """

    shards: int
    revision: int
    fence: int
    replica: int | None
    wanted_by: int | None
    free: bool
    standby_sees: bool = False
    seen_until: datetime | None

    def is_open_to(self, replica: int) -> bool:
        """Whether a replica may take it: its own one, a forgotten one, or one given back for it."""
        given_back = self.replica is None and self.wanted_by in (None, replica)
        return self.free or given_back or self.replica == replica


_LEASE = TypeAdapter(Lease)
_STATE = TypeAdapter(LeaseState)
_FREE = "renewed_at < clock_timestamp() - $2::interval AS free"
_READ = f"""SELECT shards, revision, fence, replica, wanted_by, {_FREE}, seen_until,
        EXISTS (
            SELECT 1 FROM feed_status AS s
            WHERE (s.venue, s.shard, s.shards) = (l.venue, l.shard, l.shards)
                AND s.replica > $4 AND s.at > clock_timestamp() - $2::interval
        ) AS standby_sees
    FROM feed_leases AS l WHERE venue = $1 AND shard = $3"""  # noqa: S608 - fixed text
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('feed_leases ' || $1, 0))"
_LAYOUT = """SELECT shards, revision, fence, replica, wanted_by, FALSE AS free, seen_until FROM feed_leases
    WHERE venue = $1 FOR UPDATE"""
_CLEAR = "DELETE FROM feed_leases WHERE venue = $1"
_FORGET_REPORTS = "DELETE FROM feed_status WHERE venue = $1 AND shard >= $2"
_LAY = """INSERT INTO feed_leases (venue, shard, shards, revision, fence, renewed_at, seen_until)
    SELECT $1, shard, $2, $3, $4, clock_timestamp(), $5 FROM generate_series(0, $2 - 1) AS shard"""
_TAKE = """UPDATE feed_leases SET replica = $3, fence = fence + 1, wanted_by = NULL,
        renewed_at = clock_timestamp()
    WHERE venue = $1 AND shard = $2 RETURNING fence, seen_until"""
_WANT = """UPDATE feed_leases SET wanted_by = $3 WHERE venue = $1 AND shard = $2
    AND (wanted_by IS NULL OR wanted_by > $3)"""
_RENEW = """UPDATE feed_leases SET renewed_at = clock_timestamp(), seen_until = GREATEST(seen_until, $5)
    WHERE venue = $1 AND shard = $2 AND replica = $3 AND fence = $4
    RETURNING old.seen_until AS before, wanted_by"""
_GIVE_BACK = """UPDATE feed_leases SET replica = NULL, renewed_at = clock_timestamp()
    WHERE venue = $1 AND shard = $2 AND replica = $3 AND fence = $4"""


class FeedLeases:
    """The leases of all shards, and the writing under them.

    Args:
        database: where they stand.
        life: how long a lease holds without being renewed.
    """

    def __init__(self, database: Database, *, life: timedelta) -> None:
        self._database = database
        self._life = life

    async def newest_revision(self) -> int:
        """Return the revision of the newest layout that stands, -1 without any.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.hot.connection() as connection:
            newest = await connection.fetchval("SELECT MAX(revision) FROM feed_leases")
        return newest if isinstance(newest, int) else -1

    async def read(self, shard: FeedShard) -> LeaseState | None:
        """Return a shard's row, None where there is none of its layout.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.hot.connection() as connection:
            return await self._state(connection, shard)

    async def seen_until(self, shard: FeedShard) -> datetime | None:
        """Return up to when the tape holds what was seen of a shard, None before the first feed.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.hot.connection() as connection:
            state = await self._state(connection, shard)
            if state is not None:
                return state.seen_until
            layout = read_all(_STATE, await connection.fetch(_LAYOUT, shard.venue))
        return _oldest_sight(layout)

    async def take(self, shard: FeedShard) -> Lease | None:
        """Return the lease when it is to be had, else ask its holder for it, if that comes after this one.

        Only the first feed of a shard changes the layout, and only to a newer one.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.hot.transaction() as connection:
            await connection.fetchval(_LOCK, shard.venue)
            state = await self._state(connection, shard)
            if state is None:
                if not await self._lay_out(connection, shard):
                    return None
                state = await self._state(connection, shard)
            if state is None:
                raise AssertionError("the layout was laid in this transaction")
            if not state.is_open_to(shard.replica):
                if state.replica is None or shard.replica < state.replica:
                    await connection.execute(_WANT, shard.venue, shard.shard, shard.replica)
                return None
            taken = await connection.fetch(_TAKE, shard.venue, shard.shard, shard.replica)
        return read_all(_LEASE, taken)[0]

    async def write(
        self,
        shard: FeedShard,
        lease: Lease,
        *,
        until: datetime,
        changes: Sequence[TapeEntry],
        gaps: Sequence[FeedGap],
    ) -> bool:
        """Write what was seen up to a time, all of it or nothing, and renew the lease.

        Args:
            shard: whose tape.
            lease: as `take` gave it, with the `until` of the last write that is known to have succeeded. A
                row that says more tells of one whose answer was lost: what that wrote is left out.
            until: whatever was seen before is on the tape after this.
            changes: in the order in which they were seen.
            gaps: that ended since.

        Returns:
            Whether a feed that comes before this one asks for the lease.

        Raises:
            LeaseLost: another feed was given it.
            StorageUnavailable: Postgres cannot be reached now; the outcome is unknown.
        """
        async with self._database.hot.transaction() as connection:
            row = await connection.fetchrow(
                _RENEW, shard.venue, shard.shard, shard.replica, lease.fence, until
            )
            if row is None:
                raise LeaseLost
            written = row["before"]
            if isinstance(written, datetime) and written != lease.seen_until:
                changes = [change for change in changes if change.ts > written]
                gaps = [gap for gap in gaps if gap.ended_at > written]
            await write_changes(connection, changes)
            await write_gaps(connection, gaps)
        wanted_by = row["wanted_by"]
        return isinstance(wanted_by, int) and wanted_by < shard.replica

    async def give_back(self, shard: FeedShard, lease: Lease) -> None:
        """Let another feed have it at once; the one that asked for it comes first.

        Raises:
            StorageUnavailable: Postgres cannot be reached now; then it runs out by itself.
        """
        async with self._database.hot.connection() as connection:
            await connection.execute(_GIVE_BACK, shard.venue, shard.shard, shard.replica, lease.fence)

    async def _state(self, connection: asyncpg.Connection, shard: FeedShard) -> LeaseState | None:
        rows = await connection.fetch(_READ, shard.venue, self._life, shard.shard, shard.replica)
        states = read_all(_STATE, rows)
        return states[0] if states and states[0].shards == shard.shards else None

    async def _lay_out(self, connection: asyncpg.Connection, shard: FeedShard) -> bool:
        """Cut the venue as this feed is told, unless it is a standby or the standing layout is as new."""
        rows = read_all(_STATE, await connection.fetch(_LAYOUT, shard.venue))
        newest = max((row.revision for row in rows), default=-1)
        if shard.replica or shard.revision <= newest:
            return False
        fence = max((row.fence for row in rows), default=0) + 1
        await connection.execute(_CLEAR, shard.venue)
        await connection.execute(_FORGET_REPORTS, shard.venue, shard.shards)
        await connection.execute(_LAY, shard.venue, shard.shards, shard.revision, fence, _oldest_sight(rows))
        return True


def _oldest_sight(layout: Sequence[LeaseState]) -> datetime | None:
    return min((row.seen_until for row in layout if row.seen_until is not None), default=None)
