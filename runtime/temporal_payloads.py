"""Payloads as JSON by pydantic, with the type adapters built once for the process.

The SDK makes a payload converter for each workflow run. With its own pydantic converter every run would
build the adapters of its messages anew: 6 ms of CPU at a rule's start, 3.5 ms between a price and an order.

Every payload then passes the codec of `runtime/temporal_codec.py`, which encrypts it when keys are set.
"""

import dataclasses
from collections.abc import Iterable

from temporalio.contrib.pydantic import PydanticJSONPlainPayloadConverter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    DefaultPayloadConverter,
    JSONPlainPayloadConverter,
)

from runtime.settings import TemporalSettings
from runtime.temporal_codec import EncryptedPayloads, codec_of


class _WarmConverter(PydanticJSONPlainPayloadConverter):
    def adapter_of(self, message: type) -> None:
        """Put the adapter of a message into the cache."""
        self._type_adapter(message)


_JSON = _WarmConverter()


def build_adapters(messages: Iterable[type]) -> None:
    """Build the type adapters of these messages now, so that the first crossing does not wait for them."""
    for message in messages:
        _JSON.adapter_of(message)


class SharedPydanticPayloadConverter(CompositePayloadConverter):
    """The SDK's default converters, with JSON by the process's one pydantic converter."""

    def __init__(self) -> None:
        """Put the shared converter in the place of the plain JSON one."""
        standard = DefaultPayloadConverter.default_encoding_payload_converters
        super().__init__(
            *(_JSON if isinstance(each, JSONPlainPayloadConverter) else each for each in standard),
        )


CONVERTER: DataConverter = dataclasses.replace(
    DataConverter.default,
    payload_converter_class=SharedPydanticPayloadConverter,
    # Without keys as well: a worker must fail its task on a payload that it cannot read. What a converter
    # cannot read the SDK answers otherwise, and a signal, such as a crossing, would be dropped.
    payload_codec=EncryptedPayloads(),
)


def converter_of(settings: TemporalSettings) -> DataConverter:
    """Return the data converter that the settings ask for; where it encrypts, failures are encrypted too."""
    codec = codec_of(settings)
    if not codec.key_ids:
        return CONVERTER
    if codec.encrypting_key_id is None:
        return dataclasses.replace(CONVERTER, payload_codec=codec)
    return dataclasses.replace(
        CONVERTER,
        payload_codec=codec,
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )
