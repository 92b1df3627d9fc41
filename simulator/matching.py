"""Which resting liquidity an incoming order meets: price, then time, always at the maker's price.

Orders of the other outcome take part: a buy of one meets a buy of the other (mint), a sell a sell
(merge). The venue does not publish a priority between match kinds; here price and time decide alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from simulator.book import Book
from simulator.money import MICRO, notional, shares_for
from simulator.orders import Order, Side, SignedOrder


@dataclass(frozen=True, slots=True)
class Step:
    """One fill to be: ``maker`` None is the house; ``price`` and ``usd`` are of the taker's token."""

    maker: Order | None
    book_price: int
    price: int
    shares: int
    usd: int


@dataclass(slots=True)
class Plan:
    """What would happen if the order were taken now; nothing has changed yet."""

    steps: list[Step] = field(default_factory=list[Step])
    uncovered: list[Order] = field(default_factory=list[Order])
    """Resting orders met whose wallets can no longer pay."""

    @property
    def shares(self) -> int:
        """Shares of all fills."""
        return sum(step.shares for step in self.steps)

    @property
    def usd(self) -> int:
        """PUSD of all fills, before fees."""
        return sum(step.usd for step in self.steps)


Covers = Callable[[Order, int, int], bool]
"""(maker order, shares, maker's pUSD) → whether its wallet can settle that, counting earlier calls."""


class Appetite:
    """What an order still wants: shares, or for a market BUY a budget."""

    def __init__(self, order: Order) -> None:
        self._budget = order.spends_budget
        self._left = order.remaining

    @property
    def satisfied(self) -> bool:
        """Nothing left to take."""
        return self._left <= 0

    def shares_at(self, price: int) -> int:
        """Returns the shares wanted at a price."""
        return shares_for(self._left, price) if self._budget else self._left

    def take(self, shares: int, usd: int) -> None:
        """Books a fill."""
        self._left -= usd if self._budget else shares


def accepts(signed: SignedOrder, price: int) -> bool:
    """Tells whether a price of the order's own token is within its exact limit."""
    paid, worth = price * signed.shares, signed.usd * MICRO
    return paid <= worth if signed.side is Side.BUY else paid >= worth


def crosses(book: Book, signed: SignedOrder, token_index: int, *, immediate: bool) -> bool:
    """Tells whether an order would trade with the best price on the other side, were it taken now."""
    makers_bid = (signed.side is Side.SELL) == (token_index == 0)
    best = book.prices(makers_bid, hidden=immediate)[:1]
    return any(accepts(signed, price if token_index == 0 else MICRO - price) for price in best)


def plan_matches(book: Book, order: Order, covers: Covers) -> Plan:
    """Returns the fills of an incoming order against the book as it stands."""
    plan, appetite = Plan(), Appetite(order)
    makers_bid = not order.bids
    for book_price in book.prices(makers_bid, hidden=order.order_type.immediate):
        price = book_price if order.token_index == 0 else MICRO - book_price
        if appetite.satisfied or not accepts(order.signed, price):
            break
        _meet_traders(book, order, plan, appetite, book_price, price, covers)
        _meet_house(book, order, plan, appetite, book_price, price)
    return plan


def _meet_traders(
    book: Book, order: Order, plan: Plan, appetite: Appetite, book_price: int, price: int, covers: Covers
) -> None:
    for maker in book.orders_at(not order.bids, book_price):
        if appetite.satisfied:
            return
        shares = min(appetite.shares_at(price), maker.remaining)
        usd = notional(shares, price)
        same_token = maker.token_index == order.token_index
        if not covers(maker, shares, usd if same_token else shares - usd):
            plan.uncovered.append(maker)
            continue
        appetite.take(shares, usd)
        plan.steps.append(Step(maker, book_price, price, shares, usd))


def _meet_house(
    book: Book, order: Order, plan: Plan, appetite: Appetite, book_price: int, price: int
) -> None:
    if appetite.satisfied:
        return
    makers_bid = not order.bids
    depth = book.house.side(makers_bid).get(book_price, 0)
    hidden = book.house.hidden(makers_bid)
    if depth == 0 and order.order_type.immediate and hidden is not None and hidden.price == book_price:
        depth = hidden.shares
    shares = min(appetite.shares_at(price), depth)
    if shares <= 0:
        return
    usd = notional(shares, price)
    appetite.take(shares, usd)
    plan.steps.append(Step(None, book_price, price, shares, usd))
