"""What a careful person would say before a rule is armed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from domain.fees import taker_fee
from domain.money import EXACT, Price, Shares
from domain.orders import Instrument
from domain.quotes import Quote, spread
from domain.rules.definition import ConditionType
from domain.rules.exit_preview import ExitPreview
from domain.rules.resolved import FiringTime, PriceLevel, ResolvedRule, Trail, spread_allows_firing
from domain.rules.standing import ConditionStanding

_ZERO = Decimal(0)


class CautionCode(StrEnum):
    """Kinds of warnings."""

    WOULD_FIRE_NOW = "would_fire_now"
    HELD_BACK_NOW = "held_back_now"  # the level is reached, and only a guard keeps the rule from firing
    SPREAD_TOO_WIDE_NOW = "spread_too_wide_now"
    INSIDE_SPREAD = "inside_spread"
    LOSES_AFTER_FEES = "loses_after_fees"
    TRAIL_STARTS_AT_A_LOSS = "trail_starts_at_a_loss"
    FLOOR_ABOVE_LEVEL = "floor_above_level"
    LEAVES_LESS_THAN_MINIMUM = "leaves_less_than_minimum"
    MARKET_ENDS_EARLIER = "market_ends_earlier"
    BOOK_TOO_THIN = "book_too_thin"
    NOTHING_TO_SEND = "nothing_to_send"


@dataclass(frozen=True, slots=True)
class Caution:
    """One warning, with the condition it is about (None: the whole rule) and the figures of its sentence."""

    code: CautionCode
    condition_index: int | None
    figures: tuple[Decimal | datetime | str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """A rule before it is armed: what it would be judged by.

    Attributes:
        quote: the present quote; None where the venue shows none.
        exits: for each condition what it would send now.
        entry_price: average entry without fees, None when unknown.
        held_shares: the holding.
        wanted_shares: what the rule would sell of it.
    """

    resolved: ResolvedRule
    instrument: Instrument
    quote: Quote | None
    standings: Sequence[ConditionStanding]
    exits: Sequence[ExitPreview]
    entry_price: Price | None
    held_shares: Shares
    wanted_shares: Shares


def cautions(prospect: Prospect) -> tuple[Caution, ...]:
    """Return everything worth a warning, the conditions' own in their order first."""
    found: list[Caution] = []
    for standing in prospect.standings:
        found += _of_standing(standing)
        found += _of_condition(prospect, standing)
    found += _of_rule(prospect)
    return tuple(found)


def _of_standing(standing: ConditionStanding) -> Iterator[Caution]:
    if standing.fires:
        yield Caution(CautionCode.WOULD_FIRE_NOW, standing.index)
    elif standing.reached and standing.guard is not None:
        yield Caution(CautionCode.HELD_BACK_NOW, standing.index, (standing.guard.value,))


def _of_condition(prospect: Prospect, standing: ConditionStanding) -> Iterator[Caution]:
    index, condition = standing.index, prospect.resolved.conditions[standing.index]
    if isinstance(condition, FiringTime):
        yield from _of_moment(prospect, index, condition.fires_at)
        return
    level = standing.level
    if level is None:
        level = condition.level_at(condition.activation) if isinstance(condition, Trail) else None
    yield from _of_spread(prospect, index, standing.level)
    if isinstance(condition, PriceLevel) and condition.type is ConditionType.TAKE_PROFIT:
        yield from _of_result(prospect, index, condition.level, CautionCode.LOSES_AFTER_FEES)
    elif isinstance(condition, Trail) and condition.activation is not None:
        start = condition.level_at(condition.activation)
        if start is not None:
            yield from _of_result(prospect, index, start, CautionCode.TRAIL_STARTS_AT_A_LOSS)
    floor = prospect.resolved.floor
    is_target = condition.type is ConditionType.TAKE_PROFIT
    if floor is not None and level is not None and floor > level and not is_target:
        yield Caution(CautionCode.FLOOR_ABOVE_LEVEL, index, (floor, level))


def _of_moment(prospect: Prospect, index: int, fires_at: datetime) -> Iterator[Caution]:
    ends_at = prospect.instrument.ends_at
    if ends_at is not None and fires_at >= ends_at:
        yield Caution(CautionCode.MARKET_ENDS_EARLIER, index, (ends_at, fires_at))


def _of_spread(prospect: Prospect, index: int, level: Price | None) -> Iterator[Caution]:
    quote = prospect.quote
    if quote is None or quote.bid is None or quote.ask is None or level is None:
        return
    if quote.bid < level < quote.ask:
        yield Caution(CautionCode.INSIDE_SPREAD, index, (level, quote.bid, quote.ask))


def _of_result(prospect: Prospect, index: int, price: Price, code: CautionCode) -> Iterator[Caution]:
    """Warn when a sale of all that is wanted at `price` brings less than the shares cost.

    Fees are included on both sides, a taker's for the purchase too: what was paid is not kept by share.
    """
    shares, entry, rate = prospect.wanted_shares, prospect.entry_price, prospect.instrument.fee_rate
    if entry is None or shares <= _ZERO:
        return
    cost = EXACT.add(EXACT.multiply(shares, entry), taker_fee(shares, entry, rate))
    brings = EXACT.subtract(EXACT.multiply(shares, price), taker_fee(shares, price, rate))
    if brings < cost:
        yield Caution(code, index, (price, EXACT.subtract(cost, brings)))


def _of_rule(prospect: Prospect) -> Iterator[Caution]:
    rest = EXACT.subtract(prospect.held_shares, prospect.wanted_shares)
    least = prospect.instrument.min_shares
    if _ZERO < rest < least:
        yield Caution(CautionCode.LEAVES_LESS_THAN_MINIMUM, None, (rest, least))
    expires_at, ends_at = prospect.resolved.expires_at, prospect.instrument.ends_at
    if expires_at is not None and ends_at is not None and expires_at > ends_at:
        yield Caution(CautionCode.MARKET_ENDS_EARLIER, None, (ends_at, expires_at))
    yield from _of_book(prospect)


def _of_book(prospect: Prospect) -> Iterator[Caution]:
    quote, max_spread = prospect.quote, prospect.resolved.max_spread
    if quote is not None and max_spread is not None and not spread_allows_firing(spread(quote), max_spread):
        yield Caution(CautionCode.SPREAD_TOO_WIDE_NOW, None, (max_spread,))
    # A target waits for its price; what a stop or a moment would find now is what counts.
    at_any_price = [
        exit_
        for exit_, condition in zip(prospect.exits, prospect.resolved.conditions, strict=True)
        if condition.type is not ConditionType.TAKE_PROFIT
    ]
    if not at_any_price or prospect.wanted_shares <= _ZERO:
        return
    first = at_any_price[0]
    if first.nothing is not None:
        yield Caution(CautionCode.NOTHING_TO_SEND, None, (first.nothing.value,))
    elif first.rest_shares > _ZERO:
        yield Caution(CautionCode.BOOK_TOO_THIN, None, (first.sale.shares, first.wanted_shares))
