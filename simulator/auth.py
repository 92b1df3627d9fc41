"""API keys and the two kinds of request signatures (venue documentation "authentication", 2026)."""

import base64
import hashlib
import hmac
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from simulator import refusals
from simulator.refusals import Refusal
from simulator.signatures import SignatureError, auth_digest, checksum, recover_address

KEY_NAMESPACE = uuid.UUID("7a0c52f4-6f60-4f0c-9b52-6f1d8f6f3f10")


@dataclass(slots=True)
class ApiKey:
    """Credentials of a signer address; the same address and nonce always give the same."""

    key: str
    secret: str
    passphrase: str
    address: str
    nonce: int
    revoked: bool = False

    def credentials(self) -> dict[str, object]:
        """Returns the reply of create and derive."""
        return {"apiKey": self.key, "secret": self.secret, "passphrase": self.passphrase}


def make_api_key(seed: str, address: str, nonce: int) -> ApiKey:
    """Derives credentials from the exchange's seed."""
    material = f"{seed}:{address.lower()}:{nonce}".encode()
    secret = base64.urlsafe_b64encode(hashlib.sha256(b"secret:" + material).digest()).decode()
    passphrase = hashlib.sha256(b"passphrase:" + material).hexdigest()
    key = str(uuid.uuid5(KEY_NAMESPACE, material.decode()))
    return ApiKey(key, secret, passphrase, checksum(address), nonce)


@dataclass(frozen=True, slots=True)
class L1Request:
    """A request signed by a wallet."""

    address: str
    nonce: int


def verify_l1(headers: Mapping[str, str], chain_id: int, now_ms: int, window_s: int | None) -> L1Request:
    """Checks the wallet's signature over ``ClobAuth``.

    Args:
        headers: names in lower case.
        chain_id: chain of the signature's domain.
        now_ms: Unix milliseconds.
        window_s: largest age of the timestamp either way; None accepts any.

    Raises:
        Refusal: 401, whatever part is wrong.
    """
    refused = Refusal(401, refusals.INVALID_L1)
    try:
        address = checksum(headers["poly_address"])
        timestamp = headers["poly_timestamp"]
        nonce = int(headers.get("poly_nonce", "0"))
        _check_age(int(timestamp), now_ms, window_s, refused)
        signer = recover_address(auth_digest(address, timestamp, nonce, chain_id), headers["poly_signature"])
    except (KeyError, ValueError, SignatureError) as error:
        raise refused from error
    if signer != address:
        raise refused
    return L1Request(address, nonce)


def verify_l2(
    headers: Mapping[str, str],
    keys: Mapping[str, ApiKey],
    method: str,
    path: str,
    body: bytes,
    now_ms: int,
    window_s: int | None,
) -> ApiKey:
    """Checks key, passphrase, address and the HMAC over timestamp + method + path + raw body.

    Raises:
        Refusal: 401, whatever part is wrong.
    """
    refused = Refusal(401, refusals.UNAUTHORIZED)
    key = keys.get(headers.get("poly_api_key", ""))
    if key is None or key.revoked:
        raise refused
    timestamp = headers.get("poly_timestamp", "")
    if not timestamp.isdigit():
        raise refused
    _check_age(int(timestamp), now_ms, window_s, refused)
    expected = hmac_signature(key.secret, timestamp, method, path, body)
    genuine = (
        hmac.compare_digest(expected, headers.get("poly_signature", ""))
        and hmac.compare_digest(key.passphrase, headers.get("poly_passphrase", ""))
        and headers.get("poly_address", "").lower() == key.address.lower()
    )
    if not genuine:
        raise refused
    return key


def hmac_signature(secret: str, timestamp: str, method: str, path: str, body: bytes) -> str:
    """Returns url-safe base64 with padding of HMAC-SHA256; the path comes without its query."""
    message = f"{timestamp}{method}{path}".encode() + body
    digest = hmac.new(base64.urlsafe_b64decode(secret), message, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode()


def _check_age(timestamp: int, now_ms: int, window_s: int | None, refused: Refusal) -> None:
    if window_s is not None and abs(now_ms // 1000 - timestamp) > window_s:
        raise refused
