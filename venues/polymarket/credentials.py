"""What an account needs to trade: a wallet key, and API credentials that derive from it."""

from dataclasses import dataclass

from pydantic import SecretStr


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCredentials:
    """Credentials of private requests (L2); they rotate, and never enter an order's signature."""

    api_key: SecretStr
    secret: SecretStr
    passphrase: SecretStr


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueCredentials:
    """A wallet's private key, its API credentials, and the wallet that holds the money.

    `funder` is the signer itself for signature type 0, else the proxy, safe or deposit wallet.
    """

    private_key: SecretStr
    api: ApiCredentials
    funder: str
    signature_type: int = 0
