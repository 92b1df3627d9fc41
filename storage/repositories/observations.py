"""What feeds observed of rules: near misses and samples in the event log, kept for a while only."""

from datetime import datetime

from pydantic import TypeAdapter

from domain.ids import AccountId, RuleId
from domain.messages import EventRow
from domain.rules.notices import NEAR_MISSES, Observation
from storage.database import Database
from storage.records import read_all
from storage.repositories.projections import Hints, Projections

_EVENT = TypeAdapter(EventRow)
_REMOVED_AT_ONCE = 5_000
_LATEST = """SELECT event_key, account_id, rule_id, order_id, type, severity, message, data, at
    FROM rule_events WHERE account_id = $1 AND rule_id = $2 AND type = ANY($3::text[])
    ORDER BY id DESC LIMIT $4"""
# The trigger lets nothing else of the log be removed.
_REMOVE = """WITH old AS (
        SELECT id FROM rule_events WHERE type = ANY($1::text[]) AND at < $2 ORDER BY at LIMIT $3
    ), gone AS (DELETE FROM rule_events AS e USING old WHERE e.id = old.id RETURNING 1)
    SELECT count(*) FROM gone"""


class Observations:
    """Writes, reads and removes observations. The feed alone writes."""

    def __init__(self, database: Database, hints: Hints) -> None:
        self._database = database
        self._projections = Projections(database, hints)

    async def tell(self, *events: EventRow) -> bool:
        """Write events, each key only once; return whether any was new.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        return await self._projections.tell(*events)

    async def prune(self, before: datetime) -> int:
        """Remove observations from before a time, some thousand at once; return how many went.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        removed = 0
        while True:
            async with self._database.hot.connection() as connection:
                gone = await connection.fetchval(_REMOVE, list(Observation), before, _REMOVED_AT_ONCE)
            removed += gone if isinstance(gone, int) else 0
            if gone != _REMOVED_AT_ONCE:
                return removed


async def near_misses(
    database: Database, account_id: AccountId, rule_id: RuleId, *, limit: int
) -> list[EventRow]:
    """Return the near misses of a rule of this account that were logged last, the latest first.

    Raises:
        StorageUnavailable: Postgres cannot be reached now.
    """
    async with database.hot.connection() as connection:
        rows = await connection.fetch(_LATEST, account_id, rule_id, list(NEAR_MISSES), limit)
    return read_all(_EVENT, rows)
