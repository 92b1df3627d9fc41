"""EIP-712 digests and signer recovery (venue documentation "contracts" and "v2-migration", 2026)."""

from dataclasses import dataclass
from functools import lru_cache

from coincurve import PublicKey
from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

ORDER_TYPE = (
    "Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,uint256 takerAmount,"
    "uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,bytes32 builder)"
)
ORDER_TYPE_HASH = keccak(text=ORDER_TYPE)
EXCHANGE_DOMAIN_TYPE_HASH = keccak(
    text="EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
EXCHANGE_NAME_HASH = keccak(text="Polymarket CTF Exchange")
EXCHANGE_VERSION_HASH = keccak(text="2")
STANDARD_EXCHANGE = "0xE111180000d2663C0091e4f400237545B87B996B"
NEG_RISK_EXCHANGE = "0xe2222d279d744050d28e00520010520000310F59"
NEG_RISK_ADAPTER = "0xd91E80cF2E7be2e162c6513ceD06f1dD0dA35296"

AUTH_DOMAIN_TYPE_HASH = keccak(text="EIP712Domain(string name,string version,uint256 chainId)")
AUTH_TYPE_HASH = keccak(text="ClobAuth(address address,string timestamp,uint256 nonce,string message)")
AUTH_NAME_HASH = keccak(text="ClobAuthDomain")
AUTH_VERSION_HASH = keccak(text="1")
AUTH_MESSAGE_HASH = keccak(text="This message attests that I control the given wallet")


DEPOSIT_TYPE = (
    "TypedDataSign(Order contents,string name,string version,uint256 chainId,address verifyingContract,"
    f"bytes32 salt){ORDER_TYPE}"
)
DEPOSIT_TYPE_HASH = keccak(text=DEPOSIT_TYPE)
DEPOSIT_NAME_HASH = keccak(text="DepositWallet")
DEPOSIT_VERSION_HASH = keccak(text="1")
DEPOSIT_SALT = bytes(32)
_INNER = 65


class SignatureError(ValueError):
    """The signature is malformed, or no public key recovers from it."""


@dataclass(frozen=True, slots=True)
class OrderFields:
    """What enters the signature of an order; amounts are six-decimal integers."""

    salt: int
    maker: str
    signer: str
    token_id: str
    maker_amount: int
    taker_amount: int
    side: int
    signature_type: int
    timestamp: int
    metadata: bytes
    builder: bytes


@lru_cache(maxsize=8)
def exchange_domain(chain_id: int, neg_risk: bool) -> bytes:
    """Returns the domain separator of the exchange that settles such a market."""
    contract = NEG_RISK_EXCHANGE if neg_risk else STANDARD_EXCHANGE
    words = [EXCHANGE_DOMAIN_TYPE_HASH, EXCHANGE_NAME_HASH, EXCHANGE_VERSION_HASH]
    return keccak(b"".join(words) + _word(chain_id) + _address_word(contract))


@lru_cache(maxsize=8)
def auth_domain(chain_id: int) -> bytes:
    """Returns the domain separator of ``ClobAuth``, which has no verifying contract."""
    return keccak(AUTH_DOMAIN_TYPE_HASH + AUTH_NAME_HASH + AUTH_VERSION_HASH + _word(chain_id))


def order_digest(order: OrderFields, chain_id: int, neg_risk: bool) -> bytes:
    """Returns the 32 bytes that are signed and that are the order's id."""
    return keccak(b"\x19\x01" + exchange_domain(chain_id, neg_risk) + order_struct_hash(order))


def order_struct_hash(order: OrderFields) -> bytes:
    """Returns the hash of the order alone, without its domain."""
    struct = b"".join(
        (
            ORDER_TYPE_HASH,
            _word(order.salt),
            _address_word(order.maker),
            _address_word(order.signer),
            _word(int(order.token_id)),
            _word(order.maker_amount),
            _word(order.taker_amount),
            _word(order.side),
            _word(order.signature_type),
            _word(order.timestamp),
            order.metadata,
            order.builder,
        )
    )
    return keccak(struct)


def recover_owner(order: OrderFields, signature: str, chain_id: int, neg_risk: bool) -> str:
    """Returns the checksum address of the key that signed for a deposit wallet (ERC-7739 nested typed data).

    The signature is 65 bytes of the key, the exchange's domain separator, the order's struct hash, the
    order's type string and that string's length in two bytes. The wallet's own domain (``DepositWallet``,
    version 1, the wallet as contract) enters the inner digest, so another wallet of the same owner cannot
    use the signature.

    Raises:
        SignatureError: malformed, for another exchange or order, or no key recovers from it.
    """
    try:
        raw = bytes.fromhex(signature.removeprefix("0x"))
    except ValueError as error:
        raise SignatureError("signature is not hexadecimal") from error
    domain, contents = exchange_domain(chain_id, neg_risk), order_struct_hash(order)
    type_string = ORDER_TYPE.encode()
    if raw[_INNER:] != domain + contents + type_string + len(type_string).to_bytes(2, "big"):
        raise SignatureError("signature wraps another order, exchange or type")
    nested = b"".join(
        (
            DEPOSIT_TYPE_HASH,
            contents,
            DEPOSIT_NAME_HASH,
            DEPOSIT_VERSION_HASH,
            _word(chain_id),
            _address_word(order.maker),
            DEPOSIT_SALT,
        )
    )
    return recover_address(keccak(b"\x19\x01" + domain + keccak(nested)), raw[:_INNER].hex())


def auth_digest(address: str, timestamp: str, nonce: int, chain_id: int) -> bytes:
    """Returns the digest of an L1 request; the timestamp is a string inside the struct."""
    struct = encode(
        ["bytes32", "address", "bytes32", "uint256", "bytes32"],
        [AUTH_TYPE_HASH, address, keccak(text=timestamp), nonce, AUTH_MESSAGE_HASH],
    )
    return keccak(b"\x19\x01" + auth_domain(chain_id) + keccak(struct))


def recover_address(digest: bytes, signature: str) -> str:
    """Returns the checksum address that signed.

    Raises:
        SignatureError: malformed signature, or no key recovers from it.
    """
    try:
        raw = bytes.fromhex(signature.removeprefix("0x"))
    except ValueError as error:
        raise SignatureError("signature is not hexadecimal") from error
    if len(raw) != 65 or raw[64] not in (0, 1, 27, 28):
        raise SignatureError("signature has not 65 bytes with a recovery id")
    recoverable = raw[:64] + bytes([raw[64] % 27])
    try:
        key = PublicKey.from_signature_and_message(recoverable, digest, hasher=None)
    except Exception as error:  # coincurve raises a bare Exception where recovery fails
        raise SignatureError("no key recovers from the signature") from error
    return checksum(keccak(key.format(compressed=False)[1:])[-20:].hex())


@lru_cache(maxsize=4096)
def checksum(address: str) -> str:
    """Returns the address in checksum case; cached, since wallets repeat."""
    return to_checksum_address(address if address.startswith("0x") else f"0x{address}")


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _address_word(address: str) -> bytes:
    return bytes(12) + bytes.fromhex(address[2:])
