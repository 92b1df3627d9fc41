"""`/api/skills/polymarket/rules`: the Polymarket skill's Trade Manager, a thin form of `/api/v2/rules`."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Body, Query, Response, status
from pydantic import ValidationError

from api.deps import PagingDep, ReadContext, ServicesDep, TradeContext, well_formed
from api.errors import invalid_from
from api.fingerprints import KeyHeader, key_of
from api.operations import reads
from api.operations.rules import Change, cancel_rule, create_rule, patch_rule, rule_of
from api.operations.status import trade_manager_state
from api.problems import Invalid, conflict
from api.routes.answers import CHANGING_LONG, CREATING, READING, tell_key
from api.schemas.common import CamelPage
from api.schemas.rules import PendingAnswer
from api.schemas.skills_polymarket import (
    SKILL_EXAMPLES,
    VENUE,
    ChangedSkillRule,
    RuleType,
    SkillEvent,
    SkillPosition,
    SkillRule,
    SkillRuleBody,
    SkillRulePatch,
    SkillStatus,
    Unfitting,
    wire_errors,
)
from domain.messages import RuleStatus
from domain.rules.definition import TrailingStop

router = APIRouter(prefix="/api/skills/polymarket/rules", tags=["polymarket skill"])


@router.get("/status", responses=READING, summary="State of the Trade Manager")
async def read_skill_status(services: ServicesDep, context: ReadContext) -> SkillStatus:
    """Whether prices are watched, from where, and how fresh they are."""
    return SkillStatus(**dict(await trade_manager_state(services, context)))


@router.get("/events", responses=READING, summary="What happened to rules")
async def list_skill_events(
    services: ServicesDep,
    context: ReadContext,
    page: PagingDep,
    rule_id: Annotated[str | None, Query(alias="ruleId", description="Only this rule's")] = None,
) -> CamelPage[SkillEvent]:
    """The append-only log of rules, newest first."""
    found = await reads.events(services, context, page, rule_id=rule_id)
    return CamelPage(
        items=[SkillEvent(**dict(event)) for event in found.items],
        total=found.total,
        limit=found.limit,
        offset=found.offset,
    )


@router.get("/positions", responses=READING, summary="Positions that rules watch")
async def list_skill_positions(
    services: ServicesDep, context: ReadContext, page: PagingDep
) -> CamelPage[SkillPosition]:
    """Open positions of this account at Polymarket, each with the open rules on its token."""
    found = await reads.monitored_positions(services, context, page, venue=VENUE)
    return CamelPage(
        items=[
            SkillPosition(**position.model_dump(include=set(SkillPosition.model_fields)))
            for position in found.items
        ],
        total=found.total,
        limit=found.limit,
        offset=found.offset,
    )


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses={
        **CREATING,
        200: {"model": SkillRule, "description": "The rule that this Idempotency-Key created before"},
        202: {"model": PendingAnswer, "description": "Durably started; no worker has taken it up yet"},
    },
    summary="Create a rule",
)
async def create_skill_rule(
    services: ServicesDep,
    context: TradeContext,
    response: Response,
    body: Annotated[SkillRuleBody, Body(openapi_examples=SKILL_EXAMPLES)],
    idempotency_key: KeyHeader = None,
) -> SkillRule | PendingAnswer:
    """Arm a stop, a target or a trail on a Polymarket token; a 422 has changed nothing."""
    key = key_of(idempotency_key)
    tell_key(response, key)
    with _own_field_names(body.rule_type):
        created = await create_rule(services, context, body.definition(), key)
    if created.row is None:
        response.status_code = status.HTTP_202_ACCEPTED
        return PendingAnswer(id=created.rule_id)
    if created.repeated:
        response.status_code = status.HTTP_200_OK
    return SkillRule.of(created.row)


@router.get("", responses=READING, summary="List rules")
async def list_skill_rules(
    services: ServicesDep,
    context: ReadContext,
    page: PagingDep,
    rule_status: Annotated[RuleStatus | None, Query(alias="status", description="Only these")] = None,
) -> CamelPage[SkillRule]:
    """Rules of this account at Polymarket, newest first."""
    found = await reads.rules(services, context, page, status=rule_status, venue=VENUE)
    items = [SkillRule.of(row) for row in found.items]
    return CamelPage(items=items, total=found.total, limit=page.limit, offset=page.offset)


@router.get("/{rule_id}", responses=READING, summary="Read a rule")
async def read_skill_rule(services: ServicesDep, context: ReadContext, rule_id: str) -> SkillRule:
    """One rule with its resolved level and how far it is."""
    return SkillRule.of(await rule_of(services, context, rule_id))


@router.patch("/{rule_id}", responses=CHANGING_LONG, summary="Change a rule's level")
async def patch_skill_rule(
    services: ServicesDep,
    context: TradeContext,
    response: Response,
    rule_id: str,
    changes: SkillRulePatch,
    idempotency_key: KeyHeader = None,
) -> ChangedSkillRule:
    """Change the trigger price (for a trail its floor) or the trail's percent.

    409 `crossing_won` when the price was faster.
    """
    key = key_of(idempotency_key)
    tell_key(response, key)
    row = await rule_of(services, context, well_formed(rule_id, "rule"))
    of_trail = any(isinstance(condition, TrailingStop) for condition in row.definition.conditions)
    try:
        with _own_field_names(RuleType.TRAILING_STOP if of_trail else RuleType.STOP_LOSS):
            change = await patch_rule(
                services, context, rule_id, changes.applied_to, version=changes.version, key=key
            )
    except Unfitting:
        raise conflict("no_such_level", "No condition of this rule has such a level.") from None
    return _changed(change)


@router.delete("/{rule_id}", responses=CHANGING_LONG, summary="Cancel a rule")
async def cancel_skill_rule(
    services: ServicesDep,
    context: TradeContext,
    response: Response,
    rule_id: str,
    idempotency_key: KeyHeader = None,
) -> ChangedSkillRule:
    """Cancel a rule; `outcome` says how, and 409 `crossing_won` that its exit is through."""
    key = key_of(idempotency_key)
    tell_key(response, key)
    return _changed(await cancel_rule(services, context, rule_id, key))


def _changed(change: Change) -> ChangedSkillRule:
    return ChangedSkillRule(
        **dict(SkillRule.of(change.row)), outcome=change.outcome, outcome_detail=change.detail
    )


@contextmanager
def _own_field_names(rule_type: RuleType) -> Generator[None]:
    """Give refusals of the general form the field names of this one."""
    try:
        yield
    except ValidationError as error:
        raise Invalid(wire_errors(invalid_from(error).errors, rule_type)) from None
    except Invalid as refusal:
        raise Invalid(wire_errors(refusal.errors, rule_type)) from None
