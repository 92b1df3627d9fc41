"""A day of one token's prices, from a seed: a calm walk, excursions, wicks, empty sides, prints and gaps."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random

from bench.endurance import tape_row

CENT = Decimal("0.01")
CALM = range(54, 66)
LOW, HIGH = 38, 78
"""Bids in cents where an excursion leads; near stops and targets lie between, far ones beyond."""
EXCURSION_EVERY_S = 2 * 3600
EXCURSION_S = 600
GAP_S = 300


@dataclass(slots=True)
class TokenDay:
    """One token's prices, told on in pieces.

    Attributes:
        random: The source of all chance.
        beat_s: Simulated seconds between two changes of the book.
    """

    random: Random
    beat_s: float
    _cents: int = CALM[len(CALM) // 2]
    _end_cents: int = 0
    _left_s: float = 0.0
    _silent_s: float = 0.0

    def rows(self, seconds: float) -> Sequence[dict[str, str | None]]:
        """Return the rows of the next so many simulated seconds; a gap in them is a time without any."""
        rows: list[dict[str, str | None]] = []
        for beat in range(max(1, int(seconds / self.beat_s))):
            self._step()
            if self._silent_s <= 0 or not rows:  # each piece begins with a book
                rows.append(self._row(beat * self.beat_s))
        return rows

    def _step(self) -> None:
        self._left_s -= self.beat_s
        self._silent_s -= self.beat_s
        chance, share = self.random.random(), self.beat_s / EXCURSION_EVERY_S
        if self._left_s > 0:
            self._cents = self._end_cents + self.random.choice((-1, 0, 0, 1))
        elif chance < share:
            self._left_s, self._end_cents = EXCURSION_S, self.random.choice((LOW, LOW, HIGH))
        elif chance < 1.5 * share:
            self._silent_s = GAP_S
        else:
            walked = self._cents + self.random.choice((-1, -1, 0, 0, 1, 1))
            self._cents = min(CALM[-1], max(CALM[0], walked))

    def _row(self, at_s: float) -> dict[str, str | None]:
        bid, ask = str(self._cents * CENT), str((self._cents + 1) * CENT)
        chance = self.random.random()
        if chance < 0.002:
            return tape_row(at_s, "0.05", ask, bid)  # a wick of the bid; the last trade stands where it was
        if chance < 0.01:
            return tape_row(at_s, None, ask, bid)
        if chance < 0.02:
            return tape_row(at_s, bid, None, bid)
        return tape_row(at_s, bid, ask, bid if chance < 0.10 else None)
