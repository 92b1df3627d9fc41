"""What a rule's exit asks for: how much it sells, down to which price. Live exits and previews share it."""

from dataclasses import dataclass
from decimal import Decimal

from domain.exits import ExitRequest
from domain.ids import AccountId, OrderId
from domain.money import EXACT, Price, Shares
from domain.orders import Instrument, Mode, WalletIdentity
from domain.quotes import Ladder
from domain.rules.crossing import Crossing
from domain.rules.definition import Action, ConditionType, SellPartial
from domain.rules.resolved import FiringTime, PriceLevel, ResolvedRule, Trail

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seller:
    """Whose exit it is, and what it has to sell.

    Attributes:
        held_shares: what the position holds.
        sold_shares: what the rule sold already; counts for a partial action.
        slippage_points: how far below the covering bid an exit may sell.
    """

    order_id: OrderId
    account_id: AccountId
    venue: str
    mode: Mode
    wallet: WalletIdentity
    instrument: Instrument
    held_shares: Shares
    sold_shares: Shares
    slippage_points: Decimal


def wanted_shares(action: Action, held: Shares, sold: Shares) -> Shares:
    """Return what a rule has to sell, by its action, the holding and what it sold before."""
    held = max(held, _ZERO)
    if isinstance(action, SellPartial):
        return min(held, max(EXACT.subtract(action.amount, sold), _ZERO))
    return held


def lowest_price(condition: PriceLevel | Trail | FiringTime) -> Price | None:
    """Return the level that a target never sells below; None for stops, trails and time exits."""
    if isinstance(condition, PriceLevel) and condition.type is ConditionType.TAKE_PROFIT:
        return condition.level
    return None


def lowest_price_fired(fired: Crossing | None, resolved: ResolvedRule) -> Price | None:
    """Return the level that a fired target never sells below; None for all else, and before a crossing.

    It is the level as it stands now; the crossing's own where the rule holds no price there any more.
    """
    if fired is None or fired.condition is not ConditionType.TAKE_PROFIT:
        return None
    condition = resolved.condition_at(fired.condition_index)
    return condition.level if isinstance(condition, PriceLevel) else fired.level


def exit_request(
    seller: Seller,
    resolved: ResolvedRule,
    *,
    ladder: Ladder,
    reference_price: Price | None,
    lowest: Price | None,
    timestamp_ms: int,
    attempt: int = 1,
    available_shares: Shares | None = None,
) -> ExitRequest:
    """Return what an exit's attempt is built from.

    Args:
        seller: whose exit.
        resolved: the rule: its action says how much, its floor how low.
        ladder: bids, best first; may be empty.
        reference_price: the price that stands in for an empty ladder.
        lowest: a target's level, below which it never sells.
        timestamp_ms: the moment, unix milliseconds.
        attempt: number of the try.
        available_shares: what no other unsettled sell holds; all that is wanted when None.
    """
    wanted = wanted_shares(resolved.action, seller.held_shares, seller.sold_shares)
    return ExitRequest(
        order_id=seller.order_id,
        attempt=attempt,
        account_id=seller.account_id,
        venue=seller.venue,
        mode=seller.mode,
        wallet=seller.wallet,
        instrument=seller.instrument,
        wanted_shares=wanted,
        available_shares=wanted if available_shares is None else available_shares,
        ladder=ladder,
        reference_price=reference_price,
        slippage_points=seller.slippage_points,
        floor=resolved.floor,
        lowest=lowest,
        timestamp_ms=timestamp_ms,
    )
