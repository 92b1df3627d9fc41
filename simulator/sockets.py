"""Market and user sockets: subscriptions, dumps, PING, and the ways they can be made to fail."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from simulator import wire
from simulator.clock import Clock
from simulator.events import FrameStamp, MarketEvent, MarketFrame, UserEvent
from simulator.state import State

DRAIN_S = 1.0
"""How long a stalled reader may hold up a tape step."""


class Channel(StrEnum):
    """The two sockets of the venue."""

    MARKET = "market"
    USER = "user"


class SocketAction(StrEnum):
    """What the admin can do to a channel."""

    SILENCE = "silence"
    RESUME = "resume"
    DISCONNECT = "disconnect"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    MUTE_TOKEN = "mute_token"  # noqa: S105  the name of an action


@dataclass(slots=True)
class Mischief:
    """What is wrong with a channel at the moment."""

    silent: bool = False
    duplicates: int = 0
    reorders: int = 0
    muted: set[str] = field(default_factory=set[str])


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A text frame in a connection's queue."""

    text: str
    stamp: FrameStamp | None = None


class Connection:
    """One open socket. A slow reader has its own queue and holds up nobody."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket
        self.queue: asyncio.Queue[Outgoing | None] = asyncio.Queue()
        self.token_ids: dict[str, None] = {}
        self.custom = False
        self.account = ""
        self.conditions: set[str] = set()
        self.delayed: Outgoing | None = None
        self.stalled = False
        """It held up a tape once; nobody waits for it until it has read everything."""

    def send(self, text: str, stamp: FrameStamp | None = None) -> None:
        """Queues a frame."""
        self.queue.put_nowait(Outgoing(text, stamp))

    def close(self) -> None:
        """Lets the writer close the socket once the queue is empty."""
        self.queue.put_nowait(None)

    async def write(self, now_ns: Callable[[], int]) -> None:
        """Sends queued frames until the socket is to be closed or its reader has gone."""
        while (item := await self.queue.get()) is not None:
            if item.stamp is not None and item.stamp.sent_monotonic_ns is None:
                item.stamp.sent_monotonic_ns = now_ns()
            try:
                await self.socket.send_text(item.text)
            except (WebSocketDisconnect, RuntimeError):
                return
            finally:
                self.queue.task_done()
            self.stalled = self.stalled and not self.queue.empty()
        self.queue.task_done()
        with suppress(RuntimeError, WebSocketDisconnect):  # the other end may have closed it first
            await self.socket.close()


class _MarketHello(BaseModel):
    model_config = ConfigDict(extra="ignore")

    assets_ids: list[str] = []
    operation: str | None = None
    custom_feature_enabled: bool | None = None
    initial_dump: bool = True


class _Credentials(BaseModel):
    apiKey: str
    secret: str
    passphrase: str


class _UserHello(BaseModel):
    model_config = ConfigDict(extra="ignore")

    auth: _Credentials
    markets: list[str] = []


class _UserOperation(BaseModel):
    operation: str
    markets: list[str] = []


class Hub:
    """All open sockets; takes frames from the exchange and hands them on."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._open: dict[Channel, set[Connection]] = {channel: set() for channel in Channel}
        self._mischief = {channel: Mischief() for channel in Channel}

    def count(self, channel: Channel) -> int:
        """Returns the number of open sockets."""
        return len(self._open[channel])

    def described(self) -> dict[str, object]:
        """Returns what each open socket follows."""
        return {
            "market": [{"token_ids": list(c.token_ids)} for c in self._open[Channel.MARKET]],
            "user": [
                {"address": c.account, "markets": sorted(c.conditions)} for c in self._open[Channel.USER]
            ],
        }

    def market(self, frame: MarketFrame) -> None:
        """Queues a frame for every socket that follows one of its tokens."""
        cache: dict[tuple[int, ...], str] = {}
        for connection in self._open[Channel.MARKET]:
            chosen = tuple(i for i, event in enumerate(frame.events) if self._wanted(connection, event))
            if chosen:
                if chosen not in cache:
                    cache[chosen] = _text([frame.events[i].payload for i in chosen])
                self._queue(Channel.MARKET, connection, Outgoing(cache[chosen], frame.stamp))
        if not cache:
            frame.stamp.sent_monotonic_ns = self._clock.monotonic_ns()

    def user(self, event: UserEvent) -> None:
        """Queues an event for the sockets of its account."""
        if event.token_id in self._mischief[Channel.USER].muted:
            return
        for connection in self._open[Channel.USER]:
            followed = not connection.conditions or event.condition_id in connection.conditions
            if connection.account == event.account and followed:
                self._queue(Channel.USER, connection, Outgoing(_text(event.payload)))

    async def drained(self) -> None:
        """Waits until every queued market frame was handed over; a stalled reader is not waited for."""
        awake = [connection for connection in self._open[Channel.MARKET] if not connection.stalled]
        if not awake:
            return
        joins = {asyncio.create_task(connection.queue.join()): connection for connection in awake}
        _, late = await asyncio.wait(joins, timeout=DRAIN_S)
        for task in late:
            task.cancel()
            joins[task].stalled = True

    def act(self, channel: Channel, action: SocketAction, token_id: str | None, times: int) -> None:
        """Breaks or mends a channel."""
        mischief = self._mischief[channel]
        match action:
            case SocketAction.SILENCE:
                mischief.silent = True
            case SocketAction.RESUME:
                self._mischief[channel] = Mischief()
            case SocketAction.DISCONNECT:
                self.close_all(channel)
            case SocketAction.DUPLICATE:
                mischief.duplicates += times
            case SocketAction.REORDER:
                mischief.reorders += times
            case SocketAction.MUTE_TOKEN:
                mischief.muted.add(token_id or "")

    def close_all(self, channel: Channel) -> None:
        """Closes every socket of a channel."""
        for connection in list(self._open[channel]):
            connection.close()

    async def serve_market(self, socket: WebSocket) -> None:
        """Serves one market socket until it ends."""
        await self._serve(Channel.MARKET, socket, self._market_message)

    async def serve_user(self, socket: WebSocket) -> None:
        """Serves one user socket until it ends."""
        await self._serve(Channel.USER, socket, self._user_message)

    async def _serve(
        self, channel: Channel, socket: WebSocket, on_message: Callable[[Connection, str], None]
    ) -> None:
        await socket.accept()
        connection = Connection(socket)
        self._open[channel].add(connection)
        writer = asyncio.create_task(connection.write(self._clock.monotonic_ns))
        try:
            await self._read(connection, on_message, writer)
        except WebSocketDisconnect:
            pass
        finally:
            self._open[channel].discard(connection)
            connection.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(writer, DRAIN_S)

    async def _read(
        self,
        connection: Connection,
        on_message: Callable[[Connection, str], None],
        writer: asyncio.Task[None],
    ) -> None:
        while not writer.done():
            idle_s = self._state.settings.socket_idle_ms / 1000 or None
            try:
                text = await asyncio.wait_for(connection.socket.receive_text(), idle_s)
            except TimeoutError:
                return
            if text == "PING":
                connection.send("PONG")
            else:
                on_message(connection, text)

    def _market_message(self, connection: Connection, text: str) -> None:
        try:
            hello = _MarketHello.model_validate_json(text)
        except ValidationError:
            return  # the venue ignores what it cannot read: no error, no data
        if hello.custom_feature_enabled is not None:
            connection.custom = hello.custom_feature_enabled
        if hello.operation == "unsubscribe":
            for token_id in hello.assets_ids:
                connection.token_ids.pop(token_id, None)
            return
        fresh = [token_id for token_id in hello.assets_ids if token_id not in connection.token_ids]
        connection.token_ids.update(dict.fromkeys(fresh))
        if hello.operation == "subscribe" and not fresh:
            connection.send("NO NEW ASSETS")
        elif hello.initial_dump and not self._mischief[Channel.MARKET].silent:
            self._dump(connection, fresh)

    def _dump(self, connection: Connection, token_ids: Iterable[str]) -> None:
        muted = self._mischief[Channel.MARKET].muted
        books: list[dict[str, object]] = []
        for token_id in token_ids:
            market = self._state.market_of_token.get(token_id)
            if market is not None and token_id not in muted:
                index = market.index_of(token_id)
                depth = wire.depth_of(self._state.books[market.condition_id], index)
                books.append(wire.book_event(wire.book_json(market, index, depth)))
        connection.send(_text(books))

    def _user_message(self, connection: Connection, text: str) -> None:
        try:
            if connection.account:
                operation = _UserOperation.model_validate_json(text)
                change = (
                    connection.conditions.update
                    if operation.operation == "subscribe"
                    else connection.conditions.difference_update
                )
                change(operation.markets)
                return
            hello = _UserHello.model_validate_json(text)
        except ValidationError:
            if not connection.account:
                connection.close()
            return
        key = self._state.api_keys.get(hello.auth.apiKey)
        genuine = (
            key is not None
            and not key.revoked
            and (key.secret, key.passphrase) == (hello.auth.secret, hello.auth.passphrase)
        )
        if key is None or not genuine:
            connection.close()
            return
        connection.account = key.address
        connection.conditions = set(hello.markets)

    def _wanted(self, connection: Connection, event: MarketEvent) -> bool:
        if event.custom and not connection.custom:
            return False
        muted = self._mischief[Channel.MARKET].muted
        if not event.token_ids:
            return True
        return any(token in connection.token_ids and token not in muted for token in event.token_ids)

    def _queue(self, channel: Channel, connection: Connection, frame: Outgoing) -> None:
        mischief = self._mischief[channel]
        if mischief.silent:
            return
        if mischief.reorders > 0 and connection.delayed is None:
            mischief.reorders -= 1
            connection.delayed = frame
            return
        connection.queue.put_nowait(frame)
        if connection.delayed is not None:
            connection.queue.put_nowait(connection.delayed)
            connection.delayed = None
        if mischief.duplicates > 0:
            mischief.duplicates -= 1
            connection.queue.put_nowait(frame)


def _text(payload: object) -> str:
    return orjson.dumps(payload).decode()
