"""One book per market, in the first outcome's price space; the second outcome is its mirror."""

from dataclasses import dataclass, field

from simulator.money import MICRO
from simulator.orders import Order

Levels = dict[int, int]
"""Price to shares, both in millionths."""


@dataclass(frozen=True, slots=True)
class HiddenLevel:
    """Liquidity that only FAK and FOK orders meet: a print proved that somebody trades there."""

    price: int
    shares: int


@dataclass(slots=True)
class HouseQuotes:
    """The house's own levels. It never trades with itself, so its sides may cross."""

    condition_id: str
    bids: Levels = field(default_factory=dict[int, int])
    asks: Levels = field(default_factory=dict[int, int])
    hidden_bid: HiddenLevel | None = None
    hidden_ask: HiddenLevel | None = None

    def side(self, bids: bool) -> Levels:
        """Returns one side's levels."""
        return self.bids if bids else self.asks

    def hidden(self, bids: bool) -> HiddenLevel | None:
        """Returns one side's hidden level."""
        return self.hidden_bid if bids else self.hidden_ask

    def take(self, bids: bool, price: int, shares: int) -> None:
        """Removes what was traded; a hidden level answers for prices the shown side lacks."""
        levels = self.side(bids)
        if price in levels:
            levels[price] -= shares
            if levels[price] <= 0:
                del levels[price]
            return
        hidden = self.hidden(bids)
        if hidden is None:
            return
        left = HiddenLevel(hidden.price, hidden.shares - shares) if hidden.shares > shares else None
        if bids:
            self.hidden_bid = left
        else:
            self.hidden_ask = left


class Book:
    """Traders' resting orders in time priority, and the house behind them at each price."""

    def __init__(self, house: HouseQuotes) -> None:
        self.house = house
        self._bids: dict[int, dict[str, Order]] = {}
        self._asks: dict[int, dict[str, Order]] = {}

    def rest(self, order: Order) -> None:
        """Puts an order at the end of its price's queue."""
        self._queue_side(order.bids).setdefault(order.book_price, {})[order.id] = order

    def remove(self, order: Order) -> None:
        """Takes an order out, if it stands."""
        side = self._queue_side(order.bids)
        queue = side.get(order.book_price)
        if queue is None:
            return
        queue.pop(order.id, None)
        if not queue:
            del side[order.book_price]

    def orders_at(self, bids: bool, price: int) -> list[Order]:
        """Returns the queue at a price, oldest first."""
        return list(self._queue_side(bids).get(price, {}).values())

    def order_prices(self, bids: bool) -> list[int]:
        """Returns the prices at which traders rest, best first."""
        return sorted(self._queue_side(bids), reverse=bids)

    def prices(self, bids: bool, *, hidden: bool = False) -> list[int]:
        """Returns all prices of one side, best first, with the hidden one where asked for."""
        prices = set(self._queue_side(bids)) | set(self.house.side(bids))
        level = self.house.hidden(bids) if hidden else None
        if level is not None:
            prices.add(level.price)
        return sorted(prices, reverse=bids)

    def totals(self, bids: bool) -> Levels:
        """Returns the public depth: price to shares of traders and house together."""
        totals = dict(self.house.side(bids))
        for price, queue in self._queue_side(bids).items():
            totals[price] = totals.get(price, 0) + sum(order.remaining for order in queue.values())
        return totals

    def _queue_side(self, bids: bool) -> dict[int, dict[str, Order]]:
        return self._bids if bids else self._asks


@dataclass(frozen=True, slots=True)
class TokenDepth:
    """A token's own view of the book: levels best first."""

    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]

    @property
    def best_bid(self) -> int | None:
        """Highest bid."""
        return self.bids[0][0] if self.bids else None

    @property
    def best_ask(self) -> int | None:
        """Lowest ask."""
        return self.asks[0][0] if self.asks else None


def token_depth(bids: Levels, asks: Levels, token_index: int) -> TokenDepth:
    """Returns a token's depth; for the second outcome a bid at q is an ask at 1 − q."""
    if token_index == 1:
        bids, asks = mirrored(asks), mirrored(bids)
    return TokenDepth(sorted(bids.items(), reverse=True), sorted(asks.items()))


def mirrored(levels: Levels) -> Levels:
    """Returns the same liquidity in the other outcome's price space."""
    return {MICRO - price: shares for price, shares in levels.items()}
