"""Payloads as JSON by pydantic, with the type adapters built once for the process.

The SDK makes a payload converter for each workflow run. With its own pydantic converter every run would
build the adapters of its messages anew: 6 ms of CPU at a rule's start, 3.5 ms between a price and an order.

With payload keys every payload is encrypted on its way out, see `runtime/temporal_codec.py`.
"""

import dataclasses
from collections.abc import Iterable
from typing import Never

from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticJSONPlainPayloadConverter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    DefaultPayloadConverter,
    EncodingPayloadConverter,
    JSONPlainPayloadConverter,
)

from runtime.settings import TemporalSettings
from runtime.temporal_codec import ENCRYPTED, UnknownPayloadKey, codec_of, key_of


class _WarmConverter(PydanticJSONPlainPayloadConverter):
    def adapter_of(self, message: type) -> None:
        """Put the adapter of a message into the cache."""
        self._type_adapter(message)


_JSON = _WarmConverter()


def build_adapters(messages: Iterable[type]) -> None:
    """Build the type adapters of these messages now, so that the first crossing does not wait for them."""
    for message in messages:
        _JSON.adapter_of(message)


class _NoKeys(EncodingPayloadConverter):
    """Says what is wrong where a process without payload keys meets an encrypted payload.

    It stands in for a codec without keys, whose walk through every message would cost something for nothing.
    """

    @property
    def encoding(self) -> str:
        """The encoding of encrypted payloads."""
        return ENCRYPTED.decode()

    def to_payload(self, value: object) -> None:
        """Take no value: encrypting is the codec's."""

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Never:
        """Refuse the payload."""
        raise UnknownPayloadKey((key_of(payload) or b"").decode(errors="replace"))


_NO_KEYS = _NoKeys()


class SharedPydanticPayloadConverter(CompositePayloadConverter):
    """The SDK's default converters, with JSON by the process's one pydantic converter."""

    def __init__(self) -> None:
        """Put the shared converter in the place of the plain JSON one."""
        standard = DefaultPayloadConverter.default_encoding_payload_converters
        super().__init__(
            *(_JSON if isinstance(each, JSONPlainPayloadConverter) else each for each in standard),
            _NO_KEYS,
        )


CONVERTER: DataConverter = dataclasses.replace(
    DataConverter.default, payload_converter_class=SharedPydanticPayloadConverter
)


def converter_of(settings: TemporalSettings) -> DataConverter:
    """Return the data converter that the settings ask for; with payload keys failures are encrypted too."""
    if not settings.payload_keys:
        return CONVERTER
    codec = codec_of(settings)
    if codec.encrypting_key_id is None:
        return dataclasses.replace(CONVERTER, payload_codec=codec)
    return dataclasses.replace(
        CONVERTER,
        payload_codec=codec,
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )
