"""Holdings that were bought elsewhere: taken into the ledger when a rule is to protect them."""

from datetime import datetime
from decimal import Decimal

from activities.ingest import Ingest
from activities.wallets import venue_fills, venue_shares
from domain.ids import MarketId
from domain.messages import Holding
from domain.ports import Venues
from domain.positions import PositionKey
from storage.repositories.ledger import Ledger


class FoundHoldings:
    """Books what the venue shows and the ledger does not: its trades first, the rest as an adjustment."""

    def __init__(self, ledger: Ledger, ingest: Ingest, venues: Venues) -> None:
        """Take the ledger and the venues."""
        self._ledger = ledger
        self._ingest = ingest
        self._venues = venues

    async def take(
        self, key: PositionKey, market_id: MarketId, *, price: Decimal, at: datetime, name: str
    ) -> Holding:
        """Bring the ledger up to the venue's balance and return what is held.

        Nothing is adjusted while an order of ours is unsettled (its fills may only be on their way) or a fill
        unconfirmed (the venue's balance follows the chain, and may still show what was just sold).

        Args:
            key: Whose position.
            market_id: The token's market.
            price: USD per share at which shares without a trade are counted.
            at: The time of the adjustment.
            name: Names it; a second one of the same name changes nothing.

        Raises:
            CredentialsMissing: The wallet of new orders has no usable credentials.
            VenueError: The venue cannot be asked now.
            StorageUnavailable: Postgres cannot be reached now.
        """
        sessions = await self._venues.sessions(key.account_id, key.venue, key.mode)
        fills = await venue_fills(sessions, market_id)
        await self._ingest.book(key.account_id, key.venue, key.mode, fills=fills)
        held = await self._ledger.holding(key)
        unsettled = await self._ledger.unsettled_orders(key.account_id, key.venue, key.mode)
        if held.unconfirmed_shares or any(ref.token_id == key.token_id for ref in unsettled):
            return held
        seen = await venue_shares(sessions, key.token_id)  # one that is refused may hold more, never less
        if seen.shares <= held.shares:
            return held
        booked = await self._ledger.adjust(
            key,
            market_id,
            ledger_shares=held.shares,
            venue_shares=seen.shares,
            price=price,
            at=at,
            adjustment_key=f"found/{name}",
        )
        await self._ingest.tell(booked)
        return await self._ledger.holding(key)
