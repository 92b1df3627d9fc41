"""Histories of earlier versions replay on this one; changes to live workflows go through `patched`."""

import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from bench.histories import KINDS
from runtime.temporal import workflow_runner
from runtime.temporal_payloads import CONVERTER
from worker.registry import WORKFLOWS

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))


@pytest.fixture(scope="module")
def replayer() -> Replayer:
    """The workers' converter and sandbox; its construction checks that all workflows load in the sandbox."""
    return Replayer(workflows=WORKFLOWS, data_converter=CONVERTER, workflow_runner=workflow_runner())


def read(path: Path) -> str:
    return path.read_text()


def history_of(text: str) -> WorkflowHistory:
    document = json.loads(text)
    first = document["events"][0]["workflowExecutionStartedEventAttributes"]
    return WorkflowHistory.from_json(first["workflowId"], document)


def kind_of(path: Path) -> str:
    first = json.loads(read(path))["events"][0]["workflowExecutionStartedEventAttributes"]
    return first["workflowType"]["name"]


def test_there_are_histories():
    assert len(HISTORIES) > 10


def test_every_kind_of_workflow_has_a_history():
    assert {kind_of(path) for path in HISTORIES} == set(KINDS)
    assert len(KINDS) == len(WORKFLOWS)


# Two histories of before end while somebody waits for his answer, and have to go on doing so.
@pytest.mark.filterwarnings("ignore::temporalio.workflow.UnfinishedUpdateHandlersWarning")
@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_a_recorded_history_replays(path: Path, replayer: Replayer):
    await replayer.replay_workflow(history_of(read(path)))


async def test_a_history_that_this_version_would_not_make_is_refused(replayer: Replayer):
    text = read(next(path for path in HISTORIES if "crossed_stop" in path.stem))

    with pytest.raises(NondeterminismError):
        await replayer.replay_workflow(history_of(text.replace('"place_order"', '"cancel_order"')))


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
def test_a_recorded_history_names_no_machine(path: Path):
    text = read(path)

    assert '"identity": "recorded"' in text
    assert "normalName" not in text
    assert "TASK_QUEUE_KIND_STICKY" not in text
    assert "@" not in text
