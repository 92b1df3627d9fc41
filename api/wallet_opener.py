"""What venues make of a private key: its public side, and the API credentials that derive from it."""

from pydantic import SecretStr

from api.ports import ApiSecrets
from domain.errors import UnknownVenue
from domain.ids import WalletId
from domain.orders import WalletIdentity
from venues.polymarket.authentication import derive_api_credentials, wallet_identity
from venues.polymarket.config import VENUE as POLYMARKET
from venues.polymarket.config import PolymarketConfig
from venues.polymarket.http import HttpSession


class VenueWallets:
    """Implements `api.ports.WalletOpener` for the venues that there are."""

    def __init__(self, polymarket: PolymarketConfig) -> None:
        """Take the hosts."""
        self._polymarket = polymarket

    def identity(
        self, venue: str, private_key: SecretStr, *, signature_type: int, funder: str | None
    ) -> WalletIdentity:
        """Return the public side of a key; its wallet id is blank."""
        _known(venue)
        return wallet_identity(
            WalletId(""),
            private_key,
            chain_id=self._polymarket.chain_id,
            funder=funder or "",
            signature_type=signature_type,
        )

    async def api_secrets(self, venue: str, private_key: SecretStr) -> ApiSecrets:
        """Create or derive the wallet's API credentials at the venue."""
        _known(venue)
        config = self._polymarket
        async with HttpSession(config.clob_url, config) as session:
            derived = await derive_api_credentials(private_key, session, chain_id=config.chain_id)
        return ApiSecrets(api_key=derived.api_key, secret=derived.secret, passphrase=derived.passphrase)


def _known(venue: str) -> None:
    if venue != POLYMARKET:
        raise UnknownVenue(f"no venue is called {venue}")
