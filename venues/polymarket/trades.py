"""From the venue's trades to an account's fills.

A trade's top level describes the taker, whoever asks. An account's own part is the top level when it was the
taker, and the entries of `maker_orders` with its own name when its resting orders were hit; such an entry
can be of the other outcome token, since two buys mint a pair and two sells merge one.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal

from domain.errors import VenueProtocolError
from domain.fees import taker_fee
from domain.fills import Fill, FillState
from domain.ids import MarketId, TokenId, VenueOrderId
from domain.money import EXACT, floor_decimals
from domain.orders import Side
from venues.polymarket.parsing import instant, side
from venues.polymarket.schemas import MakerOrderPayload, TradePayload

FeeRateOf = Callable[[TokenId], Awaitable[Decimal]]

_ONE = Decimal(1)
_CHAIN_PLACES = 6
_STATES = {
    "MATCHED_NOT_BROADCASTED": FillState.PROVISIONAL,
    "MATCHED": FillState.PROVISIONAL,
    "MINED": FillState.PROVISIONAL,
    "RETRYING": FillState.PROVISIONAL,
    "CONFIRMED": FillState.CONFIRMED,
    "FAILED": FillState.REVERSED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """How an account's part in a trade is known: the API key of the moment, and the wallet, which stays."""

    api_key: str
    wallet: str

    def owns(self, api_key: str, wallet: str) -> bool:
        """Say whether an owner and maker address are this account's."""
        return wallet.lower() == self.wallet.lower() if wallet else api_key == self.api_key


def fill_state(status: str) -> FillState:
    """Return what a trade's status means for its fills; a hash is no finality, so MINED is still provisional.

    Raises:
        VenueProtocolError: no known status.
    """
    state = _STATES.get(status.upper().removeprefix("TRADE_STATUS_"))
    if state is None:
        raise VenueProtocolError("unknown trade status")
    return state


async def fills_of(trade: TradePayload, owner: Owner, fee_rate_of: FeeRateOf) -> tuple[Fill, ...]:
    """Return the account's fills in a trade: its taker part, and one for each of its resting orders.

    Args:
        trade: the venue's record.
        owner: whose fills.
        fee_rate_of: the taker fee rate of a token.
    """
    fills = [
        _maker_fill(trade, entry)
        for entry in trade.maker_orders
        if owner.owns(entry.owner, entry.maker_address)
    ]
    if _took(trade, owner):
        fills.insert(0, _taker_fill(trade, await fee_rate_of(TokenId(trade.asset_id))))
    return tuple(fills)


def _took(trade: TradePayload, owner: Owner) -> bool:
    if trade.trader_side:
        return trade.trader_side.upper() == "TAKER"
    return owner.owns(trade.owner, trade.maker_address)


def _taker_fill(trade: TradePayload, fee_rate: Decimal) -> Fill:
    return Fill(
        fill_key=trade.id,
        venue_order_id=VenueOrderId(trade.taker_order_id),
        market_id=MarketId(trade.market),
        token_id=TokenId(trade.asset_id),
        side=side(trade.side),
        shares=trade.size,
        notional_usd=taker_notional(trade),
        fee_usd=taker_fee(trade.size, trade.price, fee_rate),
        state=fill_state(trade.status),
        traded_at=instant(trade.match_time),
    )


def taker_notional(trade: TradePayload) -> Decimal:
    """Return what the taker paid or received in USD before fees.

    The sum over the matched resting orders when they add up to the trade's size (an average price would
    round), else size × price. Each part is floored to a millionth, as the exchange contract divides.
    """
    matched = sum((entry.matched_amount for entry in trade.maker_orders), Decimal(0))
    if matched != trade.size:
        return _settled(trade.size, trade.price)
    total = Decimal(0)
    for entry in trade.maker_orders:
        price = entry.price if entry.asset_id == trade.asset_id else EXACT.subtract(_ONE, entry.price)
        total = EXACT.add(total, _settled(entry.matched_amount, price))
    return total


def _maker_notional(trade: TradePayload, entry: MakerOrderPayload) -> Decimal:
    if entry.asset_id == trade.asset_id:
        return _settled(entry.matched_amount, entry.price)
    # The pair costs or pays 1 USD a share, and the taker's floored part is settled first.
    taker_part = _settled(entry.matched_amount, EXACT.subtract(_ONE, entry.price))
    return EXACT.subtract(entry.matched_amount, taker_part)


def _settled(shares: Decimal, price: Decimal) -> Decimal:
    return floor_decimals(EXACT.multiply(shares, price), _CHAIN_PLACES)


def _maker_fill(trade: TradePayload, entry: MakerOrderPayload) -> Fill:
    return Fill(
        fill_key=f"{trade.id}:{entry.order_id}",
        venue_order_id=VenueOrderId(entry.order_id),
        market_id=MarketId(trade.market),
        token_id=TokenId(entry.asset_id),
        side=_maker_side(trade, entry),
        shares=entry.matched_amount,
        notional_usd=_maker_notional(trade, entry),
        fee_usd=Decimal(0),
        state=fill_state(trade.status),
        traded_at=instant(trade.match_time),
    )


def _maker_side(trade: TradePayload, entry: MakerOrderPayload) -> Side:
    if entry.side:
        return side(entry.side)
    taker = side(trade.side)
    if entry.asset_id != trade.asset_id:
        return taker  # two buys mint a pair, two sells merge one
    return Side.SELL if taker is Side.BUY else Side.BUY
