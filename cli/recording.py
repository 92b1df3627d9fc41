"""Writing a token's live quotes to a tape."""

import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import IO

from cli.ending import Ending
from domain.ids import TokenId
from domain.money import plain
from domain.ports import MarketData, MarketEvent, MarketEventKind, MarketStream
from domain.quotes import Quote
from runtime.build import polymarket_config
from runtime.settings import load
from venues.registry import adapter_named, adapters

PROGRESS_S = 1.0


async def recorded(venue: str, token: TokenId, lines: IO[str], seconds: float | None, ending: Ending) -> int:
    """Record until the time is over or the user asks for the end; return how many rows were written.

    Raises:
        VenueError: The token is unknown, or its book cannot be read.
    """
    known = adapters(polymarket=polymarket_config(load()))
    data = adapter_named(known, venue).open_market_data()
    recording = Recording(token, lines)
    try:
        work, ended = asyncio.create_task(recording.run(data)), asyncio.create_task(ending.asked())
        await asyncio.wait((work, ended), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
        work.cancel()
        ended.cancel()
        await asyncio.gather(work, ended, return_exceptions=True)
    finally:
        await data.aclose()
    return recording.rows


class Recording:
    """Writes changes of one token's quote; a lost socket is followed by a fresh book."""

    def __init__(self, token: TokenId, lines: IO[str]) -> None:
        """Take the token and where its rows go."""
        self._token = token
        self._lines = lines
        self._latest: Quote | None = None
        self._shown_at = 0.0
        self.rows = 0

    async def run(self, data: MarketData) -> None:
        """Record until cancelled.

        Raises:
            VenueError: The token is unknown, or its book cannot be read.
        """
        await data.instrument(self._token)
        async with data.stream() as stream:
            await stream.subscribe([self._token])
            await self._read_book(data, stream)
            async for frame in stream.events():
                for event in frame:
                    await self._take(event, data, stream)

    async def _take(self, event: MarketEvent, data: MarketData, stream: MarketStream) -> None:
        if event.kind in (MarketEventKind.GAP, MarketEventKind.DESYNC):
            await self._read_book(data, stream)
        elif event.quote is not None and event.token_id == self._token:
            self.write(event.quote, datetime.now(UTC))

    async def _read_book(self, data: MarketData, stream: MarketStream) -> None:
        book = await data.book(self._token)
        stream.replace_book(book)
        self.write(book.quote, datetime.now(UTC))

    def write(self, quote: Quote, at: datetime) -> None:
        """Write a row when the quote differs from the last one, at once, so that an end loses nothing."""
        if quote == self._latest:
            return
        self._latest = quote
        self._lines.write(json.dumps(tape_line(quote, at)) + "\n")
        self._lines.flush()
        self.rows += 1
        now = time.monotonic()
        if now - self._shown_at >= PROGRESS_S and sys.stderr.isatty():
            self._shown_at = now
            sys.stderr.write(f"\r{self.rows} rows, bid {_text(quote.bid)} ask {_text(quote.ask)}  ")


def tape_line(quote: Quote, at: datetime) -> dict[str, str | None]:
    """Return a quote as a line of a tape: decimals as text, the moment in UTC with milliseconds."""
    ts = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "ts": ts,
        "bid": _text(quote.bid),
        "ask": _text(quote.ask),
        "last": _text(quote.last),
        "size": None,
    }


def _text(price: Decimal | None) -> str | None:
    return None if price is None else plain(price)
