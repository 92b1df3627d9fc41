"""`/api/v2/rules`: rules in the general form."""

from typing import Annotated

from fastapi import APIRouter, Body, Query, Response, status

from api.deps import PagingDep, ReadContext, ServicesDep, TradeContext
from api.fingerprints import KeyHeader, key_of
from api.operations import reads
from api.operations.rules import Change, cancel_rule, create_rule, patch_rule, rule_of
from api.operations.status import trade_manager_state
from api.routes.answers import CHANGING_LONG, CREATING, READING, tell_key
from api.schemas.common import Page
from api.schemas.portfolio import EventAnswer, EventTypeQuery, MonitoredPositionAnswer
from api.schemas.rules import (
    RULE_EXAMPLES,
    ChangedRuleAnswer,
    PendingAnswer,
    RuleAnswer,
    RulePatch,
)
from api.schemas.status import TradeManagerAnswer
from domain.messages import RuleStatus
from domain.rules.definition import RuleDefinition

router = APIRouter(prefix="/api/v2/rules", tags=["rules"])


@router.get("/status", responses=READING, summary="State of the Trade Manager")
async def read_status(services: ServicesDep, context: ReadContext) -> TradeManagerAnswer:
    """Whether prices are watched, from where and how fresh they are; this account's rules that are active,
    blocked or orphaned; breakers; and the last day's gaps, in which nobody saw.
    """
    return await trade_manager_state(services, context)


@router.get("/events", responses=READING, summary="What happened to rules")
async def list_rule_events(
    services: ServicesDep,
    context: ReadContext,
    page: PagingDep,
    rule_id: Annotated[str | None, Query(description="Only this rule's")] = None,
    type_: EventTypeQuery = None,
) -> Page[EventAnswer]:
    """The append-only log of rules, newest first, with near misses (`rule.near_miss`, `rule.held_back`)."""
    return await reads.events(services, context, page, rule_id=rule_id, type_=type_)


@router.get("/positions", responses=READING, summary="Positions that rules watch")
async def list_monitored_positions(
    services: ServicesDep, context: ReadContext, page: PagingDep
) -> Page[MonitoredPositionAnswer]:
    """Open positions of this account, each with the ids of the open rules on its token."""
    return await reads.monitored_positions(services, context, page)


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses={
        **CREATING,
        200: {"model": RuleAnswer, "description": "The rule that this Idempotency-Key created before"},
        202: {"model": PendingAnswer, "description": "Durably started; no worker has taken it up yet"},
    },
    summary="Create a rule",
)
async def create(
    services: ServicesDep,
    context: TradeContext,
    response: Response,
    definition: Annotated[RuleDefinition, Body(openapi_examples=RULE_EXAMPLES)],
    idempotency_key: KeyHeader = None,
) -> RuleAnswer | PendingAnswer:
    """Arm a rule: the first of its conditions that is met sells, and the others can then no longer fire.

    `percent` means percent (10 = 10 %). Levels in percent or points are computed from `entry_price`, or from
    the ledger's average entry when it is left out. Numbers may be JSON numbers or text. Everything is checked
    before anything is started: a 422 names each field and has changed nothing.
    """
    key = key_of(idempotency_key)
    tell_key(response, key)
    created = await create_rule(services, context, definition, key)
    if created.row is None:
        response.status_code = status.HTTP_202_ACCEPTED
        return PendingAnswer(id=created.rule_id)
    if created.repeated:
        response.status_code = status.HTTP_200_OK
    return RuleAnswer.of(created.row)


@router.get("", responses=READING, summary="List rules")
async def list_rules(
    services: ServicesDep,
    context: ReadContext,
    page: PagingDep,
    rule_status: Annotated[RuleStatus | None, Query(alias="status", description="Only these")] = None,
    token_id: Annotated[str | None, Query(max_length=200, description="Only on this token")] = None,
) -> Page[RuleAnswer]:
    """Rules of this account, newest first."""
    found = await reads.rules(services, context, page, status=rule_status, token_id=token_id)
    items = [RuleAnswer.of(row) for row in found.items]
    return Page(items=items, total=found.total, limit=page.limit, offset=page.offset)


@router.get("/{rule_id}", responses=READING, summary="Read a rule")
async def read(services: ServicesDep, context: ReadContext, rule_id: str) -> RuleAnswer:
    """One rule with its resolved levels and how far it is."""
    return RuleAnswer.of(await rule_of(services, context, rule_id))


@router.patch("/{rule_id}", responses=CHANGING_LONG, summary="Change a rule")
async def patch(
    services: ServicesDep,
    context: TradeContext,
    response: Response,
    rule_id: str,
    changes: RulePatch,
    idempotency_key: KeyHeader = None,
) -> ChangedRuleAnswer:
    """Change levels, guards or the amount while the rule is armed.

    409 `crossing_won` when the price was faster, `version_mismatch` when the rule is no longer the one that
    was read.
    """
    key = key_of(idempotency_key)
    tell_key(response, key)
    change = await patch_rule(
        services, context, rule_id, changes.applied_to, version=changes.version, key=key
    )
    return _changed(change)


@router.delete("/{rule_id}", responses=CHANGING_LONG, summary="Cancel a rule")
async def cancel(
    services: ServicesDep,
    context: TradeContext,
    response: Response,
    rule_id: str,
    idempotency_key: KeyHeader = None,
) -> ChangedRuleAnswer:
    """Cancel a rule. The answer says how: `done`, `canceled_with_residual` while an exit was under way, or
    `already_finished` when it was cancelled before. 409 `crossing_won` when its exit is through.
    """
    key = key_of(idempotency_key)
    tell_key(response, key)
    return _changed(await cancel_rule(services, context, rule_id, key))


def _changed(change: Change) -> ChangedRuleAnswer:
    rule = RuleAnswer.of(change.row)
    return ChangedRuleAnswer(**dict(rule), outcome=change.outcome, outcome_detail=change.detail)
