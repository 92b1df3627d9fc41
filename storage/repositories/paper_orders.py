"""The paper venue's ledger in Postgres.

A lock per account makes everything that changes it happen one after another, in whichever process: that is
what lets a balance be judged by plain sums, and a reader follow changes by their number alone.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import asyncpg
from pydantic import TypeAdapter

from domain.fills import Fill, FillState
from domain.ids import MarketId, TokenId, VenueOrderId
from domain.orders import Side
from domain.paper import (
    DepthSeen,
    PaperAccount,
    PaperChanges,
    PaperFill,
    PaperOrder,
    Registration,
    UsedDepth,
    bound,
    needed,
    uses_depth,
)
from domain.ports import HeldToken
from storage.database import Database
from storage.records import read_all

_ORDER = TypeAdapter(PaperOrder)
_FILL = TypeAdapter(Fill)
_HELD_TOKEN = TypeAdapter(HeldToken)
_PLACE = TypeAdapter(int)

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1 || chr(31) || $2, 0))"
_INSERT = """INSERT INTO paper_orders (venue_order_id, account_id, venue, market_id, token_id, side,
        time_in_force, shares, limit_price, matched_shares, status, expiration_s, created_at, queue_ahead,
        queue_credited, queue_credited_ms, queue_seen_ms, touched_at, budget_usd, held_until,
        changed)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
        nextval('paper_changes'))"""
_INSERT_FILL = """INSERT INTO paper_fills (fill_key, venue_order_id, account_id, venue, market_id, token_id,
        side, shares, notional_usd, fee_usd, traded_at, level_price, changed)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, nextval('paper_changes'))"""
# The place in the queue belongs to what must not have changed: two that follow one market must not let the
# same trade pass twice. It is no change that others are told of.
_CHANGE = """UPDATE paper_orders SET matched_shares = $6, status = $7, queue_ahead = $8, queue_credited = $9,
        queue_credited_ms = $10, queue_seen_ms = $11,
        touched_at = coalesce(touched_at, $12),
        changed = CASE WHEN $2 = $6 AND $3 = $7 THEN changed ELSE nextval('paper_changes') END
    WHERE venue_order_id = $1 AND matched_shares = $2 AND status = $3
        AND queue_ahead IS NOT DISTINCT FROM $4 AND queue_seen_ms IS NOT DISTINCT FROM $5
    RETURNING true"""
_USED = """SELECT side, level_price, sum(shares) AS shares FROM paper_fills
    WHERE account_id = $1 AND venue = $2 AND token_id = $3 AND traded_at > $4 AND level_price IS NOT NULL
    GROUP BY side, level_price"""
_FIND = "SELECT * FROM paper_orders WHERE account_id = $1 AND venue = $2 AND venue_order_id = $3"
_IS_HELD = "SELECT true FROM paper_orders WHERE venue_order_id = $1 AND status = 'delayed'"
_EXISTS = "SELECT true FROM paper_orders WHERE venue_order_id = $1"
_OPEN = """SELECT * FROM paper_orders WHERE account_id = $1 AND venue = $2 AND status IN ('live', 'delayed')
    AND ($3::text IS NULL OR token_id = $3) ORDER BY changed"""
_FILLS = """SELECT * FROM paper_fills WHERE account_id = $1 AND venue = $2
    AND ($3::timestamptz IS NULL OR traded_at >= $3) AND ($4::text IS NULL OR market_id = $4)
    ORDER BY changed"""
_CHANGED_ORDERS = (
    "SELECT * FROM paper_orders WHERE account_id = $1 AND venue = $2 AND changed > $3 ORDER BY changed"
)
_CHANGED_FILLS = (
    "SELECT * FROM paper_fills WHERE account_id = $1 AND venue = $2 AND changed > $3 ORDER BY changed"
)
_EDGE = """SELECT coalesce(greatest(
        (SELECT max(changed) FROM paper_orders WHERE account_id = $1 AND venue = $2),
        (SELECT max(changed) FROM paper_fills WHERE account_id = $1 AND venue = $2)), 0)"""
_HELD = """SELECT market_id, token_id, sum(CASE side WHEN 'BUY' THEN shares ELSE -shares END) AS shares,
        NULL AS average_entry
    FROM paper_fills AS f WHERE account_id = $1 AND venue = $2 AND ($3::text IS NULL OR token_id = $3)
        AND NOT EXISTS (SELECT FROM paper_payouts AS p
            WHERE p.account_id = $1 AND p.venue = $2 AND p.token_id = f.token_id)
    GROUP BY market_id, token_id HAVING sum(CASE side WHEN 'BUY' THEN shares ELSE -shares END) > 0
    ORDER BY token_id"""
_BOUND_SHARES = """SELECT coalesce(sum(shares - matched_shares), 0) FROM paper_orders
    WHERE account_id = $1 AND venue = $2 AND token_id = $3 AND side = 'SELL'
        AND status IN ('live', 'delayed')"""
_CASH = """SELECT
    coalesce((SELECT sum(CASE side WHEN 'SELL' THEN notional_usd ELSE -notional_usd END - fee_usd)
        FROM paper_fills WHERE account_id = $1 AND venue = $2), 0)
    + coalesce((SELECT sum(usd) FROM paper_payouts WHERE account_id = $1 AND venue = $2), 0)"""
_BOUND_CASH = """SELECT coalesce(sum((shares - matched_shares) * limit_price), 0) FROM paper_orders
    WHERE account_id = $1 AND venue = $2 AND side = 'BUY' AND status IN ('live', 'delayed')"""
_PAY_OUT = """INSERT INTO paper_payouts (account_id, venue, token_id, shares, usd)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING"""


class PaperOrders:
    """`PaperLedger` in Postgres. Every method raises StorageUnavailable while Postgres is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(
        self,
        order: PaperOrder,
        fills: Sequence[PaperFill],
        start_usd: Decimal,
        seen: DepthSeen | None = None,
    ) -> Registration:
        """Take a new order with its first fills, if its id is new, the account can cover it, depth stands."""
        async with self._locked(order.account) as connection:
            if await connection.fetchval(_EXISTS, order.venue_order_id):
                return Registration.DUPLICATE
            if await self._free(connection, order, start_usd) < needed(order, fills):
                return Registration.SHORT
            if uses_depth(fills) and not await _is_current(connection, order, seen):
                return Registration.OUTDATED
            await self._insert(connection, order)
            await self._insert_fills(connection, order.account, fills)
        return Registration.NEW

    async def record(
        self,
        before: PaperOrder,
        after: PaperOrder,
        fills: Sequence[PaperFill],
        seen: DepthSeen | None = None,
    ) -> bool:
        """Change an order and add its fills, unless it has changed since `before` was read, or its depth."""
        async with self._locked(before.account) as connection:
            if uses_depth(fills) and not await _is_current(connection, before, seen):
                return False
            if not await _change(connection, before, after):
                return False
            await self._insert_fills(connection, before.account, fills)
        return True

    async def release(
        self,
        before: PaperOrder,
        after: PaperOrder,
        fills: Sequence[PaperFill],
        start_usd: Decimal,
        seen: DepthSeen,
    ) -> Registration:
        """Let a held order become what it came to, if it is still held, covered, and its depth stands."""
        async with self._locked(before.account) as connection:
            if await connection.fetchval(_IS_HELD, before.venue_order_id) is None:
                return Registration.DUPLICATE
            # What it kept from others is free for itself.
            if await self._free(connection, before, start_usd) + bound(before) < needed(after, fills):
                return Registration.SHORT
            if uses_depth(fills) and not await _is_current(connection, before, seen):
                return Registration.OUTDATED
            if not await _change(connection, before, after):
                return Registration.DUPLICATE
            await self._insert_fills(connection, before.account, fills)
        return Registration.NEW

    async def used_depth(self, account: PaperAccount, token_id: TokenId, since: datetime) -> UsedDepth:
        """Return what fills since a time have used of the token's live levels."""
        async with self._database.hot.connection() as connection:
            return await _used(connection, account, token_id, since)

    async def find(self, account: PaperAccount, venue_order_id: VenueOrderId) -> PaperOrder | None:
        """Return one order of the account."""
        async with self._database.hot.connection() as connection:
            row = await connection.fetchrow(_FIND, account.account_id, account.venue, venue_order_id)
        return None if row is None else _order_of(row)

    async def open_orders(self, account: PaperAccount, token_id: TokenId | None) -> Sequence[PaperOrder]:
        """Return the orders that rest or are held, oldest change first."""
        async with self._database.hot.connection() as connection:
            rows = await connection.fetch(_OPEN, account.account_id, account.venue, token_id)
        return [_order_of(row) for row in rows]

    async def fills(
        self, account: PaperAccount, after: datetime | None, market_id: MarketId | None
    ) -> Sequence[Fill]:
        """Return fills since a time, oldest first."""
        async with self._database.hot.connection() as connection:
            rows = await connection.fetch(_FILLS, account.account_id, account.venue, after, market_id)
        return [_fill_of(row) for row in rows]

    async def changes(self, account: PaperAccount, after: int) -> PaperChanges:
        """Return what changed after a place in the account's sequence."""
        key = (account.account_id, account.venue, after)
        # Both reads behind the lock: a change between them would otherwise be passed over for ever.
        async with self._locked(account) as connection:
            orders = await connection.fetch(_CHANGED_ORDERS, *key)
            fills = await connection.fetch(_CHANGED_FILLS, *key)
        places = [_PLACE.validate_python(row["changed"]) for row in (*orders, *fills)]
        return PaperChanges(
            orders=[_order_of(row) for row in orders],
            fills=[_fill_of(row) for row in fills],
            edge=max(places, default=after),
        )

    async def edge(self, account: PaperAccount) -> int:
        """Return the end of the account's sequence."""
        async with self._locked(account) as connection:
            return _PLACE.validate_python(await connection.fetchval(_EDGE, account.account_id, account.venue))

    async def shares(self, account: PaperAccount, token_id: TokenId) -> Decimal:
        """Return the shares held, those bound by open sells included."""
        async with self._database.hot.connection() as connection:
            return await _held(connection, account, token_id)

    async def cash(self, account: PaperAccount, start_usd: Decimal) -> Decimal:
        """Return the collateral, that bound by open buys included."""
        async with self._database.hot.connection() as connection:
            return start_usd + await _decimal(connection, _CASH, account.account_id, account.venue)

    async def held_tokens(self, account: PaperAccount) -> Sequence[HeldToken]:
        """Return the tokens of which shares are held, by token."""
        async with self._database.hot.connection() as connection:
            rows = await connection.fetch(_HELD, account.account_id, account.venue, None)
        return read_all(_HELD_TOKEN, rows)

    async def pay_out(self, account: PaperAccount, token_id: TokenId, usd_per_share: Decimal) -> None:
        """Turn the shares of a resolved token into collateral; repeating it changes nothing."""
        async with self._locked(account) as connection:
            shares = await _held(connection, account, token_id)
            usd = shares * usd_per_share
            if shares > 0:
                key = (account.account_id, account.venue, token_id)
                await connection.execute(_PAY_OUT, *key, shares, usd)

    @asynccontextmanager
    async def _locked(self, account: PaperAccount) -> AsyncGenerator[asyncpg.Connection]:
        async with self._database.hot.transaction() as connection:
            await connection.execute(_LOCK, account.account_id, account.venue)
            yield connection

    async def _free(self, connection: asyncpg.Connection, order: PaperOrder, start_usd: Decimal) -> Decimal:
        account, venue = order.account.account_id, order.account.venue
        if order.side is Side.SELL:
            held = await _held(connection, order.account, order.token_id)
            return held - await _decimal(connection, _BOUND_SHARES, account, venue, order.token_id)
        cash = await _decimal(connection, _CASH, account, venue)
        return start_usd + cash - await _decimal(connection, _BOUND_CASH, account, venue)

    async def _insert(self, connection: asyncpg.Connection, order: PaperOrder) -> None:
        await connection.execute(
            _INSERT,
            order.venue_order_id,
            order.account.account_id,
            order.account.venue,
            order.market_id,
            order.token_id,
            order.side,
            order.time_in_force,
            order.shares,
            order.limit_price,
            order.matched_shares,
            order.status,
            order.expiration_s,
            order.created_at,
            *_queue_values(order),
            order.budget_usd,
            order.held_until,
        )

    async def _insert_fills(
        self, connection: asyncpg.Connection, account: PaperAccount, fills: Sequence[PaperFill]
    ) -> None:
        for each in fills:
            fill = each.fill
            await connection.execute(
                _INSERT_FILL,
                fill.fill_key,
                fill.venue_order_id,
                account.account_id,
                account.venue,
                fill.market_id,
                fill.token_id,
                fill.side,
                fill.shares,
                fill.notional_usd,
                fill.fee_usd,
                fill.traded_at,
                each.level_price,
            )


@dataclass(frozen=True, slots=True)
class _LevelUsed:
    side: Side
    level_price: Decimal
    shares: Decimal


_LEVEL_USED = TypeAdapter(_LevelUsed)


def _queue_values(order: PaperOrder) -> tuple[Decimal | int | datetime | None, ...]:
    """Return the columns of a place in the queue, and when the price was touched."""
    queue = order.queue
    if queue is None:
        return None, None, None, None, order.touched_at
    return queue.ahead, queue.credited, queue.credited_ms, queue.seen_ms, order.touched_at


async def _change(connection: asyncpg.Connection, before: PaperOrder, after: PaperOrder) -> bool:
    """Change an order unless it is no longer what it was; returns whether it is changed."""
    known = before.queue
    changed = await connection.fetchval(
        _CHANGE,
        before.venue_order_id,
        before.matched_shares,
        before.status,
        None if known is None else known.ahead,
        None if known is None else known.seen_ms,
        after.matched_shares,
        after.status,
        *_queue_values(after),
    )
    return changed is not None


async def _used(
    connection: asyncpg.Connection, account: PaperAccount, token_id: TokenId, since: datetime
) -> UsedDepth:
    rows = await connection.fetch(_USED, account.account_id, account.venue, token_id, since)
    return {(used.side, used.level_price): used.shares for used in read_all(_LEVEL_USED, rows)}


async def _is_current(connection: asyncpg.Connection, order: PaperOrder, seen: DepthSeen | None) -> bool:
    """Say whether nobody has used more depth than fills were judged by; ask behind the account's lock."""
    if seen is None:
        return False
    return await _used(connection, order.account, order.token_id, seen.since) == seen.used


async def _held(connection: asyncpg.Connection, account: PaperAccount, token_id: TokenId) -> Decimal:
    rows = await connection.fetch(_HELD, account.account_id, account.venue, token_id)
    return Decimal(str(rows[0]["shares"])) if rows else Decimal(0)


async def _decimal(connection: asyncpg.Connection, statement: str, *arguments: str) -> Decimal:
    return Decimal(str(await connection.fetchval(statement, *arguments)))


def _order_of(row: asyncpg.Record) -> PaperOrder:
    values = dict(row)
    account = {"account_id": values["account_id"], "venue": values["venue"]}
    queue = None
    if values["queue_ahead"] is not None:
        queue = {name: values[f"queue_{name}"] for name in ("ahead", "credited", "credited_ms", "seen_ms")}
    return _ORDER.validate_python({**values, "account": account, "queue": queue})


def _fill_of(row: asyncpg.Record) -> Fill:
    return _FILL.validate_python({**dict(row), "state": FillState.CONFIRMED})
