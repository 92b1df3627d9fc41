"""Why a rule fires or does not: explain, preview, replay, and the recorded tape itself."""

from typing import Annotated

from fastapi import APIRouter, Body, Query, Response
from pydantic import AwareDatetime

from api.deps import ReadContext, ServicesDep
from api.fingerprints import KeyHeader, key_of
from api.operations.explain import explain_rule
from api.operations.preview import preview_rule
from api.operations.reads import clean
from api.operations.replays import recorded_tape, replay_rule
from api.routes.answers import READING, problems, tell_key
from api.schemas.explain import ExplanationAnswer, PreviewAnswer, ReplayBody, ReplayedAnswer, TapeAnswer
from api.schemas.rules import RULE_EXAMPLES
from domain.rules.definition import RuleDefinition

router = APIRouter(prefix="/api/v2", tags=["explain"])

_ASKING = problems(400, 403, 404, 409, 413, 422)
_WHOLE = ReplayBody()


@router.post("/rules/preview", responses=_ASKING, summary="Preview a rule")
async def preview(
    services: ServicesDep,
    context: ReadContext,
    response: Response,
    definition: Annotated[RuleDefinition, Body(openapi_examples=RULE_EXAMPLES)],
    idempotency_key: KeyHeader = None,
) -> PreviewAnswer:
    """The same body as creating a rule: how it would stand and what it would send now, with warnings.

    Nothing is changed, so a key that may only read will do.
    """
    tell_key(response, key_of(idempotency_key))
    return await preview_rule(services, context, definition)


@router.get("/rules/{rule_id}/explain", responses=_ASKING, summary="Explain a rule")
async def explain(services: ServicesDep, context: ReadContext, rule_id: str) -> ExplanationAnswer:
    """Price and age, each condition's level, distance and guard, what would be sent now, the last near
    misses, and the highest and lowest price since arming, by the code that watches live prices.
    """
    return await explain_rule(services, context, rule_id)


@router.post("/rules/{rule_id}/replay", responses=_ASKING, summary="Replay a rule over the recorded tape")
async def replay(
    services: ServicesDep,
    context: ReadContext,
    response: Response,
    rule_id: str,
    span: Annotated[ReplayBody, Body()] = _WHOLE,
    idempotency_key: KeyHeader = None,
) -> ReplayedAnswer:
    """What would have fired, when, and the running trailing level, with the rule's levels as they stand now.

    Nothing is changed, so a key that may only read will do.
    """
    tell_key(response, key_of(idempotency_key))
    return await replay_rule(services, context, rule_id, since=span.since, until=span.until)


@router.get("/tape", responses=READING, summary="Read the recorded tape of a token")
async def read_tape(
    services: ServicesDep,
    _context: ReadContext,
    token_id: Annotated[str, Query(max_length=200)] = "",
    venue: Annotated[str, Query(max_length=40)] = "polymarket",
    since: Annotated[AwareDatetime | None, Query(description="A day ago when left out")] = None,
    until: Annotated[AwareDatetime | None, Query(description="Now when left out")] = None,
    limit: Annotated[int, Query(ge=1, le=50_000)] = 10_000,
) -> TapeAnswer:
    """Changes of the top of a token's book as the feed saw them, oldest first: lines of a tape file."""
    return await recorded_tape(services, clean(venue), clean(token_id), since, until, limit)
