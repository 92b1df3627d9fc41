"""The venue's word on orders: kept so that later reports never take back what earlier ones told."""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
from pydantic import TypeAdapter

from domain.ids import AccountId
from domain.orders import Mode, VenueOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heard:
    order: VenueOrder
    terminal: bool


_HEARD = TypeAdapter(tuple[_Heard, ...])

# Terminal never goes back, and the matched size never shrinks, except when the venue calls the order invalid.
_BOOK = """INSERT INTO venue_orders AS v (
        account_id, venue, mode, venue_order_id, market_id, token_id, side, status, terminal, original_shares,
        matched_shares, price, created_at
    )
    SELECT $1, $2, $3, o.venue_order_id, o.market_id, o.token_id, o.side, o.status,
        (h->>'terminal')::boolean, o.original_shares, o.matched_shares, o.price, o.created_at
    FROM jsonb_array_elements($4::jsonb) AS h, jsonb_populate_record(NULL::venue_orders, h->'order') AS o
    ON CONFLICT (account_id, venue, mode, venue_order_id) DO UPDATE SET
        status = CASE
            WHEN v.terminal AND EXCLUDED.status <> 'invalid' THEN v.status
            ELSE EXCLUDED.status
        END,
        terminal = v.terminal OR EXCLUDED.terminal,
        matched_shares = CASE
            WHEN v.status = 'invalid' THEN v.matched_shares
            WHEN EXCLUDED.status = 'invalid' THEN EXCLUDED.matched_shares
            ELSE GREATEST(v.matched_shares, EXCLUDED.matched_shares)
        END,
        original_shares = COALESCE(v.original_shares, EXCLUDED.original_shares),
        updated_at = now()
    WHERE v.status <> 'invalid' AND (
        EXCLUDED.status = 'invalid'
        OR EXCLUDED.matched_shares > v.matched_shares
        OR (NOT v.terminal AND EXCLUDED.status <> v.status)
    )
    RETURNING v.venue_order_id"""


async def book_venue_orders(
    connection: asyncpg.Connection,
    account_id: AccountId,
    venue: str,
    mode: Mode,
    orders: Sequence[VenueOrder],
) -> set[str]:
    """Write down what the venue says of orders; return the ids of those that it said something new about."""
    changed: set[str] = set()
    for batch in _batches(orders):
        rows = await connection.fetch(_BOOK, account_id, venue, mode.value, _document(batch))
        changed.update(str(row["venue_order_id"]) for row in rows)
    return changed


def _batches(orders: Sequence[VenueOrder]) -> list[list[VenueOrder]]:
    """Split reports so that no statement holds two of one order, keeping their order."""
    batches: list[list[VenueOrder]] = []
    seen: dict[str, int] = {}
    # Sorted, so that two bookings that cross never wait for each other in a circle.
    for order in sorted(orders, key=lambda order: order.venue_order_id):
        place = seen.get(order.venue_order_id, 0)
        seen[order.venue_order_id] = place + 1
        if place == len(batches):
            batches.append([])
        batches[place].append(order)
    return batches


def _document(orders: Sequence[VenueOrder]) -> str:
    heard = tuple(_Heard(order=order, terminal=order.status.is_terminal) for order in orders)
    return _HEARD.dump_json(heard).decode()
