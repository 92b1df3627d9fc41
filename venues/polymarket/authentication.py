"""From a private key to a wallet's identity and its API credentials."""

import time
from http import HTTPStatus

from pydantic import SecretStr

from domain.errors import CredentialsMissing, VenueBlocked
from domain.ids import WalletId
from domain.orders import WalletIdentity
from venues.polymarket.credentials import ApiCredentials
from venues.polymarket.http import HttpSession
from venues.polymarket.parsing import read_payload
from venues.polymarket.reads import checked, send
from venues.polymarket.schemas import ApiKeyPayload
from venues.polymarket.signing import KeyPair

_CREATE = "/auth/api-key"
_DERIVE = "/auth/derive-api-key"
_OWN_WALLET = 0
_DEPOSIT_WALLET = 3
_LATER = frozenset({HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


def wallet_identity(
    wallet_id: WalletId, private_key: SecretStr, *, chain_id: int, funder: str = "", signature_type: int = 0
) -> WalletIdentity:
    """Return the public identity of a key; `funder` defaults to the signer.

    Raises:
        CredentialsMissing: the key is not a private key, or it is to sign with type 0 for another wallet.
    """
    signer = KeyPair(private_key, chain_id).address
    holder = funder or signer
    if signature_type == _OWN_WALLET:
        if holder.lower() != signer.lower():
            # The exchange would refuse every order of it as an invalid signature.
            raise CredentialsMissing("signature type 0 is for the key's own wallet, not for this funder")
        holder = signer
    # A deposit wallet signs for itself: the exchange sees the wallet in both places.
    return WalletIdentity(
        wallet_id=wallet_id,
        signer=holder if signature_type == _DEPOSIT_WALLET else signer,
        funder=holder,
        signature_type=signature_type,
        chain_id=chain_id,
    )


async def derive_api_credentials(
    private_key: SecretStr, session: HttpSession, *, chain_id: int, nonce: int = 0, now_s: int | None = None
) -> ApiCredentials:
    """Return the wallet's API credentials: created, or derived when they exist already.

    The same wallet and nonce always derive the same credentials (venue's documentation, Authentication).

    Args:
        private_key: the wallet's key; only its signature leaves.
        session: requests to the CLOB host.
        chain_id: chain of the wallet.
        nonce: which of the wallet's API keys.
        now_s: Unix seconds for the signature; the local clock by default.

    Raises:
        CredentialsMissing: the key is unusable, or the venue refuses it.
        VenueTransient: the venue cannot be reached now.
    """
    keys = KeyPair(private_key, chain_id)
    headers = keys.level_1_headers(nonce=nonce, timestamp_s=int(time.time()) if now_s is None else now_s)
    reply = await send(session, "POST", _CREATE, headers=headers)
    if 400 <= reply.status < 500 and reply.status not in _LATER:
        # 400 "Could not create api key" is the venue's word for: it exists.
        reply = await send(session, "GET", _DERIVE, headers=headers)
        if reply.status in (400, 404):
            raise CredentialsMissing("the venue neither creates nor derives an API key for this wallet")
    try:
        payload = read_payload(ApiKeyPayload, checked(reply).body)
    except VenueBlocked as error:
        raise CredentialsMissing(f"the venue refuses this wallet: {error}") from None
    return ApiCredentials(api_key=payload.api_key, secret=payload.secret, passphrase=payload.passphrase)
