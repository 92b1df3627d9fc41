"""What venues make of a private key: its public side, and the API credentials that derive from it."""

from collections.abc import Mapping

from pydantic import SecretStr

from domain.ids import WalletId
from domain.orders import WalletIdentity
from venues.adapter import VenueAdapter
from venues.registry import adapter_named


class VenueWallets:
    """Implements `api.ports.WalletOpener` for the venues that there are."""

    def __init__(self, adapters: Mapping[str, VenueAdapter]) -> None:
        """Take the venues."""
        self._adapters = adapters

    def identity(
        self, venue: str, private_key: SecretStr, *, signature_type: int, funder: str | None
    ) -> WalletIdentity:
        """Return the public side of a key; its wallet id is blank."""
        adapter = adapter_named(self._adapters, venue)
        return adapter.identity(WalletId(""), private_key, funder=funder or "", signature_type=signature_type)

    async def api_document(self, venue: str, private_key: SecretStr) -> SecretStr:
        """Create or derive the wallet's API credentials, as the document that is sealed."""
        return await adapter_named(self._adapters, venue).derive_api(private_key)
