"""A level was reached: what the feed saw, and the rule's own judgement of it."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from domain.quotes import Quote, source_price, spread
from domain.rules.definition import ConditionType
from domain.rules.resolved import (
    FiringTime,
    PriceLevel,
    ResolvedRule,
    Trail,
    reach_of,
    spread_allows_firing,
)


@dataclass(frozen=True, slots=True)
class Crossing:
    """The evidence that a condition's level was reached.

    Attributes:
        generation: the rule's generation that was being watched.
        condition_index: place of the condition in the rule's list.
        level: the level that was reached; None for a time condition.
        quote: the quote that reached it.
        price: the quote's source price; None for a time condition.
        mark: for a trailing condition the highest source price, this quote included.
        confirm_count: consecutive valid quotes beyond the level, this one included.
        beyond_since_ms: wall clock of the first of them, unix milliseconds.
        observed_at_ms: wall clock at which the level was reached, unix milliseconds.
        venue_timestamp_ms: the venue's own time of the quote, when it gave one.
    """

    rule_id: str
    generation: int
    condition_index: int
    condition: ConditionType
    level: Decimal | None
    quote: Quote
    price: Decimal | None
    mark: Decimal | None
    confirm_count: int
    beyond_since_ms: int | None
    observed_at_ms: int
    venue_timestamp_ms: int | None


class Refusal(StrEnum):
    """Why a crossing does not justify firing."""

    NO_SUCH_CONDITION = "no_such_condition"
    SKIPPED_QUOTE = "skipped_quote"
    SPREAD_TOO_WIDE = "spread_too_wide"
    NO_LEVEL = "no_level"
    NOT_REACHED = "not_reached"
    BID_DISAGREES = "bid_disagrees"
    NOT_CONFIRMED = "not_confirmed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A rule's judgement: satisfied, or refused for a reason."""

    refusal: Refusal | None = None

    @property
    def satisfied(self) -> bool:
        """Say whether the crossing justifies firing."""
        return self.refusal is None


SATISFIED = Verdict()


def judge(crossing: Crossing, resolved: ResolvedRule) -> Verdict:
    """Judge a crossing by the rule's own conditions as they stand now.

    Price, side, bid and confirmation are judged again; the level of a trail is computed anew from the mark
    that the crossing carries. Age is not (a crossing that waited out an outage still fires), and neither is
    the generation: a crossing of an older one is as good as its quote.
    """
    condition = resolved.condition_at(crossing.condition_index)
    if condition is None or condition.type is not crossing.condition:
        return Verdict(Refusal.NO_SUCH_CONDITION)
    refusal = refusal_of(condition, resolved, crossing.quote, crossing.mark)
    if refusal is None and not _is_confirmed(crossing, resolved):
        refusal = Refusal.NOT_CONFIRMED
    return SATISFIED if refusal is None else Verdict(refusal)


def reached_by(quote: Quote, resolved: ResolvedRule) -> int | None:
    """Return the first price condition whose level a quote reaches already, None when there is none.

    For a rule that is about to be armed: nothing is confirmed yet, and a trail has no mark but its floor.
    """
    for index, condition in enumerate(resolved.conditions):
        if refusal_of(condition, resolved, quote, None) is None:
            return index
    return None


def refusal_of(
    condition: PriceLevel | Trail | FiringTime, resolved: ResolvedRule, quote: Quote, mark: Decimal | None
) -> Refusal | None:
    """Say why a quote does not reach a condition, None when it does."""
    if isinstance(condition, FiringTime):
        return Refusal.NO_SUCH_CONDITION
    seen = source_price(quote, resolved.price_source, resolved.prices)
    if seen is None:
        return Refusal.SKIPPED_QUOTE
    if not spread_allows_firing(spread(quote), resolved.max_spread):
        return Refusal.SPREAD_TOO_WIDE
    level = condition.level if isinstance(condition, PriceLevel) else condition.level_at(mark)
    if level is None:
        return Refusal.NO_LEVEL
    reach = reach_of(quote, seen, resolved.bid_confirms, targets_need_bid=resolved.targets_need_bid)
    if condition.type is ConditionType.TAKE_PROFIT:
        reached, agreed = seen.price >= level, reach.up is not None and reach.up >= level
    else:
        reached, agreed = seen.price <= level, reach.down <= level
    if agreed:
        return None
    return Refusal.BID_DISAGREES if reached else Refusal.NOT_REACHED


def _is_confirmed(crossing: Crossing, resolved: ResolvedRule) -> bool:
    if crossing.confirm_count < resolved.confirm.updates:
        return False
    if not resolved.confirm.ms:
        return True
    since = crossing.beyond_since_ms
    return since is not None and crossing.observed_at_ms - since >= resolved.confirm.ms
