"""Placing and cancelling orders of one's own."""

import asyncio
from dataclasses import dataclass

from api.deps import AccountContext, Services, well_formed
from api.fingerprints import fingerprint
from api.operations.breaker_checks import check_entry
from api.operations.order_checks import checked_order
from api.problems import conflict, not_found
from api.schemas.orders import OrderBody
from api.starters import Started
from domain.ids import OrderId, hosted_rule, order_id_for
from domain.messages import CancelOrder, OrderAnswer
from domain.orders import OrderRow, Side

ROUTE = "orders"
LOOK_EVERY_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """How an order came out: `row` is None while no worker has taken it up."""

    order_id: OrderId
    row: OrderRow | None
    repeated: bool


async def place_order(services: Services, context: AccountContext, body: OrderBody, key: str) -> Placement:
    """Start an order's workflow, or return the order that this key placed before.

    Raises:
        Problem: 409 for a key used for something else, 422 with the refused field, 503 when a part is away or
            an open breaker lets no entry pass.
    """
    mark = fingerprint(body)
    order_id = order_id_for(context.account_id, ROUTE, key)
    standing = await services.orders.get(context.account_id, order_id)
    if standing is not None:
        await services.idempotency.reserve(context.account_id, ROUTE, key, mark, order_id)
        return Placement(order_id=order_id, row=standing, repeated=True)
    context.must_be_enabled()
    # A key that is reserved passed this before: its order may be under way, and must not be called unplaced.
    if body.side is Side.BUY and await services.idempotency.find(context.account_id, ROUTE, key) is None:
        await check_entry(services, context, body.venue)
    start = await checked_order(services, context, body, order_id, mark, services.clock.now())
    await services.idempotency.reserve(context.account_id, ROUTE, key, mark, order_id)
    started = await services.order_starter.create_order(start)
    row = await _first_row(services, context, order_id)
    return Placement(order_id=order_id, row=row, repeated=started is Started.CLOSED)


async def _first_row(services: Services, context: AccountContext, order_id: OrderId) -> OrderRow | None:
    """Wait until the order's workflow has written its row; None when no worker did in time."""
    try:
        async with asyncio.timeout(services.answer_limit.total_seconds()):
            while True:
                row = await services.orders.get(context.account_id, order_id)
                if row is not None:
                    return row
                await asyncio.sleep(LOOK_EVERY_SECONDS)
    except TimeoutError:
        return None


async def order_of(services: Services, context: AccountContext, order_id: str) -> OrderRow:
    """Return an order of this account.

    Raises:
        Problem: 404 when there is none, or it is another account's.
    """
    row = await services.orders.get(context.account_id, OrderId(well_formed(order_id, "order")))
    if row is None:
        raise not_found("order")
    return row


async def cancel_order(
    services: Services, context: AccountContext, order_id: str, key: str
) -> tuple[OrderRow, OrderAnswer | None]:
    """Cancel an order; a terminal one is returned as it is.

    Raises:
        Problem: 404; 409 `cancel_the_rule` for a rule's exit; 503.
    """
    row = await order_of(services, context, order_id)
    rule_id = hosted_rule(row.host_workflow_id)
    if rule_id is not None:
        detail = "This order is the exit of a rule, which decides about it: cancel the rule."
        raise conflict("cancel_the_rule", detail, rule_id=rule_id)
    if row.state.is_terminal:
        return row, None
    answer = await services.order_starter.cancel_order(
        row.order_id, CancelOrder(account_id=context.account_id), key
    )
    return await order_of(services, context, order_id), answer
