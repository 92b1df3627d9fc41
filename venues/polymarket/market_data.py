"""Public reads: instruments, books, the venue's clock."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

import orjson
import structlog

from domain.errors import UnknownToken, VenueError, VenueProtocolError, VenueTransient
from domain.ids import TokenId
from domain.orders import Instrument, MarketState
from domain.ports import Book, MarketStream
from venues.polymarket import parsing
from venues.polymarket.config import PolymarketConfig
from venues.polymarket.http import HttpSession, Reply
from venues.polymarket.market_socket import MarketSockets
from venues.polymarket.reads import checked, send
from venues.polymarket.schemas import (
    BookPayload,
    ClobMarketPayload,
    CompactMarketPayload,
    GammaMarketPayload,
    MarketOfTokenPayload,
    TimePayload,
)

_log = structlog.get_logger(__name__)
_NOT_FOUND = frozenset({400, 404})

MarketForms: TypeAlias = tuple[ClobMarketPayload | None, CompactMarketPayload | None]
"""A market in the CLOB's long and its compact form; None for what it does not list."""


class PolymarketMarketData:
    """`MarketData` over the CLOB and Gamma.

    Args:
        config: hosts and limits.
        clob: session to the CLOB host; made from `config` when left out.
        gamma: the same for Gamma.
    """

    def __init__(
        self, config: PolymarketConfig, clob: HttpSession | None = None, gamma: HttpSession | None = None
    ) -> None:
        self._config = config
        self._clob = clob or HttpSession(config.clob_url, config)
        self._gamma = gamma or HttpSession(config.gamma_url, config)
        self._conditions: dict[TokenId, str] = {}  # a token never changes its market

    async def aclose(self) -> None:
        """Close the connections."""
        await self._clob.aclose()
        await self._gamma.aclose()

    async def instrument(self, token_id: TokenId) -> Instrument:
        """Return what the token trades by, read now.

        The CLOB's market decides tick, minimum, state and winner; the fee comes from its compact form or
        Gamma's schedule. Markets that the CLOB no longer lists are read from Gamma.

        Raises:
            UnknownToken: neither of them knows it.
            VenueTransient: the CLOB lists it as closed or not at all, and Gamma, which alone knows whether
                the outcome is disputed and which markets the CLOB leaves out, cannot be read now.
        """
        if not token_id.isdecimal():
            raise UnknownToken("a token id is a decimal number")
        (gamma, readable), (condition, market, compact) = await asyncio.gather(
            self._gamma_market(token_id), self._listed(token_id)
        )
        if condition is None and gamma is not None:
            market, compact = await self._market_forms(gamma.condition_id)
        if market is None or not market.tokens:
            if gamma is None:
                raise _unlisted(readable)
            return parsing.gamma_instrument(token_id, gamma)
        found = parsing.instrument(token_id, market, compact, gamma)
        if found.state is MarketState.CLOSED and not readable:
            raise VenueTransient("nobody tells now whether the outcome of a closed market is disputed")
        return found

    async def book(self, token_id: TokenId) -> Book:
        """Return the token's book. Raises UnknownToken where the venue keeps none."""
        reply = await send(self._clob, "GET", "/book", params={"token_id": token_id})
        if reply.status in _NOT_FOUND:
            raise UnknownToken("the venue keeps no book for this token")
        return parsing.book(parsing.read_payload(BookPayload, checked(reply).body))

    async def books(self, token_ids: Sequence[TokenId]) -> Sequence[Book]:
        """Return the books that exist, at most a hundred a request; tokens without one are left out."""
        size = self._config.books_per_request
        chunks = [token_ids[start : start + size] for start in range(0, len(token_ids), size)]
        pages = await asyncio.gather(*(self._book_page(chunk) for chunk in chunks))
        return [book for page in pages for book in page]

    async def _book_page(self, token_ids: Sequence[TokenId]) -> list[Book]:
        body = orjson.dumps([{"token_id": token_id} for token_id in token_ids])
        reply = checked(await send(self._clob, "POST", "/books", body=body))
        return [parsing.book(payload) for payload in parsing.read_payloads(BookPayload, reply.body)]

    def stream(self) -> AbstractAsyncContextManager[MarketStream]:
        """Open the market sockets; they are closed on exit."""
        return MarketSockets(self._config)

    async def server_time_ms(self) -> int:
        """Return the venue's clock in Unix milliseconds; it answers whole seconds, bare or in an object."""
        reply = checked(await send(self._clob, "GET", "/time"))
        return _clock_ms(reply)

    async def _gamma_market(self, token_id: TokenId) -> tuple[GammaMarketPayload | None, bool]:
        """Return Gamma's market, if it lists the token, and whether it could be read."""
        # Closed markets are left out unless asked for, and an open position's market is closed one day.
        for closed in ("false", "true"):
            params = {"clob_token_ids": token_id, "closed": closed}
            try:
                reply = checked(await send(self._gamma, "GET", "/markets", params=params))
                markets = parsing.read_payloads(GammaMarketPayload, reply.body)
            except VenueError as error:
                _log.warning("gamma.unreadable", code=error.code)
                return None, False  # the CLOB alone knows enough to trade
            if markets:
                return markets[0], True
        return None, True

    async def _condition_of(self, token_id: TokenId) -> str | None:
        known = self._conditions.get(token_id)
        if known is not None:
            return known
        reply = await send(self._clob, "GET", f"/markets-by-token/{token_id}")
        if reply.status in _NOT_FOUND:
            return None
        condition = parsing.read_payload(MarketOfTokenPayload, checked(reply).body).condition_id
        self._conditions[token_id] = condition
        return condition

    async def _listed(
        self, token_id: TokenId
    ) -> tuple[str | None, ClobMarketPayload | None, CompactMarketPayload | None]:
        """Return the condition and the market that the CLOB lists for a token."""
        condition = await self._condition_of(token_id)
        if condition is None:
            return None, None, None
        return condition, *(await self._market_forms(condition))

    async def _market_forms(self, condition: str) -> MarketForms:
        return await asyncio.gather(self._market(condition), self._compact_market(condition))

    async def _market(self, condition: str) -> ClobMarketPayload | None:
        reply = await send(self._clob, "GET", f"/markets/{condition}")
        if reply.status in _NOT_FOUND:
            return None
        return parsing.read_payload(ClobMarketPayload, checked(reply).body)

    async def _compact_market(self, condition: str) -> CompactMarketPayload | None:
        reply = await send(self._clob, "GET", f"/clob-markets/{condition}")
        if reply.status in _NOT_FOUND:
            return None
        return parsing.read_payload(CompactMarketPayload, checked(reply).body)


def _unlisted(readable: bool) -> VenueError:
    """Return why the CLOB does not list a token: it does not for some minutes after a market's start."""
    if readable:
        return UnknownToken("the venue lists no market with this token")
    return VenueTransient("nobody tells now whether the venue has a market with this token")


def _clock_ms(reply: Reply) -> int:
    text = reply.text.strip().strip('"')
    if not text.isdecimal():
        payload = parsing.read_payload(TimePayload, reply.body)
        text = payload.time or payload.timestamp or ""
    moment = parsing.milliseconds(text)
    if moment is None:
        raise VenueProtocolError("the venue's clock is unreadable")
    return moment
