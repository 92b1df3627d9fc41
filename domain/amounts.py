"""Sizes and integer amounts that the venue takes.

Polymarket CLOB V2 ("Orders", "Amounts and rounding", read 2026-11):

- A resting order (GTC, GTD) names at least the market's minimum, in steps of 0.01 share, for exactly
  shares × price.
- An order that trades at once (FAK, FOK) gives amounts of at most 2 decimals and takes amounts of at most 4,
  at every tick. The market's minimum does not bind it: recorded takers trade 1.2 shares where it is 5. A BUY
  spends at least $1. For a SELL no minimum is documented, so everything from 0.01 share on is tried.

Nothing here rounds what the caller fixed: such a request is refused.
"""

from dataclasses import dataclass
from decimal import Decimal

from domain.errors import InvalidInput
from domain.money import (
    EXACT,
    Price,
    Shares,
    Usd,
    ceil_decimals,
    ceil_to_tick,
    floor_decimals,
    floor_to_tick,
    from_micros,
    plain,
    to_micros,
)
from domain.orders import Instrument, Side
from domain.quotes import price_rules_of

LEAST_USD = Decimal("0.0001")
"""The smallest amount that a sale at once can ask for."""

_ZERO = Decimal(0)
_GIVEN_PLACES = 2
_TAKEN_PLACES = 4
_LEAST_SPENT_USD = Decimal(1)
_LARGEST_MICROS = 2**63 - 1  # beyond any supply; keeps amounts within what a database integer holds


@dataclass(frozen=True, slots=True)
class OrderAmounts:
    """Amounts of an order in micro-units, with the size and the price on the grid that they stand for."""

    shares: Shares
    limit_price: Price
    maker: int
    taker: int


def sellable_shares(shares: Shares) -> Shares:
    """Return the part of a holding that an order can name: floored to 0.01 share, never negative."""
    return max(floor_decimals(shares, _GIVEN_PLACES), _ZERO)


def affordable_shares(budget_usd: Usd, price: Price) -> Shares:
    """Return what a resting BUY gets for a budget: floored to 0.01 share.

    Raises:
        InvalidInput: the budget is not a positive number.
    """
    _check_amount("budget_usd", budget_usd, None)
    return _bought(budget_usd, price, _GIVEN_PLACES)


def highest_price(instrument: Instrument) -> Price | None:
    """Return the highest price of an order: one tick below 1; None where prices are not probabilities."""
    if not price_rules_of(instrument.venue).bounded:
        return None
    return floor_to_tick(EXACT.subtract(Decimal(1), instrument.tick), instrument.tick)


def resting_amounts(side: Side, shares: Shares, price: Price, min_shares: Shares) -> OrderAmounts:
    """Return the amounts of a GTC or GTD order: exactly shares × price.

    Raises:
        InvalidInput: the size is not a positive number of at most 2 decimals, or below the minimum.
    """
    _check_amount("shares", shares, _GIVEN_PLACES)
    if shares < min_shares:
        raise InvalidInput("shares", f"must be at least {plain(min_shares)} for an order that may rest")
    usd = _micros("limit_price", EXACT.multiply(shares, price))
    micros = _micros("shares", shares)
    maker, taker = (usd, micros) if side is Side.BUY else (micros, usd)
    return OrderAmounts(shares=shares, limit_price=price, maker=maker, taker=taker)


def purchase_for(budget_usd: Usd, price: Price) -> OrderAmounts:
    """Return the amounts of a FAK or FOK BUY that spends a budget.

    The shares are floored to 4 decimals, so the implied price may lie a hair above the limit; the venue takes
    that from orders that trade at once, and gives more shares where the book is better.

    Raises:
        InvalidInput: the budget has more than 2 decimals or is below $1.
    """
    _check_spent("budget_usd", budget_usd)
    shares = _bought(budget_usd, price, _TAKEN_PLACES)
    return OrderAmounts(
        shares=shares,
        limit_price=price,
        maker=_micros("budget_usd", budget_usd),
        taker=_micros("budget_usd", shares),
    )


def purchase_of(shares: Shares, price: Price) -> OrderAmounts:
    """Return the amounts of a FAK or FOK BUY of a number of shares.

    Raises:
        InvalidInput: more than 4 decimals, less than $1, or shares × price is not whole cents, which the
            venue asks of a BUY that trades at once (a budget has no such limit).
    """
    _check_amount("shares", shares, _TAKEN_PLACES)
    cost = EXACT.multiply(shares, price)
    if floor_decimals(cost, _GIVEN_PLACES) != cost:
        reason = f"shares × price is {plain(cost)} USD, which must be whole cents; give budget_usd instead"
        raise InvalidInput("shares", reason)
    _check_spent("shares", cost)
    return OrderAmounts(
        shares=shares, limit_price=price, maker=_micros("shares", cost), taker=_micros("shares", shares)
    )


def sale_at_once(shares: Shares, price: Price) -> OrderAmounts:
    """Return the amounts of a FAK or FOK SELL: the USD are floored to 4 decimals.

    Raises:
        InvalidInput: more than 2 decimals, or worth less than 0.0001 USD.
    """
    _check_amount("shares", shares, _GIVEN_PLACES)
    usd = floor_decimals(EXACT.multiply(shares, price), _TAKEN_PLACES)
    if usd < LEAST_USD:
        raise InvalidInput("shares", f"is worth less than {plain(LEAST_USD)} USD")
    return OrderAmounts(
        shares=shares, limit_price=price, maker=_micros("shares", shares), taker=_micros("shares", usd)
    )


def guarded_sale(shares: Shares, limit: Price, lowest: Price, tick: Decimal) -> OrderAmounts:
    """Return the amounts of a FAK SELL at `limit` whose implied price never gives `lowest` away.

    Flooring the USD to 4 decimals moves the implied price below the limit, mostly by less than a tick, which
    no price on the grid notices. For sizes worth less than a dollar or so on a fine tick it can be more:
    there the USD are rounded up instead, and the limit is the next price on the grid.

    Args:
        shares: positive, at most 2 decimals.
        limit: worst price, on the tick, at least `lowest`.
        lowest: the price that may never be undercut, on the tick, at least one tick.
        tick: the grid.
    """
    usd = floor_decimals(EXACT.multiply(shares, limit), _TAKEN_PLACES)
    if usd <= EXACT.multiply(shares, EXACT.subtract(lowest, tick)):
        usd = ceil_decimals(EXACT.multiply(shares, lowest), _TAKEN_PLACES)
        limit = EXACT.divide(ceil_to_tick(usd, EXACT.multiply(shares, tick)), shares)
    return OrderAmounts(shares=shares, limit_price=limit, maker=to_micros(shares), taker=to_micros(usd))


def _bought(budget_usd: Usd, price: Price, places: int) -> Shares:
    # floored to a multiple of price × step first: a quotient such as 5 / 0.29 has no exact decimal
    step = EXACT.multiply(price, EXACT.scaleb(Decimal(1), -places))
    return EXACT.divide(floor_to_tick(budget_usd, step), price)


def _check_spent(field: str, usd: Usd) -> None:
    _check_amount(field, usd, _GIVEN_PLACES)
    if usd < _LEAST_SPENT_USD:
        raise InvalidInput(field, f"a BUY that trades at once spends at least {plain(_LEAST_SPENT_USD)} USD")


def _check_amount(field: str, value: Decimal, places: int | None) -> None:
    if not value.is_finite() or value <= _ZERO:
        raise InvalidInput(field, "must be a positive number")
    if value > from_micros(_LARGEST_MICROS):
        raise InvalidInput(field, "is too large")
    if places is not None and floor_decimals(value, places) != value:
        raise InvalidInput(field, f"must have at most {places} decimals")


def _micros(field: str, value: Decimal) -> int:
    try:
        return to_micros(value)
    except ValueError as error:
        raise InvalidInput(field, str(error)) from error
