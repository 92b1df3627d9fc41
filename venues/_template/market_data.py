"""Public reads."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from domain.ids import TokenId
from domain.orders import Instrument
from domain.ports import Book, MarketStream
from venues._template.config import TemplateConfig


class TemplateMarketData:
    """`MarketData`. Every failure is a leaf of `domain.errors.VenueError`."""

    def __init__(self, config: TemplateConfig) -> None:
        self._config = config

    async def aclose(self) -> None:
        """Close the connections."""
        raise NotImplementedError

    async def instrument(self, token_id: TokenId) -> Instrument:
        """Return tick, minimum, fee rate and one of the six states. Raises UnknownToken."""
        raise NotImplementedError

    async def book(self, token_id: TokenId) -> Book:
        """Return the book, best level first, however the venue sorts it."""
        raise NotImplementedError

    async def books(self, token_ids: Sequence[TokenId]) -> Sequence[Book]:
        """Return several books in few requests."""
        raise NotImplementedError

    def stream(self) -> AbstractAsyncContextManager[MarketStream]:
        """Open the market socket: quotes, desync and gaps, as `MarketStream` says."""
        raise NotImplementedError

    async def server_time_ms(self) -> int:
        """Return the venue's clock."""
        raise NotImplementedError
