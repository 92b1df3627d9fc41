"""A rule: armed, crossed, exited. One workflow per rule, so siblings' conditions cannot both fire.

Handlers only take note; the main loop decides, one item at a time in the order of history.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from domain import messages
    from domain.messages import (
        CancelRule,
        CreateRule,
        Crossed,
        ExecutionCarry,
        PatchRule,
        PositionChanged,
        Projection,
        RuleAnswer,
        RuleOutcome,
        RulePhase,
        RuleStart,
        RuleStatus,
        Severity,
    )
    from domain.money import plain
    from domain.orders import Instrument
    from domain.quotes import Ladder, Quote
    from domain.rules.crossing import Crossing, judge
    from domain.rules.levels import FiringTime, UnresolvableRule

from workflows import attributes, calls
from workflows.execution import ExecutionEnd
from workflows.order_desk import history_is_long
from workflows.rule_exit import RuleExit
from workflows.rule_rows import evidence, fired_text, story
from workflows.rule_state import RuleState, Sold

_NO_QUOTE = Quote(None, None, None)


@dataclass
class _Patch:
    request: PatchRule
    answer: RuleAnswer | None = None
    refusal: str = ""


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
        self._shown_state = "" if start.carry is None else self._state.status.value
        self._inbox: deque[_Item] = deque(start.carry.crossings if start.carry else ())
        self._cancels: list[_Cancel] = []  # of the exit under way, or waiting for the last projection
        self._exit: RuleExit | None = None
        self._former: list[RuleExit] = []  # of earlier generations, with fills that are not final

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
        if self._state.phase not in (RulePhase.ARMED, RulePhase.ARMING):
            return self._too_late()
        item = _Patch(request)
        self._inbox.append(item)
        await workflow.wait_condition(lambda: item.answer is not None or bool(item.refusal))
        if item.refusal:
            raise ApplicationError(item.refusal, type="unresolvable_rule")
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
        sold_out = self._exit is not None and self._exit.execution.trading_over
        if sold_out or self._state.phase is RulePhase.DONE:
            return self._too_late()
        item = _Cancel(request.reason)
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
        self._notify()
        if self._exit is None:
            self._inbox.append(_OrderNews())

    @workflow.signal(name=messages.SIGNAL_POSITION_CHANGED)
    def position_changed(self, change: PositionChanged) -> None:
        """The ledger holds something else now."""
        if not self._state.take_holding(change.holding):
            return
        if self._exit is None:
            self._inbox.append(_PositionNews())
        else:
            self._exit.execution.notify()

    @workflow.signal(name=messages.SIGNAL_MARKET_CHANGED)
    def market_changed(self, instrument: Instrument) -> None:
        """The token trades by other terms now."""
        self._state.instrument = instrument

    def _check_account(self, account_id: str) -> None:
        if account_id != self._start.account_id:
            raise ApplicationError("no such rule", type="not_found")

    def _notify(self) -> None:
        for host in (*self._former, *([self._exit] if self._exit else [])):
            host.execution.notify()

    def _take_cancel(self, item: _Cancel) -> None:
        if self._exit is not None:
            self._cancels.append(item)
            self._exit.execution.request_cancel()
        else:
            self._inbox.append(item)

    def _too_late(self) -> RuleAnswer:
        over = self._state.phase is RulePhase.DONE and self._state.status is not RuleStatus.TRIGGERED
        return self._state.answer(RuleOutcome.ALREADY_FINISHED if over else RuleOutcome.CROSSING_WON)

    # -- the main loop --------------------------------------------------------------------------

    async def _live(self) -> None:
        carry = self._start.carry
        if carry is None:
            await self._arm()
        else:
            await self._take_up(carry.exit, carry.former)
        while self._state.phase is not RulePhase.DONE:
            await self._step()
        await self._project()
        self._answer_waiting()

    async def _arm(self) -> None:
        state = self._state
        state.note_levels("rule.armed", workflow.now())
        state.phase = RulePhase.ARMED
        projection = Projection(rule=state.project(workflow.time_ns() // 1_000))
        state.phase = RulePhase.ARMING
        await calls.project(projection)
        state.phase = RulePhase.ARMED
        self._tell()

    async def _take_up(self, carry: ExecutionCarry | None, former: tuple[ExecutionCarry, ...]) -> None:
        """Go on with what the run before this one left open."""
        self._former = [self._host(earlier) for earlier in former]
        for earlier in self._former:
            await earlier.execution.refresh_fills()
        self._drop_final()
        if carry is not None:
            await self._run_exit(None, None, 0, carry)
        else:
            self._tell()

    async def _step(self) -> None:
        """Wait for the next item or moment, and decide it."""
        if not self._inbox and history_is_long(self._start.tuning) and workflow.all_handlers_finished():
            self._continue_as_new(None)
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
                await self._order_news()

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
        """A time exit or the expiry is due; of several time exits the first in the list wins.

        After an outage both may be due: a time exit that lies behind the expiry never was.
        """
        now, state = workflow.now(), self._state
        until = min(now, state.resolved.expires_at or now)
        for index, condition in enumerate(state.resolved.conditions):
            if isinstance(condition, FiringTime) and condition.fires_at <= until:
                await self._run_exit(self._time_crossing(index, condition), None, 0)
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
        state, crossing = self._state, crossed.crossing
        if state.is_repeated(crossing):
            return
        state.consume(crossing)
        verdict = judge(crossing, state.resolved)
        if verdict.satisfied:
            await self._run_exit(crossing, crossed.ladder, crossing.observed_at_ms)
            return
        reason = verdict.refusal.value if verdict.refusal else "refused"
        now = workflow.now()
        state.note("crossing.refused", f"A crossing does not satisfy the rule: {reason}", now)
        state.rearm(self._soon())
        await self._project()

    async def _patch(self, item: _Patch) -> None:
        state, request = self._state, item.request
        if request.expected_version is not None and request.expected_version != state.version:
            item.answer = state.answer(RuleOutcome.VERSION_MISMATCH)
            return
        try:
            state.redefine(request.definition)
        except UnresolvableRule as error:
            item.refusal = str(error)
            return
        state.note_levels("rule.patched", workflow.now())
        await self._project()
        item.answer = state.answer(RuleOutcome.DONE)

    async def _position_news(self) -> None:
        state = self._state
        if not state.position_closed:
            await self._project()  # the watch carries the size that a ladder must cover
        elif not await self._exit_found_under_way():
            state.end(RuleStatus.CANCELED, "position_closed")
            state.note("rule.canceled", "The position was closed elsewhere", workflow.now())

    async def _order_news(self) -> None:
        """Fills of an earlier generation are final or taken back; or an exit is under way already."""
        state, known = self._state, (self._state.sold, self._state.holding.version)
        for host in self._former:
            await host.execution.refresh_fills()
        self._drop_final()
        if not await self._exit_found_under_way() and known != (state.sold, state.holding.version):
            await self._position_news()

    async def _exit_found_under_way(self) -> bool:
        """Go on with an exit that a former history of this rule began (a reset, a restored backup)."""
        stored = await calls.recall(self._state.exit_order_id)
        if stored.claims:
            await self._run_exit(None, None, 0)
        return bool(stored.claims)

    # -- the exit -------------------------------------------------------------------------------

    async def _run_exit(
        self,
        crossing: Crossing | None,
        ladder: Ladder | None,
        ladder_at_ms: int,
        carry: ExecutionCarry | None = None,
    ) -> None:
        """Consume a crossing: it ends in an exit, a closed rule, or a rule armed again."""
        state = self._state
        state.fire(crossing)
        self._exit = host = self._host(carry)
        if crossing is not None:
            state.note("rule.triggered", fired_text(crossing), workflow.now(), data=evidence(crossing))
        self._move_waiting_items()
        self._show_state()
        end = await host.execution.run(ladder, ladder_at_ms)
        if end is ExecutionEnd.CONTINUE:
            await calls.project(host.execution.projection())
            self._continue_as_new(host)
        self._state.sold_now = host.sold
        await self._after_exit(host, end)

    def _host(self, carry: ExecutionCarry | None) -> RuleExit:
        return RuleExit(self._state, carry, on_told=self._tell, on_cancel_lost=self._answer_crossing_won)

    async def _after_exit(self, host: RuleExit, end: ExecutionEnd) -> None:
        state, now = self._state, workflow.now()
        flat_again = end is ExecutionEnd.NOTHING_HELD and state.definition.follow_token
        if end is ExecutionEnd.BELOW_LEVEL or flat_again or await self._taken_back(end):
            await self._watch_again(host)
            return
        sold = plain(state.sold.shares)
        match end:
            case ExecutionEnd.COMPLETE | ExecutionEnd.DUST:
                state.dust_shares = state.wanted_shares()
                usd = plain(state.sold.proceeds_usd)
                state.end(RuleStatus.TRIGGERED, f"sold {sold} shares for {usd} USD")
                state.note("rule.done", state.detail, now, data={"dust_shares": plain(state.dust_shares)})
            case ExecutionEnd.NOTHING_HELD:
                state.end(RuleStatus.CANCELED, "position_closed")
                state.note("rule.canceled", "Nothing was left to sell", now)
            case ExecutionEnd.CANCELED:
                state.end(RuleStatus.CANCELED, f"canceled after {sold} shares were sold")
                residual = {"residual_shares": plain(state.residual_shares)}
                state.note("rule.canceled", state.detail, now, data=residual)
            case _:
                state.end(RuleStatus.FAILED, host.execution.detail)
                state.note("rule.failed", state.detail, now, severity=Severity.ALARM)

    async def _taken_back(self, end: ExecutionEnd) -> bool:
        """Wait for the fills of earlier generations, too; True when one of them was taken back."""
        if end not in (ExecutionEnd.COMPLETE, ExecutionEnd.DUST):
            return False
        back = [await host.execution.confirm_fills() for host in self._former]
        self._drop_final()
        return any(back)

    async def _watch_again(self, host: RuleExit) -> None:
        """What a target did not fill stays armed."""
        state, self._exit = self._state, None
        last_words = host.execution.order_projection()
        state.rearm(self._soon())
        self._former.append(host)
        self._drop_final()
        left = plain(state.wanted_shares())
        state.note("rule.rearmed", f"{left} shares did not fill and stay armed", workflow.now())
        self._inbox.extendleft(reversed(self._cancels))
        self._cancels.clear()
        self._show_state()
        self._tell()
        await calls.project(Projection(rule=state.project(workflow.time_ns() // 1_000), order=last_words))

    def _drop_final(self) -> None:
        """Count what earlier exits sold anew, and let go of those whose fills are final."""
        final = [host.sold for host in self._former if not host.execution.has_unconfirmed]
        self._former = [host for host in self._former if host.execution.has_unconfirmed]
        self._state.count_sold(sum(final, Sold()), sum((host.sold for host in self._former), Sold()))

    def _move_waiting_items(self) -> None:
        """Items behind the crossing lost the race: patches are told so, cancels stop the exit."""
        waiting, self._inbox = self._inbox, deque()
        for item in waiting:
            if isinstance(item, _Patch):
                item.answer = self._state.answer(RuleOutcome.CROSSING_WON)
            elif isinstance(item, _Cancel):
                self._take_cancel(item)
            elif isinstance(item, Crossed) and not self._state.is_repeated(item.crossing):
                self._inbox.append(item)

    def _answer_crossing_won(self) -> None:
        for item in self._cancels:
            item.answer = self._state.answer(RuleOutcome.CROSSING_WON)
        self._cancels.clear()

    def _answer_waiting(self) -> None:
        """Tell everybody who still waits how it ended."""
        state = self._state
        waiting = [*self._cancels, *(i for i in self._inbox if isinstance(i, _Cancel | _Patch))]
        for item in waiting:
            if state.status is RuleStatus.CANCELED and isinstance(item, _Cancel):
                residual = state.residual_shares > 0
                item.answer = state.answer(
                    RuleOutcome.CANCELED_WITH_RESIDUAL if residual else RuleOutcome.DONE
                )
            else:
                item.answer = self._too_late()

    # -- writing --------------------------------------------------------------------------------

    def _tell(self) -> None:
        workflow.set_current_details(story(self._state))

    def _show_state(self) -> None:
        """Change the search attribute, when the status is another one."""
        if self._shown_state != self._state.status.value:
            self._shown_state = self._state.status.value
            attributes.set_state(self._shown_state)

    async def _project(self) -> None:
        self._tell()
        if self._state.phase is RulePhase.DONE:
            self._show_state()
        rule, order = self._state.project(workflow.time_ns() // 1_000), None
        if self._exit is not None:
            order = self._exit.execution.order_projection()
            # The log is read in the order in which it is written: the rule ends after its order did.
            rule = replace(rule, events=order.events + rule.events)
            order = replace(order, events=())
        await calls.project(Projection(rule=rule, order=order), ends_task=bool(self._cancels))

    def _soon(self) -> datetime:
        return workflow.now() + timedelta(milliseconds=self._start.tuning.rearm_ms)

    def _continue_as_new(self, host: RuleExit | None) -> None:
        carry = replace(
            self._state.carry(),
            exit=host.execution.carry() if host is not None else None,
            former=tuple(earlier.execution.carry() for earlier in self._former),
            crossings=tuple(item for item in self._inbox if isinstance(item, Crossed)),
        )
        workflow.continue_as_new(replace(self._start, carry=carry))
