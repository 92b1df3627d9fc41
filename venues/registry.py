"""The venues that there are, by name. A new venue is one folder and one line here."""

from collections.abc import Mapping

from domain.errors import UnknownVenue
from venues.adapter import VenueAdapter
from venues.polymarket.adapter import PolymarketAdapter
from venues.polymarket.config import PolymarketConfig


def adapters(*, polymarket: PolymarketConfig) -> Mapping[str, VenueAdapter]:
    """Return every venue's adapter with its settings; paper is a mode of each of them, not a venue."""
    known: tuple[VenueAdapter, ...] = (PolymarketAdapter(polymarket),)
    return {adapter.name: adapter for adapter in known}


def adapter_named(known: Mapping[str, VenueAdapter], name: str) -> VenueAdapter:
    """Return one of them. Raises UnknownVenue."""
    adapter = known.get(name)
    if adapter is None:
        raise UnknownVenue(f"no venue is called {name}")
    return adapter
