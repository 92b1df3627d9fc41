"""Projections: the rows that workflows write about themselves, each step in one transaction."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from pydantic import TypeAdapter

from domain.ids import AccountId, OrderId, RuleId, VenueOrderId
from domain.messages import EventRow, OrderProjection, RuleProjection, RuleRow, Severity, WatchRow
from domain.orders import Attempt, OrderRow
from storage.database import Database
from storage.models.base import Base
from storage.models.orders import OrderRecord
from storage.models.rules import RuleRecord
from storage.models.watches import WatchRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLine:
    """An event as its table holds it."""

    subject: str
    event_key: str
    account_id: AccountId
    rule_id: RuleId | None
    order_id: OrderId | None
    type: str
    severity: Severity
    message: str
    data: dict[str, str]
    at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimLine:
    """A new claim as its table holds it; what stands in `body` alone is not repeated."""

    venue_order_id: VenueOrderId
    host_workflow_id: str
    usd: Decimal
    last_post_at: datetime
    body: Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDocument:
    """All that one step writes: what the statement takes as its only argument."""

    rule: RuleRow | None
    watch: WatchRow | None
    order: OrderRow | None
    events: tuple[EventLine, ...]
    claim: ClaimLine | None = None


class Hints(Protocol):
    """Who is told that there is something to read again; a hint says nothing more."""

    def give(self, channel: str) -> None:
        """Send a hint soon; never waits and never fails."""
        ...


_DOCUMENT = TypeAdapter(StepDocument)
WATCHES = "watches"
EVENTS = "events"


def document_of(
    rule: RuleProjection | None,
    order: OrderProjection | None,
    claim: ClaimLine | None = None,
    *,
    rule_rows: bool = True,
    more_events: tuple[EventRow, ...] = (),
) -> str:
    """Return the JSON argument of the step's statement; without `rule_rows` of the rule only its events."""
    events = (*(rule.events if rule else ()), *(order.events if order else ()), *more_events)
    document = StepDocument(
        rule=rule.rule if rule and rule_rows else None,
        watch=rule.watch if rule and rule_rows else None,
        order=order.order if order else None,
        events=tuple(_line_of(event) for event in events),
        claim=claim,
    )
    return _DOCUMENT.dump_json(document).decode()


def _line_of(event: EventRow) -> EventLine:
    return EventLine(
        subject=event.rule_id or event.order_id or event.account_id,
        event_key=event.event_key,
        account_id=event.account_id,
        rule_id=event.rule_id,
        order_id=event.order_id,
        type=event.type,
        severity=event.severity,
        message=event.message,
        data=event.data,
        at=event.at,
    )


def _upsert(name: str, record: type[Base], key: str, *, left_out: tuple[str, ...], touch: str) -> str:
    """Return a CTE that writes the document's row `name` unless a newer version stands."""
    table = record.__tablename__
    columns = [column.key for column in record.__table__.columns if column.key not in left_out]
    changed = ", ".join(f"{column} = EXCLUDED.{column}" for column in columns if column != key)
    # Names come from our own table descriptions, never from outside.
    return (
        f"{name}_written AS (INSERT INTO {table} ({', '.join(columns)}) "  # noqa: S608
        f"SELECT {', '.join('r.' + column for column in columns)} "
        f"FROM doc, jsonb_populate_record(NULL::{table}, d->'{name}') AS r "
        f"WHERE jsonb_typeof(d->'{name}') = 'object' "
        f"ON CONFLICT ({key}) DO UPDATE SET {changed}, {touch} "
        f"WHERE {table}.version < EXCLUDED.version RETURNING 1)"
    )


_EVENTS_WRITTEN = """
events_written AS (
    INSERT INTO rule_events
        (subject, event_key, account_id, rule_id, order_id, type, severity, message, data, at)
    SELECT e.subject, e.event_key, e.account_id, e.rule_id, e.order_id, e.type, e.severity, e.message, e.data,
        COALESCE(e.at, now())
    FROM doc, jsonb_populate_recordset(NULL::rule_events, d->'events') AS e
    ON CONFLICT (subject, event_key) DO NOTHING RETURNING 1
)"""

# The transaction gets its id before any event gets its number: a number of a transaction without an id could
# appear below the visible edge of those who follow the log.
STEP_DOC = "doc AS (SELECT $1::jsonb AS d, pg_current_xact_id() AS xid)"
"""The step's JSON document `$1`, where every writing part takes its rows from."""

STEP_WRITES = ", ".join(
    (
        _upsert("rule", RuleRecord, "rule_id", left_out=("updated_at",), touch="updated_at = now()"),
        _upsert(
            "watch",
            WatchRecord,
            "rule_id",
            left_out=("armed_at", "changed_xid"),
            touch="changed_xid = pg_current_xact_id(), armed_at = CASE "
            "WHEN (watches.armed OR NOT EXCLUDED.armed) AND watches.generation = EXCLUDED.generation "
            "THEN watches.armed_at ELSE clock_timestamp() END",
        ),
        _upsert(
            "order",
            OrderRecord,
            "order_id",
            left_out=("created_at", "updated_at"),
            touch="updated_at = now()",
        ),
        _EVENTS_WRITTEN,
    )
)
"""The writing parts of a step, from `doc`; a claim appends its own."""

STEP_CTES = f"WITH {STEP_DOC}, {STEP_WRITES}"

_APPLY = STEP_CTES + (  # noqa: S608 - fixed text
    " SELECT (SELECT count(*) FROM rule_written) + (SELECT count(*) FROM watch_written)"
    " + (SELECT count(*) FROM order_written) + (SELECT count(*) FROM events_written)"
)


def give_hints(hints: Hints, rule: RuleProjection | None, order: OrderProjection | None) -> None:
    """Tell readers of watches and events; also for a repeated step, whose first try may have died before."""
    if rule is not None and rule.watch is not None:
        hints.give(WATCHES)
    if (rule is not None and rule.events) or (order is not None and order.events):
        hints.give(EVENTS)


class Projections:
    """Writes the rows of rules and orders."""

    def __init__(self, database: Database, hints: Hints) -> None:
        self._database = database
        self._hints = hints

    async def apply(self, rule: RuleProjection | None = None, order: OrderProjection | None = None) -> bool:
        """Write one step; rows only where their version is newer, events only once.

        Returns:
            Whether anything was new.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        document = document_of(rule, order)
        async with self._database.hot.connection() as connection:
            # One statement is one transaction.
            changed = await connection.fetchval(_APPLY, document)
        give_hints(self._hints, rule, order)
        return bool(changed)

    async def tell(self, *events: EventRow) -> bool:
        """Write events that belong to no step of a workflow; each key only once. Returns whether any was new.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.hot.connection() as connection:
            added = await connection.fetchval(_APPLY, document_of(None, None, more_events=events))
        self._hints.give(EVENTS)
        return bool(added)
