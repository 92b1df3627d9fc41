"""Storing a wallet: API credentials derived at the venue, secrets sealed, the public side recorded."""

from dataclasses import replace

from pydantic import SecretStr

from api.ports import WalletOpener
from domain.ids import AccountId, WalletId, derived_id
from domain.orders import WalletIdentity
from storage.repositories.credentials import Credentials, api_credentials_record, wallet_key_record
from storage.repositories.wallets import Wallets


class WalletVault:
    """Stores wallets of accounts.

    Args:
        opener: The venues' side.
        wallets: Public identities.
        credentials: Sealed secrets.
    """

    def __init__(self, opener: WalletOpener, wallets: Wallets, credentials: Credentials) -> None:
        self._opener = opener
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
        actor: str,
    ) -> WalletIdentity:
        """Store a wallet and return its public side; the same wallet again only renews its API credentials.

        Secrets are stored before the wallet is, so a wallet that stands can always sign.

        Raises:
            UnknownVenue: No adapter of that name.
            CredentialsMissing: The key is unusable, or the venue refuses it.
            VenueError: The venue cannot be asked now.
        """
        public = self._opener.identity(venue, private_key, signature_type=signature_type, funder=funder)
        wallet = replace(public, wallet_id=_wallet_id(account_id, venue, public))
        document = await self._opener.api_document(venue, private_key)
        await self._credentials.put(account_id, wallet_key_record(wallet.wallet_id), private_key, actor=actor)
        record = api_credentials_record(venue, wallet.wallet_id)
        await self._credentials.put(account_id, record, document, actor=actor)
        await self._wallets.add(account_id, venue, wallet, actor=actor)
        return wallet


def _wallet_id(account_id: AccountId, venue: str, public: WalletIdentity) -> WalletId:
    parts = (public.signer.lower(), public.funder.lower(), str(public.signature_type), str(public.chain_id))
    return WalletId(derived_id("wal", account_id, venue, *parts))
