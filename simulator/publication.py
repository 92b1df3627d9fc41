"""Turns changes of state into frames: depth changes, prints, order and trade events."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from simulator import wire
from simulator.book import Levels, TokenDepth, token_depth
from simulator.clock import Clock
from simulator.events import FrameStamp, Json, MarketEvent, MarketFrame, Outlet, UserEvent
from simulator.history import PriceHistory
from simulator.markets import Market
from simulator.money import MICRO, to_text
from simulator.orders import Order
from simulator.state import State
from simulator.trades import Trade


@dataclass(slots=True)
class PublicDepth:
    """The depth the world has been told, in the first outcome's price space."""

    bids: Levels = field(default_factory=dict[int, int])
    asks: Levels = field(default_factory=dict[int, int])


@dataclass(frozen=True, slots=True)
class Print:
    """A public execution."""

    token_index: int
    price: int
    shares: int
    side: str


class Publisher:
    """Collects frames during a transaction; ``flush`` hands them over once the journal is written."""

    def __init__(self, state: State, outlet: Outlet, clock: Clock) -> None:
        self.history = PriceHistory(state)
        self._state = state
        self._outlet = outlet
        self._clock = clock
        self._frames: list[MarketFrame | UserEvent] = []
        self._told = {condition: self._present(condition) for condition in state.books}

    def flush(self) -> None:
        """Hands every collected frame to the outlet, in order."""
        frames, self._frames = self._frames, []
        for frame in frames:
            if isinstance(frame, MarketFrame):
                self._outlet.market(frame)
            else:
                self._outlet.user(frame)

    def depth(self, market: Market, *, prints: Sequence[Print] = (), with_book: bool = False) -> None:
        """Publishes what changed in a market's depth since the last frame, with executions."""
        changes = self._changes(market)
        if not changes and not prints and not with_book:
            return
        self.frame(market, changes, prints, with_book=with_book)

    def frame(
        self, market: Market, changes: list["Change"], prints: Sequence[Print], *, with_book: bool
    ) -> tuple[int, FrameStamp]:
        """Publishes one frame and returns its timestamp and its stamp of sending."""
        stamp_ms = market.next_stamp(self._clock.now_ms())
        for execution in prints:
            market.last_prices[execution.token_index] = to_text(execution.price)
            market.last_sides[execution.token_index] = execution.side
            self.history.note(market.token_ids[execution.token_index], stamp_ms, execution.price)
        depths = self._tell(market)
        books = [wire.book_json(market, index, depths[index]) for index in range(2)]
        events = [_price_change(market, changes, depths, books)] if changes else []
        events += [_print_event(market, execution) for execution in prints]
        if with_book:
            events += [
                MarketEvent((market.token_ids[index],), wire.book_event(book))
                for index, book in enumerate(books)
            ]
        events += _best_changed(market, changes, depths)
        self._state.save_market(market)
        frame = MarketFrame(tuple(events))
        self._frames.append(frame)
        return stamp_ms, frame.stamp

    def changes(self, market: Market) -> list["Change"]:
        """Returns the depth changes not yet told."""
        return self._changes(market)

    def announce(self, market: Market, payload: Json, *, custom: bool) -> None:
        """Publishes an event that concerns a whole market."""
        market.next_stamp(self._clock.now_ms())
        stamped = {**payload, "timestamp": str(market.stamp_ms)}
        tokens = tuple(market.token_ids)
        self._frames.append(MarketFrame((MarketEvent(tokens, stamped, custom),)))
        self._state.save_market(market)

    def announce_to_all(self, payload: Json) -> None:
        """Publishes a custom event to every market socket that asked for such."""
        self._frames.append(MarketFrame((MarketEvent((), payload, custom=True),)))

    def order(self, order: Order, kind: str) -> None:
        """Publishes an order's change to its account."""
        market = self._state.markets[order.condition_id]
        payload = wire.order_event(order, market, self._state.settings, kind, self._clock.now_ms())
        self._frames.append(UserEvent(order.account, order.condition_id, order.signed.token_id, payload))

    def trade(self, trade: Trade) -> None:
        """Publishes a trade's status to every account that took part."""
        owners = {maker.account: maker.owner for maker in trade.makers}
        owners[trade.taker_account] = trade.taker_owner
        now_ms = self._clock.now_ms()
        for account, owner in owners.items():
            if account:
                payload = wire.trade_event(trade, account, owner, now_ms)
                self._frames.append(UserEvent(account, trade.condition_id, trade.token_id, payload))

    def _present(self, condition_id: str) -> PublicDepth:
        book = self._state.books[condition_id]
        return PublicDepth(book.totals(bids=True), book.totals(bids=False))

    def _changes(self, market: Market) -> list["Change"]:
        told = self._told.setdefault(market.condition_id, PublicDepth())
        now = self._present(market.condition_id)
        return [
            *_side_changes(told.bids, now.bids, bids=True),
            *_side_changes(told.asks, now.asks, bids=False),
        ]

    def _tell(self, market: Market) -> tuple[TokenDepth, TokenDepth]:
        now = self._present(market.condition_id)
        self._told[market.condition_id] = now
        return token_depth(now.bids, now.asks, 0), token_depth(now.bids, now.asks, 1)


@dataclass(frozen=True, slots=True)
class Change:
    """New total of one level, in the first outcome's space; zero removes it."""

    bids: bool
    price: int
    shares: int


def _side_changes(told: Levels, now: Levels, *, bids: bool) -> list[Change]:
    gone = [Change(bids, price, 0) for price in told if price not in now]
    return gone + [Change(bids, price, shares) for price, shares in now.items() if told.get(price) != shares]


def _price_change(
    market: Market, changes: list[Change], depths: tuple[TokenDepth, TokenDepth], books: list[Json]
) -> MarketEvent:
    entries = [
        _change_json(market, change, index, depths[index], books[index]["hash"])
        for change in changes
        for index in range(2)
    ]
    payload: Json = {
        "event_type": "price_change",
        "market": market.condition_id,
        "price_changes": entries,
        "timestamp": str(market.stamp_ms),
    }
    return MarketEvent(tuple(market.token_ids), payload)


def _change_json(market: Market, change: Change, index: int, depth: TokenDepth, book_hash: object) -> Json:
    return {
        "asset_id": market.token_ids[index],
        "price": to_text(change.price if index == 0 else MICRO - change.price),
        "size": to_text(change.shares),
        "side": "BUY" if change.bids == (index == 0) else "SELL",
        "hash": book_hash,
        "best_bid": _optional_text(depth.best_bid),
        "best_ask": _optional_text(depth.best_ask),
    }


def _best_changed(
    market: Market, changes: list[Change], depths: tuple[TokenDepth, TokenDepth]
) -> list[MarketEvent]:
    if not changes:
        return []
    return [
        MarketEvent((market.token_ids[index],), _best_json(market, index, depths[index]), custom=True)
        for index in range(2)
    ]


def _print_event(market: Market, execution: Print) -> MarketEvent:
    token_id = market.token_ids[execution.token_index]
    payload: Json = {
        "event_type": "last_trade_price",
        "asset_id": token_id,
        "market": market.condition_id,
        "price": to_text(execution.price),
        "size": to_text(execution.shares),
        "side": execution.side,
        "fee_rate_bps": "0",
        "timestamp": str(market.stamp_ms),
    }
    return MarketEvent((token_id,), payload)


def _best_json(market: Market, index: int, depth: TokenDepth) -> Json:
    bid, ask = depth.best_bid, depth.best_ask
    return {
        "event_type": "best_bid_ask",
        "market": market.condition_id,
        "asset_id": market.token_ids[index],
        "best_bid": _optional_text(bid),
        "best_ask": _optional_text(ask),
        "spread": "" if bid is None or ask is None else to_text(ask - bid),
        "timestamp": str(market.stamp_ms),
    }


def _optional_text(price: int | None) -> str:
    return "" if price is None else to_text(price)
