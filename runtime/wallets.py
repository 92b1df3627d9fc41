"""Storing a wallet: its identity in the open, its key and API credentials sealed."""

from pydantic import SecretStr

from domain.errors import UnknownVenue
from domain.ids import AccountId, WalletId, derived_id
from domain.orders import WalletIdentity
from runtime.api_credentials import written_api_credentials
from storage.repositories.credentials import Credentials, api_credentials_record, wallet_key_record
from storage.repositories.wallets import Wallets
from venues.polymarket.authentication import derive_api_credentials, wallet_identity
from venues.polymarket.config import VENUE as POLYMARKET
from venues.polymarket.config import PolymarketConfig
from venues.polymarket.http import HttpSession


class SealedWallets:
    """Derives API credentials at the venue, seals both secrets, returns the public side."""

    def __init__(self, config: PolymarketConfig, *, wallets: Wallets, credentials: Credentials) -> None:
        """Take where wallets and secrets are kept."""
        self._config = config
        self._wallets = wallets
        self._credentials = credentials

    async def store(
        self,
        account_id: AccountId,
        venue: str,
        private_key: SecretStr,
        *,
        signature_type: int,
        funder: str | None,
    ) -> WalletIdentity:
        """Store a wallet for an account; the same wallet again only renews its API credentials.

        Raises:
            UnknownVenue: No adapter of that name.
            CredentialsMissing: The key is unusable, or the venue refuses it.
            VenueError: The venue cannot be asked now.
        """
        if venue != POLYMARKET:
            raise UnknownVenue(f"no venue is called {venue}")
        identity = self._identity(account_id, venue, private_key, signature_type, funder or "")
        async with HttpSession(self._config.clob_url, self._config) as session:
            api = await derive_api_credentials(private_key, session, chain_id=self._config.chain_id)
        # The key is sealed before the wallet is named: a wallet in use always has its key.
        await self._credentials.put(account_id, wallet_key_record(identity.wallet_id), private_key)
        record = api_credentials_record(venue, identity.wallet_id)
        await self._credentials.put(account_id, record, written_api_credentials(api))
        await self._wallets.add(account_id, venue, identity)
        return identity

    def _identity(
        self, account_id: AccountId, venue: str, private_key: SecretStr, signature_type: int, funder: str
    ) -> WalletIdentity:
        """Return the identity; its id follows from what it stands for, so a new key is a new wallet."""
        chain_id = self._config.chain_id

        def named(wallet_id: str) -> WalletIdentity:
            return wallet_identity(
                WalletId(wallet_id),
                private_key,
                chain_id=chain_id,
                funder=funder,
                signature_type=signature_type,
            )

        nameless = named("")
        parts = (nameless.signer, nameless.funder, str(signature_type), str(chain_id))
        return named(derived_id("wal", account_id, venue, *parts))
