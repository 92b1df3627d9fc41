"""From the market socket's frames to events: the hottest code of the venue.

A frame is one JSON object or an array of them. All of a frame is applied first; then each token that it
touched yields one event with its end state, since levels may cross for a moment inside a burst.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeGuard

import orjson

from domain.ids import TokenId
from domain.orders import Side
from domain.ports import Book, MarketEvent, MarketEventKind, MarketTrade
from domain.quotes import Level, Quote
from venues.polymarket.local_book import Absurd, LocalBook, PriceKey, price_of, size_of

_MOST_UNTOLD = 1_000  # a book that is not mended for long must not fill the memory
_TEXT_FRAMES = frozenset({b"PONG", b"NO NEW ASSETS"})
_SIDES: dict[str, Side] = {"BUY": Side.BUY, "SELL": Side.SELL}


class Malformed(ValueError):
    """A frame, or a member of it, is not of the documented shape."""


@dataclass(slots=True)
class FrameCounters:
    """What came, and what was left aside and why."""

    frames: int = 0
    duplicates: int = 0
    malformed: int = 0
    absurd: int = 0
    late: int = 0
    desyncs: int = 0


class LocalBooks:
    """The local books of a stream's tokens, shared by all its sockets."""

    def __init__(self) -> None:
        self._books: dict[str, LocalBook] = {}
        self._untold: dict[str, deque[MarketTrade]] = {}

    def watch(self, token_id: str) -> None:
        """Keep a book for a token."""
        self._books.setdefault(token_id, LocalBook())

    def forget(self, token_id: str) -> None:
        """Keep it no longer."""
        self._books.pop(token_id, None)
        self._untold.pop(token_id, None)

    def keep_trades(self, token_id: str, trades: Sequence[MarketTrade]) -> None:
        """Keep trades that came without a quote to tell: a late print is no confirmation, yet it happened."""
        if trades:
            self._untold.setdefault(token_id, deque(maxlen=_MOST_UNTOLD)).extend(trades)

    def take_trades(self, token_id: str, trades: Sequence[MarketTrade]) -> tuple[MarketTrade, ...]:
        """Return the trades to tell with a quote: those that were kept, and these."""
        if not self._untold:
            return tuple(trades)
        return (*self._untold.pop(token_id, ()), *trades)

    def get(self, token_id: str) -> LocalBook | None:
        """Return a watched token's book."""
        return self._books.get(token_id)

    def expect_snapshot(self, token_id: str) -> None:
        """Trust the token's book again only after the next snapshot."""
        book = self._books.get(token_id)
        if book is not None:
            book.complete = book.reported = False

    def restart(self, token_id: str) -> None:
        """Drop the token's levels: its tick changed and the venue sends a new book."""
        book = self._books.get(token_id)
        if book is not None:
            self._books[token_id] = LocalBook(book.last)

    def ladder(self, token_id: str, depth: int) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """Return the best bids and asks, or nothing while the book cannot be trusted."""
        book = self._books.get(token_id)
        if book is None or not book.trusted:
            return (), ()
        return book.bids.descending(depth), book.asks.ascending(depth)

    def replace(self, book: Book) -> None:
        """Take a book read by REST as the local one; a token that is only polled gets its book so."""
        local = self._books.setdefault(book.token_id, LocalBook())
        local.snapshot(_keyed(book.bids), _keyed(book.asks), book.last, book.venue_timestamp_ms)


class FrameReader:
    """Reads one socket's frames into the shared books."""

    def __init__(self, books: LocalBooks, counters: FrameCounters) -> None:
        self._books = books
        self._counters = counters
        self._previous = b""
        self._readers: dict[object, Callable[[dict[str, object], _Frame], None]] = {
            "price_change": self._price_change,
            "last_trade_price": self._last_trade,
            "book": self._book,
            "tick_size_change": self._tick_change,
            "market_resolved": self._resolved,
        }

    def read(self, text: bytes, received_ms: int) -> Sequence[MarketEvent]:
        """Return the events of a frame; a malformed or repeated frame has none.

        Args:
            text: the frame as it came.
            received_ms: local monotonic clock.
        """
        counters = self._counters
        counters.frames += 1
        if text in _TEXT_FRAMES:
            return ()
        if text == self._previous:
            counters.duplicates += 1
            return ()
        self._previous = text
        frame = _Frame()
        try:
            payload: object = orjson.loads(text)
        except orjson.JSONDecodeError:
            counters.malformed += 1
            return ()
        for event in payload if _is_list(payload) else (payload,):
            self._apply(event, frame)
        return self._events(frame, received_ms)

    def begin(self) -> None:
        """Expect snapshots: one that equals the last frame byte for byte is news again."""
        self._previous = b""

    def _apply(self, event: object, frame: "_Frame") -> None:
        try:
            if not _is_object(event):
                raise Malformed("an event is an object")
            reader = self._readers.get(event.get("event_type"))
            if reader is not None:
                reader(event, frame)
        except Absurd:
            self._counters.absurd += 1
        except Malformed:
            self._counters.malformed += 1

    def _price_change(self, event: dict[str, object], frame: "_Frame") -> None:
        at_ms = _time(event)
        # Recordings before 2025 are flat: the event itself is the one change.
        changes: object = event.get("price_changes", [event])
        if not _is_list(changes):
            raise Malformed("price_changes is a list")
        for change in changes:
            if not _is_object(change):
                raise Malformed("a change is an object")
            token_id = _text(change, "asset_id")
            book = self._books.get(token_id)
            if book is None:
                continue
            frame.touch(token_id, book, at_ms)
            best_bid, best_ask = change.get("best_bid"), change.get("best_ask")
            book.told(
                best_bid if isinstance(best_bid, str) else None,
                best_ask if isinstance(best_ask, str) else None,
                at_ms,
            )
            key, price = price_of(_text(change, "price"))
            side = book.bids if _text(change, "side") == "BUY" else book.asks
            side.set(key, price, size_of(_text(change, "size")), at_ms)

    def _last_trade(self, event: dict[str, object], frame: "_Frame") -> None:
        token_id = _text(event, "asset_id")
        book = self._books.get(token_id)
        if book is not None:
            at_ms = _time(event)
            price = price_of(_text(event, "price"))[1]
            frame.touch(token_id, book, at_ms)
            book.trade(price, at_ms)
            trade = _market_trade(event, price, at_ms)
            if trade is not None:
                frame.trades.setdefault(token_id, []).append(trade)

    def _book(self, event: dict[str, object], frame: "_Frame") -> None:
        token_id = _text(event, "asset_id")
        book = self._books.get(token_id)
        if book is None:
            return
        at_ms = _time(event)
        last = event.get("last_trade_price")
        price = price_of(last)[1] if isinstance(last, str) and last else None
        bids, asks = _levels(event, "bids"), _levels(event, "asks")
        frame.touch(token_id, book, at_ms)
        book.snapshot(bids, asks, price, at_ms)

    def _tick_change(self, event: dict[str, object], frame: "_Frame") -> None:
        token_id = _text(event, "asset_id")
        if self._books.get(token_id) is not None:
            self._books.restart(token_id)
            frame.forget(token_id)
            frame.ticks[token_id] = _time(event)

    def _resolved(self, event: dict[str, object], frame: "_Frame") -> None:
        tokens = event.get("assets_ids")
        if not _is_list(tokens):
            raise Malformed("assets_ids is a list")
        at_ms = _time(event)
        for token_id in tokens:
            if isinstance(token_id, str) and self._books.get(token_id) is not None:
                frame.states[token_id] = at_ms

    def _events(self, frame: "_Frame", received_ms: int) -> list[MarketEvent]:
        events = [_event(MarketEventKind.TICK, t, None, ms, received_ms) for t, ms in frame.ticks.items()]
        events += [_event(MarketEventKind.STATE, t, None, ms, received_ms) for t, ms in frame.states.items()]
        for token_id, (before, at_ms) in frame.touched.items():
            book = self._books.get(token_id)
            if book is None:
                continue
            trades = frame.trades.get(token_id, ())
            if not self._is_trusted(book):
                self._books.keep_trades(token_id, trades)
                if not book.reported:
                    book.reported = True
                    self._counters.desyncs += 1
                    events.append(_event(MarketEventKind.DESYNC, token_id, None, at_ms, received_ms))
                continue
            quote = book.quote()
            if before is not None and not book.reported and quote == before:
                self._counters.late += 1  # an older frame that changed nothing is no confirmation
                self._books.keep_trades(token_id, trades)
                continue
            book.reported = False
            told = self._books.take_trades(token_id, trades)
            events.append(_event(MarketEventKind.QUOTE, token_id, quote, at_ms, received_ms, told))
        return events

    def _is_trusted(self, book: LocalBook) -> bool:
        try:
            return book.trusted
        except Absurd:
            self._counters.absurd += 1
            return False


class _Frame:
    """What one frame touched: tokens with their quote before, where the frame is older than the book."""

    __slots__ = ("states", "ticks", "touched", "trades")

    def __init__(self) -> None:
        self.touched: dict[str, tuple[Quote | None, int]] = {}
        self.ticks: dict[str, int] = {}
        self.states: dict[str, int] = {}
        self.trades: dict[str, list[MarketTrade]] = {}

    def touch(self, token_id: str, book: LocalBook, at_ms: int) -> None:
        """Note that an event of the frame concerns the token."""
        if token_id not in self.touched:
            before = book.quote() if at_ms < book.updated_ms else None
            self.touched[token_id] = (before, at_ms)

    def forget(self, token_id: str) -> None:
        """Yield nothing for the token: its book starts anew."""
        self.touched.pop(token_id, None)


def _market_trade(event: dict[str, object], price: Decimal, at_ms: int) -> MarketTrade | None:
    """Return the trade of a print, or None where it tells no side or size: its price is still the last."""
    side, size = event.get("side"), event.get("size")
    taker = _SIDES.get(side) if isinstance(side, str) else None
    if taker is None or not isinstance(size, str):
        return None
    return MarketTrade(price=price, shares=size_of(size), taker=taker, venue_timestamp_ms=at_ms)


def _event(
    kind: MarketEventKind,
    token_id: str,
    quote: Quote | None,
    at_ms: int,
    received_ms: int,
    trades: tuple[MarketTrade, ...] = (),
) -> MarketEvent:
    return MarketEvent(
        kind=kind,
        token_id=TokenId(token_id),
        quote=quote,
        venue_timestamp_ms=at_ms,
        received_ms=received_ms,
        trades=trades,
    )


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)


def _is_object(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)


def _text(event: dict[str, object], name: str) -> str:
    value = event.get(name)
    if not isinstance(value, str):
        raise Malformed(f"{name} is a text")
    return value


def _time(event: dict[str, object]) -> int:
    value = event.get("timestamp")
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    raise Malformed("timestamp is a text of milliseconds")


def _levels(event: dict[str, object], name: str) -> dict[PriceKey, Level]:
    entries = event.get(name)
    if not _is_list(entries):
        raise Malformed(f"{name} is a list")
    levels: dict[PriceKey, Level] = {}
    for entry in entries:
        if not _is_object(entry):
            raise Malformed("a level is an object")
        key, price = price_of(_text(entry, "price"))
        size = size_of(_text(entry, "size"))
        if size > 0:
            levels[key] = Level(price, size)
    return levels


def _keyed(levels: Sequence[Level]) -> dict[PriceKey, Level]:
    return {int(level.price.scaleb(6)): level for level in levels if level.size > Decimal(0)}
