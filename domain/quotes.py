"""What a market shows of one token, and the one price that a rule looks at."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from domain.money import EXACT, Price, Shares

_ZERO = Decimal(0)
_ONE = Decimal(1)
_HALF = Decimal("0.5")

MAX_LADDER_LEVELS = 10


class PriceSource(StrEnum):
    """Which number of a quote a rule is judged by."""

    DISPLAY = "display"
    BID = "bid"
    ASK = "ask"
    MID = "mid"
    LAST = "last"


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid, best ask and last trade of one token; None where the venue shows none.

    Raises:
        ValueError: a price is NaN or infinite. Crossed or absurd quotes can be held, without a source price.
    """

    bid: Price | None
    ask: Price | None
    last: Price | None

    def __post_init__(self) -> None:
        for price in (self.bid, self.ask, self.last):
            if price is not None and not price.is_finite():
                raise ValueError(f"a quote holds finite prices only, not {price}")


@dataclass(frozen=True, slots=True)
class Level:
    """One price of an order book and the shares that stand there."""

    price: Price
    size: Shares


@dataclass(frozen=True, slots=True)
class Ladder:
    """One side of a book, best price first, at most ten levels.

    Raises:
        ValueError: more than ten levels.
    """

    levels: tuple[Level, ...]

    def __post_init__(self) -> None:
        if len(self.levels) > MAX_LADDER_LEVELS:
            raise ValueError(f"a ladder has at most {MAX_LADDER_LEVELS} levels")


def ladder_for(bids: Sequence[Level], shares: Shares) -> Ladder:
    """Return the best levels that cover the size, at most ten; all of these when the size is unknown (0)."""
    taken: list[Level] = []
    covered = _ZERO
    for level in bids[:MAX_LADDER_LEVELS]:
        taken.append(level)
        covered = EXACT.add(covered, level.size)
        if _ZERO < shares <= covered:
            break
    return Ladder(tuple(taken))


@dataclass(frozen=True, slots=True)
class PriceRules:
    """How a venue shows prices.

    Attributes:
        display_max_spread: widest spread at which the mid is displayed; beyond it, the last trade.
        bounded: prices lie within 0..1 (prediction markets).
    """

    display_max_spread: Decimal = Decimal("0.10")
    bounded: bool = True


class SourcePrice(NamedTuple):
    """The price that a rule sees, and whether `display` had to take the last trade for it."""

    price: Price
    fell_back: bool


_PREDICTION_MARKET = PriceRules()
_TOKEN_VENUE_RULES = {"solana": PriceRules(bounded=False)}


def price_rules_of(venue: str) -> PriceRules:
    """Return how `venue` shows prices: within 0..1 unless it trades tokens."""
    return _TOKEN_VENUE_RULES.get(venue, _PREDICTION_MARKET)


def spread(quote: Quote) -> Decimal | None:
    """Return ask − bid, or None when a side is missing. Negative for a crossed quote."""
    if quote.bid is None or quote.ask is None:
        return None
    return quote.ask - quote.bid


def is_sound(quote: Quote, rules: PriceRules) -> bool:
    """Say whether a quote may be used at all: not crossed, nothing below 0 or (bounded venues) above 1."""
    bid, ask, last = quote.bid, quote.ask, quote.last
    if bid is not None and ask is not None and bid > ask:
        return False
    for price in (bid, ask, last):
        if price is not None and (price < _ZERO or (rules.bounded and price > _ONE)):
            return False
    return True


def source_price(quote: Quote, source: PriceSource, rules: PriceRules) -> SourcePrice | None:
    """Return the price that `source` names, or None when this quote must be skipped.

    `display` is the mid while both sides stand at most `rules.display_max_spread` apart, else the last trade.
    """
    return price_of_sound(quote, source, rules) if is_sound(quote, rules) else None


def price_of_sound(quote: Quote, source: PriceSource, rules: PriceRules) -> SourcePrice | None:
    """Return the price that `source` names in a sound quote, or None when it lacks what is needed."""
    bid, ask = quote.bid, quote.ask
    if source is PriceSource.DISPLAY:
        if bid is not None and ask is not None and ask - bid <= rules.display_max_spread:
            return SourcePrice((bid + ask) * _HALF, False)
        return None if quote.last is None else SourcePrice(quote.last, True)
    if source is PriceSource.MID:
        price = None if bid is None or ask is None else (bid + ask) * _HALF
    elif source is PriceSource.BID:
        price = bid
    elif source is PriceSource.ASK:
        price = ask
    else:
        price = quote.last
    return None if price is None else SourcePrice(price, False)
