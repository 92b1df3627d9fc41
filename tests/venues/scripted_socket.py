"""A websocket server that says what a test tells it to."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from venues.polymarket.config import PolymarketConfig


class ScriptedSocket:
    """Keeps what each connection was told, answers PING while `alive`."""

    def __init__(self) -> None:
        self.connections: list[ServerConnection] = []
        self.paths: list[str] = []
        self.told: list[list[str]] = []
        self.alive = True
        self.url = ""
        self._changed = asyncio.Condition()

    async def handle(self, connection: ServerConnection) -> None:
        told: list[str] = []
        assert connection.request is not None
        async with self._changed:
            self.connections.append(connection)
            self.paths.append(connection.request.path)
            self.told.append(told)
            self._changed.notify_all()
        try:
            async for message in connection:
                if message == "PING":
                    if self.alive:
                        await connection.send("PONG")
                    continue
                async with self._changed:
                    told.append(str(message))
                    self._changed.notify_all()
        except ConnectionClosed:
            pass

    async def messages(self, connection: int, count: int) -> list[dict[str, object]]:
        """Wait until a connection was told so many messages."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(
                lambda: len(self.told) > connection and len(self.told[connection]) >= count
            )
            return [json.loads(text) for text in self.told[connection]]

    async def closed(self, connection: int) -> None:
        async with asyncio.timeout(10):
            await self.connections[connection].wait_closed()

    async def say(self, connection: int, *events: object, array: bool = True) -> None:
        await self.connections[connection].send(json.dumps(list(events) if array else events[0]))


@asynccontextmanager
async def scripted_socket(port: int = 0) -> AsyncGenerator[ScriptedSocket]:
    script = ScriptedSocket()
    async with serve(script.handle, "127.0.0.1", port, close_timeout=0.1) as server:
        script.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        yield script


def quick(url: str, **changes: object) -> PolymarketConfig:
    """Return a config that reconnects at once."""
    values = {"ws_url": url, "reconnect_first_s": 0.001, "reconnect_cap_s": 0.02} | changes
    return PolymarketConfig(**values)  # type: ignore[arg-type]
