"""Reads of positions and of the ledger's entries. They are written by `Ledger`."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter
from sqlalchemy import Select, select

from domain.fills import EntryKind, LedgerEntry
from domain.ids import AccountId, TokenId, VenueOrderId
from domain.orders import Mode
from domain.positions import Position, PositionKey
from storage.database import Database
from storage.models.ledger import LedgerRecord
from storage.models.positions import PositionRecord
from storage.records import Page, read_one, read_page, read_rows

_POSITION = TypeAdapter(Position)
_ROW = TypeAdapter(dict[str, object])
_ENTRY = TypeAdapter(LedgerEntry)
_TABLE = PositionRecord.__table__
_LEDGER = LedgerRecord.__table__


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionFilter:
    """What a list of positions is narrowed to; None means all."""

    open_only: bool = True
    venue: str | None = None
    mode: Mode | None = None
    token_id: TokenId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFilter:
    """What a list of ledger entries is narrowed to; None means all."""

    venue: str | None = None
    mode: Mode | None = None
    token_id: TokenId | None = None
    venue_order_id: VenueOrderId | None = None
    kind: EntryKind | None = None


class Positions:
    """Reads positions and ledger entries, always within one account."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, key: PositionKey) -> Position | None:
        """Return a position, None when nothing was ever held.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        statement = _readable(key.account_id).where(
            PositionRecord.venue == key.venue,
            PositionRecord.mode == key.mode.value,
            PositionRecord.token_id == key.token_id,
        )
        async with self._database.transaction() as connection:
            rows = await read_rows(connection, statement, _ROW)
        return _position(rows[0]) if rows else None

    async def page(
        self, account_id: AccountId, wanted: PositionFilter | None = None, *, limit: int = 50, offset: int = 0
    ) -> Page[Position]:
        """Return positions of the account, the latest change first."""
        statement = _narrowed(_readable(account_id), wanted or PositionFilter()).order_by(
            PositionRecord.updated_at.desc(), PositionRecord.token_id, PositionRecord.mode
        )
        async with self._database.transaction() as connection:
            rows = await read_page(connection, statement, _ROW, limit=limit, offset=offset)
        return Page(
            items=tuple(_position(row) for row in rows.items),
            total=rows.total,
            limit=rows.limit,
            offset=rows.offset,
        )

    async def entries(
        self, account_id: AccountId, wanted: EntryFilter | None = None, *, limit: int = 50, offset: int = 0
    ) -> Page[LedgerEntry]:
        """Return ledger entries of the account, newest first."""
        statement = _entries(account_id, wanted or EntryFilter()).order_by(
            LedgerRecord.traded_at.desc(), LedgerRecord.id.desc()
        )
        async with self._database.transaction() as connection:
            return await read_page(connection, statement, _ENTRY, limit=limit, offset=offset)

    async def all_open(self) -> list[Position]:
        """Return the open positions of all accounts, for reconcile and settlement."""
        statement = (
            select(_TABLE)
            .where(PositionRecord.shares != 0)
            .order_by(
                PositionRecord.account_id, PositionRecord.venue, PositionRecord.mode, PositionRecord.token_id
            )
        )
        async with self._database.transaction() as connection:
            return [_position(row) for row in await read_rows(connection, statement, _ROW)]


def _position(row: Mapping[str, object]) -> Position:
    return read_one(_POSITION, {**row, "key": {name: row[name] for name in _KEY}})


_KEY = ("account_id", "venue", "mode", "token_id")


def _readable(account_id: AccountId) -> Select[tuple[object, ...]]:
    # A row of episode 0 only exists to be locked by a claim.
    return select(_TABLE).where(PositionRecord.account_id == account_id, PositionRecord.episode > 0)


def _narrowed(statement: Select[tuple[object, ...]], wanted: PositionFilter) -> Select[tuple[object, ...]]:
    if wanted.open_only:
        statement = statement.where(PositionRecord.shares != 0)
    if wanted.venue is not None:
        statement = statement.where(PositionRecord.venue == wanted.venue)
    if wanted.mode is not None:
        statement = statement.where(PositionRecord.mode == wanted.mode.value)
    if wanted.token_id is not None:
        statement = statement.where(PositionRecord.token_id == wanted.token_id)
    return statement


def _entries(account_id: AccountId, wanted: EntryFilter) -> Select[tuple[object, ...]]:
    statement = select(_LEDGER).where(LedgerRecord.account_id == account_id)
    if wanted.venue is not None:
        statement = statement.where(LedgerRecord.venue == wanted.venue)
    if wanted.mode is not None:
        statement = statement.where(LedgerRecord.mode == wanted.mode.value)
    if wanted.token_id is not None:
        statement = statement.where(LedgerRecord.token_id == wanted.token_id)
    if wanted.venue_order_id is not None:
        statement = statement.where(LedgerRecord.venue_order_id == wanted.venue_order_id)
    if wanted.kind is not None:
        statement = statement.where(LedgerRecord.kind == wanted.kind.value)
    return statement
