"""Where a venue sees this server, and whether it may trade from there."""

from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from domain.errors import VenueProtocolError, VenueTransient
from domain.ports import Region
from venues.polymarket.config import VENUE as POLYMARKET
from venues.polymarket.config import PolymarketConfig
from venues.polymarket.http import HttpSession, NetworkFailure


class _Geoblock(BaseModel):
    model_config = ConfigDict(extra="ignore")

    blocked: bool
    country: str = ""


class VenueRegions:
    """Asks venues that restrict places (Polymarket documentation, Geographic Restrictions)."""

    def __init__(self, config: PolymarketConfig) -> None:
        """Take the hosts."""
        self._config = config

    async def region(self, venue: str) -> Region | None:
        """Return the venue's word, None for a venue that has no such restriction.

        Raises:
            VenueError: The venue cannot be asked now.
        """
        if venue != POLYMARKET:
            return None
        place = urlsplit(self._config.geoblock_url)
        try:
            async with HttpSession(f"{place.scheme}://{place.netloc}", self._config) as session:
                reply = await session.request("GET", place.path)
        except NetworkFailure as failure:
            raise VenueTransient(str(failure)) from None
        try:
            answer = _Geoblock.model_validate_json(reply.body)
        except ValidationError:
            raise VenueProtocolError(f"status {reply.status} without a geoblock answer") from None
        return Region(blocked=answer.blocked, country=answer.country)
