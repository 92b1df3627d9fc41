"""Which payload keys the histories in Temporal need: what a doctor and a rotation must know."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeGuard

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import MarkerRecordedEventAttributes
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from domain.errors import HoldfastError
from runtime.temporal_codec import EncryptedPayloads, PayloadUnreadable, key_of

_OPEN = 'ExecutionStatus = "Running"'
_CLOSED = 'ExecutionStatus != "Running"'
# Temporal reads the attributes itself, and headers hold ids of traces alone: no codec ever sees them.
_NEVER_ENCRYPTED = frozenset({"search_attributes", "header"})
# Markers of the SDK hold its own notes (name and time of a local activity, id of a patch) beside the result.
_SDK_MARKERS = "core_"
_RESULT = "result"


class TemporalAway(HoldfastError):
    """Temporal cannot be asked now."""

    code = "temporal_unavailable"
    retryable = True


@dataclass(slots=True)
class HistorySurvey:
    """What the histories that were read hold.

    Attributes:
        histories: How many were read.
        in_clear: How many hold at least one payload that is not encrypted.
        by_key: For each payload key, how many histories need it.
        unreadable: For each workflow that the given codec cannot read, why not.
        stuck: Those of them that are open: no task of theirs can be carried out.
    """

    histories: int = 0
    in_clear: int = 0
    by_key: Counter[str] = field(default_factory=Counter[str])
    unreadable: dict[str, PayloadUnreadable] = field(default_factory=dict[str, PayloadUnreadable])
    stuck: list[str] = field(default_factory=list[str])


async def survey_histories(
    client: Client, codec: EncryptedPayloads, *, of_each: int | None = None
) -> HistorySurvey:
    """Read histories as they are stored and say which keys they need, and which the codec cannot open.

    Args:
        client: A connected client; its own data converter is not used.
        codec: The codec of this process.
        of_each: How many of the open and of the closed workflows, newest first; None reads all.

    Raises:
        TemporalAway: Temporal does not answer.
    """
    survey = HistorySurvey()
    try:
        for query in (_OPEN, _CLOSED):
            async for execution in client.list_workflows(query, limit=of_each):
                readable = await add_history(survey, client, codec, execution.id, execution.run_id)
                if not readable and query == _OPEN:
                    survey.stuck.append(execution.id)
    except RPCError as error:
        raise TemporalAway(f"Temporal: {error.status.name}") from error
    return survey


async def add_history(
    survey: HistorySurvey, client: Client, codec: EncryptedPayloads, workflow_id: str, run_id: str
) -> bool:
    """Read one history as it is stored into a survey, and say whether the codec can read it.

    One that is gone meanwhile adds nothing.
    """
    try:
        payloads = [payload async for payload in _payloads(client, workflow_id, run_id)]
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return True  # visibility lags behind the retention that removed it
        raise
    keys = {key_of(payload) for payload in payloads}
    survey.histories += 1
    survey.in_clear += None in keys
    survey.by_key.update(key.decode(errors="replace") for key in keys if key is not None)
    try:
        await codec.decode(payloads)
    except PayloadUnreadable as error:
        survey.unreadable[workflow_id] = error
        return False
    return True


async def _payloads(client: Client, workflow_id: str, run_id: str) -> AsyncIterator[Payload]:
    handle = client.get_workflow_handle(workflow_id, run_id=run_id)
    async for event in handle.fetch_history_events():
        for payload in payloads_of(event):
            yield payload


def payloads_of(message: Message) -> Iterator[Payload]:
    """Yield each payload of a message that a codec may encrypt, at any depth."""
    if isinstance(message, Payload):
        yield message
        return
    if isinstance(message, MarkerRecordedEventAttributes) and message.marker_name.startswith(_SDK_MARKERS):
        yield from payloads_of(message.details[_RESULT]) if _RESULT in message.details else ()
        yield from payloads_of(message.failure)
        return
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None and descriptor.name not in _NEVER_ENCRYPTED:
            for part in _messages(value):
                yield from payloads_of(part)


def _messages(value: object) -> Iterator[Message]:
    """Yield the messages of a field: of a single one, a repeated one, or a map of them."""
    if isinstance(value, Message):
        yield value
    elif _is_map(value):
        yield from (each for each in value.values() if isinstance(each, Message))
    elif _is_repeated(value):
        yield from (each for each in value if isinstance(each, Message))


def _is_map(value: object) -> TypeGuard[Mapping[object, object]]:
    return isinstance(value, Mapping)


def _is_repeated(value: object) -> TypeGuard[Iterable[object]]:
    return isinstance(value, Iterable)
