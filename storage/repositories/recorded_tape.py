"""Bounded reads of the tape for explanations and replays: the newest changes of one token in a span."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from pydantic import TypeAdapter

from domain.ids import RuleId
from domain.quotes import Quote
from domain.rules.resolved import ResolvedRule
from domain.rules.tape import TapeRow
from domain.rules.watch import TrailMark
from storage.database import Database
from storage.records import read_all


@dataclass(frozen=True, slots=True, kw_only=True)
class TapeWindow:
    """Changes of the top of a book in order; `capped` when older ones of the span were left out."""

    rows: tuple[TapeRow, ...]
    capped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchState:
    """What the feed watches for a rule, or last did, and since when; marks are as high as they were saved.

    Attributes:
        armed_with: marks that the present generation went on from when it was armed.
    """

    armed: bool
    armed_at: datetime
    generation: int
    not_before_ms: int | None
    resolved: ResolvedRule
    marks: tuple[TrailMark, ...] = ()
    armed_with: tuple[TrailMark, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    ts: datetime
    bid: Decimal | None
    ask: Decimal | None
    last: Decimal | None

    def row(self) -> TapeRow:
        return TapeRow(self.ts.isoformat(), self.ts, Quote(self.bid, self.ask, self.last))


_CHANGE = TypeAdapter(_Change)
_MARK = TypeAdapter(TrailMark)
_WATCH = TypeAdapter(WatchState)
# One row more than asked for tells whether something was left out.
_WINDOW = """SELECT ts, bid, ask, last FROM tape
    WHERE venue = $1 AND token_id = $2 AND ts >= $3 AND ts < $4 ORDER BY ts DESC, id DESC LIMIT $5 + 1"""
_BEFORE = """SELECT ts, bid, ask, last FROM tape
    WHERE venue = $1 AND token_id = $2 AND ts < $3 ORDER BY ts DESC, id DESC LIMIT 1"""
_STATE = """SELECT armed, armed_at, generation, not_before_ms, resolved FROM watches WHERE rule_id = $1"""
_MARKS = """SELECT DISTINCT ON (condition_index) rule_id, generation, condition_index, mark, active
    FROM trail_marks WHERE rule_id = $1 AND generation <= $2
        AND generation >= (SELECT marks_from FROM watches WHERE rule_id = $1)
    ORDER BY condition_index, generation DESC"""
# A rule was watched until it fired. When one that ended unfired was watched last is not kept: its last row is
# written soon after.
_WATCHED = """SELECT EXISTS (
        SELECT 1 FROM watches AS w JOIN rules AS r USING (rule_id)
        WHERE w.venue = $1 AND w.token_id = $2 AND w.rule_id <> $3 AND w.armed_at < $4
            AND (w.armed
                OR COALESCE(to_timestamp((r.fired->>'observed_at_ms')::numeric / 1000), r.updated_at) > $4)
    )"""


class RecordedTape:
    """Reads what the feed recorded. The venue's prices belong to nobody; a rule's state is its account's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def window(
        self, venue: str, token_id: str, since: datetime, until: datetime, *, limit: int
    ) -> TapeWindow:
        """Return the newest changes of a token in `[since, until)`, oldest first, at most `limit`.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.hot.connection() as connection:
            found = await connection.fetch(_WINDOW, venue, token_id, since, until, limit)
        newest = [change.row() for change in read_all(_CHANGE, found[:limit])]
        return TapeWindow(rows=tuple(reversed(newest)), capped=len(found) > limit)

    async def standing_at(self, venue: str, token_id: str, moment: datetime) -> TapeRow | None:
        """Return the change that stood at a moment: the last one before it."""
        async with self._database.hot.connection() as connection:
            found = await connection.fetch(_BEFORE, venue, token_id, moment)
        changes = read_all(_CHANGE, found)
        return changes[0].row() if changes else None

    async def watched_by_another(self, venue: str, token_id: str, rule_id: RuleId, moment: datetime) -> bool:
        """Say whether a token was watched at a moment for the sake of another rule than this one.

        Without any rule nobody looks at a token, and the tape's last change says nothing of what stands.
        """
        async with self._database.hot.connection() as connection:
            return bool(await connection.fetchval(_WATCHED, venue, token_id, rule_id, moment))

    async def watch_of(self, rule_id: RuleId) -> WatchState | None:
        """Return what is watched for a rule, None while nothing ever was; whose it is the caller checks."""
        async with self._database.hot.connection() as connection:
            states = read_all(_WATCH, await connection.fetch(_STATE, rule_id))
            if not states:
                return None
            state = states[0]
            marks = read_all(_MARK, await connection.fetch(_MARKS, rule_id, state.generation))
            earlier = read_all(_MARK, await connection.fetch(_MARKS, rule_id, state.generation - 1))
        return WatchState(
            armed=state.armed,
            armed_at=state.armed_at,
            generation=state.generation,
            not_before_ms=state.not_before_ms,
            resolved=state.resolved,
            marks=tuple(marks),
            armed_with=tuple(earlier),
        )
