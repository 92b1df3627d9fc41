"""A rule's workflow: its messages. One workflow per rule, so siblings' conditions cannot both fire.

Handlers only take note; the main loop (`rule_life`) decides, one item at a time in the order of history.
"""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from domain import messages
    from domain.messages import (
        CancelRule,
        CreateRule,
        Crossed,
        PatchRule,
        PositionChanged,
        RuleAnswer,
        RuleOutcome,
        RulePhase,
        RuleStart,
    )
    from domain.orders import Instrument, MarketState

from workflows import calls
from workflows.rule_inbox import Cancel, MarketNews, OrderNews, Patch, PositionNews, Show
from workflows.rule_life import NewRun, RuleLife


@workflow.defn(name=messages.RULE)
class Rule:
    """Protects one position episode (or token) until its exit is closed with every fill confirmed."""

    @workflow.init
    def __init__(self, start: RuleStart) -> None:
        """Build the state before any message is handled."""
        self._start = start
        self._life = RuleLife(start)

    @workflow.run
    async def run(self, start: RuleStart) -> RuleAnswer:
        """Live; a cancellation from Temporal itself runs the rule's own cancel path, shielded."""
        try:
            await self._live()
        except NewRun:
            # Not where the life ends: a cancel that comes in the same task is taken along.
            workflow.continue_as_new(self._life.next_start())
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._life.state.answer(RuleOutcome.DONE)

    async def _live(self) -> None:
        life = asyncio.create_task(self._life.live())
        try:
            await asyncio.shield(life)
        except asyncio.CancelledError:
            self._life.take_cancel(Cancel("cancelled in Temporal"))
            await life

    # -- messages -------------------------------------------------------------------------------

    @workflow.update(name=messages.UPDATE_CREATE)
    async def create(self, request: CreateRule) -> RuleAnswer:
        """Answer once the rule is armed."""
        await workflow.wait_condition(lambda: self._life.state.phase is not RulePhase.ARMING)
        return self._life.state.answer(RuleOutcome.DONE)

    @create.validator
    def _same_request(self, request: CreateRule) -> None:
        self._check_account(request.account_id)
        if request.fingerprint != self._start.fingerprint:
            raise ApplicationError("the key was used for another rule", type="idempotency_conflict")

    @workflow.update(name=messages.UPDATE_PATCH)
    async def patch(self, request: PatchRule) -> RuleAnswer:
        """Change levels while armed; says so when a crossing was first."""
        if self._life.state.phase not in (RulePhase.ARMED, RulePhase.ARMING):
            return self._life.inbox.too_late()
        item = Patch(request)
        self._life.inbox.put(item)
        await workflow.wait_condition(lambda: item.answer is not None or bool(item.refusal))
        if item.refusal:
            raise ApplicationError(item.refusal, type="unresolvable_rule")
        return item.answer or self._life.inbox.too_late()

    @patch.validator
    def _may_patch(self, request: PatchRule) -> None:
        self._check_account(request.account_id)
        new, old = request.definition, self._start.definition
        if (new.venue, new.token_id) != (old.venue, old.token_id):
            raise ApplicationError("a rule keeps its venue and token", type="invalid_input")

    @workflow.update(name=messages.UPDATE_CANCEL)
    async def cancel(self, request: CancelRule) -> RuleAnswer:
        """Cancel; an exit under way is stopped cleanly, and what stays is named."""
        if self._life.sold_out or self._life.state.phase is RulePhase.DONE:
            return self._life.inbox.too_late()
        item = Cancel(request.reason)
        self._life.take_cancel(item)
        await workflow.wait_condition(lambda: item.answer is not None)
        return item.answer or self._life.inbox.too_late()

    @cancel.validator
    def _may_cancel(self, request: CancelRule) -> None:
        self._check_account(request.account_id)

    @workflow.signal(name=messages.SIGNAL_CROSSED)
    def crossed(self, crossed: Crossed) -> None:
        """A level was reached."""
        self._life.inbox.put(crossed)

    @workflow.signal(name=messages.SIGNAL_ORDER_UPDATE)
    def order_update(self) -> None:
        """Facts about this rule's orders were booked."""
        self._life.notify()
        if self._life.exit is None:
            self._life.inbox.put(OrderNews())

    @workflow.signal(name=messages.SIGNAL_POSITION_CHANGED)
    def position_changed(self, change: PositionChanged) -> None:
        """The ledger holds something else now."""
        if not self._life.state.take_holding(change.holding):
            return
        if self._life.exit is None:
            self._life.inbox.put(PositionNews())
        else:
            self._life.notify()

    @workflow.signal(name=messages.SIGNAL_MARKET_CHANGED)
    def market_changed(self, instrument: Instrument) -> None:
        """The token trades by other terms now, or never again."""
        self._life.state.instrument = instrument
        ends = instrument.state is MarketState.RESOLVED and self._start.revision >= 2
        if ends and self._life.exit is None:
            self._life.inbox.put(MarketNews())

    @workflow.signal(name=messages.SIGNAL_SHOW)
    async def show(self) -> None:
        """Somebody wrote this rule's rows who is not its workflow: write them again."""
        if self._life.exit is None:
            self._life.inbox.put(Show())
        elif self._start.revision >= 2:
            await calls.project(self._life.exit.execution.projection())

    def _check_account(self, account_id: str) -> None:
        if account_id != self._start.account_id:
            raise ApplicationError("no such rule", type="not_found")
