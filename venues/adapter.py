"""What a venue offers to the registry: the way from settings and secrets to its ports."""

from typing import Protocol

from pydantic import SecretStr

from domain.ids import WalletId
from domain.orders import WalletIdentity
from domain.ports import MarketData, Trading


class ClosableMarketData(MarketData, Protocol):
    """Public reads that hold connections."""

    async def aclose(self) -> None:
        """Close the connections."""
        ...


class ClosableTrading(Trading, Protocol):
    """A session that holds connections."""

    async def aclose(self) -> None:
        """Close the connections."""
        ...


class VenueAdapter(Protocol):
    """One venue with its settings injected."""

    @property
    def name(self) -> str:
        """The name that accounts, rules and rows call it by."""
        ...

    def open_market_data(self) -> ClosableMarketData:
        """Return the venue's public reads; one instance serves all accounts."""
        ...

    def identity(
        self, wallet_id: WalletId, private_key: SecretStr, *, funder: str, signature_type: int
    ) -> WalletIdentity:
        """Return the public side of a key. Raises CredentialsMissing for one that is unusable."""
        ...

    async def derive_api(self, private_key: SecretStr) -> SecretStr:
        """Return the API credentials that the venue gives a key, as a JSON document to be sealed.

        Raises:
            CredentialsMissing: the venue refuses the key.
            VenueTransient: it cannot be asked now.
        """
        ...

    def open_trading(
        self,
        wallet: WalletIdentity,
        private_key: SecretStr,
        api_document: SecretStr,
        market_data: MarketData,
    ) -> ClosableTrading:
        """Return an account's session. Raises CredentialsMissing for secrets that cannot be read."""
        ...
