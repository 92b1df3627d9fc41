"""The fills ledger: venue facts in, positions out, each booking in one transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import asyncpg
import orjson
from pydantic import TypeAdapter

from domain.fills import EntryKind, Fill, LedgerEntry, entries_of
from domain.ids import AccountId, MarketId, OrderId
from domain.ledger import order_sums
from domain.messages import Holding, OrderFacts, OrderRef
from domain.money import EXACT, plain
from domain.orders import Mode, Side, VenueOrder, VenueOrderStatus
from domain.positions import PositionKey
from storage.database import Database
from storage.records import read_all, read_one
from storage.repositories.audit import INSERT_AUDIT
from storage.repositories.ledger_entries import (
    ENTRY,
    ENTRY_COLUMNS,
    book_entries,
    fold_positions,
    lock_position,
    read_holding,
)
from storage.repositories.venue_orders import book_venue_orders


@dataclass(frozen=True, slots=True, kw_only=True)
class Reversed:
    """A fill that the venue took back, and who hosted its order (None: not an order of ours)."""

    entry: LedgerEntry
    order_id: OrderId | None
    host_workflow_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """What one booking changed.

    Attributes:
        new_entries: Ledger entries that were not there before.
        changed_positions: Positions that these changed, and what they hold now.
        hosts: Workflows whose orders the new facts are about.
        reversals: New reversals.
        sending: The venue's ids of orders about which all that is new came before their own answer; their
            hosts have nothing else in here.
    """

    new_entries: int = 0
    changed_positions: tuple[tuple[PositionKey, Holding], ...] = ()
    hosts: tuple[str, ...] = ()
    reversals: tuple[Reversed, ...] = ()
    sending: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BusyAccount:
    """An account at a venue that needs its stream: something is unsettled, unconfirmed or held."""

    account_id: AccountId
    venue: str
    mode: Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hosted:
    venue_order_id: str
    order_id: OrderId
    host_workflow_id: str
    sending: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _VenueWord:
    status: VenueOrderStatus
    matched_shares: Decimal


_REF = TypeAdapter(OrderRef)
_BUSY = TypeAdapter(BusyAccount)
_HOSTED = TypeAdapter(_Hosted)
_VENUE_WORD = TypeAdapter(_VenueWord)

_ENTRIES_OF_ORDER = f"""SELECT {ENTRY_COLUMNS} FROM ledger
    WHERE account_id = $1 AND venue = $2 AND mode = $3 AND venue_order_id = $4"""  # noqa: S608
# A first send that began within moments and has no answer yet. A longer one may have died with its worker.
_SENDING = "(answer IS NULL AND posts = 1 AND last_post_at > clock_timestamp() - interval '2 seconds')"
_HOSTS = f"""SELECT DISTINCT venue_order_id, order_id, host_workflow_id, {_SENDING} AS sending FROM claims
    WHERE account_id = $1 AND venue = $2 AND mode = $3 AND venue_order_id = ANY($4::text[])
    ORDER BY host_workflow_id, order_id, venue_order_id"""  # noqa: S608 - fixed text
_STILL_SENDING = f"""SELECT host_workflow_id FROM claims WHERE venue_order_id = ANY($1::text[])
    GROUP BY host_workflow_id HAVING bool_and({_SENDING})"""  # noqa: S608 - fixed text
_VENUE_ORDER = """SELECT status, matched_shares FROM venue_orders
    WHERE account_id = $1 AND venue = $2 AND mode = $3 AND venue_order_id = $4"""
_UNSETTLED = """SELECT u.*, c.body->'wallet'->>'wallet_id' AS wallet_id
    FROM unsettled_claims AS u JOIN claims AS c USING (order_id, attempt)
    WHERE u.account_id = $1 AND u.venue = $2 AND u.mode = $3
    ORDER BY u.placed_at_ms, u.order_id, u.attempt"""
_BUSY_ACCOUNTS = """SELECT account_id, venue, mode FROM unsettled_claims
    UNION SELECT account_id, venue, mode FROM positions WHERE shares <> 0 OR unconfirmed_shares <> 0
    ORDER BY account_id, venue, mode"""
_UNCONFIRMED_SINCE = """SELECT MIN(f.traded_at) FROM ledger AS f
    WHERE f.account_id = $1 AND f.venue = $2 AND f.mode = $3 AND f.kind = 'fill'
        AND f.token_id = ANY(ARRAY(
            SELECT p.token_id FROM positions AS p
            WHERE p.account_id = $1 AND p.venue = $2 AND p.mode = $3 AND p.unconfirmed_shares <> 0
        ))
        AND NOT EXISTS (
            SELECT 1 FROM ledger AS e WHERE e.account_id = $1 AND e.venue = $2 AND e.mode = $3
                AND e.fill_key = f.fill_key AND e.kind IN ('confirmation', 'reversal')
        )"""


class Ledger:
    """Books venue facts and answers what they amount to."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def book(
        self,
        account_id: AccountId,
        venue: str,
        mode: Mode,
        fills: Sequence[Fill] = (),
        orders: Sequence[VenueOrder] = (),
    ) -> Booked:
        """Book fills and the venue's word on orders; what is known already changes nothing.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        entries = [entry for fill in fills for entry in entries_of(fill, account_id, venue, mode)]
        async with self._database.hot.transaction() as connection:
            new = await book_entries(connection, entries)
            heard = await book_venue_orders(connection, account_id, venue, mode, orders)
            changed = await fold_positions(connection, new)
            touched = {entry.venue_order_id for entry in new if entry.venue_order_id} | heard
            hosted = await _hosted(connection, account_id, venue, mode, touched)
        return Booked(
            new_entries=len(new),
            changed_positions=changed,
            hosts=tuple(dict.fromkeys(line.host_workflow_id for line in hosted)),
            reversals=_reversals(new, hosted),
            sending=_sending(hosted),
        )

    async def still_sending(self, venue_order_ids: Sequence[str]) -> set[str]:
        """Return the hosts whose orders, of those given, are all on their way for the first time.

        What was booked before this call they learn with the venue's answer: `place_order` reads the ledger
        after it has written the answer down, and that has not happened yet.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.hot.connection() as connection:
            rows = await connection.fetch(_STILL_SENDING, venue_order_ids)
        return {str(row["host_workflow_id"]) for row in rows}

    async def adjust(
        self,
        key: PositionKey,
        market_id: MarketId,
        *,
        ledger_shares: Decimal,
        venue_shares: Decimal,
        price: Decimal,
        at: datetime,
        adjustment_key: str,
    ) -> Booked:
        """Book the difference between the ledger and the venue's own balance, with an audit entry.

        Args:
            key: Whose position.
            market_id: The token's market.
            ledger_shares: What the ledger held when the venue was asked; when it holds something else by
                now, nothing is booked.
            venue_shares: The venue's balance.
            price: USD per share at which the difference is counted.
            at: When the venue was asked.
            adjustment_key: Names this adjustment; a second one of the same name changes nothing.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.hot.transaction() as connection:
            held = await lock_position(connection, key, market_id)
            difference = EXACT.subtract(venue_shares, held)
            if held != ledger_shares or not difference:
                return Booked()
            shares = difference.copy_abs()
            entry = _own_entry(
                key,
                market_id,
                kind=EntryKind.ADJUSTMENT,
                fill_key=adjustment_key,
                side=Side.BUY if difference > 0 else Side.SELL,
                shares=shares,
                notional_usd=EXACT.multiply(shares, price),
                at=at,
            )
            new = await book_entries(connection, [entry])
            changed = await fold_positions(connection, new)
            if new:
                # The report of adjustments finds the two numbers by the entry's key.
                numbers = {"ledger": plain(held), "venue": plain(venue_shares), "key": adjustment_key}
                detail = orjson.dumps(numbers).decode()
                await connection.fetchval(
                    INSERT_AUDIT, key.account_id, "reconcile", "position.adjusted", _subject(key), detail
                )
        return Booked(new_entries=len(new), changed_positions=changed)

    async def settle(self, key: PositionKey, market_id: MarketId, payout: Decimal, at: datetime) -> Booked:
        """Book that the market resolved and pays `payout` USD for each share held; once per episode.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.hot.transaction() as connection:
            held = await lock_position(connection, key, market_id)
            if held <= 0:
                return Booked()
            episode = (await read_holding(connection, key)).episode
            entry = _own_entry(
                key,
                market_id,
                kind=EntryKind.SETTLEMENT,
                fill_key=f"settlement:{key.token_id}:{episode}",
                side=Side.SELL,
                shares=held,
                notional_usd=EXACT.multiply(held, payout),
                at=at,
            )
            new = await book_entries(connection, [entry])
            changed = await fold_positions(connection, new)
        return Booked(new_entries=len(new), changed_positions=changed)

    async def holding(self, key: PositionKey) -> Holding:
        """Return what is held; all zero when nothing ever was."""
        async with self._database.hot.connection() as connection:
            return await read_holding(connection, key)

    async def order_facts(self, ref: OrderRef, *, looked_up: bool = False) -> OrderFacts:
        """Return what is known of one attempt: the venue's word and the ledger's sums.

        Args:
            ref: The attempt.
            looked_up: Whether the venue was asked just now; goes into the answer as it is.
        """
        place = (ref.account_id, ref.venue, ref.mode.value, ref.venue_order_id)
        async with self._database.hot.transaction() as connection:
            row = await connection.fetchrow(_VENUE_ORDER, *place)
            entries = read_all(ENTRY, await connection.fetch(_ENTRIES_OF_ORDER, *place))
            holding = await read_holding(connection, _key_of(ref))
        word = None if row is None else read_one(_VENUE_WORD, row)
        sums = order_sums(entries, ref.venue_order_id)
        return OrderFacts(
            venue_status=word.status if word else None,
            venue_matched_shares=word.matched_shares if word else Decimal(0),
            booked_shares=sums.booked_shares,
            reversed_shares=sums.reversed_shares,
            unconfirmed_shares=sums.unconfirmed_shares,
            notional_usd=sums.notional_usd,
            fee_usd=sums.fee_usd,
            looked_up=looked_up,
            holding=holding,
        )

    async def unsettled_orders(self, account_id: AccountId, venue: str, mode: Mode) -> list[OrderRef]:
        """Return the attempts that may still fill, oldest first."""
        async with self._database.hot.connection() as connection:
            rows = await connection.fetch(_UNSETTLED, account_id, venue, mode.value)
        return read_all(_REF, rows)

    async def unconfirmed_since(self, account_id: AccountId, venue: str, mode: Mode) -> datetime | None:
        """Return when the oldest fill was made that the venue may still take back; None without one."""
        async with self._database.hot.connection() as connection:
            oldest = await connection.fetchval(_UNCONFIRMED_SINCE, account_id, venue, mode.value)
        return oldest if isinstance(oldest, datetime) else None

    async def busy_accounts(self) -> list[BusyAccount]:
        """Return who needs a stream: unsettled claims, unconfirmed fills or open positions."""
        async with self._database.hot.connection() as connection:
            return read_all(_BUSY, await connection.fetch(_BUSY_ACCOUNTS))


async def _hosted(
    connection: asyncpg.Connection, account_id: AccountId, venue: str, mode: Mode, touched: Iterable[str]
) -> list[_Hosted]:
    venue_order_ids = sorted(touched)
    if not venue_order_ids:
        return []
    rows = await connection.fetch(_HOSTS, account_id, venue, mode.value, venue_order_ids)
    return read_all(_HOSTED, rows)


def _sending(hosted: Iterable[_Hosted]) -> tuple[str, ...]:
    """Return the orders that are on their way, of hosts that have no other among those that were touched."""
    lines = list(hosted)
    answered = {line.host_workflow_id for line in lines if not line.sending}
    return tuple(line.venue_order_id for line in lines if line.host_workflow_id not in answered)


def _reversals(new: Iterable[LedgerEntry], hosted: Iterable[_Hosted]) -> tuple[Reversed, ...]:
    host_of = {line.venue_order_id: line for line in hosted}
    reversals: list[Reversed] = []
    for entry in new:
        if entry.kind is EntryKind.REVERSAL:
            line = host_of.get(entry.venue_order_id or "")
            reversals.append(
                Reversed(
                    entry=entry,
                    order_id=line.order_id if line else None,
                    host_workflow_id=line.host_workflow_id if line else None,
                )
            )
    return tuple(reversals)


def _own_entry(
    key: PositionKey,
    market_id: MarketId,
    *,
    kind: EntryKind,
    fill_key: str,
    side: Side,
    shares: Decimal,
    notional_usd: Decimal,
    at: datetime,
) -> LedgerEntry:
    """Make an entry that no fill of the venue stands behind."""
    return LedgerEntry(
        account_id=key.account_id,
        venue=key.venue,
        mode=key.mode,
        kind=kind,
        fill_key=fill_key,
        market_id=market_id,
        token_id=key.token_id,
        side=side,
        shares=shares,
        notional_usd=notional_usd,
        fee_usd=Decimal(0),
        venue_order_id=None,
        traded_at=at,
    )


def _subject(key: PositionKey) -> str:
    return f"position/{key.venue}/{key.mode.value}/{key.token_id}"


def _key_of(ref: OrderRef) -> PositionKey:
    return PositionKey(account_id=ref.account_id, venue=ref.venue, mode=ref.mode, token_id=ref.token_id)
