"""Encrypted payloads by themselves: round trip, rotation, what cannot be read, and what stays as it is."""

import base64
import os

import pytest
from pydantic import SecretStr, ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.exceptions import ApplicationError

from domain.messages import CancelRule
from runtime.settings import RingKey, TemporalSettings, parse_key_ring
from runtime.temporal_codec import (
    EncryptedPayloads,
    PayloadBroken,
    PayloadUnreadable,
    UnknownPayloadKey,
    key_of,
)
from runtime.temporal_payloads import CONVERTER, converter_of
from tests.domain.builders import ACCOUNT

CLEAR = Payload(metadata={"encoding": b"json/plain"}, data=b'{"level":"0.4173"}')


def key(key_id: str) -> RingKey:
    return RingKey(key_id, SecretStr(base64.b64encode(os.urandom(32)).decode()))


def ring_text(*ring: RingKey) -> SecretStr:
    return SecretStr(",".join(f"{each.key_id}:{each.key.get_secret_value()}" for each in ring))


def settings(*ring: RingKey, encrypt: bool = True) -> TemporalSettings:
    return TemporalSettings(payload_keys=ring_text(*ring) if ring else None, payload_encrypt=encrypt)


FIRST, SECOND = key("2026-a"), key("2026-b")


async def test_payload_comes_back_as_it_was_and_shows_nothing_meanwhile() -> None:
    codec = EncryptedPayloads([FIRST])

    (sealed,) = await codec.encode([CLEAR])

    assert key_of(sealed) == b"2026-a"
    assert b"0.4173" not in sealed.SerializeToString()
    assert b"json" not in sealed.SerializeToString()
    assert await codec.decode([sealed]) == [CLEAR]
    assert Payload(metadata={"encoding": b"json/plain"}, data=b'{"level":"0.4173"}') == CLEAR


async def test_same_payload_never_looks_the_same_twice() -> None:
    codec = EncryptedPayloads([FIRST])

    one, other = await codec.encode([CLEAR, CLEAR])

    assert one.data != other.data
    assert await codec.decode([one, other]) == [CLEAR, CLEAR]


async def test_payload_in_clear_passes_so_that_workflows_in_flight_go_on() -> None:
    assert await EncryptedPayloads([FIRST]).decode([CLEAR]) == [CLEAR]


async def test_encrypted_payload_is_not_encrypted_again() -> None:
    codec = EncryptedPayloads([FIRST])
    sealed = await codec.encode([CLEAR])

    assert await codec.encode(sealed) == sealed


async def test_rotated_ring_writes_with_its_first_key_and_reads_all() -> None:
    old = await EncryptedPayloads([FIRST]).encode([CLEAR])
    rotated = EncryptedPayloads([SECOND, FIRST])

    new = await rotated.encode([CLEAR])

    assert [key_of(each) for each in (*old, *new)] == [b"2026-a", b"2026-b"]
    assert await rotated.decode([*old, *new]) == [CLEAR, CLEAR]


async def test_ring_that_only_decrypts_writes_in_clear_and_reads_what_others_wrote() -> None:
    sealed = await EncryptedPayloads([FIRST]).encode([CLEAR])
    reading = EncryptedPayloads([FIRST], encrypt=False)

    assert reading.encrypting_key_id is None
    assert await reading.encode([CLEAR]) == [CLEAR]
    assert await reading.decode(sealed) == [CLEAR]


async def test_key_that_the_ring_lacks_is_named() -> None:
    sealed = await EncryptedPayloads([FIRST]).encode([CLEAR])

    with pytest.raises(UnknownPayloadKey, match="2026-a") as refused:
        await EncryptedPayloads([SECOND]).decode(sealed)

    assert (refused.value.key_id, refused.value.code) == ("2026-a", "payload_key_unknown")


def damaged(payload: Payload) -> Payload:
    return Payload(metadata=payload.metadata, data=payload.data[:-1] + bytes([payload.data[-1] ^ 1]))


def shortened(payload: Payload) -> Payload:
    return Payload(metadata=payload.metadata, data=payload.data[:5])


def renamed(payload: Payload) -> Payload:
    return Payload(metadata={**payload.metadata, "encryption-key-id": b"2026-b"}, data=payload.data)


@pytest.mark.parametrize("change", [damaged, shortened, renamed])
async def test_changed_payload_does_not_open(change) -> None:
    same_bytes = RingKey("2026-b", FIRST.key)
    codec = EncryptedPayloads([FIRST, same_bytes])
    (sealed,) = await codec.encode([CLEAR])

    with pytest.raises(PayloadBroken):
        await codec.decode([change(sealed)])


async def test_other_key_of_the_same_name_is_broken_and_not_unknown() -> None:
    sealed = await EncryptedPayloads([FIRST]).encode([CLEAR])

    with pytest.raises(PayloadBroken):
        await EncryptedPayloads([key("2026-a")]).decode(sealed)


async def test_process_without_keys_says_which_one_it_lacks() -> None:
    message = CancelRule(account_id=ACCOUNT)
    sealed = await converter_of(settings(FIRST)).encode([message])

    with pytest.raises(UnknownPayloadKey, match="2026-a"):
        await converter_of(settings()).decode(sealed, [CancelRule])


async def test_converter_without_keys_is_the_plain_one() -> None:
    assert converter_of(settings()) is CONVERTER


async def test_message_and_trace_of_a_failure_are_encrypted_with_its_details() -> None:
    converter = converter_of(settings(FIRST))
    failure = Failure()
    try:
        raise ApplicationError("level 0.4173 of rul_1", "detail 0.4173", type="venue_blocked")
    except ApplicationError as error:
        await converter.encode_failure(error, failure)

    stored = failure.SerializeToString()
    assert b"0.4173" not in stored
    assert b"test_temporal_codec" not in stored
    back = await converter.decode_failure(failure)
    assert isinstance(back, ApplicationError)
    assert (back.message, back.details, back.type) == (
        "level 0.4173 of rul_1",
        ("detail 0.4173",),
        "venue_blocked",
    )


async def test_failures_stay_readable_while_nothing_is_encrypted() -> None:
    failure = Failure()

    await converter_of(settings(FIRST, encrypt=False)).encode_failure(ApplicationError("said"), failure)

    assert failure.message == "said"


@pytest.mark.parametrize(
    "text", ["a", "a:AAAA", "a:" + "A" * 43 + "=,a:" + "A" * 43 + "=", ":" + "A" * 43 + "="]
)
def test_unusable_ring_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TemporalSettings(payload_keys=SecretStr(text))

    assert "AAAA" not in str(refused.value)


def test_keys_show_in_no_repr() -> None:
    given = settings(FIRST)

    assert FIRST.key.get_secret_value() not in repr(given) + repr(EncryptedPayloads([FIRST]))
    assert parse_key_ring(ring_text(FIRST)) == given.payload_key_ring()


def test_every_unreadable_payload_is_one_kind_of_error() -> None:
    assert issubclass(UnknownPayloadKey, PayloadUnreadable)
    assert issubclass(PayloadBroken, PayloadUnreadable)
