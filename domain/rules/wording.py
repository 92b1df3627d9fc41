"""A resolved rule as data and as a sentence: every answer of the API that concerns a rule carries both."""

from collections.abc import Sequence
from decimal import Decimal
from typing import TypedDict

from domain.money import plain
from domain.rules.definition import ConditionType
from domain.rules.resolved import FiringTime, PriceLevel, ResolvedRule, Trail


class LevelLine(TypedDict):
    """One condition as an API answer shows it: decimals as text, moments in ISO 8601."""

    index: int
    condition: str
    level: str | None
    percent: str | None
    points: str | None
    activation_price: str | None
    floor_price: str | None
    time: str | None


def levels(resolved: ResolvedRule) -> list[LevelLine]:
    """Return each condition's resolved level, trail or moment as data; a trail shows its floor as level."""
    return [_line(index, condition) for index, condition in enumerate(resolved.conditions)]


def _line(index: int, condition: PriceLevel | Trail | FiringTime) -> LevelLine:
    trail = condition if isinstance(condition, Trail) else Trail()
    level = condition.level if isinstance(condition, PriceLevel) else trail.floor
    return LevelLine(
        index=index,
        condition=condition.type.value,
        level=_text(level),
        percent=_text(trail.percent),
        points=_text(trail.points),
        activation_price=_text(trail.activation),
        floor_price=_text(trail.floor),
        time=condition.fires_at.isoformat() if isinstance(condition, FiringTime) else None,
    )


def _text(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)


def describe(resolved: ResolvedRule) -> str:
    """Return the rule in plain words with its resolved levels."""
    price = f"the {resolved.price_source.value} price"
    clauses = [_clause(condition, price) for condition in resolved.conditions]
    shares = "all shares" if resolved.action.type == "SELL_ALL" else f"{plain(resolved.action.amount)} shares"
    return " ".join([f"Sells {shares} {'; or '.join(clauses)}.", *_guards(resolved)])


def _clause(condition: PriceLevel | Trail | FiringTime, price: str) -> str:
    if isinstance(condition, PriceLevel):
        if condition.type is ConditionType.STOP_LOSS:
            return f"when {price} falls to {_shown(condition.level)} or below"
        return f"when {price} rises to {_shown(condition.level)} or above"
    if isinstance(condition, Trail):
        return _trail_clause(condition, price)
    why = {
        ConditionType.MAX_HOLD: " (longest holding time)",
        ConditionType.BEFORE_MARKET_END: " (before the market's end)",
        ConditionType.AT: "",
    }[condition.type]
    return f"at {condition.fires_at.isoformat()}{why}"


def _trail_clause(trail: Trail, price: str) -> str:
    distance = (
        f"{plain(trail.percent)} %" if trail.percent is not None else _shown(trail.points or Decimal(0))
    )
    since = "arming" if trail.activation is None else f"it reached {_shown(trail.activation)}"
    floor = "" if trail.floor is None else f", or to {_shown(trail.floor)} or below in any case"
    return f"when {price} falls {distance} or more below its highest since {since}{floor}"


def _guards(resolved: ResolvedRule) -> Sequence[str]:
    said: list[str] = []
    needs = [f"{resolved.confirm.updates} updates in a row"] if resolved.confirm.updates > 1 else []
    if resolved.confirm.ms:
        needs.append(f"{resolved.confirm.ms} ms without a break")
    if needs:
        said.append(f"The price must stand beyond the level for {' and '.join(needs)}.")
    if resolved.max_spread is not None:
        said.append(f"Quotes with a spread wider than {_shown(resolved.max_spread)} do not fire it.")
    if resolved.floor is not None:
        said.append(f"Never sells below {_shown(resolved.floor)}.")
    if resolved.expires_at is not None:
        said.append(f"Ends unfired at {resolved.expires_at.isoformat()}.")
    return said


def _shown(price: Decimal) -> str:
    """Show a price with two decimals at least, the way markets do."""
    text = plain(price)
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals.ljust(2, '0')}"
