"""What would protect a position that nothing protects yet: one proposal for each, pure."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from domain.amounts import LEAST_USD, sellable_shares
from domain.fees import taker_fee
from domain.money import EXACT, Price, Shares, Usd, ceil_to_tick, floor_to_tick
from domain.orders import Instrument
from domain.quotes import PriceRules, PriceSource, Quote, source_price
from domain.rules.definition import RuleDefinition, StopLoss, TrailingStop
from domain.rules.resolved import above, below

_ZERO = Decimal(0)

DEFAULT_STOP_PERCENT = Decimal(20)


class Unprotectable(StrEnum):
    """Why nothing is proposed."""

    DUST = "dust"  # less than the venue sells
    MARKET_FINAL = "market_final"
    NO_PRICE = "no_price"
    NO_ROOM = "no_room"  # the price stands at the lowest tick: every level would fire at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposed:
    """A position without protection, at the present quote.

    Attributes:
        average_entry: without fees; None when unknown.
        stop_percent: distance of the level, above 0 and below 100.
    """

    instrument: Instrument
    shares: Shares
    average_entry: Price | None
    quote: Quote
    rules: PriceRules
    stop_percent: Decimal = DEFAULT_STOP_PERCENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """A proposed rule.

    Attributes:
        level: on the tick; where the rule sells at the least, whatever the price does first.
        price: what the rule sees now; the level lies below it.
        proceeds_usd: what the sellable shares bring at the level, after the fee.
    """

    definition: RuleDefinition
    level: Price
    price: Price
    proceeds_usd: Usd


def propose(exposed: Exposed) -> Protection | Unprotectable:
    """Return a stop below the entry, or a trail below the present price when the position is well in profit.

    The stop lies `stop_percent` below the average entry, or below the present price where that is the lower
    one or the entry is unknown. A position that gained `stop_percent` or more gets a trail of that distance
    with its first level as floor. Levels are floored to the tick, and below what fires at once.
    """
    instrument, shares = exposed.instrument, sellable_shares(exposed.shares)
    if shares <= _ZERO:
        return Unprotectable.DUST
    if instrument.state.is_final:
        return Unprotectable.MARKET_FINAL
    seen = source_price(exposed.quote, PriceSource.DISPLAY, exposed.rules)
    if seen is None:
        return Unprotectable.NO_PRICE
    highest = _highest_quiet(seen.price, instrument.tick)
    if highest < instrument.tick:
        return Unprotectable.NO_ROOM
    trails = _is_well_in_profit(exposed, seen.price)
    base = seen.price if trails else min(seen.price, exposed.average_entry or seen.price)
    wanted = floor_to_tick(below(base, exposed.stop_percent), instrument.tick)
    level = max(min(wanted, highest), instrument.tick)
    gross = EXACT.multiply(shares, level)
    if gross < LEAST_USD:
        return Unprotectable.DUST
    return Protection(
        definition=_definition(exposed, level, trails=trails),
        level=level,
        price=seen.price,
        proceeds_usd=EXACT.subtract(gross, taker_fee(shares, level, instrument.fee_rate)),
    )


def _highest_quiet(price: Price, tick: Decimal) -> Price:
    """Return the highest level on the tick that lies below the price."""
    return EXACT.subtract(ceil_to_tick(price, tick), tick)


def _is_well_in_profit(exposed: Exposed, price: Price) -> bool:
    entry = exposed.average_entry
    return entry is not None and entry > _ZERO and price >= above(entry, exposed.stop_percent)


def _definition(exposed: Exposed, level: Price, *, trails: bool) -> RuleDefinition:
    instrument = exposed.instrument
    condition = (
        TrailingStop(percent=exposed.stop_percent, floor_price=level) if trails else StopLoss(price=level)
    )
    return RuleDefinition(
        venue=instrument.venue,
        market_id=instrument.market_id,
        token_id=instrument.token_id,
        entry_price=exposed.average_entry or None,
        conditions=(condition,),
    )
