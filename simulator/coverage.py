"""What open orders bind, and whether their wallets can still pay for them."""

from simulator.money import MICRO
from simulator.orders import Order, Side
from simulator.state import State
from simulator.trades import COLLATERAL


class Coverage:
    """Whether makers can still pay, counting what the same plan already takes from them."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._planned: dict[tuple[str, str], int] = {}

    def covers(self, maker: Order, shares: int, usd: int) -> bool:
        """Tells whether the maker's wallet settles this fill too, and remembers it if so."""
        asset = asset_given(maker)
        needed = usd if asset == COLLATERAL else shares
        key = maker.wallet.lower(), asset
        planned = self._planned.get(key, 0) + needed
        wallet = self._state.wallet(maker.wallet)
        if not wallet.approved or wallet.holding(asset) < planned:
            return False
        self._planned[key] = planned
        return True


def asset_given(order: Order) -> str:
    """Returns what the order's wallet pays with."""
    return COLLATERAL if order.signed.side is Side.BUY else order.signed.token_id


def reserved_by(order: Order) -> int:
    """PUSD or shares an open order binds (balance rule of the order guide)."""
    if order.signed.side is Side.SELL:
        return order.remaining
    return -(-order.remaining * order.price // MICRO)
