"""What tokens trade by, read once for everybody who asks at the same moment."""

import asyncio

from domain.ids import TokenId
from domain.orders import Instrument
from domain.ports import Venues


class SharedReads:
    """Reads of instruments under way; a hundred rules that are armed together ask their venue once."""

    def __init__(self, venues: Venues) -> None:
        """Take where they are read."""
        self._venues = venues
        self._under_way: dict[tuple[str, TokenId], asyncio.Task[Instrument]] = {}

    async def instrument(self, venue: str, token_id: TokenId) -> Instrument:
        """Return what a token trades by, from a read that is under way or that begins now.

        Raises:
            UnknownVenue: There is no such venue.
            UnknownToken: The venue does not know the token.
            VenueError: The venue cannot be read now.
        """
        place = (venue, token_id)
        reading = self._under_way.get(place)
        if reading is None:
            reading = self._under_way[place] = asyncio.create_task(self._read(venue, token_id))
            reading.add_done_callback(lambda ended: self._ended(place, ended))
        return await asyncio.shield(reading)  # who hangs up does not end the others' read

    async def _read(self, venue: str, token_id: TokenId) -> Instrument:
        return await self._venues.market_data(venue).instrument(token_id)

    def _ended(self, place: tuple[str, TokenId], reading: asyncio.Task[Instrument]) -> None:
        del self._under_way[place]
        if not reading.cancelled():
            reading.exception()  # seen, also when everybody who asked has hung up
