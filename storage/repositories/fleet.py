"""What Postgres holds of everything at once, in numbers: for metrics, never for a decision.

Counts go by venue and mode. No account, rule, order or token is named.
"""

from dataclasses import dataclass

from pydantic import TypeAdapter

from domain.messages import RulePhase
from domain.orders import Mode
from storage.database import Database
from storage.records import read_all


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleCount:
    """How many rules that still act stand in a phase."""

    venue: str
    mode: Mode
    phase: RulePhase
    rules: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionCount:
    """How many positions have shares, and how many of them no living rule stands on."""

    venue: str
    mode: Mode
    open: int
    unprotected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsettledCount:
    """How many attempts are open, and for how many seconds the oldest one that does not rest has been."""

    venue: str
    mode: Mode
    claims: int
    oldest_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GapCount:
    """How many gaps of feeds are recorded, and their seconds in all."""

    venue: str
    reason: str
    gaps: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetCounts:
    """Everything at one moment."""

    rules: tuple[RuleCount, ...]
    positions: tuple[PositionCount, ...]
    unsettled: tuple[UnsettledCount, ...]
    gaps: tuple[GapCount, ...]


_RULES = TypeAdapter(RuleCount)
_POSITIONS = TypeAdapter(PositionCount)
_UNSETTLED = TypeAdapter(UnsettledCount)
_GAPS = TypeAdapter(GapCount)

_COUNT_RULES = """SELECT venue, mode, phase, count(*) AS rules FROM rules WHERE phase <> 'done'
    GROUP BY venue, mode, phase"""
# A rule whose workflow is gone protects nothing.
_COUNT_POSITIONS = """SELECT p.venue, p.mode, count(*) AS open, count(*) FILTER (
        WHERE NOT EXISTS (
            SELECT 1 FROM rules AS r
            WHERE r.account_id = p.account_id AND r.venue = p.venue AND r.mode = p.mode
                AND r.token_id = p.token_id AND r.phase <> 'done' AND r.phase <> 'orphaned'
        )
    ) AS unprotected
    FROM positions AS p WHERE p.shares > 0 GROUP BY p.venue, p.mode"""
_COUNT_UNSETTLED = """SELECT u.venue, u.mode, count(*) AS claims,
        EXTRACT(EPOCH FROM now() - min(c.last_post_at) FILTER (WHERE NOT u.resting))::float8 AS oldest_seconds
    FROM unsettled_claims AS u JOIN claims AS c USING (order_id, attempt)
    GROUP BY u.venue, u.mode"""
# A lost socket is a gap of each of its tokens, and one span.
_COUNT_GAPS = """SELECT venue, reason, count(*) AS gaps,
        EXTRACT(EPOCH FROM sum(ended_at - started_at))::float8 AS seconds
    FROM (SELECT DISTINCT venue, shard, reason, started_at, ended_at FROM feed_gaps) AS span
    GROUP BY venue, reason"""


class Fleet:
    """Counts over all accounts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def counts(self) -> FleetCounts:
        """Return the counts of now.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.hot.connection() as connection:
            return FleetCounts(
                rules=tuple(read_all(_RULES, await connection.fetch(_COUNT_RULES))),
                positions=tuple(read_all(_POSITIONS, await connection.fetch(_COUNT_POSITIONS))),
                unsettled=tuple(read_all(_UNSETTLED, await connection.fetch(_COUNT_UNSETTLED))),
                gaps=tuple(read_all(_GAPS, await connection.fetch(_COUNT_GAPS))),
            )
