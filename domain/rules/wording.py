"""A resolved rule as data and as a sentence: every answer of the API that concerns a rule carries both.

Explanations and warnings get their sentences here too, so that API, CLI and event log say the same.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import TypedDict

from domain.claims import KillSwitch
from domain.exits import NoOrderReason
from domain.money import plain
from domain.orders import MarketState
from domain.rules.approaches import Approach
from domain.rules.cautions import Caution, CautionCode
from domain.rules.crossing import Refusal
from domain.rules.definition import ConditionType
from domain.rules.exit_preview import ExitPreview
from domain.rules.notices import Notice
from domain.rules.resolved import FiringTime, PriceLevel, ResolvedRule, Trail
from domain.rules.standing import ConditionStanding, Guard


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


_GUARD_TEXTS = {
    Guard.SKIPPED_QUOTE: "the quote is skipped: crossed, absurd, or without the price that the rule looks at",
    Guard.SPREAD_TOO_WIDE: "the spread is wider than the rule's max_spread",
    Guard.BID_DISAGREES: "the best bid does not agree: it must stand at the level or beyond it too",
    Guard.NOT_CONFIRMED: "the level is not confirmed yet",
    Guard.STALE_QUOTE: "the quote is older than the rule's max_age_ms",
    Guard.NOT_BEFORE: "the rule was armed again a moment ago and waits for its not_before",
    Guard.NOT_ARMED: "the rule is not being watched",
}
_NOTHING_TEXTS = {
    NoOrderReason.NOTHING_HELD: "nothing is held",
    NoOrderReason.DUST: "it is worth less than the venue's smallest order",
    NoOrderReason.BELOW_FLOOR: "the book pays less than the lowest price that is allowed",
    NoOrderReason.MARKET_FINAL: "the market never trades again",
    NoOrderReason.RESERVED: "other unsettled sells hold the shares",
}
_CAUTION_TEXTS = {
    CautionCode.WOULD_FIRE_NOW: "It would fire at once: the present price is at its level or beyond",
    CautionCode.HELD_BACK_NOW: "Its level is reached already, and only a guard holds it back: {}",
    CautionCode.SPREAD_TOO_WIDE_NOW: "The present spread is wider than {}: no condition could fire now",
    CautionCode.INSIDE_SPREAD: (
        "Its level {} lies inside the spread ({} to {}): a small move fires it, and it gets the best bid"
    ),
    CautionCode.LOSES_AFTER_FEES: "Selling at {} loses {} USD after fees",
    CautionCode.TRAIL_STARTS_AT_A_LOSS: "The trail starts with a level of {}, which loses {} USD after fees",
    CautionCode.FLOOR_ABOVE_LEVEL: "The rule's floor {} lies above its level {}: it would fire and not sell",
    CautionCode.LEAVES_LESS_THAN_MINIMUM: (
        "{} shares would be left, less than the {} that an order in this market's book must have"
    ),
    CautionCode.MARKET_ENDS_EARLIER: "The market ends at {}, not after {}",
    CautionCode.BOOK_TOO_THIN: "The present book takes {} of {} shares within the rule's limit",
    CautionCode.NOTHING_TO_SEND: "Nothing could be sent now: {}",
}


def guard_text(guard: Guard) -> str:
    """Return what a guard says."""
    return _GUARD_TEXTS[guard]


def held_text(refusal: Refusal) -> str:
    """Return what held back a level that was reached."""
    known = {guard.value: text for guard, text in _GUARD_TEXTS.items()}
    return known.get(refusal.value, refusal.value.replace("_", " "))


def caution_text(caution: Caution) -> str:
    """Return a warning as a sentence."""
    figures = caution.figures
    if caution.code is CautionCode.HELD_BACK_NOW:
        return f"{_CAUTION_TEXTS[caution.code].format(_GUARD_TEXTS[Guard(str(figures[0]))])}."
    if caution.code is CautionCode.NOTHING_TO_SEND:
        return f"{_CAUTION_TEXTS[caution.code].format(_NOTHING_TEXTS[NoOrderReason(str(figures[0]))])}."
    return f"{_CAUTION_TEXTS[caution.code].format(*(_figure(figure) for figure in figures))}."


def standing_text(standing: ConditionStanding) -> str:
    """Return how a condition stands, in a sentence."""
    name = standing.condition.value
    if standing.fires_at is not None:
        state = "is due since" if standing.reached else "fires at"
        return f"{name} {state} {standing.fires_at.isoformat()}{_held(standing)}."
    if not standing.active and standing.level is None:
        return f"{name} waits for its activation price."
    if standing.level is None:
        return f"{name} has no level yet: no quote has set its mark."
    if standing.distance is None:
        return f"{name} at {_shown(standing.level)}: there is no price to compare with{_held(standing)}."
    return f"{name} at {_shown(standing.level)}: {_way(standing)}{_held(standing)}."


def _way(standing: ConditionStanding) -> str:
    distance = standing.distance
    if distance is None or standing.reached:
        return "fires now" if standing.fires else "reached"
    percent = "" if distance.percent is None else f"{plain(distance.percent)} %, "
    direction = "up" if standing.condition is ConditionType.TAKE_PROFIT else "down"
    return f"{plain(distance.points)} {direction} from here ({percent}{plain(distance.ticks)} ticks)"


def _held(standing: ConditionStanding) -> str:
    if standing.guard is None:
        return ""
    if standing.guard is Guard.NOT_ARMED:
        return f"; {_GUARD_TEXTS[standing.guard]}"
    word = "held back" if standing.reached else "would be held back"
    return f"; {word}: {_GUARD_TEXTS[standing.guard]}"


def approach_text(approach: Approach) -> str:
    """Return a near miss as a sentence."""
    name, level, price = approach.condition.value, _shown(approach.level), plain(approach.price)
    if approach.held_by is not None:
        return f"{name} at {level} was reached by {price} and held back: {held_text(approach.held_by)}."
    return f"{name} at {level} was missed by {plain(approach.distance)}: the price came to {price}."


def notice_text(notice: Notice) -> str:
    """Return near misses of one condition as a sentence, and how many there were."""
    nearest = approach_text(notice.nearest)
    if notice.goes_on:
        return f"{nearest} It has been so since {_shown_time(notice.first)}."
    if notice.count < 1:
        return f"{nearest} It ended at {_shown_time(notice.last)}."
    if notice.count == 1:
        return nearest
    span = f"from {_shown_time(notice.first)} to {_shown_time(notice.last)}"
    return f"{nearest} The nearest of {notice.count}, {span}."


def evaluation_text(price: Decimal | None, found: Sequence[ConditionStanding]) -> str:
    """Return how a rule stands at a price, in a sentence for each condition."""
    seen = "There is no price to look at." if price is None else f"The price is {plain(price)}."
    return " ".join([seen, *(standing_text(standing) for standing in found)])


def exit_text(preview: ExitPreview) -> str:
    """Return what would be sent now, and what it would bring, as a sentence."""
    if preview.nothing is not None:
        return f"Would send nothing: {_NOTHING_TEXTS[preview.nothing]}."
    shares, worst = plain(preview.order_shares or Decimal(0)), _shown(preview.worst_price or Decimal(0))
    sale = preview.sale
    if not sale.shares:
        return f"Would sell {shares} shares at {worst} or better; the present book takes none of them."
    rest = f", {plain(preview.rest_shares)} left" if preview.rest_shares else ""
    brings = f"{plain(sale.net_usd)} USD after {plain(sale.fee_usd)} USD of fees"
    return f"Would sell {shares} shares at {worst} or better: {plain(sale.shares)} now for {brings}{rest}."


def hindrances(
    account: KillSwitch,
    installation: KillSwitch,
    market: MarketState,
    *,
    can_sign: bool,
    breaker_open: bool,
) -> list[str]:
    """Return what keeps an exit from being sent though its rule fires, one sentence each.

    `breaker_open` is about the venue's own breaker: an account's holds no exits.
    """
    said: list[str] = []
    if not can_sign:
        said.append("The account has no wallet with usable credentials at this venue: nothing can be signed.")
    if account is KillSwitch.ALL:
        said.append("The account's kill switch stops every send.")
    if installation is KillSwitch.ALL:
        said.append("The installation's kill switch stops every send.")
    if breaker_open:
        said.append("The venue's breaker is open: exits go out one at a time until one gets a clear answer.")
    if market is not MarketState.OPEN:
        said.append(f"The market is {market.value.replace('_', ' ')}.")
    return said


def _shown_time(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _figure(figure: Decimal | datetime | str) -> str:
    if isinstance(figure, Decimal):
        return plain(figure)
    return figure.isoformat() if isinstance(figure, datetime) else figure
