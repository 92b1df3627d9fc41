"""From what a user asked for to exact numbers: levels, trails and moments."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from domain.errors import InvalidInput
from domain.money import EXACT, plain
from domain.quotes import PriceRules
from domain.rules.definition import (
    AtTime,
    BeforeMarketEnd,
    Condition,
    MaxHold,
    RuleDefinition,
    StopLoss,
    TakeProfit,
    TrailingStop,
)
from domain.rules.resolved import FiringTime, PriceLevel, ResolvedRule, Trail, above, below
from domain.rules.wording import LevelLine, describe, levels

__all__ = [
    "FiringTime",
    "LevelLine",
    "PriceLevel",
    "ResolvedRule",
    "Trail",
    "UnresolvableRule",
    "describe",
    "levels",
    "resolve",
]


class UnresolvableRule(InvalidInput):
    """A definition that has no exact levels, with the field and the reason."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field, reason, code="unresolvable_rule")


class _Resolution(NamedTuple):
    """What levels are computed from."""

    entry_price: Decimal | None
    held_since: datetime
    market_end: datetime | None
    prices: PriceRules

    def entry(self, field: str) -> Decimal:
        if self.entry_price is None:
            raise UnresolvableRule(field, "needs the entry price: give entry_price, or hold the token")
        return self.entry_price

    def checked(self, field: str, level: Decimal) -> Decimal:
        if level < 0 or (self.prices.bounded and level > 1):
            lies = "below 0" if level < 0 else "above 1"
            allowed = (
                "prices of this venue lie within 0 to 1" if self.prices.bounded else "no price is below 0"
            )
            raise UnresolvableRule(field, f"the level {plain(level)} lies {lies}; {allowed}")
        return level


def resolve(
    definition: RuleDefinition,
    entry_price: Decimal | None,
    *,
    armed_at: datetime,
    opened_at: datetime | None,
    market_end: datetime | None,
    rules: PriceRules,
) -> ResolvedRule:
    """Return the rule with exact levels and moments.

    Args:
        definition: what the user asked for.
        entry_price: average entry price without fees; the definition's own when None.
        armed_at: when the rule was armed (aware).
        opened_at: when the position was opened, if known: `max_hold` counts from it, else from `armed_at`.
        market_end: the market's known end; the definition's own when None.
        rules: how the venue shows prices.

    Raises:
        UnresolvableRule: a level needs what is not known, or lies outside what the venue can show.
    """
    entry = definition.entry_price if entry_price is None else entry_price
    end = definition.market_end if market_end is None else market_end
    known = _Resolution(entry, armed_at if opened_at is None else opened_at, end, rules)
    if definition.floor is not None:
        known.checked("floor", definition.floor)
    return ResolvedRule(
        conditions=tuple(_resolved(c, f"conditions.{i}", known) for i, c in enumerate(definition.conditions)),
        action=definition.action,
        price_source=definition.price_source,
        prices=rules,
        confirm=definition.confirm,
        max_spread=definition.max_spread,
        max_age_ms=definition.max_age_ms,
        bid_confirms=definition.bid_confirms,
        mark_max_spread=definition.mark_max_spread,
        floor=definition.floor,
        expires_at=definition.expires_at,
    )


def _resolved(condition: Condition, at: str, known: _Resolution) -> PriceLevel | Trail | FiringTime:
    if isinstance(condition, StopLoss | TakeProfit):
        return _price_level(condition, at, known)
    if isinstance(condition, TrailingStop):
        return _trail(condition, at, known)
    return _firing_time(condition, at, known)


def _price_level(condition: StopLoss | TakeProfit, at: str, known: _Resolution) -> PriceLevel:
    is_stop = isinstance(condition, StopLoss)
    if condition.price is not None:
        field, level = "price", condition.price
    elif condition.percent is not None:
        field = "percent"
        level = (below if is_stop else above)(known.entry(f"{at}.{field}"), condition.percent)
    else:
        field = "points"
        points = condition.points or Decimal(0)
        entry = known.entry(f"{at}.{field}")
        level = EXACT.subtract(entry, points) if is_stop else EXACT.add(entry, points)
    return PriceLevel(type=condition.type, level=known.checked(f"{at}.{field}", level))


def _trail(condition: TrailingStop, at: str, known: _Resolution) -> Trail:
    activation = condition.activation_price
    if activation is not None:
        known.checked(f"{at}.activation_price", activation)
    elif condition.activation_percent is not None:
        field = f"{at}.activation_percent"
        activation = known.checked(field, above(known.entry(field), condition.activation_percent))
    if condition.floor_price is not None:
        known.checked(f"{at}.floor_price", condition.floor_price)
    if condition.points is not None and known.prices.bounded and condition.points > 1:
        raise UnresolvableRule(
            f"{at}.points", "points are price units, and prices of this venue lie within 0 to 1"
        )
    return Trail(
        percent=condition.percent, points=condition.points, activation=activation, floor=condition.floor_price
    )


def _firing_time(condition: MaxHold | BeforeMarketEnd | AtTime, at: str, known: _Resolution) -> FiringTime:
    if isinstance(condition, AtTime):
        return FiringTime(type=condition.type, fires_at=condition.time)
    if isinstance(condition, MaxHold):
        return FiringTime(
            type=condition.type, fires_at=known.held_since + timedelta(seconds=condition.seconds)
        )
    if known.market_end is None:
        raise UnresolvableRule(f"{at}.seconds", "needs the market's end, which is not known: give market_end")
    return FiringTime(type=condition.type, fires_at=known.market_end - timedelta(seconds=condition.seconds))
