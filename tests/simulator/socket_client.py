"""Clients of the two sockets, and a book built from nothing but frames."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.simulator.trader import Trader


class Feed:
    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send(self, message: Any) -> None:
        await self.socket.send(message if isinstance(message, str) else json.dumps(message))

    async def text(self) -> str:
        return str(await self.socket.recv())

    async def frame(self) -> list[dict[str, Any]]:
        """Returns the events of the next frame, whether it is an array or one object."""
        frame = json.loads(await self.text())
        return frame if isinstance(frame, list) else [frame]

    async def quiet(self) -> bool:
        """Tells whether nothing stands before the answer to a PING."""
        await self.send("PING")
        return await self.text() == "PONG"

    async def until_pong(self) -> list[dict[str, Any]]:
        """Returns every event that was sent before the answer to a PING."""
        await self.send("PING")
        events: list[dict[str, Any]] = []
        while (text := await self.text()) != "PONG":
            frame = json.loads(text)
            events += frame if isinstance(frame, list) else [frame]
        return events


@asynccontextmanager
async def market_feed(ws_url: str, token_ids: list[str], **options: Any) -> AsyncIterator[Feed]:
    async with connect(f"{ws_url}/market", proxy=None, max_queue=None) as socket:
        feed = Feed(socket)
        await feed.send({"assets_ids": token_ids, "type": "market", **options})
        yield feed


@asynccontextmanager
async def user_feed(ws_url: str, trader: Trader, markets: list[str] | None = None) -> AsyncIterator[Feed]:
    creds = trader.creds
    auth = {"apiKey": creds.api_key, "secret": creds.api_secret, "passphrase": creds.api_passphrase}
    async with connect(f"{ws_url}/user", proxy=None, max_queue=None) as socket:
        feed = Feed(socket)
        await feed.send({"auth": auth, "type": "user", "markets": markets or []})
        assert await feed.quiet()
        yield feed


class ClientBook:
    """What a client knows of one token."""

    def __init__(self, token_id: str) -> None:
        self.token_id = token_id
        self.bids: dict[Decimal, Decimal] = {}
        self.asks: dict[Decimal, Decimal] = {}
        self.last: Decimal | None = None

    def apply(self, event: dict[str, Any]) -> None:
        match event["event_type"]:
            case "book" if event["asset_id"] == self.token_id:
                self.bids = _levels(event["bids"])
                self.asks = _levels(event["asks"])
                self.last = _price(event["last_trade_price"])
            case "price_change":
                for change in event["price_changes"]:
                    if change["asset_id"] == self.token_id:
                        self._change(change)
            case "last_trade_price" if event["asset_id"] == self.token_id:
                self.last = Decimal(event["price"])

    def _change(self, change: dict[str, Any]) -> None:
        side = self.bids if change["side"] == "BUY" else self.asks
        price, size = Decimal(change["price"]), Decimal(change["size"])
        if size == 0:
            side.pop(price)
        else:
            side[price] = size

    @property
    def top(self) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
        return max(self.bids, default=None), min(self.asks, default=None), self.last


def _levels(levels: list[dict[str, str]]) -> dict[Decimal, Decimal]:
    return {Decimal(level["price"]): Decimal(level["size"]) for level in levels}


def _price(text: str) -> Decimal | None:
    return Decimal(text) if text else None
