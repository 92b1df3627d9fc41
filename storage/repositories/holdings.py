"""Reads about holdings: whose are compared with the venue, where they came from, how they were adjusted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from pydantic import TypeAdapter

from domain.ids import AccountId, MarketId, TokenId
from domain.money import EXACT, floor_decimals
from domain.orders import Mode, Side
from domain.outside import HoldingsPlace, LedgerToken, Origin
from domain.positions import Position, PositionKey
from storage.database import Database
from storage.records import Page, read_all

# What was opened live stays live, also when the account makes paper orders by now.
_PLACES = """SELECT DISTINCT w.account_id, w.venue FROM wallets AS w JOIN accounts AS a USING (account_id)
    WHERE a.live_acknowledged ORDER BY w.account_id, w.venue"""
_OPEN_TOKENS = """SELECT token_id, market_id FROM positions
    WHERE account_id = $1 AND venue = $2 AND mode = $3 AND shares <> 0 ORDER BY token_id"""
# Shares that came in during the present episode, and which of them orders of ours bought.
_ORIGINS = """SELECT p.venue, p.mode, p.token_id,
        COALESCE(bool_or(c.known), false) AS own, COALESCE(bool_or(NOT c.known), false) AS found
    FROM positions AS p
    JOIN ledger AS l USING (account_id, venue, mode, token_id)
    CROSS JOIN LATERAL (SELECT EXISTS (
        SELECT 1 FROM claims AS k WHERE k.venue_order_id = l.venue_order_id AND k.account_id = l.account_id
    ) AS known) AS c
    WHERE p.account_id = $1 AND p.token_id = ANY($2::text[])
        AND l.side = 'BUY' AND l.kind IN ('fill', 'adjustment') AND l.traded_at >= p.opened_at
        AND NOT EXISTS (
            SELECT 1 FROM ledger AS r WHERE r.account_id = l.account_id AND r.venue = l.venue
                AND r.mode = l.mode AND r.fill_key = l.fill_key AND r.kind = 'reversal'
        )
    GROUP BY p.venue, p.mode, p.token_id"""
_ADJUSTMENTS = """SELECT l.venue, l.mode, l.market_id, l.token_id, l.side, l.shares, l.notional_usd,
        l.traded_at AS at, (a.detail->>'ledger')::numeric AS ledger_shares,
        (a.detail->>'venue')::numeric AS venue_shares
    FROM ledger AS l LEFT JOIN audit AS a
        ON a.account_id = l.account_id AND a.action = 'position.adjusted'
        AND a.subject = 'position/' || l.venue || '/' || l.mode || '/' || l.token_id
        AND a.detail->>'key' = l.fill_key
    WHERE l.account_id = $1 AND l.kind = 'adjustment' AND ($2::text IS NULL OR l.token_id = $2)
    ORDER BY l.traded_at DESC, l.id DESC LIMIT $3 OFFSET $4"""
_COUNT_ADJUSTMENTS = """SELECT count(*) FROM ledger
    WHERE account_id = $1 AND kind = 'adjustment' AND ($2::text IS NULL OR token_id = $2)"""
_COUNT_RULES = """SELECT count(*) FROM rules
    WHERE account_id = $1 AND venue = $2 AND mode = $3 AND token_id = $4"""

_PRICE_PLACES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """A difference to the venue's balance that was booked. `side` BUY means that shares came.

    `ledger_shares` and `venue_shares` are what stood on either side when it was booked; None for those that
    were booked before these numbers were kept with it.
    """

    venue: str
    mode: Mode
    market_id: MarketId
    token_id: TokenId
    side: Side
    shares: Decimal
    notional_usd: Decimal
    at: datetime
    ledger_shares: Decimal | None
    venue_shares: Decimal | None

    @property
    def price(self) -> Decimal:
        """USD per share at which the difference is counted, at most six decimals."""
        return floor_decimals(EXACT.divide(self.notional_usd, self.shares), _PRICE_PLACES)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sources:
    venue: str
    mode: Mode
    token_id: TokenId
    own: bool
    found: bool


_PLACE = TypeAdapter(HoldingsPlace)
_TOKEN = TypeAdapter(LedgerToken)
_SOURCES = TypeAdapter(_Sources)
_ADJUSTMENT = TypeAdapter(Adjustment)


class Holdings:
    """Reads about holdings; every method raises StorageUnavailable while Postgres is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def places(self) -> list[HoldingsPlace]:
        """Return the accounts and venues whose live holdings are compared."""
        async with self._database.hot.connection() as connection:
            return read_all(_PLACE, await connection.fetch(_PLACES))

    async def open_tokens(self, place: HoldingsPlace, mode: Mode) -> list[LedgerToken]:
        """Return the tokens that the ledger holds or owes."""
        async with self._database.hot.connection() as connection:
            rows = await connection.fetch(_OPEN_TOKENS, place.account_id, place.venue, mode.value)
        return read_all(_TOKEN, rows)

    async def origins(
        self, account_id: AccountId, positions: Sequence[Position]
    ) -> dict[PositionKey, Origin]:
        """Return where the shares of positions came from, counted over their present episode."""
        tokens = sorted({position.key.token_id for position in positions})
        async with self._database.hot.connection() as connection:
            sources = read_all(_SOURCES, await connection.fetch(_ORIGINS, account_id, tokens))
        found = dict(_origins(account_id, sources))
        return {position.key: found.get(position.key, Origin.OWN) for position in positions}

    async def adjustments(
        self, account_id: AccountId, *, token_id: TokenId | None = None, limit: int = 50, offset: int = 0
    ) -> Page[Adjustment]:
        """Return adjustments of the account's positions, newest first."""
        async with self._database.hot.connection() as connection:
            rows = await connection.fetch(_ADJUSTMENTS, account_id, token_id, limit, offset)
            total = await connection.fetchval(_COUNT_ADJUSTMENTS, account_id, token_id)
        return Page(
            items=tuple(read_all(_ADJUSTMENT, rows)),
            total=total if isinstance(total, int) else 0,
            limit=limit,
            offset=offset,
        )

    async def rules_ever_on(self, key: PositionKey) -> int:
        """Return how many rules ever stood on a position, open ones and ended ones."""
        async with self._database.hot.connection() as connection:
            count = await connection.fetchval(
                _COUNT_RULES, key.account_id, key.venue, key.mode.value, key.token_id
            )
        return count if isinstance(count, int) else 0


def _origins(account_id: AccountId, sources: Iterable[_Sources]) -> Iterable[tuple[PositionKey, Origin]]:
    for line in sources:
        key = PositionKey(account_id=account_id, venue=line.venue, mode=line.mode, token_id=line.token_id)
        if line.own and line.found:
            yield key, Origin.MIXED
        else:
            yield key, Origin.FOUND if line.found else Origin.OWN
