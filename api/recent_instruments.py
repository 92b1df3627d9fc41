"""What tokens trade by, read once for rules that are armed in bulk."""

from dataclasses import dataclass

from domain.ids import TokenId
from domain.orders import Instrument
from domain.ports import Clock, Venues

RECENT_MS = 2_000
"""A market that stops or changes its tick later than it was read is told to the armed rule by its feed."""


@dataclass(frozen=True, slots=True)
class _Read:
    instrument: Instrument
    at_ms: int


class RecentInstruments:
    """Instruments of the last moments; a hundred rules on one market ask its venue once."""

    def __init__(self, venues: Venues, clock: Clock, *, recent_ms: int = RECENT_MS) -> None:
        """Take where they are read, and for how many milliseconds one counts as just read."""
        self._venues = venues
        self._clock = clock
        self._recent_ms = recent_ms
        self._read: dict[tuple[str, TokenId], _Read] = {}

    async def instrument(self, venue: str, token_id: TokenId) -> Instrument:
        """Return what a token trades by, read now or a moment ago.

        Raises:
            UnknownVenue: There is no such venue.
            UnknownToken: The venue does not know the token.
            VenueError: The venue cannot be read now.
        """
        now_ms = self._clock.monotonic_ms()
        known = self._read.get((venue, token_id))
        if known is not None and now_ms - known.at_ms < self._recent_ms:
            return known.instrument
        instrument = await self._venues.market_data(venue).instrument(token_id)
        fresh = {place: read for place, read in self._read.items() if now_ms - read.at_ms < self._recent_ms}
        self._read = {**fresh, (venue, token_id): _Read(instrument, now_ms)}
        return instrument
