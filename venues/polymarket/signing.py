"""Signing orders and requests. The only module that touches `py-clob-client-v2`.

Everything that enters an order's signature stands in the attempt, so signing again on any machine gives the
same bytes and the same venue order id: the EIP-712 digest of the order under the exchange's domain.
"""

import json
from dataclasses import dataclass
from functools import lru_cache

from eth_utils.crypto import keccak
from py_clob_client_v2.clob_types import ApiCreds, RequestArgs
from py_clob_client_v2.config import get_contract_config
from py_clob_client_v2.headers.headers import create_level_1_headers, create_level_2_headers
from py_clob_client_v2.order_utils.exchange_order_builder_v2 import ORDER_TYPE_HASH, ExchangeOrderBuilderV2
from py_clob_client_v2.order_utils.model.order_data_v2 import OrderDataV2, SignedOrderV2, order_to_json_v2
from py_clob_client_v2.order_utils.model.side import Side as WireSide
from py_clob_client_v2.order_utils.model.signature_type_v2 import SignatureTypeV2
from py_clob_client_v2.signer import Signer
from pydantic import SecretStr

from domain.errors import CredentialsMissing
from domain.ids import VenueOrderId
from domain.orders import Attempt, Side
from venues.polymarket.credentials import ApiCredentials

BYTES32_ZERO = "0x" + "00" * 32
_ZERO_WORD = bytes(32)
# The builder wants a signer, the digest and the domain need none: a key that signs nothing.
_NO_KEY = "0x" + "00" * 31 + "01"


class WrongWallet(Exception):
    """The attempt names another signer than the session's key; nothing was signed."""


@dataclass(frozen=True, slots=True)
class SignedOrder:
    """A signed order, ready for the body of `POST /order`."""

    venue_order_id: VenueOrderId
    order: SignedOrderV2
    time_in_force: str
    post_only: bool

    def body(self, owner: str) -> bytes:
        """Return the request body: compact JSON, byte for byte what the package's `post_order` sends.

        Args:
            owner: the API key of the moment; it is not signed.
        """
        payload = order_to_json_v2(self.order, owner, self.time_in_force, self.post_only, False)
        return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()


def venue_order_id(attempt: Attempt) -> VenueOrderId:
    """Return the id under which the venue will know this attempt. Needs no key."""
    return VenueOrderId("0x" + order_digest(attempt).hex())


@lru_cache(maxsize=2048)
def order_digest(attempt: Attempt) -> bytes:
    """Return the 32-byte EIP-712 digest of the attempt's order (type and domain: venue's exchange V2).

    Tests hold it equal to the package's `build_order_hash`, which takes ten times as long.
    """
    domain = _exchange(attempt.neg_risk, attempt.wallet.chain_id).app_domain_separator
    struct = b"".join(
        (
            ORDER_TYPE_HASH,
            _word(attempt.salt),
            _address_word(attempt.wallet.funder),
            _address_word(attempt.wallet.signer),
            _word(int(attempt.token_id)),
            _word(attempt.maker_amount),
            _word(attempt.taker_amount),
            _word(WireSide.BUY if attempt.side is Side.BUY else WireSide.SELL),
            _word(attempt.wallet.signature_type),
            _word(attempt.timestamp_ms),
            _ZERO_WORD,
            _ZERO_WORD,
        )
    )
    return keccak(b"\x19\x01" + domain + keccak(struct))


class KeyPair:
    """A wallet's key: signs orders and authentication headers. Shows nothing of itself.

    Raises:
        CredentialsMissing: the text is not a private key.
    """

    __slots__ = ("_chain_id", "_signer", "address")

    def __init__(self, private_key: SecretStr, chain_id: int) -> None:
        self._chain_id = chain_id
        self._signer = _signer(private_key, chain_id)
        self.address = self._signer.address()

    def sign(self, attempt: Attempt) -> SignedOrder:
        """Return the attempt's signed order; the same bytes for the same attempt.

        Raises:
            WrongWallet: the attempt is for another signer or chain.
        """
        wallet = attempt.wallet
        kind = SignatureTypeV2(wallet.signature_type)
        if wallet.chain_id != self._chain_id or (
            kind is not SignatureTypeV2.POLY_1271 and wallet.signer != self.address
        ):
            raise WrongWallet("the order is for another wallet than the session's key")
        data = _order_data(attempt, kind)
        digest = order_digest(attempt)
        order = SignedOrderV2(
            salt=str(attempt.salt),
            maker=data.maker,
            signer=wallet.signer,
            tokenId=data.tokenId,
            makerAmount=data.makerAmount,
            takerAmount=data.takerAmount,
            side=data.side,
            signatureType=kind,
            timestamp=str(attempt.timestamp_ms),
            metadata=BYTES32_ZERO,
            builder=BYTES32_ZERO,
            expiration=str(attempt.expiration_s),
            signature=self._signature(attempt, data, digest, kind),
        )
        return SignedOrder(
            VenueOrderId("0x" + digest.hex()), order, attempt.time_in_force.value, attempt.post_only
        )

    def _signature(self, attempt: Attempt, data: OrderDataV2, digest: bytes, kind: SignatureTypeV2) -> str:
        if kind is not SignatureTypeV2.POLY_1271:
            return "0x" + self._signer.sign(digest)
        # A deposit wallet's signature wraps the digest (ERC-7739); the package knows how.
        contract = exchange_address(attempt.neg_risk, self._chain_id)
        builder = ExchangeOrderBuilderV2(
            contract, self._chain_id, self._signer, generate_salt=lambda: str(attempt.salt)
        )
        return builder.build_signed_order(data).signature

    def level_1_headers(self, *, nonce: int, timestamp_s: int) -> dict[str, str]:
        """Return the headers that prove the wallet (creating and deriving API credentials)."""
        return create_level_1_headers(self._signer, nonce=nonce, timestamp=timestamp_s)

    def level_2_headers(
        self, api: ApiCredentials, *, method: str, path: str, body: bytes | None, timestamp_s: int
    ) -> dict[str, str]:
        """Return the headers of a private request: HMAC over time, method, path without query, and body."""
        credentials = ApiCreds(
            api.api_key.get_secret_value(), api.secret.get_secret_value(), api.passphrase.get_secret_value()
        )
        serialized = body.decode() if body is not None else None
        request = RequestArgs(method=method, request_path=path, serialized_body=serialized)
        return create_level_2_headers(self._signer, credentials, request, timestamp=timestamp_s)


def exchange_address(neg_risk: bool, chain_id: int) -> str:
    """Return the exchange contract that settles a market: spender of allowances and signing domain."""
    contracts = get_contract_config(chain_id)
    return contracts.neg_risk_exchange_v2 if neg_risk else contracts.exchange_v2


@lru_cache(maxsize=8)
def _exchange(neg_risk: bool, chain_id: int) -> ExchangeOrderBuilderV2:
    return ExchangeOrderBuilderV2(exchange_address(neg_risk, chain_id), chain_id, Signer(_NO_KEY, chain_id))


def _signer(private_key: SecretStr, chain_id: int) -> Signer:
    signer: Signer | None
    try:
        signer = Signer(private_key.get_secret_value(), chain_id)
    except Exception:
        signer = None
    if signer is None:
        # Raised out here: what the libraries say of a bad key may quote it, even as a suppressed context.
        raise CredentialsMissing("the private key is unusable")
    return signer


def _order_data(attempt: Attempt, kind: SignatureTypeV2) -> OrderDataV2:
    return OrderDataV2(
        maker=attempt.wallet.funder,
        signer=attempt.wallet.signer,
        tokenId=str(attempt.token_id),
        makerAmount=str(attempt.maker_amount),
        takerAmount=str(attempt.taker_amount),
        side=WireSide.BUY if attempt.side is Side.BUY else WireSide.SELL,
        signatureType=kind,
        timestamp=str(attempt.timestamp_ms),
        metadata=BYTES32_ZERO,
        builder=BYTES32_ZERO,
        expiration=str(attempt.expiration_s),
    )


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _address_word(address: str) -> bytes:
    return bytes.fromhex(address.removeprefix("0x")).rjust(32, b"\0")
