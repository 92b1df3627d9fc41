"""What is kept of a run's histories: varied, short, and without a word about the machine."""

import base64
import json
from pathlib import Path

from bench.client import Json
from bench.histories import LONGEST, names_this_machine, scrubbed, shortened


def event(number: int, kind: str = "EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED") -> Json:
    return {"eventId": str(number), "eventType": kind}


def payload(text: str) -> Json:
    return {"data": base64.b64encode(text.encode()).decode()}


def test_identities_own_queues_and_traces_are_taken_out() -> None:
    told = scrubbed(
        {
            "identity": "17@host",
            "failure": {"stackTrace": "File x.py", "message": "why"},
            "taskQueue": {"name": "17@host-sticky", "normalName": "core", "kind": "TASK_QUEUE_KIND_STICKY"},
        }
    )
    assert told == {
        "identity": "recorded",
        "failure": {"stackTrace": "", "message": "why"},
        "taskQueue": {"name": "core", "kind": "TASK_QUEUE_KIND_NORMAL"},
    }


def test_path_in_a_payload_names_the_machine() -> None:
    assert names_this_machine({"payloads": [payload(json.dumps({"path": str(Path.cwd() / "x")}))]})
    assert not names_this_machine({"payloads": [payload('{"rule_id": "rul_1"}'), {"data": "no base64"}]})


def test_long_history_is_cut_off_before_a_task() -> None:
    events = [event(n) for n in range(1, LONGEST + 10)]
    events[50] = event(51, "EVENT_TYPE_WORKFLOW_TASK_SCHEDULED")
    kept = shortened({"events": [*events]})
    assert kept["events"] == events[:50]
    short: Json = {"events": [*events[:5]]}
    assert shortened(short) == short
