"""Payloads of Temporal encrypted with AES-256-GCM, before they leave the process.

Every payload goes through here: inputs, results, signals, updates, queries, heartbeats, memos, summaries
and, by the failure converter, messages and stack traces. What stays in clear is what Temporal itself needs:
workflow ids, search attributes, names of workflows, activities and messages, types of failures, headers (ids
of traces), times, sizes.

An encrypted payload names its key and is bound to it and to this format, not to a workflow or a namespace:
both change when a database is restored elsewhere, and the user interface asks for payloads without saying
whose they are.
"""

import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

from domain.errors import HoldfastError
from runtime.settings import RingKey, TemporalSettings

CODEC_PATH = "/codec"
"""Where the API serves this codec to Temporal's UI and CLI."""

ENCODING = "encoding"
KEY_ID = "encryption-key-id"
ENCRYPTED = b"binary/encrypted"
NONCE_BYTES = 12
_FORMAT = b"holdfast-payload-1:"


class PayloadUnreadable(HoldfastError):
    """An encrypted payload cannot be read by this process."""

    code = "payload_unreadable"


class UnknownPayloadKey(PayloadUnreadable):
    """A payload was encrypted with a key that this process was not given.

    Args:
        key_id: The key's id, as the payload names it.
    """

    code = "payload_key_unknown"

    def __init__(self, key_id: str) -> None:
        super().__init__(
            f"a payload is encrypted with the key {key_id}, which HOLDFAST_TEMPORAL_PAYLOAD_KEYS lacks"
        )
        self.key_id = key_id


class PayloadBroken(PayloadUnreadable):
    """A payload names a known key and does not open with it: damaged, forged, or another key of that name."""

    code = "payload_broken"


class EncryptedPayloads(PayloadCodec):
    """Encrypts with the first key of a ring and decrypts with all; what was never encrypted passes as it is.

    It works in the event loop: a payload of 5 KB takes a few microseconds, a hop to a thread many more.

    Args:
        ring: The keys, encrypting one first; without any, nothing is encrypted or can be decrypted.
        encrypt: False only decrypts.
    """

    def __init__(self, ring: Sequence[RingKey] = (), *, encrypt: bool = True) -> None:
        self._ciphers = {key.key_id.encode(): AESGCM(key.raw()) for key in ring}
        self._encrypting = ring[0].key_id.encode() if ring and encrypt else None

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Ids of the keys that can be read, the ring's first one first."""
        return tuple(key_id.decode() for key_id in self._ciphers)

    @property
    def encrypting_key_id(self) -> str | None:
        """Id of the key that encrypts; None when nothing is encrypted."""
        return None if self._encrypting is None else self._encrypting.decode()

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Return the payloads encrypted; one that is encrypted already stays as it is."""
        key_id = self._encrypting
        if key_id is None:
            return list(payloads)
        return [each if key_of(each) is not None else self._sealed(each, key_id) for each in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Return the payloads in clear.

        Raises:
            UnknownPayloadKey: The ring lacks a payload's key.
            PayloadBroken: A payload does not open with the key that it names.
        """
        return [each if (key_id := key_of(each)) is None else self._opened(each, key_id) for each in payloads]

    def _sealed(self, payload: Payload, key_id: bytes) -> Payload:
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._ciphers[key_id].encrypt(nonce, payload.SerializeToString(), _FORMAT + key_id)
        return Payload(metadata={ENCODING: ENCRYPTED, KEY_ID: key_id}, data=nonce + sealed)

    def _opened(self, payload: Payload, key_id: bytes) -> Payload:
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise UnknownPayloadKey(key_id.decode(errors="replace"))
        try:
            clear = cipher.decrypt(payload.data[:NONCE_BYTES], payload.data[NONCE_BYTES:], _FORMAT + key_id)
            return Payload.FromString(clear)
        except (InvalidTag, ValueError, DecodeError):
            raise PayloadBroken("a payload does not open with the key that it names") from None


def key_of(payload: Payload) -> bytes | None:
    """Return the id of the key that a payload is encrypted with; None when it stands in clear."""
    # By `get`: reading a missing entry of a protobuf map by its name would add it.
    metadata = payload.metadata
    return metadata.get(KEY_ID, b"") if metadata.get(ENCODING) == ENCRYPTED else None


def codec_of(settings: TemporalSettings) -> EncryptedPayloads:
    """Return the codec that the settings ask for; without keys it changes nothing."""
    return EncryptedPayloads(settings.payload_key_ring(), encrypt=settings.payload_encrypt)
