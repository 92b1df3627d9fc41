"""The exact levels and moments of a rule, as its position and market give them."""

from datetime import datetime
from decimal import Decimal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.messages import Holding, RuleStart
    from domain.quotes import price_rules_of
    from domain.rules.definition import RuleDefinition
    from domain.rules.levels import ResolvedRule, resolve

ZERO = Decimal(0)


def resolve_for(
    start: RuleStart,
    definition: RuleDefinition,
    holding: Holding,
    armed_at: datetime,
    *,
    opened_at: datetime | None = None,
    targets_need_bid: bool = False,
) -> ResolvedRule:
    """Return the definition with exact levels.

    Args:
        start: The rule's beginning; what it held then counts first.
        definition: What the user asked for.
        holding: What is held now.
        armed_at: When the rule was armed; ages count from then while no position is known.
        opened_at: When the position was opened that is flat at the moment, but not gone for good.
        targets_need_bid: A target reached its level before and found nobody who pays it.

    Raises:
        UnresolvableRule: a level cannot be computed.
    """
    held = (h.opened_at for h in (start.holding, holding) if h.shares > ZERO)
    resolved = resolve(
        definition,
        entry_of(start, definition),
        armed_at=armed_at,
        opened_at=next(held, opened_at),
        market_end=start.instrument.ends_at,
        rules=price_rules_of(start.venue),
    )
    return resolved.model_copy(update={"targets_need_bid": targets_need_bid})


def entry_of(start: RuleStart, definition: RuleDefinition) -> Decimal | None:
    """Return the entry price that levels are computed from: the user's, else the ledger's at the start."""
    return definition.entry_price if definition.entry_price is not None else start.holding.average_entry
