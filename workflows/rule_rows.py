"""What a rule's state looks like in its rows, events and sentences."""

from decimal import Decimal
from typing import TYPE_CHECKING

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.messages import RulePhase, RuleRow, WatchRow
    from domain.money import plain
    from domain.rules.crossing import Crossing
    from domain.rules.definition import ConditionType
    from domain.rules.levels import describe

if TYPE_CHECKING:
    from workflows.rule_state import RuleState

ZERO = Decimal(0)


def rule_row(state: "RuleState") -> RuleRow:
    """Return the rule's row as things stand."""
    start, sold = state.start, state.sold
    return RuleRow(
        rule_id=start.rule_id,
        account_id=start.account_id,
        mode=start.mode,
        venue=start.venue,
        market_id=start.instrument.market_id,
        token_id=start.instrument.token_id,
        status=state.status,
        phase=state.phase,
        definition=state.definition,
        resolved=state.resolved,
        sentence=describe(state.resolved),
        generation=state.generation,
        episode=state.holding.episode,
        entry_price=state.entry_price,
        fired=state.fired,
        order_id=state.order_id,
        sold_shares=sold.shares,
        residual_shares=state.residual_shares,
        dust_shares=state.dust_shares,
        proceeds_usd=sold.proceeds_usd,
        fee_usd=sold.fee_usd,
        detail=state.detail,
        fingerprint=start.fingerprint,
        version=state.version,
        created_at=start.created_at,
    )


def watch_row(state: "RuleState") -> WatchRow:
    """Return what the feed watches. Nothing is watched while nothing is held: it could not be sold."""
    start, shares = state.start, state.wanted_shares()
    return WatchRow(
        rule_id=start.rule_id,
        account_id=start.account_id,
        mode=start.mode,
        venue=start.venue,
        token_id=start.instrument.token_id,
        generation=state.generation,
        armed=state.phase is RulePhase.ARMED and shares > ZERO,
        not_before_ms=state.not_before_ms,
        resolved=state.resolved,
        shares=shares,
        version=state.version,
        marks_from=state.marks_from,
    )


def story(state: "RuleState") -> str:
    """Return the sentences that the Temporal UI and lists show."""
    said = f"**{state.status.value}** · {state.phase.value} · {describe(state.resolved)}"
    return f"{said}\n\n{state.detail}" if state.detail else said


def fired_text(crossing: Crossing) -> str:
    """Return one sentence about a consumed crossing."""
    if crossing.level is None or crossing.price is None:
        return f"{crossing.condition.value} is due"
    side = "rose to" if crossing.condition is ConditionType.TAKE_PROFIT else "fell to"
    mark = f" (highest {plain(crossing.mark)})" if crossing.mark is not None else ""
    level = f"{crossing.condition.value} at {plain(crossing.level)}{mark}"
    return f"The price {side} {plain(crossing.price)}; {level}"


def rearmed_text(state: "RuleState") -> str:
    """Return one sentence about what an exit left, and what it waits for."""
    left = f"{plain(state.wanted_shares())} shares did not fill and stay armed"
    if not state.resolved.targets_need_bid:
        return left
    return f"{left}: a target fires again once the best bid itself reaches its level"


def evidence(crossing: Crossing) -> dict[str, str]:
    """Return what the crossing showed, as the event log keeps it."""
    shown = {
        "condition": crossing.condition.value,
        "condition_index": str(crossing.condition_index),
        "level": crossing.level,
        "price": crossing.price,
        "mark": crossing.mark,
        "bid": crossing.quote.bid,
        "ask": crossing.quote.ask,
        "last": crossing.quote.last,
        "observed_at_ms": str(crossing.observed_at_ms),
        "venue_timestamp_ms": crossing.venue_timestamp_ms,
    }
    return {key: str(value) for key, value in shown.items() if value is not None}
