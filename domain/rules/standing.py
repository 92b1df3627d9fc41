"""How a rule stands at one quote: each condition's level, the way to it, and the guard that holds it back."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from domain.money import EXACT, floor_decimals
from domain.quotes import Quote, SourcePrice, source_price
from domain.rules.approaches import distance_to, level_of
from domain.rules.armed import Run
from domain.rules.crossing import Refusal, refusal_of
from domain.rules.definition import ConditionType
from domain.rules.resolved import FiringTime, PriceLevel, ResolvedRule, Trail
from domain.rules.trace import unix_ms

_MILLISECOND = timedelta(milliseconds=1)
_SHOWN_DECIMALS = 2


class Guard(StrEnum):
    """What keeps a condition from firing though its level is reached (or would)."""

    SKIPPED_QUOTE = "skipped_quote"
    SPREAD_TOO_WIDE = "spread_too_wide"
    BID_DISAGREES = "bid_disagrees"
    NOT_CONFIRMED = "not_confirmed"
    STALE_QUOTE = "stale_quote"
    NOT_BEFORE = "not_before"
    NOT_ARMED = "not_armed"


_GUARDS = {
    Refusal.SKIPPED_QUOTE: Guard.SKIPPED_QUOTE,
    Refusal.SPREAD_TOO_WIDE: Guard.SPREAD_TOO_WIDE,
    Refusal.BID_DISAGREES: Guard.BID_DISAGREES,
    Refusal.NOT_CONFIRMED: Guard.NOT_CONFIRMED,
}


@dataclass(frozen=True, slots=True)
class Distance:
    """The way from the price to a level; negative once the price is beyond it.

    Attributes:
        points: price units.
        percent: of the price, floored to two decimals; None at a price of zero.
        ticks: steps of the market's grid, floored to two decimals (a level need not lie on the grid).
    """

    points: Decimal
    percent: Decimal | None
    ticks: Decimal


@dataclass(frozen=True, slots=True)
class Confirmation:
    """How far a confirmation is: quotes in a row and milliseconds beyond the level, of those needed."""

    updates: int
    updates_needed: int
    ms: int
    ms_needed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionStanding:
    """One condition at one quote.

    Attributes:
        level: as it stands now; None for a moment, and for a trail that has no mark yet.
        mark: a trail's highest source price.
        active: False while a trail waits for its activation price.
        fires_at: a time condition's moment.
        due_in_ms: milliseconds until then; negative once it has passed.
        distance: None where there is no level or no price.
        reached: the price stands at the level or beyond, guards left aside.
        guard: what holds it back, or would if the price were there.
        confirmation: how far its confirmation is, where one is needed and has begun.
    """

    index: int
    condition: ConditionType
    level: Decimal | None
    mark: Decimal | None
    active: bool
    fires_at: datetime | None
    due_in_ms: int | None
    distance: Distance | None
    reached: bool
    guard: Guard | None
    confirmation: Confirmation | None

    @property
    def fires(self) -> bool:
        """Whether it fires at this quote."""
        return self.reached and self.guard is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a rule is judged by at one moment.

    Attributes:
        quote: the newest quote; None where there is none.
        age_ms: time since it was confirmed.
        tick: the market's price step.
        now: the moment.
        armed: whether the rule is watched at all.
        not_before: until then nothing fires.
    """

    quote: Quote | None
    age_ms: int
    tick: Decimal
    now: datetime
    armed: bool = True
    not_before: datetime | None = None


def standings(
    resolved: ResolvedRule, sight: Sight, *, marks: Mapping[int, Decimal | None], runs: Mapping[int, Run]
) -> tuple[ConditionStanding, ...]:
    """Return how each condition stands, by the functions that judge a crossing.

    Args:
        resolved: the rule with its levels.
        sight: the quote and the moment.
        marks: the highest source price of each trailing condition, by its place in the rule's list.
        runs: confirmations under way, since wall times in unix milliseconds.
    """
    return tuple(
        _time_standing(index, condition, sight)
        if isinstance(condition, FiringTime)
        else _price_standing(index, condition, resolved, sight, marks.get(index), runs.get(index))
        for index, condition in enumerate(resolved.conditions)
    )


def seen_price(resolved: ResolvedRule, quote: Quote | None) -> SourcePrice | None:
    """Return the price that the rule looks at, None when there is no quote or it must be skipped."""
    return None if quote is None else source_price(quote, resolved.price_source, resolved.prices)


def _time_standing(index: int, condition: FiringTime, sight: Sight) -> ConditionStanding:
    due_in_ms = (condition.fires_at - sight.now) // _MILLISECOND
    return ConditionStanding(
        index=index,
        condition=condition.type,
        level=None,
        mark=None,
        active=True,
        fires_at=condition.fires_at,
        due_in_ms=due_in_ms,
        distance=None,
        reached=due_in_ms <= 0,
        guard=None if sight.armed else Guard.NOT_ARMED,
        confirmation=None,
    )


def _price_standing(
    index: int,
    condition: PriceLevel | Trail,
    resolved: ResolvedRule,
    sight: Sight,
    mark: Decimal | None,
    run: Run | None,
) -> ConditionStanding:
    level = level_of(condition, mark)
    seen = seen_price(resolved, sight.quote)
    away = None if level is None or seen is None else distance_to(condition.type, level, seen.price)
    reached = away is not None and away <= 0
    confirmation = _confirmation(resolved, sight, run)
    return ConditionStanding(
        index=index,
        condition=condition.type,
        level=level,
        mark=mark,
        active=isinstance(condition, PriceLevel) or condition.activation is None or mark is not None,
        fires_at=None,
        due_in_ms=None,
        distance=None if away is None or seen is None else distance(away, seen.price, sight.tick),
        reached=reached,
        guard=_guard(condition, resolved, sight, mark, reached, confirmation),
        confirmation=confirmation,
    )


def distance(points: Decimal, price: Decimal, tick: Decimal) -> Distance:
    """Return a way in price units as percent of the price and in ticks too."""
    percent = None
    if price > 0:
        percent = floor_decimals(EXACT.divide(EXACT.multiply(points, Decimal(100)), price), _SHOWN_DECIMALS)
    return Distance(points, percent, floor_decimals(EXACT.divide(points, tick), _SHOWN_DECIMALS))


def _guard(
    condition: PriceLevel | Trail,
    resolved: ResolvedRule,
    sight: Sight,
    mark: Decimal | None,
    reached: bool,
    confirmation: Confirmation | None,
) -> Guard | None:
    if not sight.armed:
        return Guard.NOT_ARMED
    if sight.quote is None:
        return Guard.SKIPPED_QUOTE
    if sight.not_before is not None and sight.now < sight.not_before:
        return Guard.NOT_BEFORE
    if sight.age_ms > resolved.max_age_ms:
        return Guard.STALE_QUOTE
    refusal = refusal_of(condition, resolved, sight.quote, mark)
    if refusal is not None:
        return _GUARDS.get(refusal)
    return Guard.NOT_CONFIRMED if reached and not _is_confirmed(resolved, confirmation) else None


def _confirmation(resolved: ResolvedRule, sight: Sight, run: Run | None) -> Confirmation | None:
    needed = resolved.confirm
    if run is None or (needed.updates == 1 and not needed.ms):
        return None
    return Confirmation(run.count, needed.updates, max(unix_ms(sight.now) - run.since_ms, 0), needed.ms)


def _is_confirmed(resolved: ResolvedRule, confirmation: Confirmation | None) -> bool:
    needed = resolved.confirm
    if needed.updates == 1 and not needed.ms:
        return True
    if confirmation is None:
        return False
    return confirmation.updates >= needed.updates and confirmation.ms >= needed.ms
