"""What a condition would send if it fired now, and what that would bring."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from domain.exits import ExitRequest, NoOrder, NoOrderReason, build_exit
from domain.fees import taker_fee
from domain.ids import AccountId, OrderId
from domain.money import EXACT, Price, Shares, Usd, floor_decimals
from domain.orders import Instrument, Mode, WalletIdentity
from domain.quotes import MAX_LADDER_LEVELS, Ladder, Level
from domain.rules.definition import Action, ConditionType, SellPartial
from domain.rules.resolved import FiringTime, PriceLevel, ResolvedRule, Trail

_ZERO = Decimal(0)
_PRICE_PLACES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Seller:
    """Whose exit it would be, and what it has to sell.

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


@dataclass(frozen=True, slots=True)
class Sale:
    """What a sale into a book brings. Shares and USD; the average is before fees, floored to 6 decimals."""

    shares: Shares
    average_price: Price | None
    gross_usd: Usd
    fee_usd: Usd

    @property
    def net_usd(self) -> Usd:
        """What is left after the fee."""
        return EXACT.subtract(self.gross_usd, self.fee_usd)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitPreview:
    """The order that a condition would send now, or why there would be none.

    Attributes:
        nothing: why no order could be built; the order's fields are None then.
        order_shares: size of the order.
        worst_price: its limit: it never sells below.
        sale: what the present book would give for it.
        rest_shares: what would be left of the wanted shares.
        pnl_usd: net proceeds less the entry of the sold shares (without the entry's fees); None without one.
    """

    wanted_shares: Shares
    nothing: NoOrderReason | None
    order_shares: Shares | None
    worst_price: Price | None
    sale: Sale
    rest_shares: Shares
    pnl_usd: Usd | None


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


def preview_exit(
    seller: Seller,
    resolved: ResolvedRule,
    condition_index: int,
    *,
    bids: Sequence[Level],
    reference_price: Price | None,
    entry_price: Price | None,
    timestamp_ms: int,
) -> ExitPreview:
    """Return what a condition would send if it fired at this book, by the builder of real exits.

    Args:
        seller: whose exit.
        resolved: the rule with its levels.
        condition_index: which of its conditions would fire.
        bids: the book's bids, best first.
        reference_price: the price that stands in for an empty book, as the crossing's does.
        entry_price: average entry without fees, for the result.
        timestamp_ms: the moment, unix milliseconds.
    """
    wanted = wanted_shares(resolved.action, seller.held_shares, seller.sold_shares)
    request = ExitRequest(
        order_id=seller.order_id,
        attempt=1,
        account_id=seller.account_id,
        venue=seller.venue,
        mode=seller.mode,
        wallet=seller.wallet,
        instrument=seller.instrument,
        wanted_shares=wanted,
        available_shares=wanted,
        ladder=_ladder(bids, wanted),
        reference_price=reference_price,
        slippage_points=seller.slippage_points,
        floor=resolved.floor,
        lowest=lowest_price(resolved.conditions[condition_index]),
        timestamp_ms=timestamp_ms,
    )
    built = build_exit(request)
    if isinstance(built, NoOrder):
        nothing = Sale(_ZERO, None, _ZERO, _ZERO)
        return ExitPreview(
            wanted_shares=wanted,
            nothing=built.reason,
            order_shares=None,
            worst_price=None,
            sale=nothing,
            rest_shares=wanted,
            pnl_usd=None,
        )
    sale = sell_into(bids, built.shares, built.limit_price, seller.instrument.fee_rate)
    return ExitPreview(
        wanted_shares=wanted,
        nothing=None,
        order_shares=built.shares,
        worst_price=built.limit_price,
        sale=sale,
        rest_shares=EXACT.subtract(wanted, sale.shares),
        pnl_usd=_result(sale, entry_price),
    )


def sell_into(bids: Sequence[Level], shares: Shares, limit: Price, fee_rate: Decimal) -> Sale:
    """Return what a FAK sale of `shares` down to `limit` brings in a book, each level a fill of its own."""
    sold, gross, fee = _ZERO, _ZERO, _ZERO
    for level in bids:
        left = EXACT.subtract(shares, sold)
        if level.price < limit or left <= _ZERO:
            break
        part = min(left, level.size)
        sold = EXACT.add(sold, part)
        gross = EXACT.add(gross, EXACT.multiply(part, level.price))
        fee = EXACT.add(fee, taker_fee(part, level.price, fee_rate))
    average = floor_decimals(EXACT.divide(gross, sold), _PRICE_PLACES) if sold else None
    return Sale(sold, average, gross, fee)


def _ladder(bids: Sequence[Level], shares: Shares) -> Ladder:
    """Return the best bids that cover the size, at most ten, as the feed hands them to the rule."""
    taken: list[Level] = []
    covered = _ZERO
    for level in bids[:MAX_LADDER_LEVELS]:
        taken.append(level)
        covered = EXACT.add(covered, level.size)
        if _ZERO < shares <= covered:
            break
    return Ladder(tuple(taken))


def _result(sale: Sale, entry_price: Price | None) -> Usd | None:
    if entry_price is None or not sale.shares:
        return None
    return EXACT.subtract(sale.net_usd, EXACT.multiply(sale.shares, entry_price))
