"""How near a price came to a level, or how far beyond it, without the rule firing."""

from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from domain.money import EXACT
from domain.quotes import PriceRules, Quote
from domain.rules.crossing import Refusal, refusal_of
from domain.rules.definition import ConditionType
from domain.rules.resolved import PriceLevel, ResolvedRule, Trail

_NEAR = Decimal("0.05")
_NEAR_TRAIL = Decimal("0.25")
_NEAR_TICKS = Decimal(2)
_NEAR_BELOW = Decimal("0.952")  # a level whose zone reaches a price lies above price / 1.05 …
_NEAR_ABOVE = Decimal("1.053")  # … or, for a target, below price / 0.95
_ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Approach:
    """A price came near a level, or beyond it, and the rule did not fire.

    Attributes:
        began_at: the first quote within the near zone.
        ended_at: the first quote outside of it again; None while it goes on.
        at: the quote that came nearest (or went furthest beyond).
        distance: price units to the level at that quote; zero or less when the level was reached.
        held_by: the guard that kept a reached level from firing; None where it was not reached.
    """

    condition_index: int
    condition: ConditionType
    began_at: datetime
    ended_at: datetime | None
    at: datetime
    price: Decimal
    level: Decimal
    distance: Decimal
    quote: Quote
    held_by: Refusal | None


def distance_to(condition: ConditionType, level: Decimal, price: Decimal) -> Decimal:
    """Return how far a price has to move to reach a level; zero or less once it is reached."""
    if condition is ConditionType.TAKE_PROFIT:
        return EXACT.subtract(level, price)
    return EXACT.subtract(price, level)


def level_of(condition: PriceLevel | Trail, mark: Decimal | None) -> Decimal | None:
    """Return a condition's level as it stands with a mark; None while a trail has none."""
    return condition.level if isinstance(condition, PriceLevel) else condition.level_at(mark)


def near_zone(
    condition: PriceLevel | Trail, level: Decimal, mark: Decimal | None, prices: PriceRules, tick: Decimal
) -> Decimal:
    """Return how far from a level a price is near it, in price units.

    Five percent of the level (of its distance to 1 where that is smaller and prices end there), at least two
    ticks; for a trail at most a quarter of its distance, at least one tick.
    """
    room = min(level, EXACT.subtract(_ONE, level)) if prices.bounded else level
    zone = max(EXACT.multiply(room, _NEAR), EXACT.multiply(tick, _NEAR_TICKS))
    if isinstance(condition, PriceLevel) or mark is None:
        return zone
    trailing = EXACT.subtract(mark, level)
    return max(min(zone, EXACT.multiply(trailing, _NEAR_TRAIL)), tick)


def near_span(lowest: Decimal, highest: Decimal, tick: Decimal) -> tuple[Decimal, Decimal]:
    """Return levels outside of which no near zone reaches prices between `lowest` and `highest`.

    Stops and trails below the first and targets above the second are far from all of these prices. The span
    is a little wider than the zones: what stands in it still has to be compared.
    """
    ticks = EXACT.multiply(tick, _NEAR_TICKS)
    low = min(EXACT.multiply(lowest, _NEAR_BELOW), EXACT.subtract(lowest, ticks))
    return low, max(EXACT.multiply(highest, _NEAR_ABOVE), EXACT.add(highest, ticks))


class _Place(NamedTuple):
    """Where a condition stands with a mark and a tick."""

    mark: Decimal | None
    tick: Decimal
    level: Decimal
    zone: Decimal


class ApproachWatch:
    """One price condition: its approach under way and those that came to nothing, the latest `keep`.

    Attributes:
        mark: a trail's highest source price, kept up to date by the owner.
    """

    def __init__(self, index: int, condition: PriceLevel | Trail, keep: int) -> None:
        self.index = index
        self.condition = condition
        self.mark: Decimal | None = None
        self._place: _Place | None = None
        self.current: Approach | None = None
        self.missed: deque[Approach] = deque(maxlen=keep)

    def fired(self) -> None:
        """The approach under way came to something."""
        self.current = None

    def see(self, quote: Quote, at: datetime, price: Decimal, resolved: ResolvedRule, tick: Decimal) -> None:
        """Take a quote that fired nothing here, with its source price."""
        place = self._place_of(resolved.prices, tick)
        if place is None:
            return
        level = place.level
        distance = distance_to(self.condition.type, level, price)
        if distance > place.zone:
            self.leave(at)
        elif self.current is None or distance < self.current.distance:
            self._approach(quote, at, price, level, distance, resolved)

    def leave(self, at: datetime) -> None:
        """Take in that the price went away: what was under way came to nothing."""
        if self.current is not None:
            self.missed.append(replace(self.current, ended_at=at))
            self.current = None

    def _place_of(self, prices: PriceRules, tick: Decimal) -> _Place | None:
        """Return level and near zone, worked out anew only when the mark has moved or the tick changed."""
        known = self._place
        if known is None or known.mark != self.mark or known.tick != tick:
            level = level_of(self.condition, self.mark)
            if level is None:
                return None
            zone = near_zone(self.condition, level, self.mark, prices, tick)
            known = self._place = _Place(self.mark, tick, level, zone)
        return known

    def _approach(
        self,
        quote: Quote,
        at: datetime,
        price: Decimal,
        level: Decimal,
        distance: Decimal,
        resolved: ResolvedRule,
    ) -> None:
        held_by = None
        if distance <= 0:
            # A quote that satisfies every guard and fired nothing was still being confirmed (or waited for).
            held_by = refusal_of(self.condition, resolved, quote, self.mark) or Refusal.NOT_CONFIRMED
        self.current = Approach(
            condition_index=self.index,
            condition=self.condition.type,
            began_at=at if self.current is None else self.current.began_at,
            ended_at=None,
            at=at,
            price=price,
            level=level,
            distance=distance,
            quote=quote,
            held_by=held_by,
        )
