"""Building orders: pure, from what the host knows. The same request gives the same attempt, to the byte.

What sizes and amounts the venue takes stands in `domain.amounts`.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from domain.amounts import (
    LEAST_USD,
    OrderAmounts,
    affordable_shares,
    guarded_sale,
    highest_price,
    purchase_for,
    purchase_of,
    resting_amounts,
    sale_at_once,
    sellable_shares,
)
from domain.errors import InvalidInput
from domain.ids import AccountId, OrderId, attempt_salt
from domain.money import EXACT, Price, Shares, Usd, ceil_to_tick, floor_to_tick, is_on_tick, plain
from domain.orders import (
    RESTING,
    Attempt,
    Instrument,
    Mode,
    Purpose,
    Side,
    TimeInForce,
    WalletHolding,
    WalletIdentity,
)
from domain.quotes import Ladder

_ZERO = Decimal(0)
_GTD_MINIMUM_S = 180
_GTD_EARLY_S = 60


class NoOrderReason(StrEnum):
    """Why no order can be built now."""

    NOTHING_HELD = "nothing_held"
    DUST = "dust"  # less than the venue's smallest size step or minimum notional
    BELOW_FLOOR = "below_floor"  # the book pays less than the floor (or the target's level)
    MARKET_FINAL = "market_final"
    RESERVED = "reserved"  # other unsettled sells hold the shares: wait for them


@dataclass(frozen=True, slots=True, kw_only=True)
class NoOrder:
    """Nothing to send; `shares` is what stays. Dust is final, below-floor and reserved are waited out."""

    reason: NoOrderReason
    shares: Decimal


ExitBuild = Attempt | NoOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitRequest:
    """What an exit's attempt is built from. Shares, and prices in USD per share.

    Attributes:
        order_id: the exit order; with `attempt` it fixes the salt.
        attempt: number of the try.
        account_id: whose order.
        venue: where it goes.
        mode: paper or live.
        wallet: who signs.
        instrument: grid, minimums and state, as last read.
        wanted_shares: what the rule still has to sell.
        available_shares: what no other unsettled sell holds.
        ladder: bids, best first; may be empty.
        reference_price: the price that stands in for an empty ladder (the crossing's, or the last trade).
        slippage_points: how far below the covering bid the order may sell; not negative.
        floor: the rule's floor; None lets the exit sell at any price.
        lowest: a target's level, below which it never sells.
        timestamp_ms: the workflow's time, Unix milliseconds.
        min_notional_usd: smallest notional that the venue takes for a sale at once, at the covering bid.
    """

    order_id: OrderId
    attempt: int
    account_id: AccountId
    venue: str
    mode: Mode
    wallet: WalletIdentity
    instrument: Instrument
    wanted_shares: Shares
    available_shares: Shares
    ladder: Ladder
    reference_price: Price | None
    slippage_points: Decimal
    floor: Price | None
    lowest: Price | None
    timestamp_ms: int
    min_notional_usd: Usd = _ZERO


def sold_by(
    wallet: WalletIdentity, available: Shares | None, holder: WalletHolding | None
) -> tuple[WalletIdentity, Shares | None]:
    """Return who signs an exit's attempt, and how many shares may be asked of that wallet.

    Shares stay with the wallet that bought them, and no order can take from two: where the venue refused for
    want of shares, the wallet that holds most sells what it has, and the next attempt asks for the rest.

    Args:
        wallet: who signs as long as nobody knows better.
        available: what no other unsettled sell holds; None for all.
        holder: the wallet that holds most, None when nobody asked. One that holds nothing is not believed:
            the venue's balances lag.
    """
    if holder is None or not sellable_shares(holder.shares):
        return wallet, available
    return holder.wallet, holder.shares if available is None else min(available, holder.shares)


def build_exit(request: ExitRequest) -> ExitBuild:
    """Return the FAK sell that this request amounts to, or why there is none.

    The size is what is wanted and available, floored to 0.01 share. The limit is the bid that covers the size
    less the slippage, floored to the tick, and raised to the floor, the target's level and one tick: it is
    the worst price, the venue sells to better bids first.

    Returns:
        An `Attempt` whose shares are at most `available_shares` and whose limit, and the price that its
        integer amounts imply on the grid, are at least `floor` and `lowest`; or `NoOrder`.

    Raises:
        ValueError: the instrument has no positive tick.
    """
    missing = _nothing_to_sell(request)
    if missing is not None:
        return NoOrder(reason=missing, shares=max(request.wanted_shares, _ZERO))
    size = sellable_shares(min(request.wanted_shares, request.available_shares))
    covering = _covering_price(request.ladder, size, request.reference_price)
    if covering is not None and _worth_too_little(request, size, covering):
        # What is too little now may be enough together with the shares that others hold.
        alone = _worth_too_little(request, sellable_shares(request.wanted_shares), covering)
        reason = NoOrderReason.DUST if alone else NoOrderReason.RESERVED
        return NoOrder(reason=reason, shares=request.wanted_shares)
    amounts = _exit_amounts(request, size, covering)
    if amounts is None:
        return NoOrder(reason=NoOrderReason.BELOW_FLOOR, shares=request.wanted_shares)
    return _attempt(request, amounts, Side.SELL, Purpose.EXIT, TimeInForce.FAK)


def _nothing_to_sell(request: ExitRequest) -> NoOrderReason | None:
    if request.wanted_shares <= _ZERO:
        return NoOrderReason.NOTHING_HELD
    if request.instrument.state.is_final:
        return NoOrderReason.MARKET_FINAL
    if sellable_shares(min(request.wanted_shares, request.available_shares)) > _ZERO:
        return None
    return NoOrderReason.RESERVED if sellable_shares(request.wanted_shares) else NoOrderReason.DUST


def _worth_too_little(request: ExitRequest, size: Shares, price: Price) -> bool:
    return EXACT.multiply(size, price) < max(request.min_notional_usd, LEAST_USD)


def _covering_price(ladder: Ladder, size: Shares, reference: Price | None) -> Price | None:
    """The bid down to which the book takes the size, or its last known bid; without bids the reference."""
    depth = _ZERO
    price = reference if reference is not None and reference > _ZERO else None
    for level in ladder.levels:
        price = level.price
        depth = EXACT.add(depth, level.size)
        if depth >= size:
            break
    return price


def _exit_amounts(request: ExitRequest, size: Shares, covering: Price | None) -> OrderAmounts | None:
    """The amounts of the sale, or None when the book or the grid pays less than the lowest limit."""
    tick = request.instrument.tick
    guard = max(request.floor or _ZERO, request.lowest or _ZERO)
    lowest = max(ceil_to_tick(guard, tick), tick)
    limit = lowest
    if covering is not None:
        limit = max(floor_to_tick(EXACT.subtract(covering, request.slippage_points), tick), lowest)
    highest = highest_price(request.instrument)
    if highest is not None:
        limit = max(min(limit, highest), lowest)
    amounts = guarded_sale(size, limit, lowest, tick)
    if highest is not None and amounts.limit_price > highest:
        return None
    best = request.ladder.levels[0].price if request.ladder.levels else None
    return None if best is not None and best < amounts.limit_price else amounts


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """What a manual, plan or strategy order is built from. Shares, USD, and prices in USD per share.

    Attributes:
        order_id: the order; with `attempt` it fixes the salt.
        attempt: number of the try.
        account_id: whose order.
        venue: where it goes.
        mode: paper or live.
        wallet: who signs.
        instrument: grid and minimums, as last read.
        side: BUY or SELL.
        purpose: entry or exit.
        time_in_force: FAK and FOK trade at once, GTC and GTD may rest.
        shares: size; None with `budget_usd`.
        budget_usd: what a BUY spends; None with `shares`.
        limit_price: the worst price.
        timestamp_ms: the workflow's time, Unix milliseconds.
        post_only: refuse rather than trade at once.
        expiration_s: what is signed for a GTD, Unix seconds (see `gtd_expiration_s`); else 0.
    """

    order_id: OrderId
    attempt: int
    account_id: AccountId
    venue: str
    mode: Mode
    wallet: WalletIdentity
    instrument: Instrument
    side: Side
    purpose: Purpose
    time_in_force: TimeInForce
    shares: Shares | None
    budget_usd: Usd | None
    limit_price: Price
    timestamp_ms: int
    post_only: bool = False
    expiration_s: int = 0


def build_order(request: OrderRequest) -> Attempt:
    """Return the attempt that a request amounts to; nothing is rounded that the caller did not leave open.

    A budget leaves the shares open: they are what it buys at the limit, floored to 4 decimals (FAK, FOK: the
    whole budget is spent, so the implied price may lie a hair above the limit, which the venue takes) or to
    2 decimals (GTC, GTD: at most the budget is spent, at exactly the limit).

    Raises:
        InvalidInput: with the field and the reason, for anything that the venue would refuse.
    """
    _check_price(request)
    _check_duration(request)
    amounts = _order_amounts(request)
    return _attempt(
        request,
        amounts,
        request.side,
        request.purpose,
        request.time_in_force,
        post_only=request.post_only,
        expiration_s=request.expiration_s,
    )


def gtd_expiration_s(expires_at: datetime) -> int:
    """Return what a GTD order signs so that it ends at `expires_at`: the venue ends it 60 s before that.

    Source: Polymarket "Orders", GTD security threshold, read 2026-11.
    """
    return int(expires_at.timestamp()) + _GTD_EARLY_S


def _check_price(request: OrderRequest) -> None:
    tick, price = request.instrument.tick, request.limit_price
    if not price.is_finite():
        raise InvalidInput("limit_price", "must be a number")
    if not is_on_tick(price, tick):
        raise InvalidInput("limit_price", f"must be a multiple of the tick {plain(tick)}")
    highest = highest_price(request.instrument)
    if price < tick or (highest is not None and price > highest):
        end = "" if highest is None else f" to {plain(highest)}"
        raise InvalidInput("limit_price", f"must lie within {plain(tick)}{end}")


def _check_duration(request: OrderRequest) -> None:
    if request.post_only and request.time_in_force not in RESTING:
        raise InvalidInput("post_only", "only a GTC or GTD order can be post-only")
    if request.time_in_force is not TimeInForce.GTD:
        if request.expiration_s != 0:
            raise InvalidInput("expires_at", "only a GTD order expires")
        return
    earliest = request.timestamp_ms + _GTD_MINIMUM_S * 1000
    if request.expiration_s * 1000 < earliest:
        raise InvalidInput("expires_at", f"a GTD order signs an end at least {_GTD_MINIMUM_S} s ahead")


def _order_amounts(request: OrderRequest) -> OrderAmounts:
    shares, budget_usd = request.shares, request.budget_usd
    if shares is not None and budget_usd is None:
        return _amounts_of(request, shares)
    if shares is None and budget_usd is not None:
        return _amounts_for(request, budget_usd)
    raise InvalidInput("shares", "give either shares or budget_usd")


def _amounts_of(request: OrderRequest, shares: Shares) -> OrderAmounts:
    price = request.limit_price
    if request.time_in_force in RESTING:
        return resting_amounts(request.side, shares, price, request.instrument.min_shares)
    return purchase_of(shares, price) if request.side is Side.BUY else sale_at_once(shares, price)


def _amounts_for(request: OrderRequest, budget_usd: Usd) -> OrderAmounts:
    if request.side is Side.SELL:
        raise InvalidInput("budget_usd", "only a BUY has a budget")
    price = request.limit_price
    if request.time_in_force not in RESTING:
        return purchase_for(budget_usd, price)
    shares = affordable_shares(budget_usd, price)
    return resting_amounts(Side.BUY, shares, price, request.instrument.min_shares)


def _attempt(
    request: ExitRequest | OrderRequest,
    amounts: OrderAmounts,
    side: Side,
    purpose: Purpose,
    time_in_force: TimeInForce,
    *,
    post_only: bool = False,
    expiration_s: int = 0,
) -> Attempt:
    return Attempt(
        order_id=request.order_id,
        attempt=request.attempt,
        account_id=request.account_id,
        venue=request.venue,
        mode=request.mode,
        market_id=request.instrument.market_id,
        token_id=request.instrument.token_id,
        side=side,
        purpose=purpose,
        time_in_force=time_in_force,
        post_only=post_only,
        shares=amounts.shares,
        limit_price=amounts.limit_price,
        maker_amount=amounts.maker,
        taker_amount=amounts.taker,
        salt=attempt_salt(request.order_id, request.attempt),
        timestamp_ms=request.timestamp_ms,
        expiration_s=expiration_s,
        tick=request.instrument.tick,
        neg_risk=request.instrument.neg_risk,
        wallet=request.wallet,
    )
