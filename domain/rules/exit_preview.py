"""What a condition would send if it fired now, and what that would bring."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from domain.exits import NoOrder, NoOrderReason, build_exit
from domain.fees import taker_fee
from domain.money import EXACT, Price, Shares, Usd, floor_decimals
from domain.quotes import Level, ladder_for
from domain.rules.resolved import ResolvedRule
from domain.rules.selling import Seller, exit_request, lowest_price, wanted_shares

_ZERO = Decimal(0)
_PRICE_PLACES = 6


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
    request = exit_request(
        seller,
        resolved,
        ladder=ladder_for(bids, wanted),
        reference_price=reference_price,
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


def _result(sale: Sale, entry_price: Price | None) -> Usd | None:
    if entry_price is None or not sale.shares:
        return None
    return EXACT.subtract(sale.net_usd, EXACT.multiply(sale.shares, entry_price))
