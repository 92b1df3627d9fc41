"""The venue as the registry sees it."""

from pydantic import SecretStr

from domain.ids import WalletId
from domain.orders import WalletIdentity
from domain.ports import MarketData
from venues._template.config import VENUE, TemplateConfig
from venues._template.market_data import TemplateMarketData
from venues._template.trading import TemplateTrading
from venues.adapter import VenueAdapter


class TemplateAdapter:
    """`VenueAdapter`."""

    def __init__(self, config: TemplateConfig) -> None:
        self._config = config

    @property
    def name(self) -> str:
        """The venue's name."""
        return VENUE

    def open_market_data(self) -> TemplateMarketData:
        """Return the public reads."""
        return TemplateMarketData(self._config)

    def identity(
        self, wallet_id: WalletId, private_key: SecretStr, *, funder: str, signature_type: int
    ) -> WalletIdentity:
        """Return the public side of a key."""
        raise NotImplementedError

    async def derive_api(self, private_key: SecretStr) -> SecretStr:
        """Return the key's API credentials as a JSON document, "{}" where the key itself signs requests."""
        raise NotImplementedError

    def open_trading(
        self,
        wallet: WalletIdentity,
        private_key: SecretStr,
        api_document: SecretStr,
        market_data: MarketData,
    ) -> TemplateTrading:
        """Return an account's session."""
        return TemplateTrading(self._config, wallet, private_key, market_data)


def conforms(config: TemplateConfig) -> VenueAdapter:
    """Return the adapter as the port; the type checker holds the skeleton to it."""
    return TemplateAdapter(config)
