"""A cancel that meets a long history: neither the next run nor who asked is left without it."""

from decimal import Decimal

from temporalio.client import WorkflowUpdateStage

from domain import messages
from domain.messages import CancelOrder, CancelRule, OrderAnswer, RuleAnswer, RuleOutcome, RuleStatus
from domain.orders import AnswerKind, OrderState, TimeInForce
from tests.domain.builders import ACCOUNT
from tests.fakes.exchange import FakeExchange, accepts, answers
from tests.workflows.floor import Floor, quick

D = Decimal
ACCEPTED = WorkflowUpdateStage.ACCEPTED


async def test_an_exit_that_temporal_cancels_sells_no_more_in_its_new_run(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(accepts())
    exchange.signals = False  # nothing but the cancel wakes the exit
    rule = await floor.arm(tuning=quick(max_history_events=28, fallback_ms=10_000, fallback_cap_ms=10_000))
    await rule.cross("0.39")
    await exchange.until(lambda: bool(exchange.orders))
    first = await rule.run_id()
    await rule.handle.cancel()
    await exchange.until(lambda: exchange.calls["follow_order"] + exchange.calls["look_up"] > 1)
    exchange.signals = True
    await exchange.fill("4")
    answer = await rule.result()

    assert await rule.run_id() != first
    assert (answer.status, exchange.rule.residual_shares) == (RuleStatus.CANCELED, D(6))
    assert exchange.sold == D(4)


async def test_a_cancel_that_comes_while_a_new_run_is_prepared_is_done_and_answered(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(*[answers(AnswerKind.NO_LIQUIDITY)] * 3)
    exchange.late_projection = 3  # armed, waiting, and then the one before the new run
    rule = await floor.arm(tuning=quick(max_history_events=12))
    await rule.cross("0.39")
    await exchange.until(lambda: exchange.calls["late_projection"] > 0)
    request = CancelRule(account_id=ACCOUNT)
    cancel = await rule.handle.start_update(
        messages.UPDATE_CANCEL, request, wait_for_stage=ACCEPTED, result_type=RuleAnswer
    )
    exchange.postgres.set()
    answer = await cancel.result()

    assert (answer.outcome, answer.status) == (RuleOutcome.CANCELED_WITH_RESIDUAL, RuleStatus.CANCELED)
    assert (await rule.result()).status is RuleStatus.CANCELED
    assert len(exchange.posts) == 1


async def test_an_order_that_temporal_cancels_is_canceled_in_its_new_run(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(accepts())
    exchange.refuses_cancel = 1
    exchange.signals = False
    handle = await floor.start_order(
        time_in_force=TimeInForce.GTC,
        tuning=quick(max_history_events=18, fallback_ms=10_000, resting_cap_ms=10_000),
    )
    await exchange.until(lambda: bool(exchange.orders))
    first = (await handle.describe()).run_id
    await handle.cancel()
    answer = await handle.result()

    assert (await floor.client.get_workflow_handle(handle.id).describe()).run_id != first
    assert (answer.state, exchange.calls["cancel_order"]) == (OrderState.CANCELED, 2)


async def test_a_cancel_of_an_order_that_comes_while_a_new_run_is_prepared_is_answered(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(accepts())
    exchange.late_projection = 1
    handle = await floor.start_order(time_in_force=TimeInForce.GTC, tuning=quick(max_history_events=5))
    await exchange.until(lambda: exchange.calls["late_projection"] > 0)
    cancel = await handle.start_update(
        messages.UPDATE_CANCEL,
        CancelOrder(account_id=ACCOUNT),
        wait_for_stage=ACCEPTED,
        result_type=OrderAnswer,
    )
    exchange.postgres.set()

    assert (await cancel.result()).state is OrderState.CANCELED
    assert (await handle.result()).state is OrderState.CANCELED
