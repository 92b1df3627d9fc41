"""Adopting orphaned rules: open by their row, without a workflow behind it."""

from dataclasses import dataclass

from api.deps import AccountContext, Services
from api.operations.rules import rule_of
from api.problems import Problem, conflict
from domain.messages import RulePhase, RuleRow

ROUTE = "rules.adopt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """How an adoption came out; `pending` while no worker has taken the new workflow up."""

    row: RuleRow
    pending: bool


async def adopt_rule(services: Services, context: AccountContext, rule_id: str, key: str) -> Adopted:
    """Give an orphaned rule a workflow again; an adoption that this key carried out before is answered again.

    The new workflow goes on with an exit that the former one began, found by its claims, or arms the rule's
    next generation.

    Raises:
        Problem: 404; 409 `not_orphaned` for a rule whose workflow lives or that has ended; 503.
        Conflict: The key was used for something else.
    """
    row = await rule_of(services, context, rule_id)
    if row.phase is not RulePhase.ORPHANED:
        known = await services.idempotency.find(context.account_id, ROUTE, key)
        if known == row.rule_id:
            return Adopted(row=row, pending=False)
        raise _not_orphaned(row)
    await services.idempotency.reserve(context.account_id, ROUTE, key, row.rule_id, row.rule_id)
    start = await services.adoption.start_of(
        row,
        instrument=await services.venues.market_data(row.venue).instrument(row.token_id),
        wallet=await services.venues.wallet(context.account_id, row.venue, row.mode, holding=row.token_id),
        tuning=services.tuning,
    )
    await services.rule_starter.adopt_rule(start)
    taken_up = await rule_of(services, context, rule_id)
    return Adopted(row=taken_up, pending=taken_up.phase is RulePhase.ORPHANED)


def _not_orphaned(row: RuleRow) -> Problem:
    if row.phase is RulePhase.DONE:
        detail = f"The rule has ended as {row.status.value}: there is nothing to adopt."
    else:
        detail = "The rule's workflow is not known to be gone: there is nothing to adopt."
    return conflict(
        "not_orphaned",
        detail,
        rule_id=row.rule_id,
        rule_status=row.status.value,
        phase=row.phase.value,
    )
