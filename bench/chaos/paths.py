"""Seeded prices of one token: a calm walk, oddities on the way, then a fall or a rise that stays."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from random import Random

START = 60
CALM = (56, 64)
LOW = (25, 33)
HIGH = (82, 88)
CENT = Decimal("0.01")


class End(StrEnum):
    """Where a token's price ends, and stays."""

    LOW = "low"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Row:
    """The top of the book from a moment on (milliseconds since the start); None is an empty side."""

    at_ms: int
    bid: Decimal | None
    ask: Decimal | None
    last: Decimal | None


def price_path(random: Random, end: End, crossing_ms: int, length_ms: int, beat_ms: int) -> tuple[Row, ...]:
    """Return the rows of one token.

    Args:
        random: The source of all chance.
        end: Where the price ends.
        crossing_ms: When it leaves for its end.
        length_ms: Length of the whole path.
        beat_ms: Time between two rows.
    """
    rows: list[Row] = []
    cents = START
    dip_at = random.randrange(max(1, crossing_ms)) if random.random() < 0.5 else None
    dip_rows = 0
    gap = random.random() < 0.5
    for at_ms in range(0, length_ms, beat_ms):
        if dip_at is not None and at_ms >= dip_at:
            dip_at, dip_rows = None, random.randint(2, 5)
        if at_ms < crossing_ms:
            cents = _walk(random, cents, *CALM)
            shown = random.randint(44, 50) if dip_rows else cents
            dip_rows = max(0, dip_rows - 1)
        else:
            shown = cents = _leave(random, cents, end, gap)
        rows.append(_row(random, at_ms, shown))
    rows.append(_tight(length_ms, cents))  # whatever came before, the book is whole in the end
    return tuple(rows)


def _leave(random: Random, cents: int, end: End, gap: bool) -> int:
    low, high = LOW if end is End.LOW else HIGH
    if low <= cents <= high:
        return _walk(random, cents, low, high)
    if gap:
        return random.randint(low, high)
    step = random.randint(2, 7)
    return max(high, cents - step) if end is End.LOW else min(low, cents + step)


def _walk(random: Random, cents: int, low: int, high: int) -> int:
    return min(high, max(low, cents + random.choice((-1, -1, 0, 0, 1, 1))))


def _row(random: Random, at_ms: int, cents: int) -> Row:
    """Mostly a tight book; now and then a wick, an empty side, a wide book, or a print beside it."""
    bid, ask, middle = cents * CENT, (cents + 1) * CENT, cents * CENT
    chance = random.random()
    if chance < 0.03:
        return Row(at_ms, Decimal("0.05"), ask, middle)
    if chance < 0.05:
        return Row(at_ms, None, ask, middle)
    if chance < 0.07:
        return Row(at_ms, bid, None, middle)
    if chance < 0.09:
        return Row(at_ms, bid, Decimal("0.97"), middle)
    if chance < 0.12:
        return Row(at_ms, bid, ask, random.choice((Decimal("0.10"), Decimal("0.95"))))
    return _tight(at_ms, cents)


def _tight(at_ms: int, cents: int) -> Row:
    return Row(at_ms, cents * CENT, (cents + 1) * CENT, None)
