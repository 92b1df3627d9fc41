"""What people do: operators who reset, terminate, roll back, rotate and stop; users who change their mind."""

import asyncio
import sqlite3
import uuid
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from bench.chaos.evidence import Touch
from bench.chaos.options import Trouble
from bench.chaos.paths import CENT
from bench.chaos.plan import Act, ConditionKind, ConditionPlan
from bench.chaos.scene import Scene, patiently
from bench.chaos.stage import Armed, condition_bodies, now_ms
from bench.client import Json, Refused
from bench.waiting import NeverCame
from domain.ids import RuleId, rule_workflow_id
from domain.messages import RuleOutcome
from runtime.embedded.stack import Part
from runtime.embedded.supervisor import PartState

ROLLED_BACK_S = 2.0
PATCHED_BY = 3 * CENT


# -- operators ---------------------------------------------------------------------------------


async def reset(scene: Scene, act: Act) -> None:
    """Reset a rule's workflow to before it was crossed, or to its beginning."""
    rule = _pick(scene, act)
    if rule is None:
        return
    since, workflow_id = now_ms(), rule_workflow_id(RuleId(rule.rule_id))
    try:
        # The run that is there now: another reset may have begun one since the first.
        run_id = (await scene.temporal.get_workflow_handle(workflow_id).describe()).run_id
        history = await scene.temporal.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
        finished = 0
        for event in history.events:
            if event.workflow_execution_signaled_event_attributes.signal_name == "crossed":
                break
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
                finished = event.event_id
        await scene.temporal.workflow_service.reset_workflow_execution(
            ResetWorkflowExecutionRequest(
                namespace=scene.temporal.namespace,
                workflow_execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
                reason="chaos",
                workflow_task_finish_event_id=finished,
                request_id=uuid.uuid4().hex,
            )
        )
    except RPCError as error:
        scene.note(f"no reset of {rule.rule_id}: {error.status.name}")
        return
    scene.note(f"reset {rule.rule_id}")
    scene.outages.struck("reset", since, rule_id=rule.rule_id)


async def terminate(scene: Scene, act: Act) -> None:
    """Terminate a rule's workflow; one that had come to its own end before is judged as if nobody had."""
    rule = _pick(scene, act)
    if rule is None:
        return
    rule.touch = Touch.TERMINATED
    status = await patiently(lambda: _terminated(scene.temporal, RuleId(rule.rule_id)))
    if status is not WorkflowExecutionStatus.TERMINATED:
        rule.touch = Touch.NONE
    scene.note(f"terminate {rule.rule_id}: {'ended' if status is None else status.name}")


async def _terminated(temporal: Client, rule_id: RuleId) -> WorkflowExecutionStatus | None:
    """Terminate a rule's workflow, and return how it stands then: it may have ended before."""
    handle = temporal.get_workflow_handle(rule_workflow_id(rule_id))
    try:
        await handle.terminate("chaos")
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
    return (await handle.describe()).status


async def roll_back(scene: Scene, _: Act) -> None:
    """Put Temporal's file back to where it was two seconds ago, and kill it."""
    supervisor, since = scene.stack.supervisor, now_ms()
    database = scene.stack.data_dir.temporal_database
    copy = database.with_suffix(".earlier")
    if supervisor.state(Part.TEMPORAL) is not PartState.HEALTHY:
        return
    await asyncio.to_thread(_copy, database, copy)
    await asyncio.sleep(ROLLED_BACK_S)
    if supervisor.state(Part.TEMPORAL) is not PartState.HEALTHY:
        copy.unlink()
        return
    generation = supervisor.generation(Part.TEMPORAL)
    supervisor.pause(Part.TEMPORAL)  # nothing is written between the exchange of the files and the kill
    for suffix in ("-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    copy.replace(database)
    struck_ms = now_ms()
    scene.outages.killed(Part.TEMPORAL)
    scene.stack.kill(Part.TEMPORAL)
    scene.note("Temporal's file rolled back two seconds")
    await scene.stack.wait_healthy(Part.TEMPORAL, after=generation)
    scene.outages.struck("roll-back", struck_ms)
    scene.outages.blinded(since)


def _copy(database: Path, copy: Path) -> None:
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


async def rotate_keys(scene: Scene, act: Act) -> None:
    """Store an account's wallet key anew: its API credentials are derived again."""
    trader = scene.stage.traders[act.chance % len(scene.stage.traders)]
    await scene.stage.store_key(trader)
    scene.note(f"credentials of {trader.account_id} derived anew")


async def kill_switch(scene: Scene, act: Act) -> None:
    """Stop every send for a while, unless somebody does just now."""
    if scene.by_operator.locked():
        return
    async with scene.by_operator:
        since = now_ms()
        await scene.stage.operator.call("PUT", "/api/v2/kill-switch", {"level": "all"})
        thrown = now_ms()
        scene.note(f"kill switch for {act.lasts_ms} ms")
        await asyncio.sleep(act.lasts_ms / 1000)
        scene.outages.silenced(thrown)
        await scene.stage.operator.call("PUT", "/api/v2/kill-switch", {"level": "off"})
        scene.outages.excused("kill switch", since)


# -- users ---------------------------------------------------------------------------------------


async def patch(scene: Scene, act: Act) -> None:
    """Lower a stop at the very moment at which its market falls."""
    rule = _pick(scene, act, soon=True, only_stop=True)
    if rule is None:
        return
    (stop,) = rule.plan.conditions
    lowered = (ConditionPlan(kind=stop.kind, level=(stop.level or CENT) - PATCHED_BY),)
    rule.versions.append(lowered)
    await _at_its_crossing(scene, rule, act)
    body: Json = {"conditions": condition_bodies(lowered), "allow_immediate": True}
    answer = await _answer(rule, "PATCH", body)
    if answer.kind is AnswerKind.DONE:
        rule.patched_at_ms = now_ms()
    elif answer.kind is AnswerKind.REFUSED:
        rule.versions.remove(lowered)
    scene.note(f"patch {rule.rule_id}: {answer.words}")


async def cancel(scene: Scene, act: Act) -> None:
    """Cancel a rule at the very moment at which its market moves; where its exit won, it has to sell."""
    rule = _pick(scene, act, soon=True)
    if rule is None:
        return
    rule.touch = Touch.ASKED_TO_CANCEL
    await _at_its_crossing(scene, rule, act)
    answer = await _answer(rule, "DELETE", None)
    rule.touch = _TOUCHED[answer.kind]
    scene.note(f"cancel {rule.rule_id}: {answer.words}")


class AnswerKind(StrEnum):
    """What an answer says of a change."""

    DONE = "done"
    REFUSED = "refused"
    UNCLEAR = "unclear"


_TOUCHED = {
    AnswerKind.DONE: Touch.CANCELED,
    AnswerKind.REFUSED: Touch.NONE,
    AnswerKind.UNCLEAR: Touch.ASKED_TO_CANCEL,
}
_CHANGED = frozenset({RuleOutcome.DONE, RuleOutcome.CANCELED_WITH_RESIDUAL, RuleOutcome.ALREADY_FINISHED})
"""Outcomes of a success; `already_finished` is one where the rule was cancelled before, else a refusal."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a change of a rule, and its words."""

    kind: AnswerKind
    words: str


async def _answer(rule: Armed, method: str, body: Json | None) -> Answer:
    """Ask for a change: a refusal changed nothing, and whatever is no clear answer may have changed it."""
    try:
        document = await rule.trader.api.call(method, f"/api/v2/rules/{rule.rule_id}", body)
    except Refused as refused:
        kind = AnswerKind.REFUSED if refused.status < 500 else AnswerKind.UNCLEAR
        return Answer(kind, f"{refused.status} {refused.code}")
    except NeverCame as never:
        return Answer(AnswerKind.UNCLEAR, str(never))
    outcome = str(document.get("outcome", ""))
    return Answer(AnswerKind.DONE if outcome in _CHANGED else AnswerKind.UNCLEAR, outcome or "accepted")


def _crossing_ms(scene: Scene, rule: Armed) -> int:
    number = next(n for n in range(len(scene.stage.markets)) if scene.stage.token(n) == rule.token_id)
    return scene.stage.start_ms + scene.stage.plan.markets[number].crossing_ms


async def _at_its_crossing(scene: Scene, rule: Armed, act: Act) -> None:
    offset_ms = act.chance % 800 - 200
    await asyncio.sleep(max(0, _crossing_ms(scene, rule) + offset_ms - now_ms()) / 1000)


def _pick(scene: Scene, act: Act, *, soon: bool = False, only_stop: bool = False) -> Armed | None:
    """Return a rule that nobody touched; `soon` takes one of the few whose markets move next."""
    rules = sorted(scene.stage.rules, key=lambda rule: rule.rule_id)
    free = [rule for rule in rules if rule.touch is Touch.NONE and len(rule.versions) == 1]
    if only_stop:
        free = [r for r in free if [c.kind for c in r.plan.conditions] == [ConditionKind.STOP]]
    if soon:
        ahead = [rule for rule in free if _crossing_ms(scene, rule) > now_ms()]
        free = sorted(ahead, key=lambda rule: _crossing_ms(scene, rule))[:8]
    return free[act.chance % len(free)] if free else None


PEOPLE = {
    Trouble.RESET: reset,
    Trouble.TERMINATE: terminate,
    Trouble.ROLL_BACK: roll_back,
    Trouble.ROTATE_KEYS: rotate_keys,
    Trouble.KILL_SWITCH: kill_switch,
    Trouble.PATCH: patch,
    Trouble.CANCEL: cancel,
}
ALONE = frozenset({Trouble.RESET, Trouble.TERMINATE, Trouble.ROLL_BACK, Trouble.PATCH, Trouble.CANCEL})
"""What must not lie in the two seconds that a roll-back takes away."""
