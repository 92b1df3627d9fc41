"""`/api/v2/rules/{rule_id}/adopt`: rules that lost their workflow."""

from fastapi import APIRouter, Response, status

from api.deps import ServicesDep, TradeContext
from api.fingerprints import KeyHeader, key_of
from api.operations.adoption import adopt_rule
from api.routes.answers import CHANGING_LONG, tell_key
from api.schemas.rules import PendingAnswer, RuleAnswer

router = APIRouter(prefix="/api/v2/rules", tags=["rules"])


@router.post("/{rule_id}/adopt", responses=CHANGING_LONG, summary="Adopt an orphaned rule")
async def adopt(
    services: ServicesDep,
    context: TradeContext,
    response: Response,
    rule_id: str,
    idempotency_key: KeyHeader = None,
) -> RuleAnswer | PendingAnswer:
    """Give a rule whose workflow is gone (phase `orphaned`) a workflow again.

    An exit that it had begun goes on and nothing is sold twice; otherwise the rule watches again, with the
    levels that it had. 409 `not_orphaned` for any other rule.
    """
    key = key_of(idempotency_key)
    tell_key(response, key)
    adopted = await adopt_rule(services, context, rule_id, key)
    if adopted.pending:
        response.status_code = status.HTTP_202_ACCEPTED
        return PendingAnswer(id=adopted.row.rule_id)
    return RuleAnswer.of(adopted.row)
