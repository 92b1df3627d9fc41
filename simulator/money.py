"""Exact amounts: every pUSD, share and price is an integer of millionths."""

from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache

MICRO = 1_000_000
FEE_STEP = 10
"""Fees are floored to five decimals: ten millionths (on-chain fills of 2026-09)."""


class AmountError(ValueError):
    """A text is no plain decimal number with at most six decimals."""


def to_micro(value: str | int | Decimal) -> int:
    """Returns the exact number of millionths.

    Raises:
        AmountError: not a finite number, or finer than six decimals.
    """
    try:
        scaled = Decimal(value) * MICRO
        whole = int(scaled)
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise AmountError(f"{value!r} is not a decimal number") from error
    if scaled != whole:
        raise AmountError(f"{value!r} has more than six decimals")
    return whole


@lru_cache(maxsize=65_536)
def to_text(micro: int) -> str:
    """Returns the decimal text the venue writes: whole units, no trailing zeros, no exponent."""
    sign = "-" if micro < 0 else ""
    whole, part = divmod(abs(micro), MICRO)
    if part == 0:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{part:06d}".rstrip("0")


def to_number(micro: int) -> float | int:
    """Returns a JSON number. Only answers whose fields are numbers at the venue use it."""
    return micro // MICRO if micro % MICRO == 0 else float(Decimal(micro) / MICRO)


def notional(shares: int, price: int) -> int:
    """Returns the pUSD of a fill, floored to a millionth as the exchange contract divides."""
    return shares * price // MICRO


def shares_for(budget: int, price: int) -> int:
    """Returns the fewest shares whose notional is exactly ``budget``."""
    return -(-budget * MICRO // price)


def taker_fee(shares: int, price: int, rate: Fraction) -> int:
    """Returns shares × rate × p × (1 − p), floored to five decimals, in millionths of pUSD."""
    numerator = shares * price * (MICRO - price) * rate.numerator
    return numerator // (MICRO * MICRO * FEE_STEP * rate.denominator) * FEE_STEP


def fraction_text(value: Fraction, places: int = 8) -> str:
    """Returns a ratio as plain decimal text, cut at ``places``; used in refusals only."""
    scaled = value.numerator * 10**places // value.denominator
    text = f"{scaled // 10**places}.{scaled % 10**places:0{places}d}".rstrip("0")
    return text.rstrip(".")
