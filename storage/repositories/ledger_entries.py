"""Entries into the ledger and what they fold to, inside a transaction of the caller.

A position is the fold of all its entries. So that no booking has to read all of a long history, a checkpoint
is kept of what its oldest entries amount to, and the fold begins there. An entry about a fill that is in the
checkpoint drops it (a trigger of the ledger), and everything is read again.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal

import asyncpg
from pydantic import TypeAdapter

from domain.fills import LedgerEntry
from domain.ids import AccountId, MarketId, TokenId
from domain.ledger import Checkpoint, checkpoint, fold
from domain.messages import Holding
from domain.positions import Position, PositionKey
from storage.records import read_all, read_one

NOTHING_HELD = Holding(
    shares=Decimal(0),
    average_entry=None,
    opened_at=None,
    episode=0,
    unconfirmed_shares=Decimal(0),
    version=0,
)

KEPT_FILLS = 100
"""So many of the newest fills stay behind a checkpoint: reports of them are still to come."""
CONFIRMED_WITHIN = timedelta(hours=1)
"""A fill whose confirmation is awaited for less than this stays behind a checkpoint, which it would drop."""
CHECKPOINT_ABOVE_ENTRIES = 4 * KEPT_FILLS
"""More entries than this behind the newest checkpoint make the next one: a fill has two as a rule."""

ENTRY = TypeAdapter(LedgerEntry)
_ENTRIES = TypeAdapter(tuple[LedgerEntry, ...])
_HOLDING = TypeAdapter(Holding)
_CHECKPOINT = TypeAdapter(Checkpoint)

ENTRY_COLUMNS = (
    "account_id, venue, mode, kind, fill_key, market_id, token_id, side, shares, notional_usd, fee_usd,"
    " venue_order_id, traded_at"
)
_OF_POSITION = "account_id = $1 AND venue = $2 AND mode = $3 AND token_id = $4"
_LOCK = "SELECT lock_position($1, $2, $3, $4, $5)"
_INSERT = f"""INSERT INTO ledger ({ENTRY_COLUMNS})
    SELECT {ENTRY_COLUMNS} FROM jsonb_populate_recordset(NULL::ledger, $1::jsonb)
    ON CONFLICT (account_id, venue, mode, fill_key, kind) DO NOTHING
    RETURNING {ENTRY_COLUMNS}"""  # noqa: S608 - column names of ours
_ENTRIES_OF_TOKEN = f"SELECT {ENTRY_COLUMNS} FROM ledger WHERE {_OF_POSITION}"  # noqa: S608 - fixed text
_ENTRIES_SINCE = f"{_ENTRIES_OF_TOKEN} AND traded_at > $5"
_READ_HOLDING = f"""SELECT shares, average_entry, opened_at, episode, unconfirmed_shares, version
    FROM positions WHERE {_OF_POSITION}"""  # noqa: S608 - fixed text
# The version rises with every change, also after an older backup was restored.
_WRITE_POSITION = f"""UPDATE positions SET
        market_id = $5, shares = $6, average_entry = $7, cost_usd = $8, realized_pnl_usd = $9, fees_usd = $10,
        unconfirmed_shares = $11, episode = $12, opened_at = $13, closed_at = $14, updated_at = now(),
        version = GREATEST(version + 1, (EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::bigint)
    WHERE {_OF_POSITION}
    RETURNING shares, average_entry, opened_at, episode, unconfirmed_shares, version"""  # noqa: S608
_READ_CHECKPOINT = f"SELECT * FROM position_checkpoints WHERE {_OF_POSITION}"  # noqa: S608 - fixed text
_WRITE_CHECKPOINT = """INSERT INTO position_checkpoints (
        account_id, venue, mode, token_id, through, shares, cost_usd, entry_fees_usd, realized_pnl_usd,
        fees_usd, unconfirmed_shares, episode, opened_at, closed_at
    ) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
    ON CONFLICT (account_id, venue, mode, token_id) DO UPDATE SET
        through = EXCLUDED.through, shares = EXCLUDED.shares, cost_usd = EXCLUDED.cost_usd,
        entry_fees_usd = EXCLUDED.entry_fees_usd, realized_pnl_usd = EXCLUDED.realized_pnl_usd,
        fees_usd = EXCLUDED.fees_usd, unconfirmed_shares = EXCLUDED.unconfirmed_shares,
        episode = EXCLUDED.episode, opened_at = EXCLUDED.opened_at, closed_at = EXCLUDED.closed_at"""


async def book_entries(connection: asyncpg.Connection, entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
    """Lock every position that the entries touch, always in the same order, then insert what is new."""
    if not entries:
        return []
    for key, market_id in _in_order(entries):
        await lock_position(connection, key, market_id)
    document = _ENTRIES.dump_json(tuple(entries)).decode()
    return read_all(ENTRY, await connection.fetch(_INSERT, document))


async def lock_position(connection: asyncpg.Connection, key: PositionKey, market_id: MarketId) -> Decimal:
    """Keep others from booking and claiming until the transaction ends; return the shares held."""
    held = await connection.fetchval(_LOCK, *_parts(key), market_id)
    return held if isinstance(held, Decimal) else Decimal(0)


async def fold_positions(
    connection: asyncpg.Connection, new: Sequence[LedgerEntry]
) -> tuple[tuple[PositionKey, Holding], ...]:
    """Write the positions that new entries changed; return what they hold now. They must be locked."""
    changed: list[tuple[PositionKey, Holding]] = []
    for key, market_id in _in_order(new):
        changed.append((key, await _fold_position(connection, key, market_id)))
    return tuple(changed)


async def read_holding(connection: asyncpg.Connection, key: PositionKey) -> Holding:
    """Return what is held; all zero when nothing ever was."""
    row = await connection.fetchrow(_READ_HOLDING, *_parts(key))
    return NOTHING_HELD if row is None else read_one(_HOLDING, row)


async def _fold_position(connection: asyncpg.Connection, key: PositionKey, market_id: MarketId) -> Holding:
    row = await connection.fetchrow(_READ_CHECKPOINT, *_parts(key))
    since = None if row is None else read_one(_CHECKPOINT, row)
    entries = await _entries(connection, key, since)
    holding = await _write_position(connection, fold(key, market_id, entries, since))
    if len(entries) > CHECKPOINT_ABOVE_ENTRIES:
        further = checkpoint(entries, since, keep=KEPT_FILLS, awaits=CONFIRMED_WITHIN)
        if further is not None:
            await _write_checkpoint(connection, key, further)
    return holding


async def _entries(
    connection: asyncpg.Connection, key: PositionKey, since: Checkpoint | None
) -> list[LedgerEntry]:
    if since is None:
        return read_all(ENTRY, await connection.fetch(_ENTRIES_OF_TOKEN, *_parts(key)))
    return read_all(ENTRY, await connection.fetch(_ENTRIES_SINCE, *_parts(key), since.through))


async def _write_position(connection: asyncpg.Connection, position: Position) -> Holding:
    row = await connection.fetchrow(
        _WRITE_POSITION,
        *_parts(position.key),
        position.market_id,
        position.shares,
        position.average_entry,
        position.cost_usd,
        position.realized_pnl_usd,
        position.fees_usd,
        position.unconfirmed_shares,
        position.episode,
        position.opened_at,
        position.closed_at,
    )
    return NOTHING_HELD if row is None else read_one(_HOLDING, row)


async def _write_checkpoint(connection: asyncpg.Connection, key: PositionKey, at: Checkpoint) -> None:
    await connection.execute(
        _WRITE_CHECKPOINT,
        *_parts(key),
        at.through,
        at.shares,
        at.cost_usd,
        at.entry_fees_usd,
        at.realized_pnl_usd,
        at.fees_usd,
        at.unconfirmed_shares,
        at.episode,
        at.opened_at,
        at.closed_at,
    )


def _in_order(entries: Iterable[LedgerEntry]) -> list[tuple[PositionKey, MarketId]]:
    """Return the positions that entries touch, always in the same order: locks must not wait in a circle."""
    markets: Mapping[PositionKey, MarketId] = {
        PositionKey(
            account_id=entry.account_id, venue=entry.venue, mode=entry.mode, token_id=entry.token_id
        ): entry.market_id
        for entry in entries
    }
    return sorted(markets.items(), key=lambda item: _parts(item[0]))


def _parts(key: PositionKey) -> tuple[AccountId, str, str, TokenId]:
    return key.account_id, key.venue, key.mode.value, key.token_id
