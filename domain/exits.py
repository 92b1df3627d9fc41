"""Building the exit order: pure, from the rule's state and the crossing's ladder."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from domain.orders import Attempt


class NoOrderReason(StrEnum):
    """Why no order can be built now."""

    NOTHING_HELD = "nothing_held"
    DUST = "dust"  # less than the venue's smallest size step or minimum notional
    BELOW_FLOOR = "below_floor"  # the book pays less than the floor (or the target's level)
    MARKET_FINAL = "market_final"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoOrder:
    """Nothing to send; `shares` is what stays. Dust is final, below-floor is waited out."""

    reason: NoOrderReason
    shares: Decimal


ExitBuild = Attempt | NoOrder
