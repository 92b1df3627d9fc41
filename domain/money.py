"""Decimal and integer arithmetic of money, prices and sizes.

The only place of the project that rounds, and every function that does has the direction in its name.
Arithmetic that must be exact runs in `EXACT`, whose precision no product of two venue numbers reaches.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, Inexact, InvalidOperation
from typing import TypeAlias

Price: TypeAlias = Decimal
Shares: TypeAlias = Decimal
Usd: TypeAlias = Decimal

MICROS = 10**6
"""Micro-units in one unit: venue amounts (shares, USDC) have at most six decimals."""

EXACT = Context(prec=120)
"""Context for sums and products that must not be rounded by the thread's own precision."""

_STRICT = Context(prec=120, traps=[Inexact, InvalidOperation])

_MAX_DIGITS = 40
_MAX_MAGNITUDE = 30


def parse_decimal(value: str | int | float | Decimal) -> Decimal:
    """Read an exact decimal; a float goes through its shortest text, so 0.1 is one tenth.

    Raises:
        ValueError: not a number, not finite, or with more digits than any price or size has.
    """
    text = str(value).strip()
    try:
        # Decimal would read 1_000 as a thousand, which no venue and no user writes.
        number = Decimal("" if "_" in text else text)
    except InvalidOperation:
        raise ValueError("is not a number") from None
    if not number.is_finite():
        raise ValueError("must be finite")
    if len(number.as_tuple().digits) > _MAX_DIGITS or abs(number.adjusted()) > _MAX_MAGNITUDE:
        raise ValueError("has more digits than any price or size")
    return number


def to_micros(value: Decimal) -> int:
    """Return `value` in micro-units.

    Raises:
        ValueError: `value` is not finite or has more than six decimals.
    """
    if not value.is_finite():
        raise ValueError(f"{value} is not an amount")
    scaled = _STRICT.scaleb(value, 6)
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{plain(value)} has more than six decimals")
    return int(scaled)


def from_micros(micros: int) -> Decimal:
    """Return the exact amount that `micros` micro-units are."""
    return _STRICT.scaleb(Decimal(micros), -6)


def floor_to_tick(price: Price, tick: Decimal) -> Price:
    """Return the highest multiple of `tick` that is not above `price`.

    Raises:
        ValueError: `tick` is not positive.
    """
    return _to_tick(price, tick, ROUND_FLOOR)


def ceil_to_tick(price: Price, tick: Decimal) -> Price:
    """Return the lowest multiple of `tick` that is not below `price`.

    Raises:
        ValueError: `tick` is not positive.
    """
    return _to_tick(price, tick, ROUND_CEILING)


def is_on_tick(price: Price, tick: Decimal) -> bool:
    """Say whether `price` is an exact multiple of `tick`.

    Raises:
        ValueError: `tick` is not positive.
    """
    return floor_to_tick(price, tick) == price


def floor_decimals(value: Decimal, places: int) -> Decimal:
    """Return `value` with at most `places` decimals, rounded towards minus infinity.

    Raises:
        ValueError: `places` is negative.
    """
    return _to_tick(value, _unit(places), ROUND_FLOOR)


def ceil_decimals(value: Decimal, places: int) -> Decimal:
    """Return `value` with at most `places` decimals, rounded towards plus infinity.

    Raises:
        ValueError: `places` is negative.
    """
    return _to_tick(value, _unit(places), ROUND_CEILING)


def plain(value: Decimal) -> str:
    """Return `value` as text without exponent and without trailing zeros ("0.4", "1200", "0")."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _unit(places: int) -> Decimal:
    if places < 0:
        raise ValueError("places must not be negative")
    return Decimal((0, (1,), -places))


def _to_tick(value: Decimal, tick: Decimal, rounding: str) -> Decimal:
    if not tick.is_finite() or tick <= 0:
        raise ValueError("a tick must be positive")
    # divmod in place of a division: a quotient such as 1 / 0.03 has no exact decimal.
    steps, rest = EXACT.divmod(value, tick)
    if rest < 0 and rounding == ROUND_FLOOR:
        steps = EXACT.subtract(steps, Decimal(1))
    elif rest > 0 and rounding == ROUND_CEILING:
        steps = EXACT.add(steps, Decimal(1))
    return EXACT.multiply(steps, tick)
