"""Reads of the event log: pages for people, a resumable stream for followers."""

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import TypeAdapter
from sqlalchemy import Select, select

from domain.ids import AccountId, OrderId, RuleId
from domain.messages import EventRow, Severity
from storage.database import Database
from storage.hints import listen
from storage.models.rule_events import RuleEventRecord
from storage.records import Page, read_all, read_page
from storage.repositories.projections import EVENTS


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLogLine:
    """An event with its number in the log."""

    id: int
    event: EventRow


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """What a list of events is narrowed to; None means all. Types that are `left_out` are not listed."""

    rule_id: RuleId | None = None
    order_id: OrderId | None = None
    severity: Severity | None = None
    type: str | None = None
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Numbered:
    id: int


_EVENT = TypeAdapter(EventRow)
_NUMBER = TypeAdapter(_Numbered)
_ROW = TypeAdapter(dict[str, object])
_TABLE = RuleEventRecord.__table__
# A line whose transaction is not below the visible edge is held back, since one with a lower number may still
# appear; so following by number alone misses nothing.
_AFTER = """SELECT id, event_key, account_id, rule_id, order_id, type, severity, message, data, at
    FROM rule_events
    WHERE account_id = $1 AND id > $2 AND xid < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY id LIMIT $3"""
_NEWEST = """SELECT COALESCE(MAX(id), 0) FROM rule_events
    WHERE account_id = $1 AND xid < pg_snapshot_xmin(pg_current_snapshot())"""


class Events:
    """Reads events, always within one account."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, account_id: AccountId, wanted: EventFilter | None = None, *, limit: int = 50, offset: int = 0
    ) -> Page[EventLogLine]:
        """Return events of the account, newest first.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        statement = _narrowed(account_id, wanted or EventFilter()).order_by(RuleEventRecord.id.desc())
        async with self._database.transaction() as connection:
            rows = await read_page(connection, statement, _ROW, limit=limit, offset=offset)
        return Page(
            items=tuple(_line(row) for row in rows.items),
            total=rows.total,
            limit=rows.limit,
            offset=rows.offset,
        )

    async def after(self, account_id: AccountId, number: int, *, limit: int = 500) -> list[EventLogLine]:
        """Return the events that follow number `number`, oldest first; none is ever skipped."""
        async with self._database.hot.connection() as connection:
            rows = await connection.fetch(_AFTER, account_id, number, limit)
        return [_line(dict(row)) for row in rows]

    async def newest(self, account_id: AccountId) -> int:
        """Return the number to follow from when only the future is wanted."""
        async with self._database.hot.connection() as connection:
            number = await connection.fetchval(_NEWEST, account_id)
        return number if isinstance(number, int) else 0

    async def listen(self, on_hint: Callable[[], None]) -> None:
        """Call `on_hint` whenever events may have been added; runs until cancelled."""
        await listen(self._database, EVENTS, on_hint)


def _line(row: dict[str, object]) -> EventLogLine:
    return EventLogLine(id=read_all(_NUMBER, [row])[0].id, event=read_all(_EVENT, [row])[0])


def _narrowed(account_id: AccountId, wanted: EventFilter) -> Select[tuple[object, ...]]:
    statement = select(_TABLE).where(RuleEventRecord.account_id == account_id)
    if wanted.rule_id is not None:
        statement = statement.where(RuleEventRecord.rule_id == wanted.rule_id)
    if wanted.order_id is not None:
        statement = statement.where(RuleEventRecord.order_id == wanted.order_id)
    if wanted.severity is not None:
        statement = statement.where(RuleEventRecord.severity == wanted.severity.value)
    if wanted.type is not None:
        statement = statement.where(RuleEventRecord.type == wanted.type)
    if wanted.left_out:
        statement = statement.where(RuleEventRecord.type.not_in(wanted.left_out))
    return statement
