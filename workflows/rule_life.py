"""The main loop of a rule: armed, crossed, exited. Takes one item at a time and decides it."""

from dataclasses import replace
from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.messages import (
        RULE_REVISION,
        Crossed,
        ExecutionCarry,
        Projection,
        RuleOutcome,
        RulePhase,
        RuleStart,
        RuleStatus,
        Severity,
    )
    from domain.quotes import Ladder
    from domain.rules.crossing import Crossing, judge
    from domain.rules.levels import UnresolvableRule

from workflows import attributes, calls
from workflows.execution import ExecutionEnd
from workflows.former_exits import FormerExits
from workflows.order_desk import history_is_long
from workflows.rule_ends import conclude, due_crossing, sold_unknowingly
from workflows.rule_exit import RuleExit
from workflows.rule_inbox import Cancel, MarketNews, OrderNews, Patch, PositionNews, RuleInbox, Show
from workflows.rule_rows import evidence, fired_text, rearmed_text, story
from workflows.rule_state import RuleState


class NewRun(Exception):
    """Unwinds a life whose history is long: its workflow goes on in a new run."""


class RuleLife:
    """A rule's life from arming to its end; handlers fill the `inbox`, all else happens here."""

    def __init__(self, start: RuleStart) -> None:
        """Take up what the start, or the run before this one, says."""
        self._start = start
        self.state = RuleState.begin(start, workflow.now())
        self.inbox = RuleInbox(self.state, start.carry)
        self.exit: RuleExit | None = None
        self._shown_state = "" if start.carry is None else self.state.status.value
        self._former = FormerExits(self.state)

    # -- called by handlers ---------------------------------------------------------------------

    @property
    def sold_out(self) -> bool:
        """Whether an exit has sold everything, and only the venue's confirmation is awaited."""
        return self.exit is not None and self.exit.execution.trading_over

    def notify(self) -> None:
        """Wake whatever waits for facts about this rule's orders."""
        self._former.notify()
        if self.exit is not None:
            self.exit.execution.notify()

    def take_cancel(self, item: Cancel) -> None:
        """Stop the exit under way, or queue behind what was first."""
        if self.exit is not None:
            self.inbox.keep(item)
            self.exit.execution.request_cancel()
        else:
            self.inbox.put(item)

    # -- the loop -------------------------------------------------------------------------------

    async def live(self) -> None:
        """Live until the rule is done and that is written."""
        carry = self._start.carry
        if carry is None:
            await self._arm()
        elif carry.adopts:
            await self._take_over(carry.former)
        else:
            await self._take_up(carry.exit, carry.former)
        while self.state.phase is not RulePhase.DONE:
            await self._step()
        await self._project()
        self.inbox.answer_all()

    async def _arm(self) -> None:
        state = self.state
        state.note_levels("rule.armed", workflow.now())
        state.phase = RulePhase.ARMED
        await self._project_start()

    async def _project_start(self) -> None:
        """Write how the rule starts; whoever waits for its creation is answered once that is written."""
        state, reached = self.state, self.state.phase
        projection = Projection(rule=state.project(workflow.time_ns() // 1_000))
        state.phase = RulePhase.ARMING
        await calls.project(projection)
        state.phase = reached
        self._tell()

    async def _take_over(self, former: tuple[ExecutionCarry, ...]) -> None:
        """Take up a rule whose workflow is gone: go on with the exit that it began, or watch again."""
        state, now = self.state, workflow.now()
        await self._former.take_up([self._host(one) for one in former])
        stored = await calls.recall(state.exit_order_id)
        exiting = state.fired is not None or bool(stored.claims)
        how = "goes on with the exit that it had begun" if exiting else "watches again"
        state.note("rule.adopted", f"The rule was adopted and {how}", now)
        if exiting:
            state.fire(None)
        elif state.position_closed:
            state.end(RuleStatus.CANCELED, "position_closed")
            state.note("rule.canceled", "The position was closed meanwhile", now)
        else:
            state.rise()
            if self._start.revision >= 5:
                self._follow_token()
            state.note_levels("rule.armed", now)
            state.phase = RulePhase.ARMED
        await self._project_start()
        if exiting:
            await self._run_exit(None, None, 0)

    async def _take_up(self, carry: ExecutionCarry | None, former: tuple[ExecutionCarry, ...]) -> None:
        """Go on with what the run before this one left open."""
        known = self.state.holding.version
        await self._former.take_up([self._host(one) for one in former])
        if carry is not None:
            await self._run_exit(None, None, 0, carry)
            return
        if self.state.holding.version != known and self._start.revision >= 5:
            self.inbox.put(PositionNews())  # the signal of it tells nothing new any more
        self._tell()

    async def _step(self) -> None:
        """Wait for the next item or moment, and decide it."""
        if not self.inbox and history_is_long(self._start.tuning) and workflow.all_handlers_finished():
            raise NewRun
        deadline = self.state.next_deadline()
        if not self.inbox:
            if deadline is None:
                await workflow.wait_condition(lambda: bool(self.inbox))
            elif not await self._wait(deadline):
                await self._time_is_up(deadline)
                return
        item = self.inbox.take()
        match item:
            case Crossed():
                await self._judge(item)
            case Patch():
                await self._patch(item)
            case Cancel():
                self.state.end(RuleStatus.CANCELED, item.reason)
                self.state.note("rule.canceled", item.reason, workflow.now())
                self.inbox.keep(item)  # answered once it is written
            case PositionNews():
                await self._position_news()
            case OrderNews():
                await self._order_news()
            case MarketNews():
                await self._market_resolved()
            case Show():
                await self._project()

    async def _wait(self, deadline: datetime) -> bool:
        """Wait for an item; False when the deadline came first."""
        left = deadline - workflow.now()
        if left <= timedelta(0):
            return False
        try:
            await workflow.wait_condition(lambda: bool(self.inbox), timeout=left)
        except TimeoutError:
            return False
        return True

    async def _time_is_up(self, deadline: datetime) -> None:
        """A time exit or the expiry is due.

        Its timer says so. At a replay the task that armed the rule may be later than it was, and what counts
        from then as well: a time exit that were not due by the clock would end the rule unsold.
        """
        now, state = max(workflow.now(), deadline), self.state
        crossing = due_crossing(state, now)
        if crossing is not None:
            await self._run_exit(crossing, None, 0)
            return
        state.end(RuleStatus.EXPIRED, "expired")
        state.note("rule.expired", "The rule expired without a crossing", now)

    async def _judge(self, crossed: Crossed) -> None:
        """Judge a crossing by the rule's own conditions: fire, or refuse and watch again."""
        state, crossing = self.state, crossed.crossing
        if state.is_repeated(crossing):
            return
        state.consume(crossing)
        verdict = judge(crossing, state.resolved)
        if verdict.satisfied:
            # An empty ladder may be an empty book, or a crossing that brought none: a fresh read tells.
            ladder = crossed.ladder if crossed.ladder.levels else None
            at_ms = crossed.ladder_at_ms if self._start.revision >= 3 else None
            await self._run_exit(crossing, ladder, at_ms or crossing.observed_at_ms)
            return
        reason = verdict.refusal.value if verdict.refusal else "refused"
        now = workflow.now()
        state.note("crossing.refused", f"A crossing does not satisfy the rule: {reason}", now)
        state.rearm(now)
        await self._project()

    async def _patch(self, item: Patch) -> None:
        state, request = self.state, item.request
        if request.expected_version is not None and request.expected_version != state.version:
            item.answer = state.answer(RuleOutcome.VERSION_MISMATCH)
            return
        try:
            state.redefine(request.definition)
        except UnresolvableRule as error:
            item.refusal = str(error)
            return
        state.note_levels("rule.patched", workflow.now())
        # The feed must not watch levels that a lost task takes back: the update becomes history first.
        await self._project(ends_task=True)
        item.answer = state.answer(RuleOutcome.DONE)

    async def _position_news(self) -> None:
        state = self.state
        self._follow_token()
        if not state.position_closed:
            await self._project()  # the watch carries the size that a ladder must cover
        elif not await self._exit_found_under_way():
            if await sold_unknowingly(state):
                conclude(state, ExecutionEnd.COMPLETE, "", workflow.now())
                return
            state.end(RuleStatus.CANCELED, "position_closed")
            state.note("rule.canceled", "The position was closed elsewhere", workflow.now())

    def _follow_token(self) -> None:
        """Take the levels anew when the token was sold elsewhere and bought again."""
        state, now = self.state, workflow.now()
        if not state.is_bought_anew:
            return
        try:
            state.begin_episode(now)
        except UnresolvableRule as error:
            kept = f"The rule keeps the levels of the former position: {error}"
            state.note("rule.levels_kept", kept, now, severity=Severity.ALARM)
            return
        state.note_levels("rule.follows", now)

    async def _market_resolved(self) -> None:
        """Nothing can be sold any more: what is held is paid out."""
        state = self.state
        if not await self._exit_found_under_way():
            state.end(RuleStatus.EXPIRED, "market_resolved")
            state.note("rule.expired", "The market was resolved before a crossing", workflow.now())

    async def _order_news(self) -> None:
        """Fills of an earlier generation are final or taken back; or an exit is under way already."""
        state, known = self.state, (self.state.sold, self.state.holding.version)
        await self._former.refresh()
        if not await self._exit_found_under_way() and known != (state.sold, state.holding.version):
            await self._position_news()

    async def _exit_found_under_way(self) -> bool:
        """Go on with an exit that a former history of this rule began (a reset, a restored backup)."""
        stored = await calls.recall(self.state.exit_order_id)
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
        state = self.state
        state.fire(crossing)
        self.exit = host = self._host(carry)
        if crossing is not None:
            state.note("rule.triggered", fired_text(crossing), workflow.now(), data=evidence(crossing))
        self.inbox.lose_to_crossing()
        if self.inbox.has_cancels:
            host.execution.request_cancel()
        if self._start.revision < 1:
            self._show_state()
        while (end := await host.execution.run(ladder, ladder_at_ms)) is ExecutionEnd.CONTINUE:
            await calls.project(host.execution.projection())
            if workflow.all_handlers_finished() or self._start.revision < 7:
                raise NewRun
            ladder = None  # somebody waits for an answer that only this run can give
        self.state.sold_now = host.sold
        await self._after_exit(host, end)

    def _host(self, carry: ExecutionCarry | None) -> RuleExit:
        return RuleExit(
            self.state,
            carry,
            on_told=self._tell,
            on_sent=self._show_state,
            on_cancel_lost=self.inbox.answer_crossing_won,
        )

    async def _after_exit(self, host: RuleExit, end: ExecutionEnd) -> None:
        state, now = self.state, workflow.now()
        flat_again = end is ExecutionEnd.NOTHING_HELD and state.definition.follow_token
        unsold = end in (ExecutionEnd.BELOW_LEVEL, ExecutionEnd.SHARES_BOUND)
        if unsold and self._start.revision >= 6 and state.position_closed:
            end, unsold = _end_of_sold_out(host), False
        if unsold or flat_again or await self._taken_back(end):
            await self._watch_again(host, end)
            return
        if self._may_have_forgotten(end) and await sold_unknowingly(state):
            end = ExecutionEnd.COMPLETE
        conclude(state, end, host.execution.detail, now, dust=host.execution.dust_shares)

    def _may_have_forgotten(self, end: ExecutionEnd) -> bool:
        """Whether other exits may have sold: nothing was left, or this one was found by its claims."""
        if end is ExecutionEnd.NOTHING_HELD:
            return True
        found = self.state.fired is None and self._start.revision >= 5
        return found and end in (ExecutionEnd.COMPLETE, ExecutionEnd.DUST)

    async def _taken_back(self, end: ExecutionEnd) -> bool:
        """Wait for the fills of earlier generations, too; True when one of them was taken back."""
        if end not in (ExecutionEnd.COMPLETE, ExecutionEnd.DUST):
            return False
        return await self._former.confirm()

    async def _watch_again(self, host: RuleExit, end: ExecutionEnd) -> None:
        """What a target did not fill stays armed."""
        state, self.exit = self.state, None
        last_words, now = host.execution.order_projection(), workflow.now()
        if end is ExecutionEnd.BELOW_LEVEL:
            state.learn_unpaid()
        state.rearm(now)
        self._follow_token()
        self._former.add(host)
        state.note("rule.rearmed", rearmed_text(state), now)
        self.inbox.requeue_cancels()
        self._show_state()
        self._tell()
        await calls.project(Projection(rule=state.project(workflow.time_ns() // 1_000), order=last_words))

    # -- writing --------------------------------------------------------------------------------

    def _tell(self) -> None:
        workflow.set_current_details(story(self.state))

    def _show_state(self) -> None:
        """Change the search attribute, when the status is another one."""
        if self._shown_state != self.state.status.value:
            self._shown_state = self.state.status.value
            attributes.set_state(self._shown_state)

    async def _project(self, *, ends_task: bool = False) -> None:
        self._tell()
        if self.state.phase is RulePhase.DONE:
            self._show_state()
        rule, order = self.state.project(workflow.time_ns() // 1_000), None
        if self.exit is not None:
            order = self.exit.execution.order_projection()
            # The log is read in the order in which it is written: the rule ends after its order did.
            rule = replace(rule, events=order.events + rule.events)
            order = replace(order, events=())
        await calls.project(Projection(rule=rule, order=order), ends_task=ends_task or self.inbox.has_cancels)

    def next_start(self) -> RuleStart:
        """Return what a new run begins with."""
        carry = replace(
            self.state.carry(),
            exit=self.exit.execution.carry() if self.exit is not None else None,
            former=self._former.carry(),
            crossings=self.inbox.crossings(),
            cancel=self.inbox.cancel_reason,
        )
        return replace(self.state.start, revision=RULE_REVISION, carry=carry)


def _end_of_sold_out(host: RuleExit) -> ExecutionEnd:
    """How an exit ends whose last shares somebody else sold while it found nobody to pay."""
    return ExecutionEnd.COMPLETE if host.sold.shares else ExecutionEnd.NOTHING_HELD
