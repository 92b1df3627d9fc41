"""Reversals of which nobody may have heard: their host had ended, and whoever booked them may have died."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg
from pydantic import TypeAdapter

from domain.ids import OrderId, adopting_order_id
from domain.orders import OrderState
from storage.database import Database
from storage.records import read_all
from storage.repositories.ledger import Reversed
from storage.repositories.ledger_entries import ENTRY, ENTRY_COLUMNS

_TERMINAL = [state.value for state in OrderState if state.is_terminal]
_COLUMNS = ", ".join(f"l.{column}" for column in ENTRY_COLUMNS.split(", "))
# A host that ended later than the booking has counted the reversal itself: it ends when no fill is open.
_LATE = f"""SELECT {_COLUMNS}, c.order_id, c.host_workflow_id
    FROM ledger AS l
    JOIN claims AS c ON c.venue_order_id = l.venue_order_id
        AND c.account_id = l.account_id AND c.venue = l.venue AND c.mode = l.mode
    JOIN orders AS o ON o.order_id = c.order_id
    LEFT JOIN rules AS r ON r.rule_id = o.rule_id
    WHERE l.kind = 'reversal' AND l.booked_at >= $1 AND l.booked_at < $2
        AND l.booked_at > COALESCE(r.updated_at, o.updated_at)
        AND CASE WHEN r.rule_id IS NULL THEN o.state = ANY($3::text[]) ELSE r.phase = 'done' END
        AND NOT EXISTS (
            SELECT 1 FROM rule_events AS e
            WHERE e.subject = COALESCE(o.rule_id, o.order_id) AND e.event_key = 'fill.reversed/' || l.fill_key
        )
    ORDER BY l.booked_at, l.id"""  # noqa: S608 - fixed text
_KNOWN_ORDERS = "SELECT order_id FROM orders WHERE order_id = ANY($1::text[])"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Host:
    order_id: OrderId
    host_workflow_id: str


_HOST = TypeAdapter(_Host)


class Reversals:
    """Finds reversals that still concern somebody; for the system's own work, never for a caller."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def untold(self, since: datetime, before: datetime) -> list[Reversed]:
        """Return reversals that came after their host's end and were taken up by neither order nor alarm.

        Args:
            since: Those booked earlier are passed over.
            before: Those booked later, too: they are being told just now.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.hot.connection() as connection:
            rows = await connection.fetch(_LATE, since, before, _TERMINAL)
            late = [
                Reversed(entry=entry, order_id=host.order_id, host_workflow_id=host.host_workflow_id)
                for entry, host in zip(read_all(ENTRY, rows), read_all(_HOST, rows), strict=True)
            ]
            adopting = await _known(connection, [_adopting(reversal) for reversal in late])
        return [reversal for reversal in late if _adopting(reversal) not in adopting]


def _adopting(reversal: Reversed) -> OrderId:
    return adopting_order_id(reversal.entry.fill_key, reversal.entry.account_id)


async def _known(connection: asyncpg.Connection, order_ids: list[OrderId]) -> set[str]:
    if not order_ids:
        return set()
    return {str(row["order_id"]) for row in await connection.fetch(_KNOWN_ORDERS, order_ids)}
