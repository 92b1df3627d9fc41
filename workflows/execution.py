"""One order, one host: build, place, follow, cancel, next attempt.

`Order` is a thin workflow around an `OrderExecution`; `Rule` hosts one directly, because a child would
cost a start and a task between price and order. The host gives pure functions; what happens and what is
written is decided here.
"""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from domain.claims import ClaimRefusal
    from domain.errors import CredentialsMissing, InvalidInput
    from domain.exits import ExitBuild, NoOrder, NoOrderReason
    from domain.messages import (
        ExecutionCarry,
        FreshRead,
        Holding,
        OrderFacts,
        OrderProjection,
        PlaceOrder,
        PlaceResult,
        Projection,
        RuleProjection,
        Tuning,
    )
    from domain.money import plain
    from domain.orders import (
        RESTING,
        AnswerKind,
        Attempt,
        OrderState,
        Purpose,
        RebuildReason,
        Side,
        VenueOrderStatus,
    )
    from domain.quotes import Ladder
    from domain.settlement import NextStep, backoff_ms, next_step

from workflows import calls
from workflows.attempts import ZERO, AttemptLog, AttemptRecord, ExecutionTotals
from workflows.calls import OrderCalls, OrderIdentity
from workflows.order_journal import OrderJournal

_NEEDS_PERSON = frozenset({CredentialsMissing.code, ClaimRefusal.LIVE_NOT_ACKNOWLEDGED.value})


class ExecutionEnd(StrEnum):
    """How an execution ended, every attempt settled."""

    COMPLETE = "complete"
    DUST = "dust"
    NOTHING_HELD = "nothing_held"
    KILLED = "killed"  # the venue ended it before all was filled, and it is placed only once
    BELOW_LEVEL = "below_level"  # the host is not patient, and the book pays too little: it decides
    CANCELED = "canceled"
    FAILED = "failed"
    CONTINUE = "continue"  # the history is long: go on in a new run with what `carry` says


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What the host builds an attempt from; everything in it comes from history."""

    attempt: int
    ladder: Ladder
    available: Decimal | None
    timestamp_ms: int


class ExecutionHost(Protocol):
    """What an execution asks of its host: pure decisions and a word on what was learned."""

    def build(self, request: BuildRequest) -> ExitBuild:
        """Build the next attempt, or say why there is none. Raises InvalidInput when there can be none."""
        ...

    def rule_projection(self) -> RuleProjection | None:
        """Return the rule's rows as they stand now, to be written with the order's."""
        ...

    def learned(self, read: FreshRead | None, holding: Holding | None) -> None:
        """Take what a fresh read or the ledger says."""
        ...

    def is_patient(self) -> bool:
        """Whether a low book or bound shares are waited out (a stop), or end the execution (a target)."""
        ...

    def told(self, state: OrderState, detail: str) -> None:
        """Take the order's story, for the workflow's details."""
        ...

    def cancel_lost(self) -> None:
        """A cancel was asked for, but everything had been filled."""
        ...


class _HistoryIsLong(Exception):
    """Unwinds an execution, at a pause, to its `run`; never leaves it."""


class OrderExecution:
    """Runs one order to its end. Lives inside a workflow; all its state comes back by replay."""

    def __init__(
        self,
        identity: OrderIdentity,
        tuning: Tuning,
        host: ExecutionHost,
        carry: ExecutionCarry | None = None,
        *,
        confirms_always: bool = False,
        send_within_ms: int | None = None,
    ) -> None:
        """Take what is fixed; nothing happens before `run`.

        Args:
            identity: The order.
            tuning: Durations.
            host: Who builds and is told.
            carry: What an earlier run handed over.
            confirms_always: A canceled or killed order, too, ends only when its fills are final.
            send_within_ms: An attempt is not sent later than this after it was built.
        """
        self.identity = identity
        self.cancel_requested = False
        self.trading_over = False  # all is filled or canceled; only the venue's confirmation is awaited
        self._tuning = tuning
        self._host = host
        self._confirms_always = confirms_always
        self._send_within_ms = send_within_ms
        self._calls = OrderCalls(identity, tuning)
        self._log = AttemptLog(carry)
        self._journal = OrderJournal(identity, carry)
        self._fruitless = carry.fruitless if carry else 0  # looks and attempts in a row that filled nothing
        self._releases = 0
        self._tries = 0  # of the present attempt
        self._updates = 0
        self._seen_updates = 0
        self._ladder: Ladder | None = None
        self._ladder_at_ms = 0
        self._available: Decimal | None = None
        self._refused = ""  # the latest reason why nothing was filled
        self._recalled = carry is not None

    # -- messages, called by the host's handlers ------------------------------------------------

    def notify(self) -> None:
        """Facts about this order were booked, or the holding changed."""
        self._updates += 1

    def alarm(self, kind: str, message: str) -> None:
        """Alarm a person with the next projection."""
        self._journal.alarm(kind, message)

    def request_cancel(self) -> None:
        """Stop: cancel what rests, settle what is out, build nothing more."""
        self.cancel_requested = True

    # -- what the host reads --------------------------------------------------------------------

    @property
    def state(self) -> OrderState:
        """The order's state now."""
        return self._journal.state

    @property
    def detail(self) -> str:
        """The order's story in a few words."""
        return self._journal.detail

    @property
    def totals(self) -> ExecutionTotals:
        """What was filled so far."""
        return self._log.totals()

    @property
    def has_unconfirmed(self) -> bool:
        """Whether the venue may still take back a fill."""
        return self.totals.unconfirmed_shares > ZERO

    def carry(self) -> ExecutionCarry:
        """Return what the next run needs."""
        final = self._log.final_totals()
        return ExecutionCarry(
            order_id=self.identity.order_id,
            settled_attempt=self._log.settled_attempt,
            version=self._journal.version,
            fruitless=self._fruitless,
            filled_shares=final.filled_shares,
            notional_usd=final.notional_usd,
            fee_usd=final.fee_usd,
            attempts=tuple(record.carried() for record in self._log.unconfirmed()),
            alarmed=self._journal.alarmed,
        )

    def order_projection(self) -> OrderProjection:
        """Return the order's row with its next version, and what is to be told."""
        return self._journal.projection(self._log)

    def projection(self) -> Projection:
        """Return the rows of host and order as they stand now."""
        return Projection(rule=self._host.rule_projection(), order=self.order_projection())

    # -- the order's life -----------------------------------------------------------------------

    async def run(self, ladder: Ladder | None, ladder_at_ms: int) -> ExecutionEnd:
        """Work until nothing is left to do; `ladder` is the crossing's, None when there is none."""
        self._ladder, self._ladder_at_ms = ladder, ladder_at_ms
        try:
            return await self._finish(await self._work_off())
        except _HistoryIsLong:
            return ExecutionEnd.CONTINUE

    async def refresh_fills(self) -> None:
        """Look at what the ledger says of fills that are not final: the venue may have taken one back."""
        for record in self._log.unconfirmed():
            await self._refresh(record, look_up=False)

    async def confirm_fills(self) -> bool:
        """Wait until every fill is final; True as soon as the venue took one back."""
        return await self._confirmations(may_continue=False)

    async def _work_off(self) -> ExecutionEnd:
        await self._resume()
        while True:
            try:
                built = await self._next()
            except InvalidInput as error:
                self._refused = str(error)
                return ExecutionEnd.FAILED
            if self.cancel_requested:
                if not self._sold_out(built):
                    return ExecutionEnd.CANCELED
                self.cancel_requested = False
                self._host.cancel_lost()
            if isinstance(built, NoOrder):
                end = await self._nothing_to_send(built)
                if end is not None:
                    return end
            elif await self._work(built) is NextStep.FAIL:
                return ExecutionEnd.FAILED

    async def _resume(self) -> None:
        """Look at what an earlier run left open, and stay with it until it is settled."""
        for record in self._log:
            await self._refresh(record, look_up=False)
        for record in self._log.unsettled():
            self._journal.current = record.attempt
            await self._follow(record)
            await self._settled(record, NextStep.FOLLOW, None)

    async def _next(self) -> ExitBuild:
        """Build the next attempt, from the crossing's ladder while it is young, else from a fresh read."""
        built = self._build()
        young = _now_ms() - self._ladder_at_ms <= self._tuning.ladder_fresh_ms
        if self._ladder is not None and self._log.next_attempt == 1 and young:
            return built
        if isinstance(built, NoOrder) and built.reason is NoOrderReason.NOTHING_HELD:
            return built  # no book changes that
        while not self.cancel_requested and not await self._read_book():
            if not self.cancel_requested:
                await self._hold_off("the venue's book cannot be read")
        return self._build()

    def _build(self) -> ExitBuild:
        return self._host.build(
            BuildRequest(
                attempt=self._log.next_attempt,
                ladder=self._ladder or Ladder(()),
                available=self._available,
                timestamp_ms=_now_ms(),
            )
        )

    def _sold_out(self, built: ExitBuild) -> bool:
        nothing_left = (
            isinstance(built, NoOrder) and built.reason is NoOrderReason.NOTHING_HELD and built.shares == ZERO
        )
        return nothing_left and self.totals.filled_shares > ZERO

    async def _read_book(self) -> bool:
        """Read the book; False when the venue could not be asked, or a cancel was first."""
        reading = self._calls.read_market()
        await workflow.wait_condition(lambda: reading.done() or self.cancel_requested)
        if not reading.done():
            reading.cancel()
            await workflow.wait_condition(reading.done)
        if reading.cancelled():
            return False
        try:
            read = await reading
        except ActivityError as error:
            if is_cancelled_exception(error) and not self.cancel_requested:
                raise
            return False
        self._host.learned(read, read.holding)
        levels = read.bids if self.identity.side is Side.SELL else read.asks
        self._ladder, self._ladder_at_ms = Ladder(levels), _now_ms()
        return True

    async def _nothing_to_send(self, built: NoOrder) -> ExecutionEnd | None:
        """Judge why nothing can be built; None means: look again."""
        reason = built.reason
        if await self._recall():
            return None
        if reason is NoOrderReason.RESERVED:
            self._refused = "the shares are bound by another order"
            if not self._host.is_patient():
                return ExecutionEnd.BELOW_LEVEL
            await self._hold_off(self._refused)
            return None
        if reason is NoOrderReason.BELOW_FLOOR:
            if not self._host.is_patient():
                return ExecutionEnd.BELOW_LEVEL
            await self._wait_fruitlessly(
                f"the book pays less than the floor; {plain(built.shares)} shares wait"
            )
            return None
        if self.has_unconfirmed:
            await self._await_confirmation()
            return None
        return self._end_of(built)

    def _end_of(self, built: NoOrder) -> ExecutionEnd:
        if built.reason is NoOrderReason.DUST:
            return ExecutionEnd.DUST
        if built.reason is NoOrderReason.MARKET_FINAL:
            self._refused = "the market is closed or resolved"
            return ExecutionEnd.FAILED
        if built.shares > ZERO:
            return ExecutionEnd.KILLED
        return ExecutionEnd.COMPLETE if self.totals.filled_shares > ZERO else ExecutionEnd.NOTHING_HELD

    async def _recall(self) -> bool:
        """Adopt claims of this order that an earlier history made (a reset, a restored backup)."""
        if self._recalled or self._log:
            return False
        self._recalled = True
        stored = await calls.recall(self.identity.order_id)
        for claimed in stored.claims:
            record = self._log.add(claimed.attempt, claimed.venue_order_id, claimed.last_post_at_ms)
            self._journal.current = claimed.attempt
            self._journal.note("order.adopted", f"Attempt {claimed.attempt.attempt} stood already")
            if not claimed.settled:
                await self._follow(record)
            await self._refresh(record, look_up=False)
            self._log.settle(record)
        return bool(stored.claims)

    # -- placing --------------------------------------------------------------------------------

    async def _work(self, attempt: Attempt) -> NextStep:
        """Place one attempt and stay with it until it is settled, or nothing of it was sent."""
        self._tries = 0
        while True:
            self._tries += 1
            result = await self._place(attempt)
            step = next_step(result)
            if step is NextStep.ADOPT:
                attempt = _adopted(result)
                self._journal.current = attempt
                self._journal.note("order.adopted", f"Attempt {attempt.attempt} stood already")
                continue
            record = self._record(attempt, result)
            if record is None:
                return await self._nothing_sent(step, result)
            if step is NextStep.RESEND:
                await self._pause_before_resend(result)
                if not self.cancel_requested:
                    continue
            if step in (NextStep.FOLLOW, NextStep.RESEND, NextStep.HOLD_OFF) and record.doubt:
                await self._follow(record)
            return await self._settled(record, step, result)

    async def _place(self, attempt: Attempt) -> PlaceResult:
        self._journal.current = attempt
        self._set(OrderState.PLACING, _sell_text(attempt))
        if attempt.attempt == 1 and self._tries == 1:
            self._journal.note("order.submitted", _sell_text(attempt))
        within = self._send_within_ms
        request = PlaceOrder(
            attempt=attempt,
            order=self.order_projection(),
            rule=self._host.rule_projection(),
            send_until_ms=None if within is None else attempt.timestamp_ms + within,
        )
        return await self._calls.place(request)

    def _record(self, attempt: Attempt, result: PlaceResult) -> AttemptRecord | None:
        """Record what was sent, now or by an earlier try; None when nothing of this attempt ever was."""
        if result.venue_order_id is None:
            return self._log.find(attempt.attempt)
        posted = result.last_post_at_ms or _now_ms()
        record = self._log.add(attempt, result.venue_order_id, posted)
        record.last_post_at_ms = max(record.last_post_at_ms, posted)
        record.doubt = result.unknown_before or next_step(result) is NextStep.FOLLOW or _is_unknown(result)
        return record

    async def _nothing_sent(self, step: NextStep, result: PlaceResult) -> NextStep:
        """The claim did not grant the send: make room, or wait, or give up an entry."""
        if step is NextStep.SHRINK:
            self._available = result.available
            return step
        if step is NextStep.RELEASE:
            await self._release(result)
            return step
        self._refused = result.detail or "refused"
        if self.identity.purpose is Purpose.ENTRY:
            return NextStep.FAIL
        if result.refusal in _NEEDS_PERSON:
            await self._wait_for_person(self._refused)
            return step
        await self._hold_off(self._refused)
        return step

    async def _pause_before_resend(self, result: PlaceResult) -> None:
        answer = result.answer
        wait_ms = backoff_ms(self._tries, self._tuning.retry_ms, self._tuning.retry_cap_ms)
        if answer is not None and answer.wait_ms is not None:
            wait_ms = max(wait_ms, answer.wait_ms)
        words = f"{answer.code}: {answer.detail}" if answer is not None else "no answer"
        self._set(OrderState.WAITING, f"the venue asks for patience ({words}); the same order goes out again")
        self._alarm_after(self._tries)
        await self._project()
        await self._pause(wait_ms)

    async def _release(self, result: PlaceResult) -> None:
        """Cancel the resting sells that hold the shares: an exit pre-empts them."""
        self._releases += 1
        self._set(OrderState.WAITING, "cancelling resting sells that hold the shares")
        if self._releases > 1:
            await self._hold_off(self._journal.detail)
        else:
            self._journal.note("exit.preempts", "Cancels resting sells that hold the shares")
        await self._calls.release_shares(result.held_by)
        self._available = None

    async def _hold_off(self, why: str) -> None:
        """Nothing can be sent now: say so, wait, look again."""
        self._fruitless += 1
        self._set(OrderState.WAITING, why)
        self._alarm_after(self._fruitless)
        await self._project()
        cap = min(self._tuning.retry_cap_ms, 5 * self._tuning.retry_ms)
        await self._pause(backoff_ms(self._fruitless, self._tuning.retry_ms, cap), on_update=True)
        self._available = None
        self._ladder_at_ms = 0

    # -- following ------------------------------------------------------------------------------

    async def _follow(self, record: AttemptRecord) -> None:
        """Stay with an attempt that the venue has, or may have, until it is settled."""
        self._set(OrderState.FOLLOWING, "at the venue; fills are being booked")
        tries, cancel_seen = 0, False
        while True:
            tries += 1
            cap = self._tuning.resting_cap_ms if self._rests() else self._tuning.fallback_cap_ms
            wait_ms = backoff_ms(tries, self._tuning.fallback_ms, cap)
            signalled = await self._pause(wait_ms, on_update=True, on_cancel=not cancel_seen)
            if self.cancel_requested and not cancel_seen:
                cancel_seen, tries = True, 0
            cancelling = cancel_seen and self.identity.time_in_force in RESTING
            if cancelling:
                await self._calls.cancel(record)
            booked = record.booked
            facts = await self._refresh(record, look_up=cancelling or not signalled)
            if facts.settled or await self._absent(record, facts):
                return
            await self._tell_of(record, facts, news=facts.booked_shares != booked)

    async def _tell_of(self, record: AttemptRecord, facts: OrderFacts, *, news: bool) -> None:
        """Write what changed for an attempt that is not settled."""
        if facts.venue_status is VenueOrderStatus.LIVE:
            if news or not self._rests():
                self._set(OrderState.RESTING, f"rests, {plain(facts.booked_shares)} shares filled")
                await self._project()
            return
        if self._rests():
            self._set(OrderState.FOLLOWING, "no longer rests; its last fills are being booked")
        overdue = _now_ms() - record.last_post_at_ms > self._tuning.unsettled_alarm_ms
        if overdue and "order.unsettled" not in self._journal.alarmed:
            self._journal.alarm("order.unsettled", "The venue does not say what became of the order")
            await self._project()

    def _rests(self) -> bool:
        return self._journal.state is OrderState.RESTING

    async def _refresh(self, record: AttemptRecord, *, look_up: bool) -> OrderFacts:
        record.facts = await self._calls.follow(record, look_up=look_up)
        self._host.learned(None, record.facts.holding)
        return record.facts

    async def _absent(self, record: AttemptRecord, facts: OrderFacts) -> bool:
        """Rule (d): absent everywhere for long enough, and a refreshed balance equals the ledger."""
        waited_ms = _now_ms() - record.last_post_at_ms
        absent = facts.looked_up and facts.venue_status is None and facts.booked_shares == ZERO
        if not absent or waited_ms < self._tuning.absent_settles_ms:
            return False
        return await self._calls.confirm_absent(record)

    async def _await_confirmation(self) -> None:
        """All is sold, but the venue may still reverse a fill: wait for its word, then look again."""
        self.trading_over = True
        self._set(OrderState.FOLLOWING, "filled; waiting for the venue's confirmation")
        await self._project()
        if await self._confirmations():
            self.trading_over = False

    async def _confirmations(self, *, may_continue: bool = True) -> bool:
        """Wait until every fill is final; True as soon as the venue took one back."""
        before, tries = self.totals.reversed_shares, 0
        while self.has_unconfirmed:
            tries += 1
            wait_ms = backoff_ms(tries, self._tuning.fallback_ms, self._tuning.fallback_cap_ms)
            signalled = await self._pause(wait_ms, on_update=True, on_cancel=False, may_continue=may_continue)
            for record in self._log.unconfirmed():
                await self._refresh(record, look_up=not signalled)
            back = self.totals.reversed_shares - before
            if back > ZERO:
                self._journal.note("fill.reversed", f"The venue took back a fill of {plain(back)} shares")
                return True
        return False

    # -- settled --------------------------------------------------------------------------------

    async def _settled(self, record: AttemptRecord, step: NextStep, result: PlaceResult | None) -> NextStep:
        """Close an attempt and say what it came to; pause where nothing was gained."""
        self._log.settle(record)
        self._available = None
        if record.booked > ZERO:
            self._fruitless, self._releases = 0, 0
            self._journal.calm()
            usd = record.facts.notional_usd if record.facts else ZERO
            self._journal.note("order.filled", f"Filled {plain(record.booked)} shares for {plain(usd)} USD")
            return step
        answer = result.answer if result else None
        self._refused = (answer.detail or answer.code) if answer else (result.detail if result else "")
        if step is NextStep.FAIL:
            return step
        if self.identity.purpose is Purpose.ENTRY:
            killed = step in (NextStep.FOLLOW, NextStep.NO_LIQUIDITY)
            return step if killed or self.cancel_requested else NextStep.FAIL
        if step is NextStep.BLOCKED:
            await self._wait_for_person(self._refused)
        elif answer is not None and answer.rebuild is RebuildReason.BALANCE_SHORT:
            await self._calls.release_shares(())
            await self._wait_fruitlessly(self._refused)
        else:
            await self._wait_fruitlessly(self._refused or "nothing matched")
        return step

    async def _wait_for_person(self, why: str) -> None:
        self._set(OrderState.BLOCKED, why)
        self._journal.alarm("order.blocked", f"A person must act: {why}")
        await self._project()
        await self._pause(self._tuning.blocked_retry_ms)

    async def _wait_fruitlessly(self, why: str) -> None:
        """Nothing came of it: never given up silently, tried again with fresh depth."""
        self._fruitless += 1
        self._set(OrderState.WAITING, why)
        self._alarm_after(self._fruitless)
        await self._project()
        await self._pause(backoff_ms(self._fruitless, self._tuning.retry_ms, self._tuning.retry_cap_ms))
        self._ladder_at_ms = 0

    def _alarm_after(self, count: int) -> None:
        if count >= self._tuning.attempts_before_alarm:
            self._journal.alarm("order.stuck", f"{count} tries without a fill: {self._journal.detail}")

    async def _finish(self, end: ExecutionEnd) -> ExecutionEnd:
        self.trading_over = True
        self._close(end)
        if self._confirms_always and self.has_unconfirmed:
            await self._project()
            while await self._confirmations():
                await self._project()
            self._close(end)
        return end

    def _close(self, end: ExecutionEnd) -> None:
        if self.totals.filled_shares > ZERO:
            whole = end in (ExecutionEnd.COMPLETE, ExecutionEnd.DUST)
            state = OrderState.FILLED if whole else OrderState.PARTIALLY_FILLED
            self._set(state, end.value.replace("_", " "))
        else:
            state = OrderState.FAILED if end is ExecutionEnd.FAILED else OrderState.CANCELED
            self._set(state, self._refused or end.value.replace("_", " "))

    # -- bookkeeping ----------------------------------------------------------------------------

    def _set(self, state: OrderState, detail: str) -> None:
        self._journal.state = state
        self._journal.detail = detail
        self._host.told(state, detail)

    async def _project(self) -> None:
        await calls.project(self.projection())

    async def _pause(
        self, wait_ms: int, *, on_update: bool = False, on_cancel: bool = True, may_continue: bool = True
    ) -> bool:
        """Wait; return whether a booked fact ended it early. A cancel request ends it too.

        Every loop passes here, so here a long history is cut: what is open is carried into the next run.
        """
        if may_continue and self._history_is_long():
            raise _HistoryIsLong

        def woken() -> bool:
            updated = on_update and self._updates > self._seen_updates
            return updated or (on_cancel and self.cancel_requested)

        try:
            await workflow.wait_condition(woken, timeout=timedelta(milliseconds=wait_ms))
        except TimeoutError:
            return False
        updated = on_update and self._updates > self._seen_updates
        if updated:
            self._seen_updates = self._updates
        return updated

    def _history_is_long(self) -> bool:
        return history_is_long(self._tuning) and workflow.all_handlers_finished()


def history_is_long(tuning: Tuning) -> bool:
    """Whether this run should continue as new."""
    info = workflow.info()
    if tuning.max_history_events:
        return info.get_current_history_length() >= tuning.max_history_events
    return info.is_continue_as_new_suggested()


def _adopted(result: PlaceResult) -> Attempt:
    if result.adopted is None:
        raise ValueError("an adopted result needs its attempt")
    return result.adopted


def _is_unknown(result: PlaceResult) -> bool:
    return result.answer is not None and result.answer.kind is AnswerKind.UNKNOWN


def _now_ms() -> int:
    return workflow.time_ns() // 1_000_000


def _sell_text(attempt: Attempt) -> str:
    verb = "Sells" if attempt.side is Side.SELL else "Buys"
    return (
        f"{verb} {plain(attempt.shares)} shares at {plain(attempt.limit_price)} or better "
        f"({attempt.time_in_force.value}, attempt {attempt.attempt})"
    )
