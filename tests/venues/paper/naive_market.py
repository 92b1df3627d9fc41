"""A market with a real queue at each price, told by hand; knows nothing of how paper is matched.

It plays what truly happened among the orders of others, one by one, and keeps for each paper order what it
could have had at most had it stood among them. Whole shares, prices in cents; paper orders rest among the
bids (the test mirrors all for the other side).
"""

from dataclasses import dataclass, field


@dataclass(eq=False)
class Stander:
    """An order of somebody else in a queue."""

    shares: int


@dataclass(frozen=True)
class Trade:
    price: int
    shares: int
    sold: bool  # somebody came to the bids
    at_ms: int


@dataclass(frozen=True)
class Snapshot:
    bids: dict[int, int]
    asks: dict[int, int]
    at_ms: int

    def offered_at(self, price: int) -> bool:
        return any(ask <= price for ask in self.asks)


@dataclass(eq=False)
class Rested:
    """A paper order: who truly stands ahead of it, and what trades could have given it by now."""

    price: int
    since_ms: int
    ahead: list[Stander]
    could_get: int = 0
    touched: bool = False


@dataclass
class NaiveMarket:
    now_ms: int = 1_000
    bids: dict[int, list[Stander]] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)
    untold: list[Trade] = field(default_factory=list)
    rested: list[Rested] = field(default_factory=list)
    could_get_together: int = 0
    shown: dict[int, int] = field(default_factory=dict)
    past: list[Snapshot] = field(default_factory=list)

    def tick(self) -> None:
        self.past.append(self.snapshot())
        self.now_ms += 1

    def bid(self, price: int, shares: int) -> None:
        if not any(ask <= price for ask in self.asks):
            self.bids.setdefault(price, []).append(Stander(shares))

    def leave(self, price: int, index: int) -> None:
        queue = self.bids.get(price, [])
        if queue:
            queue.pop(index % len(queue)).shares = 0

    def offer(self, price: int, shares: int) -> None:
        """Somebody sells: what the bids do not take stays as an ask."""
        for level in sorted((p for p in self.bids if p >= price), reverse=True):
            shares -= self._sell_into(level, shares)
        if shares:
            self.asks[price] = self.asks.get(price, 0) + shares

    def lift(self, shares: int) -> None:
        """Somebody buys at the best ask: nothing that a bid could have had."""
        if self.asks:
            best = min(self.asks)
            taken = min(shares, self.asks[best])
            self.asks[best] -= taken
            if not self.asks[best]:
                del self.asks[best]
            self.untold.append(Trade(best, taken, sold=False, at_ms=self.now_ms))

    def sell_beyond(self, price: int, shares: int) -> None:
        """Somebody sells under all bids above a price, as a sweep ends."""
        for level in [p for p in self.bids if p > price]:
            self._sell_into(level, sum(each.shares for each in self.bids[level]))
        self._tell(price, shares)
        self._take(price, shares)

    def rest(self, price: int) -> Rested:
        order = Rested(price, self.now_ms, list(self.bids.get(price, [])))
        self.look_at(self.snapshot(), [order])
        self.rested.append(order)
        return order

    def look_at(self, snapshot: Snapshot, orders: list[Rested]) -> None:
        """Somebody looks at the asks: what they show may be used once, and touches what it reaches."""
        for price, shares in snapshot.asks.items():
            self.shown[price] = max(shares, self.shown.get(price, 0))
        for order in orders:
            order.touched |= snapshot.at_ms >= order.since_ms and snapshot.offered_at(order.price)

    def snapshot(self) -> Snapshot:
        bids = {price: sum(each.shares for each in queue) for price, queue in self.bids.items()}
        return Snapshot({p: n for p, n in bids.items() if n}, dict(self.asks), self.now_ms)

    def _sell_into(self, price: int, shares: int) -> int:
        sold = min(shares, sum(each.shares for each in self.bids[price]))
        if sold:
            self._tell(price, sold)
            self._take(price, sold)
        return sold

    def _tell(self, price: int, shares: int) -> None:
        self.untold.append(Trade(price, shares, sold=True, at_ms=self.now_ms))
        reached = [order for order in self.rested if order.price >= price and order.since_ms < self.now_ms]
        beyond = [max(0, shares - sum(each.shares for each in order.ahead)) for order in reached]
        for order, could in zip(reached, beyond, strict=True):
            order.could_get += could
            order.touched = True
        self.could_get_together += max(beyond, default=0)

    def _take(self, price: int, shares: int) -> None:
        for each in self.bids.get(price, []):
            taken = min(shares, each.shares)
            each.shares -= taken
            shares -= taken
