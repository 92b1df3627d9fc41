"""Workflows with the names and messages of rules and orders, which answer at once."""

import asyncio
from decimal import Decimal

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from domain import messages
    from domain.messages import (
        CancelOrder,
        CancelRule,
        CreateRule,
        OrderAnswer,
        OrderStart,
        PatchRule,
        RuleAnswer,
        RuleOutcome,
        RulePhase,
        RuleStart,
        RuleStatus,
    )
    from domain.orders import OrderState


GOING = 99  # an expected version


@workflow.defn(name=messages.RULE)
class StandInRule:
    """Armed from the start; `patch` never answers, `cancel` does. A patch of `GOING` ends the rule."""

    @workflow.init
    def __init__(self, start: RuleStart) -> None:
        self._start = start
        self._done = False
        self._gone = False

    @workflow.run
    async def run(self, start: RuleStart) -> None:
        await workflow.wait_condition(lambda: self._done or self._gone)
        await workflow.wait_condition(lambda: self._gone or workflow.all_handlers_finished())

    @workflow.update(name=messages.UPDATE_CREATE)
    async def create(self, request: CreateRule) -> RuleAnswer:
        return self._answer(RuleStatus.ACTIVE)

    @create.validator
    def _same(self, request: CreateRule) -> None:
        if request.fingerprint != self._start.fingerprint:
            raise ApplicationError("another rule", type="idempotency_conflict")

    @workflow.update(name=messages.UPDATE_PATCH, unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON)
    async def patch(self, request: PatchRule) -> RuleAnswer:
        self._gone = request.expected_version == GOING
        await asyncio.Event().wait()
        return self._answer(RuleStatus.ACTIVE)

    @workflow.update(name=messages.UPDATE_CANCEL)
    async def cancel(self, request: CancelRule) -> RuleAnswer:
        self._done = True
        return self._answer(RuleStatus.CANCELED)

    @cancel.validator
    def _own(self, request: CancelRule) -> None:
        if request.account_id != self._start.account_id:
            raise ApplicationError("no such rule", type="not_found")

    def _answer(self, status: RuleStatus) -> RuleAnswer:
        return RuleAnswer(outcome=RuleOutcome.DONE, status=status, phase=RulePhase.ARMED, version=1)


@workflow.defn(name=messages.ORDER)
class StandInOrder:
    """Rests until it is cancelled."""

    @workflow.init
    def __init__(self, start: OrderStart) -> None:
        self._done = False

    @workflow.run
    async def run(self, start: OrderStart) -> None:
        await workflow.wait_condition(lambda: self._done)
        await workflow.wait_condition(workflow.all_handlers_finished)

    @workflow.update(name=messages.UPDATE_CANCEL)
    async def cancel(self, request: CancelOrder) -> OrderAnswer:
        self._done = True
        return OrderAnswer(
            state=OrderState.CANCELED,
            filled_shares=Decimal(0),
            notional_usd=Decimal(0),
            fee_usd=Decimal(0),
            detail="",
        )
