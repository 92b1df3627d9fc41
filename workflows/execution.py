"""One order, one host: build, place, follow, cancel, next attempt.

`Order` is a thin workflow around an `OrderExecution`; `Rule` hosts one directly, because a child would
cost a start and a task between price and order. The host gives pure functions; what happens and what is
written is decided here.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from temporalio import workflow
from temporalio.workflow import ActivityCancellationType

with workflow.unsafe.imports_passed_through():
    from activities.projections import ProjectionActivities
    from activities.trading import TradingActivities
    from domain.exits import ExitBuild, NoOrder, NoOrderReason
    from domain.ids import AccountId, MarketId, OrderId, RuleId, TokenId, VenueOrderId
    from domain.messages import (
        EventRow,
        ExecutionCarry,
        FollowOrder,
        FreshRead,
        Holding,
        OrderFacts,
        OrderProjection,
        OrderRef,
        PlaceOrder,
        PlaceResult,
        Projection,
        ReadMarket,
        RecallOrder,
        ReleaseShares,
        RuleProjection,
        Severity,
        Tuning,
    )
    from domain.money import plain
    from domain.orders import (
        Attempt,
        Mode,
        OrderRow,
        OrderState,
        Purpose,
        RebuildReason,
        Side,
        TimeInForce,
        VenueOrderStatus,
    )
    from domain.quotes import Ladder
    from domain.settlement import NextStep, backoff_ms, next_step

from workflows import policies

ZERO = Decimal(0)
RESTING = frozenset({TimeInForce.GTC, TimeInForce.GTD})


class ExecutionEnd(StrEnum):
    """How an execution ended, every attempt settled and every fill final."""

    COMPLETE = "complete"
    DUST = "dust"
    NOTHING_HELD = "nothing_held"
    BELOW_LEVEL = "below_level"  # the host is not patient, and the book pays too little: it decides
    CANCELED = "canceled"
    FAILED = "failed"
    CONTINUE = "continue"  # the history is long and nothing is in flight: go on in a new run


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderIdentity:
    """What names the order and its place, fixed for its life."""

    order_id: OrderId
    account_id: AccountId
    host_workflow_id: str
    rule_id: RuleId | None
    venue: str
    mode: Mode
    market_id: MarketId
    token_id: TokenId
    side: Side
    purpose: Purpose
    time_in_force: TimeInForce


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
        """Build the next attempt, or say why there is none."""
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


@dataclass
class AttemptRecord:
    """What is known of one attempt that may have reached the venue."""

    attempt: Attempt
    venue_order_id: VenueOrderId
    facts: OrderFacts | None = None
    settled: bool = False
    last_post_at_ms: int = 0


@dataclass
class ExecutionTotals:
    """Sums over all attempts. Shares and USD."""

    filled_shares: Decimal = ZERO
    unconfirmed_shares: Decimal = ZERO
    notional_usd: Decimal = ZERO
    fee_usd: Decimal = ZERO


@dataclass
class _Progress:
    state: OrderState = OrderState.PENDING
    detail: str = ""
    attempt: int = 1
    settled_attempt: int = 0
    version: int = 0
    tries: int = 0  # of the present attempt, for backoff
    fruitless: int = 0  # attempts in a row that filled nothing
    alarmed: bool = False
    refused: str = ""  # the venue's last definite refusal
    events: list[EventRow] = field(default_factory=list[EventRow])


class OrderExecution:
    """Runs one order to its end. Lives inside a workflow; all its state comes back by replay."""

    def __init__(
        self,
        identity: OrderIdentity,
        tuning: Tuning,
        host: ExecutionHost,
        carry: ExecutionCarry | None = None,
    ) -> None:
        """Take what is fixed; nothing happens before `run`. `carry` is what an earlier run handed over."""
        self.identity = identity
        self.cancel_requested = False
        self._earlier = carry
        self._reversed_shares = ZERO
        self._tuning = tuning
        self._host = host
        self._progress = _Progress()
        self._records: dict[int, AttemptRecord] = {}
        self._updates = 0
        self._seen_updates = 0
        self._ladder: Ladder | None = None
        self._ladder_at_ms = 0
        self._available: Decimal | None = None
        self._recalled = carry is not None
        if carry is not None:
            self._progress.attempt, self._progress.settled_attempt = carry.attempt, carry.attempt - 1
            self._progress.version, self._progress.fruitless = carry.version, carry.fruitless
        self.totals = self._sums()

    # -- messages, called by the host's handlers ------------------------------------------------

    def notify(self) -> None:
        """Facts about this order were booked."""
        self._updates += 1

    def request_cancel(self) -> None:
        """Stop: cancel what rests, settle what is out, build nothing more."""
        self.cancel_requested = True

    # -- the order's life -----------------------------------------------------------------------

    async def run(self, ladder: Ladder | None, ladder_at_ms: int) -> ExecutionEnd:
        """Work until nothing is left to do; `ladder` is the crossing's, None when there is none."""
        self._ladder, self._ladder_at_ms = ladder, ladder_at_ms
        while True:
            if self.cancel_requested:
                return self._close(ExecutionEnd.CANCELED)
            if self._may_continue_as_new():
                return ExecutionEnd.CONTINUE
            await self._ensure_ladder()
            built = self._build()
            if isinstance(built, NoOrder):
                end = await self._nothing_to_send(built)
                if end is not None:
                    return self._close(end)
                continue
            if await self._work(built) is NextStep.FAIL:
                return self._close(ExecutionEnd.FAILED)

    @property
    def state(self) -> OrderState:
        """The order's state now."""
        return self._progress.state

    @property
    def detail(self) -> str:
        """The order's story in a few words."""
        return self._progress.detail

    @property
    def in_flight(self) -> bool:
        """Whether an attempt may have reached the venue and is not settled."""
        return any(not record.settled for record in self._records.values())

    def carry(self) -> ExecutionCarry:
        """Return what the next run needs; only meaningful when nothing is in flight."""
        return ExecutionCarry(
            order_id=self.identity.order_id,
            attempt=self._progress.attempt,
            version=self._progress.version,
            fruitless=self._progress.fruitless,
            filled_shares=self.totals.filled_shares,
            notional_usd=self.totals.notional_usd,
            fee_usd=self.totals.fee_usd,
        )

    def _may_continue_as_new(self) -> bool:
        idle = not self.in_flight and self.totals.unconfirmed_shares == ZERO
        return idle and workflow.info().is_continue_as_new_suggested()

    def row(self) -> OrderRow:
        """Return the projection of the order with the next version."""
        record = self._records.get(self._progress.attempt)
        identity, progress, totals = self.identity, self._progress, self.totals
        progress.version = max(progress.version + 1, workflow.time_ns() // 1_000)
        return OrderRow(
            order_id=identity.order_id,
            account_id=identity.account_id,
            host_workflow_id=identity.host_workflow_id,
            rule_id=identity.rule_id,
            venue=identity.venue,
            mode=identity.mode,
            market_id=identity.market_id,
            token_id=identity.token_id,
            side=identity.side,
            purpose=identity.purpose,
            time_in_force=identity.time_in_force,
            state=progress.state,
            shares=record.attempt.shares if record else totals.filled_shares,
            limit_price=record.attempt.limit_price if record else None,
            attempt=progress.attempt,
            settled_attempt=progress.settled_attempt,
            filled_shares=totals.filled_shares,
            proceeds_usd=totals.notional_usd,
            fee_usd=totals.fee_usd,
            venue_order_id=record.venue_order_id if record else None,
            detail=progress.detail,
            version=progress.version,
        )

    # -- building -------------------------------------------------------------------------------

    def _build(self) -> ExitBuild:
        return self._host.build(
            BuildRequest(
                attempt=self._progress.attempt,
                ladder=self._ladder or Ladder(()),
                available=self._available,
                timestamp_ms=_now_ms(),
            )
        )

    async def _ensure_ladder(self) -> None:
        """Read a fresh book unless the crossing's own ladder is young enough for a first attempt."""
        age = _now_ms() - self._ladder_at_ms
        first = self._progress.attempt == 1 and self._progress.tries == 0
        if first and self._ladder is not None and age <= self._tuning.ladder_fresh_ms:
            return
        read = await self._read_market()
        self._host.learned(read, read.holding)
        levels = read.bids if self.identity.side is Side.SELL else read.asks
        self._ladder, self._ladder_at_ms = Ladder(levels), _now_ms()

    async def _read_market(self) -> FreshRead:
        identity = self.identity
        return await workflow.execute_activity_method(
            TradingActivities.read_market,
            ReadMarket(
                account_id=identity.account_id,
                venue=identity.venue,
                mode=identity.mode,
                market_id=identity.market_id,
                token_id=identity.token_id,
            ),
            start_to_close_timeout=policies.READ_TIMEOUT,
            retry_policy=policies.READ,
        )

    async def _nothing_to_send(self, built: NoOrder) -> ExecutionEnd | None:
        """Judge why nothing can be built; None means: look again."""
        empty = built.reason in (NoOrderReason.NOTHING_HELD, NoOrderReason.DUST)
        bound = built.reason is NoOrderReason.RESERVED or (empty and self._available is not None)
        if bound and not self._host.is_patient():
            self._progress.refused = "the shares are bound by another order"
            return ExecutionEnd.BELOW_LEVEL
        if bound:
            await self._hold_off("the shares are bound by another order")
            return None
        if empty and await self._recall():
            return None
        if self.totals.unconfirmed_shares > ZERO and built.reason is not NoOrderReason.BELOW_FLOOR:
            await self._await_confirmation()
            return None
        if built.reason is NoOrderReason.NOTHING_HELD:
            sold = self.totals.filled_shares > ZERO
            return ExecutionEnd.COMPLETE if sold else ExecutionEnd.NOTHING_HELD
        if built.reason is NoOrderReason.DUST:
            return ExecutionEnd.DUST
        if built.reason is NoOrderReason.MARKET_FINAL:
            self._progress.refused = "the market is closed or resolved"
            return ExecutionEnd.FAILED
        if not self._host.is_patient():
            return ExecutionEnd.BELOW_LEVEL
        await self._fruitless(f"the book pays less than the floor; {plain(built.shares)} shares wait")
        return None

    async def _recall(self) -> bool:
        """Adopt claims of this order that an earlier history made (a reset, a restored backup)."""
        if self._recalled or self._records:
            return False
        self._recalled = True
        stored = await workflow.execute_activity_method(
            TradingActivities.recall_order,
            RecallOrder(order_id=self.identity.order_id),
            start_to_close_timeout=policies.PROJECT_TIMEOUT,
            retry_policy=policies.READ,
        )
        for attempt, venue_order_id in zip(stored.attempts, stored.venue_order_ids, strict=True):
            record = AttemptRecord(attempt=attempt, venue_order_id=venue_order_id, last_post_at_ms=_now_ms())
            self._records[attempt.attempt] = record
            self._progress.attempt = attempt.attempt
            self._note("order.adopted", f"Attempt {attempt.attempt} stood already and is followed")
            await self._follow(record)
            self._settle(record)
        return bool(stored.attempts)

    # -- placing --------------------------------------------------------------------------------

    async def _work(self, attempt: Attempt) -> NextStep:
        """Place one attempt and stay with it until it is settled (or nothing of it was sent)."""
        self._progress.tries = 0
        while True:
            self._progress.tries += 1
            self._set(OrderState.PLACING, _sell_text(attempt))
            result = await self._place(attempt)
            step = next_step(result)
            record = self._take(attempt, result, step)
            match step:
                case NextStep.ADOPT:
                    if result.adopted is None:
                        raise ValueError("an adopted result needs its attempt")
                    attempt = result.adopted
                case NextStep.RESEND:
                    await self._resend_pause(result)
                    if self.cancel_requested and record is not None:
                        await self._follow(record)
                        return await self._after_settled(record, NextStep.FOLLOW, result)
                case NextStep.SHRINK:
                    self._available = result.available
                    return step
                case NextStep.RELEASE:
                    await self._release(result)
                    return step
                case NextStep.HOLD_OFF:
                    if self.identity.purpose is Purpose.ENTRY and not record:
                        self._set(OrderState.FAILED, result.detail or "refused")
                        return NextStep.FAIL
                    await self._hold_off(result.detail or "refused")
                    if record is None:
                        return step
                case NextStep.FOLLOW:
                    if record is None:
                        raise ValueError("a followed attempt has a venue order id")
                    await self._follow(record)
                    return await self._after_settled(record, step, result)
                case _:
                    if record is None:
                        raise ValueError("a settled attempt has a venue order id")
                    return await self._after_settled(record, step, result)

    async def _place(self, attempt: Attempt) -> PlaceResult:
        """Schedule `place_order`: from here on the order is fixed in history."""
        first = self._progress.tries == 1 and self._progress.attempt == 1
        if first:
            self._note("order.submitted", _sell_text(attempt))
        request = PlaceOrder(
            attempt=attempt,
            order=OrderProjection(order=self.row(), events=self._take_events()),
            rule=self._host.rule_projection(),
        )
        return await workflow.execute_activity_method(
            TradingActivities.place_order,
            request,
            start_to_close_timeout=timedelta(milliseconds=self._tuning.place_start_to_close_ms),
            retry_policy=policies.place_retry(timedelta(milliseconds=self._tuning.place_first_retry_ms)),
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )

    def _take(self, attempt: Attempt, result: PlaceResult, step: NextStep) -> AttemptRecord | None:
        """Record what may be at the venue; None when nothing of this attempt was ever sent."""
        if result.venue_order_id is None or step in (NextStep.SHRINK, NextStep.RELEASE, NextStep.ADOPT):
            return self._records.get(attempt.attempt)
        record = self._records.get(attempt.attempt)
        if record is None:
            record = AttemptRecord(attempt=attempt, venue_order_id=result.venue_order_id)
            self._records[attempt.attempt] = record
        record.last_post_at_ms = result.last_post_at_ms or record.last_post_at_ms or _now_ms()
        return record

    async def _resend_pause(self, result: PlaceResult) -> None:
        answer = result.answer
        wait_ms = backoff_ms(self._progress.tries, self._tuning.retry_ms, self._tuning.retry_cap_ms)
        if answer is not None and answer.wait_ms is not None:
            wait_ms = max(wait_ms, answer.wait_ms)
        words = f"{answer.code}: {answer.detail}" if answer is not None else "no answer"
        self._set(OrderState.WAITING, f"the venue asks for patience ({words}); the same order goes out again")
        await self._maybe_alarm(self._progress.tries)
        await self._project()
        await self._pause(wait_ms)

    async def _release(self, result: PlaceResult) -> None:
        """Cancel the resting sells that hold the shares: an exit pre-empts them."""
        identity = self.identity
        self._note("exit.preempts", f"Cancels {len(result.held_by)} resting sells that hold the shares")
        self._set(OrderState.WAITING, "cancelling resting sells that hold the shares")
        await workflow.execute_activity_method(
            TradingActivities.release_shares,
            ReleaseShares(
                account_id=identity.account_id,
                venue=identity.venue,
                mode=identity.mode,
                market_id=identity.market_id,
                token_id=identity.token_id,
                for_order_id=identity.order_id,
            ),
            start_to_close_timeout=policies.READ_TIMEOUT,
            retry_policy=policies.READ,
        )
        self._available = None

    async def _hold_off(self, why: str) -> None:
        self._set(OrderState.WAITING, why)
        self._progress.fruitless += 1
        await self._project()
        cap = min(self._tuning.retry_cap_ms, 5 * self._tuning.retry_ms)
        await self._pause(backoff_ms(self._progress.fruitless, self._tuning.retry_ms, cap), on_update=True)
        self._available = None

    # -- following ------------------------------------------------------------------------------

    async def _follow(self, record: AttemptRecord) -> None:
        """Stay with an attempt that the venue has, or may have, until it is settled."""
        self._set(OrderState.FOLLOWING, "at the venue; fills are being booked")
        tries, cancel_seen = 0, False
        while True:
            tries += 1
            wait_ms = backoff_ms(tries, self._tuning.fallback_ms, self._tuning.fallback_cap_ms)
            signalled = await self._pause(wait_ms, on_update=True, on_cancel=not cancel_seen)
            cancel_seen = self.cancel_requested
            cancelling = cancel_seen and self.identity.time_in_force in RESTING
            if cancelling:
                await self._cancel(record)
            booked = record.facts.booked_shares if record.facts else ZERO
            facts = await self._refresh(record, look_up=cancelling or not signalled)
            if facts.settled or await self._absent(record, facts):
                return
            if facts.venue_status is VenueOrderStatus.LIVE and (
                self.state is not OrderState.RESTING or facts.booked_shares != booked
            ):
                self._set(OrderState.RESTING, f"rests, {plain(facts.booked_shares)} shares filled")
                await self._project()
            waited_ms = _now_ms() - record.last_post_at_ms
            if waited_ms > self._tuning.unsettled_alarm_ms and self.state is not OrderState.RESTING:
                await self._alarm("order.unsettled", "The venue does not say what became of the order")

    async def _refresh(self, record: AttemptRecord, *, look_up: bool) -> OrderFacts:
        record.facts = await workflow.execute_activity_method(
            TradingActivities.follow_order,
            FollowOrder(ref=self._ref(record), look_up=look_up),
            start_to_close_timeout=policies.READ_TIMEOUT,
            retry_policy=policies.READ,
        )
        self._host.learned(None, record.facts.holding)
        self._sum()
        return record.facts

    async def _absent(self, record: AttemptRecord, facts: OrderFacts) -> bool:
        """Rule (d): absent everywhere for long enough, and a refreshed balance equals the ledger."""
        waited_ms = _now_ms() - record.last_post_at_ms
        absent = facts.looked_up and facts.venue_status is None and facts.booked_shares == ZERO
        if not absent or waited_ms < self._tuning.absent_settles_ms:
            return False
        return await workflow.execute_activity_method(
            TradingActivities.confirm_absent,
            self._ref(record),
            start_to_close_timeout=policies.READ_TIMEOUT,
            retry_policy=policies.READ,
        )

    async def _cancel(self, record: AttemptRecord) -> None:
        await workflow.execute_activity_method(
            TradingActivities.cancel_order,
            self._ref(record),
            start_to_close_timeout=policies.READ_TIMEOUT,
            retry_policy=policies.READ,
        )

    async def _await_confirmation(self) -> None:
        """All is sold, but the venue may still reverse a fill: wait for its word, then look again."""
        self._set(OrderState.FOLLOWING, "filled; waiting for the venue's confirmation")
        await self._project()
        tries = 0
        while self.totals.unconfirmed_shares > ZERO and not self._reversed():
            tries += 1
            wait_ms = backoff_ms(tries, self._tuning.fallback_ms, self._tuning.fallback_cap_ms)
            signalled = await self._pause(wait_ms, on_update=True)
            for record in list(self._records.values()):
                if record.facts is None or record.facts.unconfirmed_shares > ZERO:
                    await self._refresh(record, look_up=not signalled)

    def _reversed(self) -> bool:
        """Take note of fills that the venue took back since the last look."""
        reversed_now = sum((r.facts.reversed_shares for r in self._records.values() if r.facts), ZERO)
        if reversed_now <= self._reversed_shares:
            return False
        back = reversed_now - self._reversed_shares
        self._reversed_shares = reversed_now
        self._note("fill.reversed", f"The venue took back a fill of {plain(back)} shares; the exit reopens")
        return True

    # -- settled --------------------------------------------------------------------------------

    async def _after_settled(self, record: AttemptRecord, step: NextStep, result: PlaceResult) -> NextStep:
        self._settle(record)
        filled = record.facts.booked_shares if record.facts else ZERO
        words = result.answer.detail if result.answer is not None else ""
        if filled > ZERO:
            self._progress.fruitless = 0
            self._progress.alarmed = False
            usd = record.facts.notional_usd if record.facts else ZERO
            self._note("order.filled", f"Filled {plain(filled)} shares for {plain(usd)} USD")
            return step
        self._progress.refused = words
        if step is NextStep.FAIL or (step is NextStep.BLOCKED and self.identity.purpose is Purpose.ENTRY):
            self._set(OrderState.FAILED, words)
            return NextStep.FAIL
        if step is NextStep.BLOCKED:
            self._set(OrderState.BLOCKED, words)
            await self._alarm("order.blocked", f"A person must act: {words}")
            await self._pause(self._tuning.blocked_retry_ms)
            return step
        short = result.answer is not None and result.answer.rebuild is RebuildReason.BALANCE_SHORT
        if short and self.identity.side is Side.SELL:
            await self._release(result)
        if self.identity.purpose is Purpose.EXIT:
            await self._fruitless(words or "nothing matched")
        return step

    def _settle(self, record: AttemptRecord) -> None:
        record.settled = True
        self._available = None
        self._progress.settled_attempt = max(self._progress.settled_attempt, record.attempt.attempt)
        self._progress.attempt = record.attempt.attempt + 1
        self._sum()

    async def _fruitless(self, why: str) -> None:
        """Nothing came of the attempt: never given up silently, tried again with fresh depth."""
        self._progress.fruitless += 1
        self._set(OrderState.WAITING, why)
        await self._maybe_alarm(self._progress.fruitless)
        await self._project()
        wait_ms = backoff_ms(self._progress.fruitless, self._tuning.retry_ms, self._tuning.retry_cap_ms)
        await self._pause(wait_ms)

    async def _maybe_alarm(self, count: int) -> None:
        if count == self._tuning.attempts_before_alarm:
            await self._alarm("order.stuck", f"{count} tries without a fill: {self._progress.detail}")

    async def _alarm(self, kind: str, message: str) -> None:
        if self._progress.alarmed:
            return
        self._progress.alarmed = True
        self._note(kind, message, Severity.ALARM)
        await self._project()

    def _close(self, end: ExecutionEnd) -> ExecutionEnd:
        if self.totals.filled_shares > ZERO:
            complete = end is ExecutionEnd.COMPLETE
            state = OrderState.FILLED if complete else OrderState.PARTIALLY_FILLED
        else:
            state = OrderState.FAILED if end is ExecutionEnd.FAILED else OrderState.CANCELED
        words = self._progress.refused or self._progress.detail
        self._set(state, words if self.totals.filled_shares == ZERO else end.value.replace("_", " "))
        return end

    # -- bookkeeping ----------------------------------------------------------------------------

    def _sum(self) -> None:
        self.totals = self._sums()

    def _sums(self) -> ExecutionTotals:
        totals = ExecutionTotals()
        if self._earlier is not None:
            totals.filled_shares = self._earlier.filled_shares
            totals.notional_usd = self._earlier.notional_usd
            totals.fee_usd = self._earlier.fee_usd
        for record in self._records.values():
            if record.facts is not None:
                totals.filled_shares += record.facts.booked_shares
                totals.unconfirmed_shares += record.facts.unconfirmed_shares
                totals.notional_usd += record.facts.notional_usd
                totals.fee_usd += record.facts.fee_usd
        return totals

    def _set(self, state: OrderState, detail: str) -> None:
        self._progress.state = state
        self._progress.detail = detail
        self._host.told(state, detail)

    def _note(self, kind: str, message: str, severity: Severity = Severity.INFO) -> None:
        key = f"{kind}/{self._progress.attempt}/{self._progress.version + 1}"
        self._progress.events.append(
            EventRow(
                event_key=f"{self.identity.order_id}/{key}",
                account_id=self.identity.account_id,
                rule_id=self.identity.rule_id,
                order_id=self.identity.order_id,
                type=kind,
                severity=severity,
                message=message,
                at=workflow.now(),
            )
        )

    def _take_events(self) -> tuple[EventRow, ...]:
        events = tuple(self._progress.events)
        self._progress.events.clear()
        return events

    async def _project(self) -> None:
        await workflow.execute_activity_method(
            ProjectionActivities.project,
            self.projection(),
            start_to_close_timeout=policies.PROJECT_TIMEOUT,
            retry_policy=policies.PROJECT,
        )

    def projection(self) -> Projection:
        """Return the rows of host and order as they stand now."""
        order = OrderProjection(order=self.row(), events=self._take_events())
        return Projection(rule=self._host.rule_projection(), order=order)

    async def _pause(self, wait_ms: int, *, on_update: bool = False, on_cancel: bool = True) -> bool:
        """Wait; return whether a booked fact ended it early. A cancel request ends it too."""

        def woken() -> bool:
            updated = on_update and self._updates > self._seen_updates
            return updated or (on_cancel and self.cancel_requested)

        try:
            await workflow.wait_condition(woken, timeout=timedelta(milliseconds=wait_ms))
        except TimeoutError:
            return False
        updated = self._updates > self._seen_updates
        self._seen_updates = self._updates
        return updated

    def _ref(self, record: AttemptRecord) -> OrderRef:
        identity = self.identity
        return OrderRef(
            order_id=identity.order_id,
            attempt=record.attempt.attempt,
            account_id=identity.account_id,
            venue=identity.venue,
            mode=identity.mode,
            market_id=identity.market_id,
            token_id=identity.token_id,
            venue_order_id=record.venue_order_id,
            placed_at_ms=record.attempt.timestamp_ms,
        )


def _now_ms() -> int:
    return workflow.time_ns() // 1_000_000


def _sell_text(attempt: Attempt) -> str:
    verb = "Sells" if attempt.side is Side.SELL else "Buys"
    return (
        f"{verb} {plain(attempt.shares)} shares at {plain(attempt.limit_price)} or better "
        f"({attempt.time_in_force.value}, attempt {attempt.attempt})"
    )
