"""Reads of rules. They are written by `Projections` and `Claims`."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter
from sqlalchemy import Select, func, select, text

from domain.ids import AccountId, RuleId, TokenId
from domain.messages import Holding, RulePhase, RuleRow, RuleStatus, WatchRow
from domain.orders import Mode
from domain.positions import PositionKey
from storage.database import Database
from storage.models.rules import EXITING, OPEN, RuleRecord
from storage.models.watches import WatchRecord
from storage.records import Page, read_all, read_page, read_rows
from storage.shards import in_shard

_RULE = TypeAdapter(RuleRow)
_OPEN_NOW = text(OPEN)
_WATCH = TypeAdapter(WatchRow)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFilter:
    """What a list of rules is narrowed to; None means all."""

    statuses: Collection[RuleStatus] | None = None
    venue: str | None = None
    mode: Mode | None = None
    token_id: TokenId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRule:
    """An open rule as reconcile needs it: which workflow must live, and what its row says."""

    rule_id: RuleId
    account_id: AccountId
    phase: RulePhase
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UntoldRule:
    """A rule that watches for another size, or another position, than the ledger holds."""

    rule_id: RuleId
    holding: Holding


@dataclass(frozen=True, slots=True, kw_only=True)
class _StatusCount:
    status: RuleStatus
    rules: int


_OPEN = TypeAdapter(OpenRule)
_UNTOLD = TypeAdapter(UntoldRule)


@dataclass(frozen=True, slots=True, kw_only=True)
class _PhaseCount:
    phase: RulePhase
    rules: int


_COUNT = TypeAdapter(_StatusCount)
_PHASE_COUNT = TypeAdapter(_PhaseCount)
_NUMBER = TypeAdapter(int)


# What an armed rule watches for follows from the position as `RuleState.wanted_shares` has it.
_KNOWS_ANOTHER = """(p.episode <> r.episode OR w.shares <> LEAST(
            GREATEST(p.shares, 0),
            CASE WHEN r.definition->'action'->>'type' = 'SELL_PARTIAL'
                THEN GREATEST((r.definition->'action'->>'amount')::numeric - r.sold_shares, 0) END
        ))"""
# An exit that waits takes any news; one whose order is out reads the holding with its order's facts; an armed
# rule needs none that leaves it what it has to sell.
_CONCERNED = f"""SELECT r.rule_id
    FROM positions AS p JOIN rules AS r
        ON r.account_id = p.account_id AND r.venue = p.venue AND r.mode = p.mode AND r.token_id = p.token_id
    LEFT JOIN watches AS w USING (rule_id)
    WHERE p.account_id = $1 AND p.venue = $2 AND p.mode = $3 AND p.token_id = $4
        AND r.{OPEN}
        AND r.phase <> 'exiting'
        AND (r.phase <> 'armed' OR w.rule_id IS NULL OR p.shares <= 0 OR {_KNOWS_ANOTHER})
    ORDER BY r.rule_id"""  # noqa: S608 - fixed text
_QUIET_EXITS = f"""SELECT r.rule_id, r.account_id, r.phase, r.version FROM rules AS r
    WHERE r.{EXITING} AND r.venue = $1 AND {in_shard("r.token_id", shard="$2", shards="$3")}
        AND r.updated_at >= $4 AND r.updated_at < $5
        AND NOT (r.phase = 'waiting' AND EXISTS (SELECT FROM breakers AS b
            WHERE b.venue = r.venue AND b.mode = r.mode AND b.account_id = '' AND b.opened_at IS NOT NULL))
    ORDER BY r.updated_at"""  # noqa: S608 - fixed text
# One that looks just now shows as exiting, and may wait again in a moment.
_MAY_BE_HELD = """SELECT rule_id, account_id, phase, version FROM rules
    WHERE (phase = 'waiting' OR phase = 'exiting' AND $2) AND ($1::text IS NULL OR account_id = $1)
    ORDER BY updated_at"""
_WAITING_AT = """SELECT count(*) FROM rules
    WHERE phase = 'waiting' AND venue = $1 AND mode = $2"""
_UNTOLD_SELECT = f"""SELECT r.rule_id,
        p.shares, p.average_entry, p.opened_at, p.episode, p.unconfirmed_shares, p.version
    FROM rules AS r JOIN watches AS w USING (rule_id) JOIN positions AS p
        ON p.account_id = r.account_id AND p.venue = r.venue AND p.mode = r.mode AND p.token_id = r.token_id
    WHERE r.phase = 'armed' AND r.status = 'ACTIVE' AND p.episode > 0
        AND r.updated_at < $1 AND p.updated_at < $1
        AND CASE WHEN p.shares > 0 THEN {_KNOWS_ANOTHER}
            ELSE w.shares <> 0 OR (
                -- It knows that nothing is held, not that nothing can come back; one that waits for the next
                -- purchase waits on.
                p.unconfirmed_shares = 0 AND r.episode > 0
                AND NOT COALESCE((r.definition->>'follow_token')::boolean, false)
            )
        END
    ORDER BY r.rule_id"""  # noqa: S608 - fixed text


class Rules:
    """Reads rules, always within one account unless the name says otherwise."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, account_id: AccountId, rule_id: RuleId) -> RuleRow | None:
        """Return a rule of the account, None when there is none or it is another account's.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.reading() as connection:
            rows = await read_rows(
                connection, _readable(account_id).where(RuleRecord.rule_id == rule_id), _RULE
            )
        return rows[0] if rows else None

    async def ended_at(self, account_id: AccountId, rule_id: RuleId) -> datetime | None:
        """Return when a rule of the account ended: its last row was written; None while it lives."""
        statement = select(RuleRecord.updated_at).where(
            RuleRecord.account_id == account_id,
            RuleRecord.rule_id == rule_id,
            RuleRecord.phase == RulePhase.DONE.value,
        )
        async with self._database.reading() as connection:
            return await connection.scalar(statement)

    async def page(
        self, account_id: AccountId, wanted: RuleFilter | None = None, *, limit: int = 50, offset: int = 0
    ) -> Page[RuleRow]:
        """Return rules of the account, newest first."""
        statement = _narrowed(_readable(account_id), wanted or RuleFilter()).order_by(
            RuleRecord.created_at.desc(), RuleRecord.rule_id
        )
        async with self._database.transaction() as connection:
            return await read_page(connection, statement, _RULE, limit=limit, offset=offset)

    async def count_by_status(self, account_id: AccountId) -> dict[RuleStatus, int]:
        """Return how many rules of the account have each status."""
        statement = (
            select(RuleRecord.status, func.count().label("rules"))
            .where(RuleRecord.account_id == account_id)
            .group_by(RuleRecord.status)
        )
        async with self._database.transaction() as connection:
            counts = await read_rows(connection, statement, _COUNT)
        return dict.fromkeys(RuleStatus, 0) | {count.status: count.rules for count in counts}

    async def count_by_phase(self, account_id: AccountId) -> dict[RulePhase, int]:
        """Return how many rules of the account are in each phase."""
        statement = (
            select(RuleRecord.phase, func.count().label("rules"))
            .where(RuleRecord.account_id == account_id)
            .group_by(RuleRecord.phase)
        )
        async with self._database.transaction() as connection:
            counts = await read_rows(connection, statement, _PHASE_COUNT)
        return dict.fromkeys(RulePhase, 0) | {count.phase: count.rules for count in counts}

    async def open_rules_on(self, key: PositionKey) -> list[RuleId]:
        """Return the open rules that stand on a position."""
        statement = (
            select(RuleRecord.rule_id)
            .where(
                RuleRecord.account_id == key.account_id,
                RuleRecord.venue == key.venue,
                RuleRecord.mode == key.mode.value,
                RuleRecord.token_id == key.token_id,
                _OPEN_NOW,
            )
            .order_by(RuleRecord.rule_id)
        )
        async with self._database.transaction() as connection:
            found = await connection.scalars(statement)
            return [RuleId(rule_id) for rule_id in found]

    async def concerned_by(self, key: PositionKey) -> list[RuleId]:
        """Return the open rules that need to hear what a position holds now.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        place = (key.account_id, key.venue, key.mode.value, key.token_id)
        async with self._database.hot.connection() as connection:
            return [RuleId(str(row["rule_id"])) for row in await connection.fetch(_CONCERNED, *place)]

    async def all_open(
        self, *, after: RuleId | None = None, limit: int = 1000, quiet_since: datetime | None = None
    ) -> list[OpenRule]:
        """Return the open rules of all accounts, by id, for reconcile.

        Args:
            after: Return those with a higher id only.
            limit: How many at most.
            quiet_since: Return those only whose row was last written before this time.
        """
        statement = (
            select(RuleRecord.rule_id, RuleRecord.account_id, RuleRecord.phase, RuleRecord.version)
            .where(_OPEN_NOW, RuleRecord.rule_id > (after or ""))
            .order_by(RuleRecord.rule_id)
            .limit(limit)
        )
        if quiet_since is not None:
            statement = statement.where(RuleRecord.updated_at < quiet_since)
        async with self._database.transaction() as connection:
            return await read_rows(connection, statement, _OPEN)

    async def open_rule_ids(self) -> list[RuleId]:
        """Return the ids of the open rules of all accounts."""
        statement = select(RuleRecord.rule_id).where(_OPEN_NOW).order_by(RuleRecord.rule_id)
        async with self._database.transaction() as connection:
            return [RuleId(rule_id) for rule_id in await connection.scalars(statement)]

    async def quiet_exits(
        self, venue: str, shard: int, shards: int, *, last_heard: tuple[datetime, datetime]
    ) -> list[OpenRule]:
        """Return rules of all accounts that sell, by when their rows were written last, the oldest first.

        What waits while the venue's breaker is open has every reason to be quiet: each look of it would cost
        what those need that may sell, and it is told when the breaker closes.

        Args:
            venue: Whose tokens.
            shard: Which part of them.
            shards: Into how many parts they are cut.
            last_heard: From when, and before when, the rows were written last.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.hot.connection() as connection:
            rows = await connection.fetch(_QUIET_EXITS, venue, shard, shards, *last_heard)
        return read_all(_OPEN, rows)

    async def may_be_held(self, account_id: AccountId | None, *, looking: bool = True) -> list[OpenRule]:
        """Return exits of an account (None: of all) that wait or look, the one heard of longest ago first.

        Args:
            account_id: Whose.
            looking: Whether those that look just now count.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.hot.connection() as connection:
            rows = await connection.fetch(_MAY_BE_HELD, account_id, looking)
        return read_all(_OPEN, rows)

    async def waiting_at(self, venue: str, mode: Mode) -> int:
        """Return how many exits of all accounts wait at a venue.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.hot.connection() as connection:
            found = await connection.fetchval(_WAITING_AT, venue, mode.value)
        return _NUMBER.validate_python(found)

    async def find_any(self, rule_id: RuleId) -> RuleRow | None:
        """Return a rule of whichever account: for the system's own work, never for a caller."""
        statement = select(_TABLE).where(RuleRecord.rule_id == rule_id)
        async with self._database.transaction() as connection:
            rows = await read_rows(connection, statement, _RULE)
        return rows[0] if rows else None

    async def untold(self, quiet_since: datetime) -> list[UntoldRule]:
        """Return armed rules that have not heard of what is held, with it; for reconcile.

        Args:
            quiet_since: Neither rule nor position was written since; what is younger is being told just now.
        """
        async with self._database.hot.connection() as connection:
            rows = await connection.fetch(_UNTOLD_SELECT, quiet_since)
        return read_all(_UNTOLD, [{**row, "holding": dict(row)} for row in rows])

    async def watch_of(self, rule_id: RuleId) -> WatchRow | None:
        """Return what the feed watches for a rule, None when it has no watch."""
        statement = select(_WATCHES).where(WatchRecord.rule_id == rule_id)
        async with self._database.transaction() as connection:
            rows = await read_rows(connection, statement, _WATCH)
        return rows[0] if rows else None


_TABLE = RuleRecord.__table__
_WATCHES = WatchRecord.__table__


def _readable(account_id: AccountId) -> Select[tuple[object, ...]]:
    return select(_TABLE).where(RuleRecord.account_id == account_id)


def _narrowed(statement: Select[tuple[object, ...]], wanted: RuleFilter) -> Select[tuple[object, ...]]:
    if wanted.statuses is not None:
        statement = statement.where(RuleRecord.status.in_([status.value for status in wanted.statuses]))
    if wanted.venue is not None:
        statement = statement.where(RuleRecord.venue == wanted.venue)
    if wanted.mode is not None:
        statement = statement.where(RuleRecord.mode == wanted.mode.value)
    if wanted.token_id is not None:
        statement = statement.where(RuleRecord.token_id == wanted.token_id)
    return statement
