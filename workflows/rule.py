"""A rule: armed, crossed, exited. One workflow per rule, so siblings' conditions cannot both fire.

Handlers only take note; the main loop decides, one item at a time in the order of history.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.projections import ProjectionActivities
    from activities.trading import TradingActivities
    from domain import messages
    from domain.exits import ExitBuild, build_exit
    from domain.ids import OrderId, exit_order_id
    from domain.messages import (
        CancelRule,
        CreateRule,
        Crossed,
        FreshRead,
        Holding,
        PatchRule,
        PositionChanged,
        Projection,
        RecallOrder,
        RuleAnswer,
        RuleOutcome,
        RulePhase,
        RuleProjection,
        RuleStart,
        RuleStatus,
    )
    from domain.money import plain
    from domain.orders import Instrument, OrderState, Purpose, Side, TimeInForce
    from domain.quotes import Ladder, Quote
    from domain.rules.crossing import Crossing, judge
    from domain.rules.levels import FiringTime, UnresolvableRule

from workflows import attributes, policies
from workflows.execution import BuildRequest, ExecutionEnd, OrderExecution, OrderIdentity
from workflows.rule_state import RuleState, fired_text, soon

REARM_MS = 1_000
ARM_LOCALLY_WITHIN = timedelta(seconds=2)
_NO_QUOTE = Quote(None, None, None)


@dataclass
class _Patch:
    request: PatchRule
    answer: RuleAnswer | None = None


@dataclass
class _Cancel:
    reason: str
    answer: RuleAnswer | None = None


@dataclass(frozen=True)
class _OrderNews:
    """Facts about this rule's orders were booked."""


@dataclass(frozen=True)
class _PositionNews:
    """The holding changed."""


_Item = Crossed | _Patch | _Cancel | _OrderNews | _PositionNews


@workflow.defn(name=messages.RULE)
class Rule:
    """Protects one position episode (or token) until its exit is closed with every fill confirmed."""

    @workflow.init
    def __init__(self, start: RuleStart) -> None:
        """Build the state before any message is handled."""
        self._start = start
        self._state = RuleState.begin(start, workflow.now())
        self._inbox: deque[_Item] = deque()
        self._cancels: list[_Cancel] = []
        self._execution: OrderExecution | None = None

    @workflow.run
    async def run(self, start: RuleStart) -> RuleAnswer:
        """Live; a cancellation from Temporal itself runs the rule's own cancel path, shielded."""
        life = asyncio.create_task(self._live())
        try:
            await asyncio.shield(life)
        except asyncio.CancelledError:
            self._take_cancel(_Cancel("cancelled in Temporal"))
            await life
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._state.answer(RuleOutcome.DONE)

    # -- messages -------------------------------------------------------------------------------

    @workflow.update(name=messages.UPDATE_CREATE)
    async def create(self, request: CreateRule) -> RuleAnswer:
        """Answer once the rule is armed."""
        await workflow.wait_condition(lambda: self._state.phase is not RulePhase.ARMING)
        return self._state.answer(RuleOutcome.DONE)

    @create.validator
    def _same_request(self, request: CreateRule) -> None:
        self._check_account(request.account_id)
        if request.fingerprint != self._start.fingerprint:
            raise ApplicationError("the key was used for another rule", type="idempotency_conflict")

    @workflow.update(name=messages.UPDATE_PATCH)
    async def patch(self, request: PatchRule) -> RuleAnswer:
        """Change levels while armed; says so when a crossing was first."""
        item = _Patch(request)
        if self._state.phase not in (RulePhase.ARMED, RulePhase.ARMING):
            return self._too_late()
        self._inbox.append(item)
        await workflow.wait_condition(lambda: item.answer is not None)
        return item.answer or self._too_late()

    @patch.validator
    def _may_patch(self, request: PatchRule) -> None:
        self._check_account(request.account_id)
        new, old = request.definition, self._start.definition
        if (new.venue, new.token_id) != (old.venue, old.token_id):
            raise ApplicationError("a rule keeps its venue and token", type="invalid_input")

    @workflow.update(name=messages.UPDATE_CANCEL)
    async def cancel(self, request: CancelRule) -> RuleAnswer:
        """Cancel; an exit under way is stopped cleanly, and what stays is named."""
        item = _Cancel(request.reason)
        if self._state.phase is RulePhase.DONE:
            return self._too_late()
        self._take_cancel(item)
        await workflow.wait_condition(lambda: item.answer is not None)
        return item.answer or self._too_late()

    @cancel.validator
    def _may_cancel(self, request: CancelRule) -> None:
        self._check_account(request.account_id)

    @workflow.signal(name=messages.SIGNAL_CROSSED)
    def crossed(self, crossed: Crossed) -> None:
        """A level was reached."""
        self._inbox.append(crossed)

    @workflow.signal(name=messages.SIGNAL_ORDER_UPDATE)
    def order_update(self) -> None:
        """Facts about this rule's orders were booked."""
        if self._execution is not None:
            self._execution.notify()
        else:
            self._inbox.append(_OrderNews())

    @workflow.signal(name=messages.SIGNAL_POSITION_CHANGED)
    def position_changed(self, change: PositionChanged) -> None:
        """The ledger holds something else now."""
        if self._state.take_holding(change.holding):
            self._inbox.append(_PositionNews())
            if self._execution is not None:
                self._execution.notify()

    @workflow.signal(name=messages.SIGNAL_MARKET_CHANGED)
    def market_changed(self, instrument: Instrument) -> None:
        """The token trades by other terms now."""
        self._state.instrument = instrument

    def _check_account(self, account_id: str) -> None:
        if account_id != self._start.account_id:
            raise ApplicationError("no such rule", type="not_found")

    def _take_cancel(self, item: _Cancel) -> None:
        if self._execution is not None:
            self._cancels.append(item)
            self._execution.request_cancel()
        else:
            self._inbox.append(item)

    def _too_late(self) -> RuleAnswer:
        done = self._state.phase is RulePhase.DONE
        if done and self._state.fired is None:
            return self._state.answer(RuleOutcome.ALREADY_FINISHED)
        return self._state.answer(RuleOutcome.CROSSING_WON)

    # -- the main loop --------------------------------------------------------------------------

    async def _live(self) -> None:
        carry = self._start.carry
        if carry is None:
            await self._arm()
        else:
            self._state.phase = RulePhase.ARMED
            if carry.exit is not None:
                await self._exit(None, None, 0)
        while self._state.phase is not RulePhase.DONE:
            await self._step()
        await self._project()
        self._answer_waiting()

    async def _arm(self) -> None:
        state = self._state
        state.note("rule.armed", state.story_of_levels(), workflow.now())
        state.phase = RulePhase.ARMED
        projection = Projection(rule=self.rule_projection())
        state.phase = RulePhase.ARMING
        try:
            await workflow.execute_local_activity_method(
                ProjectionActivities.project, projection, schedule_to_close_timeout=ARM_LOCALLY_WITHIN
            )
        except ActivityError:
            # Postgres is away for longer: a local activity would go on filling the history.
            await self._send(projection)
        state.phase = RulePhase.ARMED
        self._tell()

    async def _step(self) -> None:
        """Wait for the next item or moment, and decide it."""
        if not self._inbox and workflow.info().is_continue_as_new_suggested():
            self._continue_as_new()
        deadline = self._state.next_deadline()
        if not self._inbox and not await self._wait(deadline):
            await self._time_is_up()
            return
        item = self._inbox.popleft()
        match item:
            case Crossed():
                await self._judge(item)
            case _Patch():
                await self._patch(item)
            case _Cancel():
                self._state.end(RuleStatus.CANCELED, item.reason)
                self._state.note("rule.canceled", item.reason, workflow.now())
                self._cancels.append(item)  # answered once it is written
            case _PositionNews():
                await self._position_news()
            case _OrderNews():
                await self._take_up_exit_if_any()

    async def _wait(self, deadline: datetime | None) -> bool:
        """Wait for an item; False when the deadline came first."""
        if deadline is None:
            await workflow.wait_condition(lambda: bool(self._inbox))
            return True
        left = deadline - workflow.now()
        if left <= timedelta(0):
            return False
        try:
            await workflow.wait_condition(lambda: bool(self._inbox), timeout=left)
        except TimeoutError:
            return False
        return True

    async def _time_is_up(self) -> None:
        """A time exit or the expiry is due; the condition that stands first in the list wins."""
        now, state = workflow.now(), self._state
        for index, condition in enumerate(state.resolved.conditions):
            if isinstance(condition, FiringTime) and condition.fires_at <= now:
                await self._exit(self._time_crossing(index, condition), None, 0)
                return
        state.end(RuleStatus.EXPIRED, "expired")
        state.note("rule.expired", "The rule expired without a crossing", now)

    def _time_crossing(self, index: int, condition: FiringTime) -> Crossing:
        return Crossing(
            rule_id=self._start.rule_id,
            generation=self._state.generation,
            condition_index=index,
            condition=condition.type,
            level=None,
            quote=_NO_QUOTE,
            price=None,
            mark=None,
            confirm_count=0,
            beyond_since_ms=None,
            observed_at_ms=workflow.time_ns() // 1_000_000,
            venue_timestamp_ms=None,
        )

    async def _judge(self, crossed: Crossed) -> None:
        """Judge a crossing by the rule's own conditions: fire, or refuse and watch again."""
        verdict = judge(crossed.crossing, self._state.resolved)
        if verdict.satisfied:
            await self._exit(crossed.crossing, crossed.ladder, crossed.crossing.observed_at_ms)
            return
        refusal = verdict.refusal.value if verdict.refusal else "refused"
        now = workflow.now()
        self._state.note("crossing.refused", f"A crossing does not satisfy the rule: {refusal}", now)
        self._state.rearm(soon(now, REARM_MS))
        await self._project()

    async def _patch(self, item: _Patch) -> None:
        state, request = self._state, item.request
        if request.expected_version is not None and request.expected_version != state.version:
            item.answer = state.answer(RuleOutcome.VERSION_MISMATCH)
            return
        try:
            state.redefine(request.definition)
        except UnresolvableRule as error:
            item.answer = state.answer(RuleOutcome.VERSION_MISMATCH, str(error))
            return
        state.note("rule.patched", state.story_of_levels(), workflow.now())
        await self._project()
        item.answer = state.answer(RuleOutcome.DONE)

    async def _position_news(self) -> None:
        state = self._state
        if not state.position_closed:
            await self._project()  # the watch carries the size that a ladder must cover
            return
        if not await self._take_up_exit_if_any():
            state.end(RuleStatus.CANCELED, "position_closed")
            state.note("rule.canceled", "The position was closed elsewhere", workflow.now())

    async def _take_up_exit_if_any(self) -> bool:
        """Go on with an exit that a former history of this rule began (a reset, a restored backup)."""
        order_id = exit_order_id(self._start.rule_id, self._state.generation)
        stored = await workflow.execute_activity_method(
            TradingActivities.recall_order,
            RecallOrder(order_id=order_id),
            start_to_close_timeout=policies.PROJECT_TIMEOUT,
            retry_policy=policies.READ,
        )
        if stored.attempts:
            await self._exit(None, None, 0)
        return bool(stored.attempts)

    # -- the exit -------------------------------------------------------------------------------

    async def _exit(self, crossing: Crossing | None, ladder: Ladder | None, ladder_at_ms: int) -> None:
        """Consume a crossing: it ends in an exit, a closed rule, or a rule armed again."""
        state = self._state
        order_id = state.fire(crossing)
        self._execution = OrderExecution(
            self._identity(order_id), self._start.tuning, self, self._exit_carry()
        )
        if crossing is not None:
            state.note("rule.triggered", fired_text(crossing), workflow.now(), data=_evidence(crossing))
        self._move_waiting_items()
        attributes.set_state(state.status.value)
        end = await self._execution.run(ladder, ladder_at_ms)
        self._sum()
        if end is ExecutionEnd.CONTINUE:
            self._continue_as_new()
        await self._after_exit(end)

    def _exit_carry(self) -> messages.ExecutionCarry | None:
        carry = self._start.carry.exit if self._start.carry else None
        same = carry is not None and carry.order_id == self._state.order_id
        return carry if same else None

    async def _after_exit(self, end: ExecutionEnd) -> None:
        state, execution = self._state, self._execution
        now = workflow.now()
        if end is ExecutionEnd.BELOW_LEVEL:
            await self._watch_again()
            return
        sold = plain(state.now_sold.shares)
        match end:
            case ExecutionEnd.COMPLETE | ExecutionEnd.DUST:
                state.dust_shares = state.wanted_shares()
                usd = plain(state.now_sold.proceeds_usd)
                state.end(RuleStatus.TRIGGERED, f"sold {sold} shares for {usd} USD")
                state.note("rule.done", state.detail, now, data={"dust_shares": plain(state.dust_shares)})
            case ExecutionEnd.NOTHING_HELD:
                state.end(RuleStatus.CANCELED, "position_closed")
                state.note("rule.canceled", "Nothing was left to sell", now)
            case ExecutionEnd.CANCELED:
                state.end(RuleStatus.CANCELED, f"canceled after {sold} shares were sold")
                residual = {"residual_shares": plain(state.wanted_shares())}
                state.note("rule.canceled", state.detail, now, data=residual)
            case _:
                detail = execution.detail if execution else "failed"
                state.end(RuleStatus.FAILED, detail)
                state.note("rule.failed", detail, now, severity=messages.Severity.ALARM)

    async def _watch_again(self) -> None:
        """What a target did not fill stays armed."""
        now, state = workflow.now(), self._state
        execution, self._execution = self._execution, None
        if execution is not None:
            await self._send(execution.projection())
        state.rearm(soon(now, REARM_MS))
        state.note("rule.rearmed", f"{plain(state.wanted_shares())} shares did not fill and stay armed", now)
        attributes.set_state(state.status.value)
        if self._cancels:
            self._inbox.extendleft(reversed(self._cancels))
            self._cancels.clear()
        await self._project()

    def _move_waiting_items(self) -> None:
        """Items behind the crossing lost the race: patches are told so, cancels stop the exit."""
        waiting, self._inbox = self._inbox, deque()
        for item in waiting:
            if isinstance(item, _Patch):
                item.answer = self._state.answer(RuleOutcome.CROSSING_WON)
            elif isinstance(item, _Cancel):
                self._take_cancel(item)

    def _answer_waiting(self) -> None:
        """Tell everybody who still waits how it ended."""
        state = self._state
        waiting = [*self._cancels, *(i for i in self._inbox if isinstance(i, _Cancel | _Patch))]
        for item in waiting:
            if state.status is RuleStatus.CANCELED and isinstance(item, _Cancel):
                residual = state.wanted_shares() > 0 and state.fired is not None
                item.answer = state.answer(
                    RuleOutcome.CANCELED_WITH_RESIDUAL if residual else RuleOutcome.DONE
                )
            else:
                item.answer = self._too_late()

    def _identity(self, order_id: OrderId) -> OrderIdentity:
        start = self._start
        return OrderIdentity(
            order_id=order_id,
            account_id=start.account_id,
            host_workflow_id=workflow.info().workflow_id,
            rule_id=start.rule_id,
            venue=start.venue,
            mode=start.mode,
            market_id=start.instrument.market_id,
            token_id=start.instrument.token_id,
            side=Side.SELL,
            purpose=Purpose.EXIT,
            time_in_force=TimeInForce.FAK,
        )

    # -- what the execution asks of its host ------------------------------------------------------

    def build(self, request: BuildRequest) -> ExitBuild:
        """Build the next exit attempt from what is held now."""
        self._sum()
        return build_exit(
            self._state.exit_request(request.attempt, request.ladder, request.available, request.timestamp_ms)
        )

    def rule_projection(self) -> RuleProjection | None:
        """Return the rule's rows with the next version."""
        self._sum()
        return self._state.project(workflow.time_ns() // 1_000)

    def learned(self, read: FreshRead | None, holding: Holding | None) -> None:
        """Take a fresh read."""
        if read is not None:
            self._state.instrument = read.instrument
        if holding is not None:
            self._state.take_holding(holding)

    def is_patient(self) -> bool:
        """A target never sells below its level: what does not fill stays armed. All else waits."""
        return self._state.lowest_price() is None

    def told(self, state: OrderState, detail: str) -> None:
        """Keep the exit's story beside the rule's own."""
        phases = {OrderState.WAITING: RulePhase.WAITING, OrderState.BLOCKED: RulePhase.BLOCKED}
        self._state.phase = phases.get(state, RulePhase.EXITING)
        self._state.detail = detail
        self._tell()

    def _sum(self) -> None:
        if self._execution is not None:
            totals, sold = self._execution.totals, self._state.now_sold
            sold.shares, sold.proceeds_usd, sold.fee_usd = (
                totals.filled_shares,
                totals.notional_usd,
                totals.fee_usd,
            )

    # -- writing --------------------------------------------------------------------------------

    def _tell(self) -> None:
        workflow.set_current_details(self._state.story())

    async def _project(self) -> None:
        self._tell()
        if self._state.phase is RulePhase.DONE:
            attributes.set_state(self._state.status.value)
        if self._execution is not None:
            await self._send(self._execution.projection())
        else:
            await self._send(Projection(rule=self.rule_projection()))

    async def _send(self, projection: Projection) -> None:
        await workflow.execute_activity_method(
            ProjectionActivities.project,
            projection,
            start_to_close_timeout=policies.PROJECT_TIMEOUT,
            retry_policy=policies.PROJECT,
        )

    def _continue_as_new(self) -> None:
        execution = self._execution.carry() if self._execution is not None else None
        workflow.continue_as_new(replace(self._start, carry=self._state.carry(execution)))


def _evidence(crossing: Crossing) -> dict[str, str]:
    """Return what the crossing showed, as the event log keeps it."""
    shown = {
        "condition": crossing.condition.value,
        "condition_index": str(crossing.condition_index),
        "level": crossing.level,
        "price": crossing.price,
        "mark": crossing.mark,
        "bid": crossing.quote.bid,
        "ask": crossing.quote.ask,
        "last": crossing.quote.last,
        "observed_at_ms": str(crossing.observed_at_ms),
        "venue_timestamp_ms": crossing.venue_timestamp_ms,
    }
    return {key: str(value) for key, value in shown.items() if value is not None}
