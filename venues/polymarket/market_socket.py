"""The market stream: as many sockets as the tokens need, one sequence of events."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from types import TracebackType
from typing import Self

import orjson

from domain.ids import TokenId
from domain.ports import Book, LostSocket, MarketEvent, MarketEventKind
from domain.quotes import Level
from venues.polymarket.config import PolymarketConfig
from venues.polymarket.market_frames import FrameCounters, FrameReader, LocalBooks
from venues.polymarket.reconnecting import ReconnectingSocket, monotonic_ms

_MAX_WAITING_FRAMES = 50_000


class MarketSockets:
    """`MarketStream` over the venue's market channel; use it as an asynchronous context.

    Args:
        config: hosts and limits.
    """

    def __init__(self, config: PolymarketConfig) -> None:
        self._config = config
        self._books = LocalBooks()
        self._shards: dict[TokenId, _Shard] = {}
        self._open: list[_Shard] = []
        self._waiting: deque[Sequence[MarketEvent]] = deque()
        self._arrived = asyncio.Event()
        self.counters = FrameCounters()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shards, self._open = self._open, []
        self._shards.clear()
        await asyncio.gather(*(shard.close() for shard in shards))

    def left_aside(self) -> dict[str, int]:
        """Return how many frames, or members of them, were left aside since the start, by reason."""
        counters = self.counters
        return {
            "duplicate": counters.duplicates,
            "malformed": counters.malformed,
            "absurd": counters.absurd,
            "late": counters.late,
            "desync": counters.desyncs,
        }

    @property
    def connected(self) -> bool:
        """Whether every socket stands; without tokens there is none to stand."""
        return all(shard.connected for shard in self._open)

    async def subscribe(self, tokens: Collection[TokenId]) -> None:
        """Add tokens; their first event carries the venue's book."""
        new = [token for token in dict.fromkeys(tokens) if token not in self._shards]
        for token in new:
            self._books.watch(token)
        await self._place(new, self._open)

    async def unsubscribe(self, tokens: Collection[TokenId]) -> None:
        """Drop tokens; a socket without any is closed."""
        for token in tokens:
            self._books.forget(token)
        await self._remove(tokens)

    async def resubscribe(self, tokens: Collection[TokenId]) -> None:
        """Move tokens to new sockets: what silence calls for. Their books wait for a new snapshot."""
        moved = [token for token in dict.fromkeys(tokens) if token in self._shards]
        await self._remove(moved)
        for token in moved:
            self._books.expect_snapshot(token)
        await self._place(moved, [])

    def ladder(self, token_id: TokenId, depth: int) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """Return the local book's best bids and asks, at most `depth` each; none while untrusted."""
        return self._books.ladder(token_id, depth)

    def replace_book(self, book: Book) -> None:
        """Take a REST book as the local book (after a desync or a gap)."""
        self._books.replace(book)

    async def events(self) -> AsyncIterator[Sequence[MarketEvent]]:
        """Yield the events of each frame, in the order of arrival, for ever."""
        waiting = self._waiting
        while True:
            while waiting:
                yield waiting.popleft()
            self._arrived.clear()
            await self._arrived.wait()

    def take(self, events: Sequence[MarketEvent]) -> None:
        """Put a frame's events in line. A consumer that fell far behind gets a gap in place of old frames."""
        if not events:
            return
        if len(self._waiting) >= _MAX_WAITING_FRAMES:
            self._waiting.clear()
            self._waiting.append((gap_event(),))
        self._waiting.append(events)
        self._arrived.set()

    async def _place(self, tokens: Iterable[TokenId], candidates: Iterable["_Shard"]) -> None:
        rest = list(tokens)
        grown: list[_Shard] = []
        additions: list[list[TokenId]] = []
        for shard in list(candidates):
            room = self._config.tokens_per_socket - len(shard.tokens)
            if rest and room > 0:
                added, rest = rest[:room], rest[room:]
                grown.append(shard)
                additions.append(added)
        for shard, added in zip(grown, additions, strict=True):
            self._shards.update(dict.fromkeys(added, shard))
            await shard.add(added)
        size = self._config.tokens_per_socket
        for start in range(0, len(rest), size):
            shard = _Shard(self._config, self._books, self, rest[start : start + size])
            self._shards.update(dict.fromkeys(shard.tokens, shard))
            self._open.append(shard)
            shard.start()

    async def _remove(self, tokens: Collection[TokenId]) -> None:
        by_shard: dict[_Shard, list[TokenId]] = {}
        for token in tokens:
            shard = self._shards.pop(token, None)
            if shard is not None:
                by_shard.setdefault(shard, []).append(token)
        for shard, removed in by_shard.items():
            await shard.drop(removed)
            if not shard.tokens and shard in self._open:
                self._open.remove(shard)
                await shard.close()


class _Shard:
    """One socket and its tokens."""

    def __init__(
        self, config: PolymarketConfig, books: LocalBooks, stream: MarketSockets, tokens: Iterable[TokenId]
    ) -> None:
        self.tokens = dict.fromkeys(tokens)
        self._books = books
        self._stream = stream
        self._reader = FrameReader(books, stream.counters)
        self._socket = ReconnectingSocket(
            f"{config.ws_url}/market",
            config,
            greeting=self._greeting,
            on_frame=self._frame,
            on_opened=self._opened,
        )
        self._task: asyncio.Task[None] | None = None
        self._heard_ms = monotonic_ms()

    @property
    def connected(self) -> bool:
        """Whether the socket stands."""
        return self._socket.connected

    def start(self) -> None:
        """Open the socket and keep it open."""
        self._task = asyncio.create_task(self._socket.run(), name="polymarket market socket")

    async def close(self) -> None:
        """Close the socket."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def add(self, tokens: Sequence[TokenId]) -> None:
        """Subscribe more tokens on this socket."""
        self.tokens.update(dict.fromkeys(tokens))
        self._reader.begin()
        await self._socket.send(_operation("subscribe", tokens))

    async def drop(self, tokens: Sequence[TokenId]) -> None:
        """Unsubscribe tokens."""
        for token in tokens:
            self.tokens.pop(token, None)
        await self._socket.send(_operation("unsubscribe", tokens))

    def _greeting(self) -> str:
        message = {
            "assets_ids": list(self.tokens),
            "type": "market",
            "custom_feature_enabled": True,  # without it no market_resolved comes
            "initial_dump": True,
        }
        return orjson.dumps(message).decode()

    def _frame(self, text: bytes, received_ms: int) -> None:
        self._heard_ms = received_ms
        self._stream.take(self._reader.read(text, received_ms))

    def _opened(self, again: bool) -> None:
        self._reader.begin()
        if not again:
            return
        for token in self.tokens:
            self._books.expect_snapshot(token)
        self._stream.take((gap_event(LostSocket(tokens=frozenset(self.tokens), heard_ms=self._heard_ms)),))


def gap_event(lost: LostSocket | None = None) -> MarketEvent:
    """Return the event that says: frames were missed, read the books again; all of them unless said whose."""
    return MarketEvent(
        kind=MarketEventKind.GAP,
        token_id=None,
        quote=None,
        venue_timestamp_ms=None,
        received_ms=monotonic_ms(),
        lost=lost,
    )


def _operation(name: str, tokens: Sequence[TokenId]) -> str:
    message = {"operation": name, "assets_ids": list(tokens), "custom_feature_enabled": True}
    return orjson.dumps(message).decode()
