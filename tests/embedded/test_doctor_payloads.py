"""What the doctor says of encrypted payloads, and how it reads histories as they are stored."""

import base64
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import pytest
from pydantic import SecretStr
from temporalio.api.common.v1 import Header, Payload, Payloads, SearchAttributes
from temporalio.api.history.v1 import MarkerRecordedEventAttributes, WorkflowExecutionStartedEventAttributes
from temporalio.client import Client

from runtime.doctor import Finding, Outcome, ProbeFailed
from runtime.doctor_payloads import PayloadsCheck
from runtime.settings import RingKey
from runtime.temporal import connect
from runtime.temporal_codec import EncryptedPayloads, UnknownPayloadKey
from runtime.temporal_histories import HistorySurvey, add_history, payloads_of, survey_histories
from tests.shared_stack import SharedStack

ENCRYPTED = HistorySurvey(histories=3, by_key=Counter(here=3))
CLEAR = HistorySurvey(histories=3, in_clear=3)
MIXED = HistorySurvey(histories=3, in_clear=1, by_key=Counter(here=3))
LOST = HistorySurvey(
    histories=3,
    by_key=Counter(gone=1),
    unreadable={"rule/rul_1": UnknownPayloadKey("gone")},
    stuck=["rule/rul_1"],
)


def surveyed(survey: HistorySurvey | None) -> Callable[[], Awaitable[HistorySurvey]]:
    async def probe() -> HistorySurvey:
        if survey is None:
            raise ProbeFailed("Temporal is away")
        return survey

    return probe


def living(*names: str, away: bool = False) -> Callable[[], Awaitable[Sequence[str]]]:
    async def probe() -> Sequence[str]:
        if away:
            raise ProbeFailed("the API is away")
        return names

    return probe


async def finding(
    survey: HistorySurvey | None, key: str | None, live: Callable[[], Awaitable[Sequence[str]]]
) -> Finding:
    (found,) = await PayloadsCheck(key, surveyed(survey), live).run()
    return found


@pytest.mark.parametrize("key", ["here", None])
async def test_history_of_a_lost_key_fails_and_names_it(key: str | None) -> None:
    found = await finding(LOST, key, living())

    assert found.outcome is Outcome.FAIL
    assert "rule/rul_1" in found.detail
    assert "gone" in found.detail
    assert "1 of them open" in found.detail
    assert "HOLDFAST_TEMPORAL_PAYLOAD_KEYS" in str(found.fix)


async def test_live_account_without_encryption_warns_and_says_how_to_turn_it_on() -> None:
    found = await finding(CLEAR, None, living("desk"))

    assert found.outcome is Outcome.WARN
    assert "desk" in found.detail
    assert "holdfast codec new-key" in str(found.fix)


async def test_paper_without_encryption_is_well() -> None:
    assert (await finding(CLEAR, None, living())).outcome is Outcome.OK


async def test_encrypted_live_account_is_well_and_what_stands_in_clear_is_told() -> None:
    whole, mixed = await finding(ENCRYPTED, "here", living("desk")), await finding(MIXED, "here", living())

    assert (whole.outcome, mixed.outcome) == (Outcome.OK, Outcome.OK)
    assert "clear" not in whole.detail
    assert "1 of them" in mixed.detail


async def test_what_cannot_be_asked_is_a_warning() -> None:
    temporal, api = await finding(None, "here", living()), await finding(CLEAR, None, living(away=True))

    assert (temporal.outcome, api.outcome) == (Outcome.WARN, Outcome.WARN)
    assert "Temporal is away" in temporal.detail
    assert "the API is away" in api.detail


async def test_histories_tell_their_keys_and_which_of_them_this_ring_lacks(
    stack: SharedStack, task_queue_prefix: str
) -> None:
    ring = [
        RingKey(name, SecretStr(base64.b64encode(bytes([at]) * 32).decode())) for at, name in enumerate("ab")
    ]
    survey, plain = HistorySurvey(), await connect(stack.settings().temporal)
    for key in ring:
        client = await encrypting(stack, key)
        workflow_id = f"{task_queue_prefix}{key.key_id}"
        handle = await client.start_workflow("Nobody", "input", id=workflow_id, task_queue="none")
        await add_history(survey, plain, EncryptedPayloads(ring[:1]), workflow_id, str(handle.result_run_id))
        await handle.terminate()
    await add_history(survey, plain, EncryptedPayloads(ring), f"{task_queue_prefix}gone", "")

    assert (survey.histories, survey.in_clear) == (2, 0)
    assert survey.by_key == {"a": 1, "b": 1}
    assert {name: str(why) for name, why in survey.unreadable.items()} == {
        f"{task_queue_prefix}b": str(UnknownPayloadKey("b"))
    }


async def test_sample_reads_some_open_and_some_closed_histories(stack: SharedStack) -> None:
    survey = await survey_histories(await connect(stack.settings().temporal), EncryptedPayloads(), of_each=2)

    assert survey.histories <= 4


async def encrypting(stack: SharedStack, key: RingKey) -> Client:
    ring = f"{key.key_id}:{key.key.get_secret_value()}"
    return await connect(stack.settings({"HOLDFAST_TEMPORAL_PAYLOAD_KEYS": ring}).temporal)


def test_what_no_codec_ever_sees_does_not_count_as_clear() -> None:
    clear = Payload(metadata={"encoding": b"json/plain"}, data=b"1")
    started = WorkflowExecutionStartedEventAttributes(
        header=Header(fields={"_tracer-data": clear}),
        search_attributes=SearchAttributes(indexed_fields={"State": clear}),
    )
    marker = MarkerRecordedEventAttributes(
        marker_name="core_local_activity",
        details={"data": Payloads(payloads=[clear]), "result": Payloads(payloads=[clear, clear])},
    )

    assert list(payloads_of(started)) == []
    assert len(list(payloads_of(marker))) == 2
    started.input.payloads.append(clear)
    started.memo.fields["label"].CopyFrom(clear)
    assert len(list(payloads_of(started))) == 2
