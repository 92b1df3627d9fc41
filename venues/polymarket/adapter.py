"""Polymarket as the registry sees it."""

import orjson
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from domain.errors import CredentialsMissing
from domain.ids import WalletId
from domain.orders import WalletIdentity
from domain.ports import MarketData
from venues.polymarket.authentication import derive_api_credentials, wallet_identity
from venues.polymarket.config import VENUE, PolymarketConfig
from venues.polymarket.credentials import ApiCredentials, VenueCredentials
from venues.polymarket.http import HttpSession
from venues.polymarket.market_data import PolymarketMarketData
from venues.polymarket.trading import PolymarketTrading


class _ApiDocument(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    api_key: SecretStr
    secret: SecretStr
    passphrase: SecretStr


class PolymarketAdapter:
    """`VenueAdapter` of Polymarket."""

    def __init__(self, config: PolymarketConfig) -> None:
        self._config = config

    @property
    def name(self) -> str:
        """The venue's name."""
        return VENUE

    def open_market_data(self) -> PolymarketMarketData:
        """Return the public reads."""
        return PolymarketMarketData(self._config)

    def identity(
        self, wallet_id: WalletId, private_key: SecretStr, *, funder: str, signature_type: int
    ) -> WalletIdentity:
        """Return the public side of a key; a blank funder is the signer itself."""
        chain_id = self._config.chain_id
        return wallet_identity(
            wallet_id, private_key, chain_id=chain_id, funder=funder, signature_type=signature_type
        )

    async def derive_api(self, private_key: SecretStr) -> SecretStr:
        """Return the key's API credentials as a document: `api_key`, `secret`, `passphrase`."""
        async with HttpSession(self._config.clob_url, self._config) as session:
            api = await derive_api_credentials(private_key, session, chain_id=self._config.chain_id)
        return write_api_document(api)

    def open_trading(
        self,
        wallet: WalletIdentity,
        private_key: SecretStr,
        api_document: SecretStr,
        market_data: MarketData,
    ) -> PolymarketTrading:
        """Return a session that signs for `wallet`."""
        credentials = VenueCredentials(
            private_key=private_key,
            api=read_api_document(api_document),
            funder=wallet.funder,
            signature_type=wallet.signature_type,
        )
        return PolymarketTrading(self._config, credentials, market_data)


def write_api_document(api: ApiCredentials) -> SecretStr:
    """Return API credentials as the JSON document that is sealed."""
    document = {
        "api_key": api.api_key.get_secret_value(),
        "secret": api.secret.get_secret_value(),
        "passphrase": api.passphrase.get_secret_value(),
    }
    return SecretStr(orjson.dumps(document).decode())


def read_api_document(document: SecretStr) -> ApiCredentials:
    """Return the credentials in a sealed document. Raises CredentialsMissing when it holds none."""
    read: _ApiDocument | None
    try:
        read = _ApiDocument.model_validate_json(document.get_secret_value())
    except ValidationError:
        read = None
    if read is None:
        # Raised out here, so that the library's error is not even a context.
        raise CredentialsMissing("the stored API credentials cannot be read")
    return ApiCredentials(api_key=read.api_key, secret=read.secret, passphrase=read.passphrase)
