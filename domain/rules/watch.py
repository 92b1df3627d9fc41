"""What the feed watches for a rule, and what it must remember of a trail."""

from dataclasses import dataclass
from decimal import Decimal

from domain.rules.resolved import ResolvedRule


@dataclass(frozen=True, slots=True)
class Watch:
    """One generation of a rule, to be watched on one token.

    Attributes:
        not_before_ms: on the caller's monotonic clock; until then marks move and nothing fires.
    """

    rule_id: str
    generation: int
    token_id: str
    resolved: ResolvedRule
    not_before_ms: int | None = None


@dataclass(frozen=True, slots=True)
class TrailMark:
    """How high the price went for one trailing condition.

    Attributes:
        mark: highest source price since the trail was activated; None before the first usable quote.
        active: the activation price was reached, or none was asked for.
    """

    rule_id: str
    generation: int
    condition_index: int
    mark: Decimal | None
    active: bool
