"""`/api/v2/orders`: orders of one's own, and the exits of rules to look at."""

from typing import Annotated

from fastapi import APIRouter, Body, Query, Response, status

from api.deps import PagingDep, ReadContext, ServicesDep, TradeContext
from api.fingerprints import KeyHeader, key_of
from api.operations import reads
from api.operations.orders import cancel_order, order_of, place_order
from api.routes.answers import CHANGING_LONG, CREATING, READING, tell_key
from api.schemas.common import Page
from api.schemas.orders import ORDER_EXAMPLES, OrderAnswer, OrderBody
from api.schemas.rules import PendingAnswer
from domain.orders import OrderState

router = APIRouter(prefix="/api/v2/orders", tags=["orders"])


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses={
        **CREATING,
        200: {"model": OrderAnswer, "description": "The order that this Idempotency-Key placed before"},
        202: {"model": PendingAnswer, "description": "Durably started; no worker has taken it up yet"},
    },
    summary="Place an order",
)
async def create_order(
    services: ServicesDep,
    context: TradeContext,
    response: Response,
    body: Annotated[OrderBody, Body(openapi_examples=ORDER_EXAMPLES)],
    idempotency_key: KeyHeader = None,
) -> OrderAnswer | PendingAnswer:
    """Place an order. It reaches the venue at most once, whatever dies on the way; limits of the account
    apply to buying, and an open breaker pauses it: 503 `breaker_open` then says until when. Repeat it with
    the same Idempotency-Key when an answer got lost.
    """
    key = key_of(idempotency_key)
    tell_key(response, key)
    placed = await place_order(services, context, body, key)
    if placed.row is None:
        response.status_code = status.HTTP_202_ACCEPTED
        return PendingAnswer(id=placed.order_id)
    if placed.repeated:
        response.status_code = status.HTTP_200_OK
    return OrderAnswer.of(placed.row)


@router.get("", responses=READING, summary="List orders")
async def list_orders(
    services: ServicesDep,
    context: ReadContext,
    page: PagingDep,
    state: Annotated[OrderState | None, Query(description="Only in this state")] = None,
    token_id: Annotated[str | None, Query(max_length=200, description="Only on this token")] = None,
    rule_id: Annotated[str | None, Query(max_length=80, description="Only this rule's exits")] = None,
) -> Page[OrderAnswer]:
    """Orders of this account, newest first."""
    found = await reads.orders(services, context, page, state=state, token_id=token_id, rule_id=rule_id)
    items = [OrderAnswer.of(row) for row in found.items]
    return Page(items=items, total=found.total, limit=page.limit, offset=page.offset)


@router.get("/{order_id}", responses=READING, summary="Read an order")
async def read_order(services: ServicesDep, context: ReadContext, order_id: str) -> OrderAnswer:
    """One order and what it filled."""
    return OrderAnswer.of(await order_of(services, context, order_id))


@router.delete("/{order_id}", responses=CHANGING_LONG, summary="Cancel an order")
async def cancel_one_order(
    services: ServicesDep,
    context: TradeContext,
    response: Response,
    order_id: str,
    idempotency_key: KeyHeader = None,
) -> OrderAnswer:
    """Cancel an order; what filled before stays filled. 409 `cancel_the_rule` for the exit of a rule."""
    key = key_of(idempotency_key)
    tell_key(response, key)
    row, answer = await cancel_order(services, context, order_id, key)
    order = OrderAnswer.of(row)
    return order if answer is None else order.ended(answer)
