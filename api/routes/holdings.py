"""`/api/v2/adjustments`, `/api/v2/positions/proposals`: what changed outside, and what nothing protects."""

from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Query

from api.deps import PagingDep, ReadContext, ServicesDep
from api.operations import holdings
from api.routes.answers import READING, problems
from api.schemas.common import Page
from api.schemas.holdings import AdjustmentAnswer, ProposalsAnswer
from domain.protection import DEFAULT_STOP_PERCENT

router = APIRouter(prefix="/api/v2", tags=["portfolio"])


@router.get("/adjustments", responses=READING, summary="List adjustments of positions")
async def list_adjustments(
    services: ServicesDep,
    context: ReadContext,
    page: PagingDep,
    token_id: Annotated[str | None, Query(max_length=200, description="Only of this token")] = None,
) -> Page[AdjustmentAnswer]:
    """Differences to the venue's own balance that no trade explains, newest first.

    They are booked once two comparisons show the same difference, and audited.
    """
    return await holdings.adjustments(services, context, page, token_id=token_id)


@router.get(
    "/positions/proposals",
    responses={**READING, **problems(409, 422)},
    summary="Propose protections",
)
async def list_proposals(
    services: ServicesDep,
    context: ReadContext,
    stop_percent: Annotated[
        Decimal, Query(ge=1, le=95, description="Distance of the level, 20 means 20 %")
    ] = DEFAULT_STOP_PERCENT,
) -> ProposalsAnswer:
    """A rule for each position of the account's mode that no open rule protects; nothing is armed.

    A stop below the average entry or the present price, whichever is lower; a trail where the position has
    gained as much. Send `rule` to `POST /api/v2/rules` under `idempotency_key` to arm it.
    """
    items = await holdings.proposals(services, context, stop_percent=stop_percent)
    return ProposalsAnswer(items=items)
