"""What exits of a rule sold."""

from dataclasses import dataclass
from decimal import Decimal

ZERO = Decimal(0)


@dataclass(frozen=True)
class Sold:
    """What exits of this rule sold so far. Shares and USD."""

    shares: Decimal = ZERO
    proceeds_usd: Decimal = ZERO
    fee_usd: Decimal = ZERO

    def __add__(self, other: "Sold") -> "Sold":
        """Add up."""
        return Sold(
            self.shares + other.shares,
            self.proceeds_usd + other.proceeds_usd,
            self.fee_usd + other.fee_usd,
        )
