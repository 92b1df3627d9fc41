"""People's deeds: one that came too late leaves the rule in the verdict, and a second reset finds its run."""

import asyncio
from dataclasses import dataclass, field
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from bench.chaos.evidence import Touch
from bench.chaos.outages import Outages
from bench.chaos.people import cancel, kill_switch, patch, reset, terminate
from bench.chaos.plan import Act, ConditionKind, ConditionPlan, RulePlan
from bench.chaos.scene import Scene
from bench.chaos.stage import Armed, now_ms
from bench.client import Refused
from bench.waiting import NeverCame

STOP = ConditionPlan(kind=ConditionKind.STOP, level=Decimal("0.50"))
NOW = Act(at_ms=0, trouble=None)


@dataclass
class FakeApi:
    """Answers every change the same way: an outcome, a refusal with its code, or never."""

    outcome: str = "done"
    refused: str | None = None
    status: int = 409
    silent: bool = False

    async def call(self, method: str, path: str, body: object = None) -> dict[str, str]:
        if self.silent:
            raise NeverCame("no answer")
        if self.refused is not None:
            raise Refused(f"{method} {path}", self.status, {"code": self.refused})
        return {"outcome": self.outcome}


@dataclass
class FakeTemporal:
    """One workflow: how it stands, and what was asked of it. It is its own handle and service."""

    status: WorkflowExecutionStatus = WorkflowExecutionStatus.RUNNING
    run_id: str = "run-1"
    resets: list[Any] = field(default_factory=list)
    namespace: str = "default"

    @property
    def workflow_service(self) -> "FakeTemporal":
        return self

    def get_workflow_handle(self, workflow_id: str, *, run_id: str | None = None) -> "FakeTemporal":
        return self

    async def describe(self) -> SimpleNamespace:
        return SimpleNamespace(status=self.status, run_id=self.run_id)

    async def terminate(self, reason: str) -> None:
        if self.status is not WorkflowExecutionStatus.RUNNING:
            raise RPCError("gone", RPCStatusCode.NOT_FOUND, b"")
        self.status = WorkflowExecutionStatus.TERMINATED

    async def fetch_history(self) -> SimpleNamespace:
        event = HistoryEvent(event_id=1)
        event.workflow_execution_started_event_attributes.original_execution_run_id = "run-1"
        return SimpleNamespace(events=[event])

    async def reset_workflow_execution(self, request: Any) -> None:
        self.resets.append(request)


def scene(api: FakeApi | None = None, temporal: FakeTemporal | None = None) -> tuple[Scene, Armed]:
    """Returns a scene with one armed stop whose market moves soon."""
    trader: Any = SimpleNamespace(api=api or FakeApi(), account_id="acc_1")
    rule = Armed("rul_1", trader, "777", RulePlan(conditions=(STOP,)), now_ms(), [(STOP,)])
    stage: Any = SimpleNamespace(
        rules=[rule],
        start_ms=now_ms(),
        markets=[None],
        token=lambda number: "777",
        plan=SimpleNamespace(markets=[SimpleNamespace(crossing_ms=190)]),
    )
    stack: Any = None
    fake: Any = temporal or FakeTemporal()
    return Scene(stack, stage, Outages(4_000), fake), rule


@pytest.mark.parametrize("outcome", ["done", "canceled_with_residual", "already_finished"])
async def test_cancel_that_was_answered_takes_the_rule_out(outcome: str) -> None:
    on, rule = scene(FakeApi(outcome))
    await cancel(on, NOW)
    assert rule.touch is Touch.CANCELED


REFUSALS = [(409, "crossing_won"), (409, "already_finished"), (409, "orphaned"), (404, "not_found")]


@pytest.mark.parametrize(("status", "code"), REFUSALS)
async def test_cancel_that_was_refused_leaves_the_rule_in(status: int, code: str) -> None:
    on, rule = scene(FakeApi(refused=code, status=status))
    await cancel(on, NOW)
    assert rule.touch is Touch.NONE


@pytest.mark.parametrize("api", [FakeApi(silent=True), FakeApi(refused="internal", status=501), FakeApi("")])
async def test_cancel_without_a_clear_answer_was_only_asked_for(api: FakeApi) -> None:
    on, rule = scene(api)
    await cancel(on, NOW)
    assert rule.touch is Touch.ASKED_TO_CANCEL


@pytest.mark.parametrize(("status", "code"), REFUSALS)
async def test_patch_that_was_refused_made_no_new_version(status: int, code: str) -> None:
    on, rule = scene(FakeApi(refused=code, status=status))
    await patch(on, NOW)
    assert (rule.versions, rule.patched_at_ms) == ([(STOP,)], None)


async def test_patch_that_was_answered_ends_the_former_version() -> None:
    on, rule = scene(FakeApi())
    before = now_ms()
    await patch(on, NOW)
    assert len(rule.versions) == 2
    assert rule.patched_at_ms is not None
    assert before <= rule.patched_at_ms <= now_ms()


async def test_patch_without_an_answer_leaves_both_versions() -> None:
    on, rule = scene(FakeApi(silent=True))
    await patch(on, NOW)
    assert (len(rule.versions), rule.patched_at_ms) == (2, None)


async def test_termination_takes_the_rule_out() -> None:
    on, rule = scene()
    await terminate(on, NOW)
    assert rule.touch is Touch.TERMINATED


async def test_termination_of_a_rule_that_had_ended_leaves_it_in() -> None:
    on, rule = scene(temporal=FakeTemporal(WorkflowExecutionStatus.COMPLETED))
    await terminate(on, NOW)
    assert rule.touch is Touch.NONE


async def test_second_reset_aims_at_the_run_of_the_first_and_disturbs_this_rule_only() -> None:
    temporal = FakeTemporal(run_id="run-2")
    on, rule = scene(temporal=temporal)
    await reset(on, NOW)
    (request,) = temporal.resets
    assert request.workflow_execution.run_id == "run-2"
    (blow,) = on.outages.disturbances()
    assert (blow.rule_id, blow.apart) == (rule.rule_id, False)


class Operator:
    """Keeps the levels that the kill switch was set to."""

    def __init__(self) -> None:
        self.levels: list[str] = []

    async def call(self, method: str, path: str, body: dict[str, str]) -> None:
        self.levels.append(body["level"])


async def test_kill_switch_that_is_thrown_already_is_not_thrown_again_nor_lifted_too_early() -> None:
    on, _ = scene()
    operator: Any = Operator()
    on.stage.operator = operator
    long, short = Act(at_ms=0, trouble=None, lasts_ms=50), Act(at_ms=0, trouble=None, lasts_ms=0)
    first = asyncio.create_task(kill_switch(on, long))
    await asyncio.sleep(0)
    await kill_switch(on, short)
    assert operator.levels == ["all"]

    await first
    assert operator.levels == ["all", "off"]
