"""A rule with nothing left to look up, and the arithmetic that says how far a quote reaches."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal, NamedTuple, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from domain.money import EXACT
from domain.quotes import PriceRules, PriceSource, Quote, SourcePrice
from domain.rules.definition import Action, ConditionType, Confirm


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PriceLevel(_Frozen):
    """A fixed level: a stop fires at or below it, a target at or above."""

    type: Literal[ConditionType.STOP_LOSS, ConditionType.TAKE_PROFIT]
    level: Decimal


class Trail(_Frozen):
    """The parameters of a level that follows the highest source price (the mark)."""

    type: Literal[ConditionType.TRAILING_STOP] = ConditionType.TRAILING_STOP
    percent: Decimal | None = None
    points: Decimal | None = None
    activation: Decimal | None = None
    floor: Decimal | None = None

    def level_at(self, mark: Decimal | None) -> Decimal | None:
        """Return the level that belongs to a mark, never below the floor; None where neither gives one."""
        if mark is None or (self.activation is not None and mark < self.activation):
            return self.floor
        trailing = below(mark, self.percent) if self.percent is not None else self._points_below(mark)
        return trailing if self.floor is None else max(trailing, self.floor)

    def _points_below(self, mark: Decimal) -> Decimal:
        return mark if self.points is None else EXACT.subtract(mark, self.points)


class FiringTime(_Frozen):
    """A moment; its condition fires at or after it."""

    type: Literal[ConditionType.MAX_HOLD, ConditionType.BEFORE_MARKET_END, ConditionType.AT]
    fires_at: AwareDatetime


ResolvedCondition: TypeAlias = Annotated[PriceLevel | Trail | FiringTime, Field(discriminator="type")]


class Reach(NamedTuple):
    """How far a quote reaches: stops and trails at `down` or above fire, targets at `up` or below.

    None where the best bid, which has to agree, is missing.
    """

    down: Decimal
    up: Decimal | None


class ResolvedRule(_Frozen):
    """A rule with nothing left to look up: exact levels, moments and guards.

    Attributes:
        targets_need_bid: a target reached its level before and found nobody who pays it: now the best bid
            has to be there as well, or it would fire again with every quote.
    """

    conditions: tuple[ResolvedCondition, ...]
    action: Action
    price_source: PriceSource
    prices: PriceRules
    confirm: Confirm
    max_spread: Decimal | None
    max_age_ms: int
    bid_confirms: bool
    mark_max_spread: Decimal | None
    floor: Decimal | None
    expires_at: AwareDatetime | None
    targets_need_bid: bool = False

    def condition_at(self, index: int) -> ResolvedCondition | None:
        """Return the condition at a place of the list, None where there is none."""
        return self.conditions[index] if 0 <= index < len(self.conditions) else None

    def next_time(self) -> datetime | None:
        """Return the earliest moment at which a time condition fires."""
        moments = [condition.fires_at for condition in self.conditions if isinstance(condition, FiringTime)]
        return min(moments, default=None)


def reach_of(quote: Quote, seen: SourcePrice, bid_confirms: bool, *, targets_need_bid: bool = False) -> Reach:
    """Return how far a quote reaches.

    While the display price has fallen back to the last trade and `bid_confirms` is on, the best bid has to
    agree: a stop needs the bid at or below its level as well (or no bid at all), a target the bid at
    or above it. `targets_need_bid` asks the same of targets at every price.
    """
    price, bid = seen.price, quote.bid
    bid_must_agree = seen.fell_back and bid_confirms
    down = max(price, bid) if bid_must_agree and bid is not None else price
    if not (bid_must_agree or targets_need_bid):
        return Reach(down, price)
    return Reach(down, None if bid is None else min(price, bid))


def spread_allows_firing(spread: Decimal | None, max_spread: Decimal | None) -> bool:
    """Say whether a quote is tight enough to fire; a missing side is an endlessly wide spread."""
    return max_spread is None or (spread is not None and spread <= max_spread)


def spread_moves_marks(spread: Decimal | None, mark_max_spread: Decimal | None) -> bool:
    """Say whether a quote may move a mark or activate a trail."""
    return mark_max_spread is None or (spread is not None and spread <= mark_max_spread)


def below(price: Decimal, percent: Decimal) -> Decimal:
    """Return price × (1 − percent/100), exactly."""
    return EXACT.multiply(price, EXACT.subtract(Decimal(1), EXACT.scaleb(percent, -2)))


def above(price: Decimal, percent: Decimal) -> Decimal:
    """Return price × (1 + percent/100), exactly."""
    return EXACT.multiply(price, EXACT.add(Decimal(1), EXACT.scaleb(percent, -2)))
