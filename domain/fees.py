"""What a venue takes for taking liquidity."""

from decimal import Decimal

from domain.money import EXACT, Price, Shares, Usd, floor_decimals

_FEE_PLACES = 5


def taker_fee(shares: Shares, price: Price, rate: Decimal) -> Usd:
    """Return the fee of one taker fill in USD: shares × rate × price × (1 − price), floored to 5 decimals.

    A buyer pays it on top of the notional, a seller out of the proceeds; makers pay none. Each fill of an
    order is rounded by itself, with its own price. Source: Polymarket's page on fees (exponent 1 in every
    market, read 2026-11); the recorded on-chain fills agree.
    """
    variance = EXACT.multiply(price, EXACT.subtract(Decimal(1), price))
    return floor_decimals(EXACT.multiply(EXACT.multiply(shares, rate), variance), _FEE_PLACES)
