"""Sealed secrets: AES-256-GCM, a data key for each record, wrapped by a master key out of a ring."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.errors import HoldfastError

_KEY_BYTES = 32
_NONCE_BYTES = 12
_FORMAT = b"holdfast-sealed-1"


class SealBroken(HoldfastError):
    """A sealed secret cannot be opened: its master key is not in the ring, or it was tampered with."""

    code = "seal_broken"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A secret as it is stored; nothing in it is of use without the master key."""

    master_key_id: str
    wrapped_key: bytes
    ciphertext: bytes


class KeyRing:
    """Seals with one master key and opens with all that are known.

    Args:
        sealing_key_id: Names the key that seals.
        keys: Master keys of 32 bytes by their ids.

    Raises:
        ValueError: The sealing key is missing, or a key has the wrong length.
    """

    def __init__(self, sealing_key_id: str, keys: Mapping[str, bytes]) -> None:
        if sealing_key_id not in keys:
            raise ValueError(f"the key ring has no key {sealing_key_id}")
        if any(len(key) != _KEY_BYTES for key in keys.values()):
            raise ValueError(f"a master key has {_KEY_BYTES} bytes")
        self._sealing_key_id = sealing_key_id
        self._keys = dict(keys)

    def __repr__(self) -> str:
        return f"KeyRing(sealing_key_id={self._sealing_key_id!r})"

    @property
    def sealing_key_id(self) -> str:
        """Id of the key that new secrets are sealed with."""
        return self._sealing_key_id

    def seal(self, secret: bytes, *, account_id: str, record_id: str) -> Sealed:
        """Seal a secret for one record of one account; it opens nowhere else."""
        data_key = secrets.token_bytes(_KEY_BYTES)
        place = _place(account_id, record_id)
        return Sealed(
            master_key_id=self._sealing_key_id,
            wrapped_key=_encrypt(self._keys[self._sealing_key_id], data_key, place + b"key"),
            ciphertext=_encrypt(data_key, secret, place + b"secret"),
        )

    def unseal(self, sealed: Sealed, *, account_id: str, record_id: str) -> bytes:
        """Return the secret.

        Raises:
            SealBroken: Unknown master key, other record, or tampered with.
        """
        place = _place(account_id, record_id)
        return _decrypt(self._data_key(sealed, place), sealed.ciphertext, place + b"secret")

    def rewrap(self, sealed: Sealed, *, account_id: str, record_id: str) -> Sealed:
        """Return the same secret with its data key wrapped by the present sealing key.

        Raises:
            SealBroken: Unknown master key, other record, or tampered with.
        """
        place = _place(account_id, record_id)
        data_key = self._data_key(sealed, place)
        wrapped = _encrypt(self._keys[self._sealing_key_id], data_key, place + b"key")
        return Sealed(self._sealing_key_id, wrapped, sealed.ciphertext)

    def _data_key(self, sealed: Sealed, place: bytes) -> bytes:
        master_key = self._keys.get(sealed.master_key_id)
        if master_key is None:
            raise SealBroken(f"the key ring has no key {sealed.master_key_id}")
        return _decrypt(master_key, sealed.wrapped_key, place + b"key")


def _place(account_id: str, record_id: str) -> bytes:
    """Return what binds a secret to its place; lengths keep two places from reading alike."""
    parts = [_FORMAT, account_id.encode(), record_id.encode()]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _encrypt(key: bytes, plaintext: bytes, associated: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, associated)


def _decrypt(key: bytes, sealed: bytes, associated: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], associated)
    except (InvalidTag, ValueError):
        raise SealBroken("a sealed secret does not open: another record's, or tampered with") from None
