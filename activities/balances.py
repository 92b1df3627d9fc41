"""What an account holds at a venue by the venue's own word, over all of its wallets."""

from collections.abc import Sequence
from decimal import Decimal

from domain.ids import TokenId
from domain.money import EXACT, Shares
from domain.ports import Trading


async def venue_shares(sessions: Sequence[Trading], token_id: TokenId) -> Shares:
    """Return the shares of a token that these wallets hold together, after the venue has looked again.

    Raises:
        VenueError: One of them cannot be asked.
    """
    shares = Decimal(0)
    for session in sessions:
        await session.refresh_holding(token_id)
        shares = EXACT.add(shares, (await session.holding(token_id)).amount)
    return shares
