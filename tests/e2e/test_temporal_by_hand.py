"""What a person can do to a rule in the Temporal UI: reset it, terminate it."""

import uuid

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest

from tests.e2e.scene import IN_THE_STACKS_LOOP, Holdfast, Rule, stop_at

pytestmark = IN_THE_STACKS_LOOP


async def test_rule_reset_after_its_exit_was_done_adopts_the_order_and_ends_triggered(
    holdfast: Holdfast,
) -> None:
    scene = await holdfast.protected()
    await scene.market.quote("0.40")
    before = await scene.rule.done()
    run_id = await _reset_to_before_the_crossing(holdfast, scene.rule)
    handle = holdfast.temporal.get_workflow_handle(scene.rule.workflow_id, run_id=run_id)
    result = await handle.result()
    assert isinstance(result, dict)
    assert result["status"] == "TRIGGERED"
    after = await scene.rule.done()
    assert (after["sold_shares"], after["proceeds_usd"]) == (before["sold_shares"], before["proceeds_usd"])
    await scene.audit()


async def test_rule_reset_while_its_order_is_at_the_venue_adopts_it(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    barrier = await holdfast.hold(scene.market, "after_accept")
    await scene.market.quote("0.40")
    await barrier.arrival()
    await _reset_to_before_the_crossing(holdfast, scene.rule)
    await barrier.release()
    row = await scene.rule.done()
    assert row["sold_shares"] == "10"
    await scene.audit()


async def _reset_to_before_the_crossing(holdfast: Holdfast, rule: Rule) -> str:
    """Resets to the last workflow task before the crossing came; returns the new run's id."""
    history = await holdfast.temporal.get_workflow_handle(rule.workflow_id).fetch_history()
    finished = 0
    for event in history.events:
        if event.workflow_execution_signaled_event_attributes.signal_name == "crossed":
            break
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
            finished = event.event_id
    run_id = history.events[0].workflow_execution_started_event_attributes.original_execution_run_id
    answer = await holdfast.temporal.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=holdfast.temporal.namespace,
            workflow_execution=WorkflowExecution(workflow_id=rule.workflow_id, run_id=run_id),
            reason="a test",
            workflow_task_finish_event_id=finished,
            request_id=uuid.uuid4().hex,
        )
    )
    return answer.run_id


async def test_terminated_rule_sells_nothing_and_harms_no_other(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    other = await scene.trader.arm(scene.market, stop_at("0.49"))
    await holdfast.temporal.get_workflow_handle(scene.rule.workflow_id).terminate("by hand")
    await scene.market.quote("0.40")
    row = await other.done()
    assert row["sold_shares"] == "10"
    assert await scene.rule.events("rule.triggered") == []
    await scene.trader.audit(scene.market, other, sells=1)


async def test_terminated_rule_is_orphaned_and_sells_once_after_its_adoption(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    await holdfast.temporal.get_workflow_handle(scene.rule.workflow_id).terminate("by hand")
    await scene.rule.phase("orphaned")
    alarm = await scene.rule.event("rule.orphaned")
    assert alarm["severity"] == "alarm"
    await scene.market.quote("0.40")  # nobody is there to hear of it

    adopted = await scene.trader.api.post(f"{scene.rule.path}/adopt", {})
    assert adopted["phase"] in ("armed", "exiting", "done"), adopted
    row = await scene.rule.done()
    assert row["sold_shares"] == "10"
    assert len(await scene.rule.events("rule.orphaned")) == 1
    await scene.audit()


async def test_rule_terminated_in_the_middle_of_its_exit_goes_on_with_its_order(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    barrier = await holdfast.hold(scene.market, "after_accept")
    await scene.market.quote("0.40")
    await barrier.arrival()
    await holdfast.temporal.get_workflow_handle(scene.rule.workflow_id).terminate("by hand")
    await barrier.release()
    await scene.rule.phase("orphaned")

    await scene.trader.api.post(f"{scene.rule.path}/adopt", {})
    row = await scene.rule.done()
    assert row["sold_shares"] == "10"
    await scene.audit()
