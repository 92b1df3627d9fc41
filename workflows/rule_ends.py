"""What time alone decides, and how a rule ends when its exit is over."""

from datetime import datetime
from decimal import Decimal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.messages import RecallSales, RuleStatus, Severity
    from domain.money import plain
    from domain.quotes import Quote
    from domain.rules.crossing import Crossing
    from domain.rules.levels import FiringTime

from workflows import calls
from workflows.execution import ExecutionEnd
from workflows.rule_state import RuleState
from workflows.sold import Sold

_NO_QUOTE = Quote(None, None, None)


def due_crossing(state: RuleState, now: datetime) -> Crossing | None:
    """Return the time exit that is due, None when there is none; the first in the rule's list wins.

    After an outage a time exit and the expiry may both be due: one that lies behind the expiry never was.
    """
    if state.is_idle:
        return None  # it would be due again and again, until something is bought
    until = min(now, state.resolved.expires_at or now)
    for index, condition in enumerate(state.resolved.conditions):
        if isinstance(condition, FiringTime) and condition.fires_at <= until:
            return _time_crossing(state, index, condition, now)
    return None


def _time_crossing(state: RuleState, index: int, condition: FiringTime, now: datetime) -> Crossing:
    return Crossing(
        rule_id=state.start.rule_id,
        generation=state.generation,
        condition_index=index,
        condition=condition.type,
        level=None,
        quote=_NO_QUOTE,
        price=None,
        mark=None,
        confirm_count=0,
        beyond_since_ms=None,
        observed_at_ms=int(now.timestamp() * 1000),
        venue_timestamp_ms=None,
    )


async def sold_unknowingly(state: RuleState) -> bool:
    """Count what exits sold behind the point to which this rule was reset, or Temporal rolled back."""
    if state.start.revision < 4:
        return False
    sales = await calls.recall_sales(
        RecallSales(
            rule_id=state.start.rule_id,
            host_workflow_id=workflow.info().workflow_id,
            generation=state.generation,
        )
    )
    sold = Sold(sales.shares, sales.proceeds_usd, sales.fee_usd)
    state.count_sold(sold, state.sold_before)
    return sold.shares > 0


def conclude(
    state: RuleState, end: ExecutionEnd, detail: str, now: datetime, *, dust: Decimal | None = None
) -> None:
    """End the rule as its exit ended.

    Args:
        state: The rule.
        end: How its exit ended.
        detail: The exit's own story.
        now: When.
        dust: What it left as too little to sell; None: what is held.
    """
    sold = plain(state.sold.shares)
    match end:
        case ExecutionEnd.COMPLETE | ExecutionEnd.DUST:
            state.dust_shares = state.wanted_shares() if dust is None else dust
            usd = plain(state.sold.proceeds_usd)
            state.end(RuleStatus.TRIGGERED, f"sold {sold} shares for {usd} USD")
            state.note("rule.done", state.detail, now, data={"dust_shares": plain(state.dust_shares)})
        case ExecutionEnd.NOTHING_HELD:
            state.end(RuleStatus.CANCELED, "position_closed")
            state.note("rule.canceled", "Nothing was left to sell", now)
        case ExecutionEnd.CANCELED:
            state.end(RuleStatus.CANCELED, f"canceled after {sold} shares were sold")
            residual = {"residual_shares": plain(state.residual_shares)}
            state.note("rule.canceled", state.detail, now, data=residual)
        case _:
            state.end(RuleStatus.FAILED, detail)
            state.note("rule.failed", state.detail, now, severity=Severity.ALARM)
