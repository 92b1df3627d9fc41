"""Histories of a run's workflows, kept for the tests that replay them: of each kind the most varied ones.

Nothing in a kept file names a machine: identities, workers' own queues and stack traces are taken out, and a
history in whose payloads a path of this machine is left is not kept.
"""

import asyncio
import base64
import binascii
import json
import socket
from collections import defaultdict
from pathlib import Path

from pydantic import JsonValue, TypeAdapter
from temporalio.client import Client

from bench.client import Json
from domain import messages

KINDS = (
    messages.RULE,
    messages.ORDER,
    messages.MARKET_FEED,
    messages.ACCOUNT_STREAM,
    messages.RECONCILE,
    messages.HOLDINGS,
)
KEEP_HELP = "write histories of the run's workflows here, for the tests that replay them"
OF_EACH_KIND = 2
LOOKED_AT = 40
LONGEST = 120
"""Events; a longer history proves little more and is no good read: it is cut off where a task begins."""
_HISTORY = TypeAdapter(Json)
_TASK = "EVENT_TYPE_WORKFLOW_TASK_SCHEDULED"
_NAMES = frozenset({"identity", "originalIdentity"})
_TRACES = frozenset({"stackTrace"})


async def keep_histories(temporal: Client, folder: Path) -> tuple[Path, ...]:
    """Write the most varied histories of each kind of workflow; return the files."""
    found: defaultdict[str, list[tuple[int, int, Json]]] = defaultdict(list)
    for kind in KINDS:
        async for execution in temporal.list_workflows(f"WorkflowType = '{kind}'", limit=LOOKED_AT):
            handle = temporal.get_workflow_handle(execution.id, run_id=execution.run_id)
            history = _HISTORY.validate_json((await handle.fetch_history()).to_json())
            kept = shortened(_object(scrubbed(history)))
            if not names_this_machine(kept):
                variety = len({str(event["eventType"]) for event in _events(kept)})
                found[kind].append((-variety, len(_events(kept)), kept))
    return await asyncio.to_thread(_write, found, folder)


def _write(found: dict[str, list[tuple[int, int, Json]]], folder: Path) -> tuple[Path, ...]:
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for kind, histories in found.items():
        ranked = sorted(histories, key=lambda ranked: ranked[:2])
        for number, (_, _, history) in enumerate(ranked[:OF_EACH_KIND], start=1):
            paths.append(folder / f"{kind.lower()}_{number}.json")
            paths[-1].write_text(json.dumps(history, indent=1) + "\n")
    return tuple(paths)


def shortened(history: Json) -> Json:
    """Return a history cut off before the task that would make it too long, as a run that still goes on."""
    events = _events(history)
    if len(events) <= LONGEST:
        return history
    ends = [n for n, event in enumerate(events[:LONGEST]) if event["eventType"] == _TASK]
    return {**history, "events": [*events[: ends[-1]]]}


def scrubbed(node: JsonValue) -> JsonValue:
    """Return the same history without the names of machines and processes, and without stack traces."""
    if isinstance(node, list):
        return [scrubbed(item) for item in node]
    if not isinstance(node, dict):
        return node
    if "normalName" in node:  # a worker's own queue, named after its machine
        return {"name": node["normalName"], "kind": "TASK_QUEUE_KIND_NORMAL"}
    return {
        key: "recorded" if key in _NAMES else "" if key in _TRACES else scrubbed(value)
        for key, value in node.items()
    }


def names_this_machine(node: JsonValue) -> bool:
    """Say whether a text of a history, or of a payload in it, holds a path or the name of this machine."""
    if isinstance(node, list):
        return any(names_this_machine(item) for item in node)
    if isinstance(node, dict):
        return any(names_this_machine(value) for value in node.values())
    return isinstance(node, str) and any(_is_told(text) for text in (node, _decoded(node)))


def _is_told(text: str) -> bool:
    host = socket.gethostname()
    return str(Path.cwd()) in text or str(Path.home()) + "/" in text or f"@{host}" in text


def _decoded(text: str) -> str:
    """Return what a payload's base64 says; nothing for what is none."""
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _events(history: JsonValue) -> list[Json]:
    events = _object(history)["events"]
    return [_object(event) for event in events] if isinstance(events, list) else []


def _object(node: JsonValue) -> Json:
    if not isinstance(node, dict):
        raise TypeError("a history is an object")
    return node
