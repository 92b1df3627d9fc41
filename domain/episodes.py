"""Which life of a position a rule protects, however the ledger numbers it.

The ledger numbers openings by the time of their trades. When it learns late of an older round trip, the
position that is held becomes the second one: a higher number alone does not say that the former is gone.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from domain.messages import Holding


@dataclass(frozen=True, slots=True)
class Episode:
    """One life of a position, from zero to zero, as its rule knows it.

    Attributes:
        number: the ledger's number of it; 0 until something is held.
        opened_at: when it was opened; None while nobody said so.
    """

    number: int = 0
    opened_at: datetime | None = None

    @classmethod
    def of(cls, holding: Holding) -> "Episode":
        """Return the life of what is held; none when nothing is."""
        return cls(holding.episode, holding.opened_at) if holding.shares > 0 else cls()

    def is_followed_by(self, holding: Holding, made_at: datetime) -> bool:
        """Whether a holding is the next position: numbered behind this one, and opened after it as well.

        Args:
            holding: what the ledger says now, be it flat.
            made_at: when the rule was made: what had been opened by then is what it was made for, though a
                sale before that was learned of only later.
        """
        if not holding.episode > self.number > 0:
            return False
        return holding.opened_at is None or holding.opened_at > max(made_at, self.opened_at or made_at)

    def seen_in(self, holding: Holding) -> "Episode":
        """Return this life as the ledger numbers and dates it now."""
        if not self.number or not holding.episode:
            return self
        return replace(self, number=holding.episode, opened_at=holding.opened_at or self.opened_at)
