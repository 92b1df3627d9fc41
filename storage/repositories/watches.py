"""What the feed watches: read in full, then by a visible edge; and the marks of trailing conditions."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
from pydantic import TypeAdapter

from domain.messages import WatchRow
from domain.rules.watch import TrailMark
from storage.database import Database
from storage.hints import listen
from storage.records import read_all
from storage.repositories.projections import WATCHES
from storage.shards import in_shard


@dataclass(frozen=True, slots=True)
class SavedMarks:
    """Marks of rules, all named by the generation that is armed now.

    Attributes:
        carried: those with which it was armed: the newest of the generations before it.
        reached: how high the price went since.
    """

    carried: tuple[TrailMark, ...] = ()
    reached: tuple[TrailMark, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Armed:
    rule_id: str
    armed_at: datetime


ROWS_IN_ONE_GO = 1_000

_ROW = TypeAdapter(WatchRow)
_MARK = TypeAdapter(TrailMark)
_MARKS = TypeAdapter(tuple[TrailMark, ...])
_ARMED = TypeAdapter(_Armed)

_COLUMNS = (
    "w.rule_id, w.account_id, w.mode, w.venue, w.token_id, w.generation, w.armed, w.not_before_ms,"
    " w.resolved, w.shares, w.version, w.marks_from"
)
_IN_SHARD = in_shard("w.token_id", shard="$2", shards="$3")
# Transactions below the snapshot's xmin are over and all that they wrote is seen; one at or above it may
# still commit with a lower id than rows that are seen already. So the next read begins at the edge itself.
_EDGE = "pg_snapshot_xmin(pg_current_snapshot())::text AS edge"
_SNAPSHOT = f"""SELECT {_EDGE}, {_COLUMNS} FROM (VALUES (1)) AS one LEFT JOIN watches AS w
    ON w.venue = $1 AND w.armed AND {_IN_SHARD}"""  # noqa: S608 - fixed text
_CHANGED = f"""SELECT {_EDGE}, {_COLUMNS} FROM (VALUES (1)) AS one LEFT JOIN watches AS w
    ON w.venue = $1 AND w.changed_xid >= $4::text::xid8
    AND {_IN_SHARD}"""  # noqa: S608
_ARMED_SINCE = "SELECT rule_id, armed_at FROM watches WHERE rule_id = ANY($1::text[])"
_ARMED_GENERATION = "SELECT generation FROM watches WHERE rule_id = $1 AND armed"
_SAVE_MARKS = """INSERT INTO trail_marks AS t (rule_id, generation, condition_index, mark, active)
    SELECT rule_id, generation, condition_index, mark, active
    FROM jsonb_populate_recordset(NULL::trail_marks, $1::jsonb)
    ON CONFLICT (rule_id, generation, condition_index) DO UPDATE SET
        mark = GREATEST(t.mark, EXCLUDED.mark), active = t.active OR EXCLUDED.active, updated_at = now()"""
# The present generation's marks, and the newest of those before it.
_LOAD_MARKS = """SELECT DISTINCT ON (t.rule_id, t.condition_index, carried)
        t.rule_id, w.generation, t.condition_index, t.mark, t.active, t.generation < w.generation AS carried
    FROM trail_marks AS t JOIN watches AS w ON w.rule_id = t.rule_id AND t.generation <= w.generation
        AND t.generation >= w.marks_from
    WHERE t.rule_id = ANY($1::text[])
    ORDER BY t.rule_id, t.condition_index, carried, t.generation DESC"""
_PRUNE = """WITH closed AS (
        SELECT r.rule_id FROM rules AS r WHERE r.phase = 'done' AND r.updated_at < $1
    ), marks AS (DELETE FROM trail_marks AS t USING closed AS c WHERE t.rule_id = c.rule_id RETURNING 1),
    gone AS (
        DELETE FROM watches AS w USING closed AS c WHERE w.rule_id = c.rule_id AND NOT w.armed RETURNING 1
    )
    SELECT (SELECT count(*) FROM marks) + (SELECT count(*) FROM gone)"""


class Watches:
    """Reads watches and keeps marks. Watches are written by `Projections` and `Claims`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def snapshot(self, venue: str, shard: int = 0, shards: int = 1) -> tuple[list[WatchRow], int]:
        """Return every armed watch of a shard, and the edge from which `changed_since` reads on.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.hot.connection() as connection:
            rows = await connection.fetch(_SNAPSHOT, venue, shard, shards)
        return await _with_edge(rows)

    async def changed_since(
        self, edge: int, venue: str, shard: int = 0, shards: int = 1
    ) -> tuple[list[WatchRow], int]:
        """Return the watches, armed or not, that may have changed since `edge`, and the next edge.

        A row may come again though it did not change; its version tells.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.hot.connection() as connection:
            rows = await connection.fetch(_CHANGED, venue, shard, shards, str(edge))
        return await _with_edge(rows)

    async def listen(self, on_hint: Callable[[], None]) -> None:
        """Call `on_hint` whenever watches may have changed; runs until cancelled, reconnecting by itself."""
        await listen(self._database, WATCHES, on_hint)

    async def armed_since(self, rule_ids: Collection[str]) -> dict[str, datetime]:
        """Return when the present generation of each rule was armed."""
        async with self._database.hot.connection() as connection:
            rows = await connection.fetch(_ARMED_SINCE, list(rule_ids))
        return {line.rule_id: line.armed_at for line in read_all(_ARMED, rows)}

    async def armed_generation(self, rule_id: str) -> int | None:
        """Return the generation that a rule's watch has now; None for one that is not armed.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.hot.connection() as connection:
            found = await connection.fetchval(_ARMED_GENERATION, rule_id)
        return found if isinstance(found, int) else None

    async def save_marks(self, marks: Iterable[TrailMark]) -> None:
        """Keep marks; a mark never goes down and an active trail stays active.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        # In a fixed order, so that two feeds that write the same marks never wait in a circle.
        ordered = tuple(sorted(marks, key=lambda mark: (mark.rule_id, mark.generation, mark.condition_index)))
        if not ordered:
            return
        async with self._database.hot.connection() as connection:
            await connection.fetchval(_SAVE_MARKS, _MARKS.dump_json(ordered).decode())

    async def load_marks(self, rule_ids: Collection[str]) -> SavedMarks:
        """Return the marks of rules; arming again keeps a mark.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.hot.connection() as connection:
            rows = await connection.fetch(_LOAD_MARKS, list(rule_ids))
        return SavedMarks(
            carried=tuple(read_all(_MARK, [row for row in rows if row["carried"]])),
            reached=tuple(read_all(_MARK, [row for row in rows if not row["carried"]])),
        )

    async def prune(self, closed_before: datetime) -> int:
        """Remove watches and marks of rules that closed before a time; return how many rows went."""
        async with self._database.hot.connection() as connection:
            removed = await connection.fetchval(_PRUNE, closed_before)
        return removed if isinstance(removed, int) else 0


async def _with_edge(rows: Sequence[asyncpg.Record]) -> tuple[list[WatchRow], int]:
    """Return the watches and the edge; many of them are read in slices, so that a feed's heartbeats go on."""
    edge = int(str(rows[0]["edge"]))
    found: list[WatchRow] = []
    for start in range(0, len(rows), ROWS_IN_ONE_GO):
        some = rows[start : start + ROWS_IN_ONE_GO]
        found += read_all(_ROW, [row for row in some if row["rule_id"] is not None])
        await asyncio.sleep(0)
    return found, edge
