"""`/api/v2/positions`, `/api/v2/fills`, `/api/v2/events`: what is held, executed, and what happened."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.deps import PagingDep, ReadContext, ServicesDep
from api.operations import reads
from api.routes.answers import READING
from api.schemas.common import Page
from api.schemas.orders import LedgerAnswer
from api.schemas.portfolio import EventAnswer, EventTypeQuery, PositionAnswer
from domain.fills import EntryKind

router = APIRouter(prefix="/api/v2", tags=["portfolio"])

TokenQuery = Annotated[str | None, Query(max_length=200, description="Only of this token")]


@router.get("/positions", responses=READING, summary="List positions")
async def list_positions(
    services: ServicesDep,
    context: ReadContext,
    page: PagingDep,
    token_id: TokenQuery = None,
    include_closed: Annotated[bool, Query(description="Positions that are flat now, too")] = False,
) -> Page[PositionAnswer]:
    """Positions of this account: the fold of its fills ledger."""
    return await reads.positions(services, context, page, token_id=token_id, include_closed=include_closed)


@router.get("/fills", responses=READING, summary="List the fills ledger")
async def list_fills(
    services: ServicesDep,
    context: ReadContext,
    page: PagingDep,
    token_id: TokenQuery = None,
    venue_order_id: Annotated[str | None, Query(max_length=200, description="Only of this order")] = None,
    kind: Annotated[EntryKind | None, Query(description="Only entries of this kind")] = None,
) -> Page[LedgerAnswer]:
    """Entries of this account's fills ledger, newest first."""
    return await reads.ledger(
        services, context, page, token_id=token_id, venue_order_id=venue_order_id, kind=kind
    )


@router.get("/events", responses=READING, summary="List events")
async def list_events(
    services: ServicesDep,
    context: ReadContext,
    page: PagingDep,
    rule_id: Annotated[str | None, Query(max_length=80, description="Only this rule's")] = None,
    order_id: Annotated[str | None, Query(max_length=80, description="Only this order's")] = None,
    type_: EventTypeQuery = None,
    after: Annotated[
        int | None,
        Query(ge=0, le=2**62, description="Only later ones, and then oldest first: to follow the log"),
    ] = None,
) -> Page[EventAnswer]:
    """The append-only log of this account's rules and orders, newest first."""
    return await reads.events(
        services, context, page, rule_id=rule_id, order_id=order_id, type_=type_, after=after
    )
