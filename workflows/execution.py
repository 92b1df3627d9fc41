"""One order, one host: build, place, follow, cancel, next attempt.

`Order` is a thin workflow around an `OrderExecution`; `Rule` hosts one directly, because a child would
cost a start and a task between price and order. The host gives pure functions; what happens and what is
written is decided here, in `placing` and in `following`.
"""

from decimal import Decimal
from enum import StrEnum

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from domain.errors import InvalidInput
    from domain.exits import ExitBuild, NoOrder, NoOrderReason
    from domain.messages import ExecutionCarry, OrderProjection, Projection, Tuning
    from domain.money import plain
    from domain.orders import OrderState, Side
    from domain.quotes import Ladder
    from domain.settlement import NextStep

from workflows import calls
from workflows.attempts import ZERO, ExecutionTotals
from workflows.calls import OrderIdentity
from workflows.following import confirm, follow
from workflows.order_desk import BuildRequest, ExecutionHost, HistoryIsLong, OrderDesk, now_ms
from workflows.placing import Placing


class ExecutionEnd(StrEnum):
    """How an execution ended, every attempt settled."""

    COMPLETE = "complete"
    DUST = "dust"
    NOTHING_HELD = "nothing_held"
    KILLED = "killed"  # the venue ended it before all was filled, and it is placed only once
    BELOW_LEVEL = "below_level"  # the book pays too little, and the host does not wait for that: it decides
    SHARES_BOUND = "shares_bound"  # others bind the shares for long, and the price may go: it decides
    CANCELED = "canceled"
    FAILED = "failed"
    CONTINUE = "continue"  # the history is long: go on in a new run with what `carry` says


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
        recalls_at_end: bool = True,
        takes_facts: bool = True,
        keeps_pace: bool = True,
        keeps_timer: bool = True,
        switch_is_no_try: bool = True,
        resends_after_switch: bool = True,
        ends_in_dust: bool = False,
    ) -> None:
        """Take what is fixed; nothing happens before `run`.

        Args:
            identity: The order.
            tuning: Durations.
            host: Who builds and is told.
            carry: What an earlier run handed over.
            confirms_always: A canceled or killed order, too, ends only when its fills are final.
            send_within_ms: An attempt is not sent later than this after it was built.
            recalls_at_end: Before it ends, claims are sought that this history does not know of.
            takes_facts: What is booked is taken from the venue's answer where it brings that.
            keeps_pace: The venue is asked at its time however many signals come.
            keeps_timer: That time is told by a timer, not by the clock.
            switch_is_no_try: A refusal by the kill switch does not count among the tries that failed.
            resends_after_switch: An exit whose bytes may be out sends them again once the switch is lifted.
            ends_in_dust: Once dust is left, what is bought before the confirmation is left alone; and trading
                that goes on after all is not over for who cancels.
        """
        self.dust_shares = carry.dust_shares if carry else None  # too little to sell; nothing more is sold
        self.trading_over = False  # all is filled or canceled; only the venue's confirmation is awaited
        self._desk = OrderDesk(identity, tuning, host, carry, keeps_pace=keeps_pace, keeps_timer=keeps_timer)
        self._placing = Placing(
            self._desk,
            send_within_ms,
            takes_facts=takes_facts,
            switch_is_no_try=switch_is_no_try,
            resends_after_switch=resends_after_switch,
        )
        self._confirms_always = confirms_always
        self._recalls_at_end = recalls_at_end
        self._ends_in_dust = ends_in_dust
        self._recalled = carry is not None

    # -- messages, called by the host's handlers ------------------------------------------------

    def notify(self) -> None:
        """Facts about this order were booked, or the holding changed."""
        self._desk.notify()

    def request_cancel(self) -> None:
        """Stop: cancel what rests, settle what is out, build nothing more."""
        self._desk.cancel_requested = True

    def alarm(self, kind: str, message: str) -> None:
        """Alarm a person with the next projection."""
        self._desk.journal.alarm(kind, message)

    # -- what the host reads --------------------------------------------------------------------

    @property
    def cancel_requested(self) -> bool:
        """Whether somebody asked to stop."""
        return self._desk.cancel_requested

    @property
    def state(self) -> OrderState:
        """The order's state now."""
        return self._desk.journal.state

    @property
    def detail(self) -> str:
        """The order's story in a few words."""
        return self._desk.journal.detail

    @property
    def totals(self) -> ExecutionTotals:
        """What was filled so far."""
        return self._desk.log.totals()

    @property
    def has_unconfirmed(self) -> bool:
        """Whether the venue may still take back a fill."""
        return self.totals.unconfirmed_shares > ZERO

    def carry(self) -> ExecutionCarry:
        """Return what the next run needs."""
        log, final = self._desk.log, self._desk.log.final_totals()
        return ExecutionCarry(
            order_id=self._desk.identity.order_id,
            settled_attempt=log.settled_attempt,
            version=self._desk.journal.version,
            fruitless=self._desk.fruitless,
            filled_shares=final.filled_shares,
            notional_usd=final.notional_usd,
            fee_usd=final.fee_usd,
            attempts=tuple(record.carried() for record in log.unconfirmed()),
            alarmed=self._desk.journal.alarmed,
            told=self._desk.journal.told,
            cancel_requested=self._desk.cancel_requested,
            dust_shares=self.dust_shares,
        )

    def order_projection(self) -> OrderProjection:
        """Return the order's row with its next version, and what is to be told."""
        return self._desk.order_projection()

    def projection(self) -> Projection:
        """Return the rows of host and order as they stand now."""
        return self._desk.projection()

    # -- the order's life -----------------------------------------------------------------------

    async def run(self, ladder: Ladder | None, ladder_at_ms: int) -> ExecutionEnd:
        """Work until nothing is left to do; `ladder` is the crossing's, None when there is none."""
        self._desk.ladder, self._desk.ladder_at_ms = ladder, ladder_at_ms
        try:
            end = await self._work_off()
            # A history that was rolled back has forgotten what it sent since: its end may not be the end.
            while self._recalls_at_end and await self._adopt_claims():
                end = await self._work_off()
            return await self._finish(end)
        except HistoryIsLong:
            return ExecutionEnd.CONTINUE

    async def refresh_fills(self) -> None:
        """Look at what the ledger says of fills that are not final: the venue may have taken one back."""
        for record in self._desk.log.unconfirmed():
            await self._desk.refresh(record, look_up=False)

    async def read_fills(self) -> None:
        """Look at what the ledger says of every attempt: an earlier run left them without it."""
        for record in self._desk.log:
            await self._desk.refresh(record, look_up=False)

    async def confirm_fills(self) -> bool:
        """Wait until every fill is final; True as soon as the venue took one back."""
        return await confirm(self._desk, may_continue=False)

    async def _work_off(self) -> ExecutionEnd:
        desk = self._desk
        await self._resume()
        if self.dust_shares is not None and await self._is_over_with(self.dust_shares):
            return ExecutionEnd.DUST
        while True:
            try:
                built = await self._next()
            except InvalidInput as error:
                desk.refused = str(error)
                return ExecutionEnd.FAILED
            if desk.cancel_requested:
                if not self._sold_out(built):
                    return ExecutionEnd.CANCELED
                desk.cancel_requested = False
                desk.host.cancel_lost()
            if isinstance(built, NoOrder):
                end = await self._nothing_to_send(built)
                if end is not None:
                    return end
                continue
            self.trading_over = self.trading_over and not self._ends_in_dust
            step = await self._placing.work(built)
            if step is NextStep.FAIL:
                return ExecutionEnd.FAILED
            if step is NextStep.NO_LIQUIDITY and not self._desk.host.waits_for_price():
                return ExecutionEnd.BELOW_LEVEL  # nobody bids: watch again instead of knocking blindly

    async def _resume(self) -> None:
        """Look at what an earlier run left open, and stay with it until it is settled."""
        await self.read_fills()
        for record in self._desk.log.unsettled():
            self._desk.journal.current = record.attempt
            await follow(self._desk, record)
            await self._placing.settle(record, NextStep.FOLLOW, None)

    async def _next(self) -> ExitBuild:
        """Build the next attempt, from the crossing's ladder while it is young, else from a fresh read."""
        desk, built = self._desk, self._build()
        young = now_ms() - desk.ladder_at_ms <= desk.tuning.ladder_fresh_ms
        if desk.ladder is not None and desk.log.next_attempt == 1 and young:
            return built
        if _is_nothing_held(built):
            return built  # no book changes that
        while not desk.cancel_requested and not await self._read_book():
            if not desk.cancel_requested:
                await desk.hold_off("the venue's book cannot be read")
        return self._build()

    def _build(self) -> ExitBuild:
        desk = self._desk
        return desk.host.build(
            BuildRequest(
                attempt=desk.log.next_attempt,
                ladder=desk.ladder or Ladder(()),
                available=desk.available,
                timestamp_ms=now_ms(),
                holder=desk.holder,
            )
        )

    async def _read_book(self) -> bool:
        """Read the book; False when the venue could not be asked, or a cancel was first."""
        desk = self._desk
        reading = desk.calls.read_market(holder=desk.asks_holder)
        await workflow.wait_condition(lambda: reading.done() or desk.cancel_requested)
        if not reading.done():
            reading.cancel()
            await workflow.wait_condition(reading.done)
        if reading.cancelled():
            return False
        try:
            read = await reading
        except ActivityError as error:
            if is_cancelled_exception(error) and not desk.cancel_requested:
                raise
            return False
        desk.host.learned(read, read.holding)
        desk.holder = read.holder
        levels = read.bids if desk.identity.side is Side.SELL else read.asks
        desk.ladder, desk.ladder_at_ms = Ladder(levels), now_ms()
        return True

    def _sold_out(self, built: ExitBuild) -> bool:
        return _is_nothing_held(built) and built.shares == ZERO and self.totals.filled_shares > ZERO

    async def _nothing_to_send(self, built: NoOrder) -> ExecutionEnd | None:
        """Judge why nothing can be built; None means: look again."""
        desk, reason = self._desk, built.reason
        if await self._recall():
            return None
        given_up = self._given_up(reason)
        if given_up is not None:
            desk.refused = reason.value.replace("_", " ")
            return given_up
        if reason is NoOrderReason.RESERVED:
            await desk.hold_off("the shares are bound by another order")
            return None
        if reason is NoOrderReason.BELOW_FLOOR:
            waiting = plain(built.shares)
            await desk.wait_fruitlessly(f"the book pays less than the floor; {waiting} shares wait")
            return None
        if reason is NoOrderReason.DUST and self._ends_in_dust:
            return ExecutionEnd.DUST if await self._is_over_with(built.shares) else None
        if self.has_unconfirmed:
            await self._await_confirmation()
            return None
        if reason is NoOrderReason.NOTHING_HELD and desk.host.may_get_back():
            await desk.wait_for_word("nothing is held, by sales that the venue has not confirmed yet")
            await self._read_book()
            return None
        return self._end_of(built)

    def _given_up(self, reason: NoOrderReason) -> ExecutionEnd | None:
        """How it ends when the host does not wait for what is missing, or not for so long."""
        desk, host = self._desk, self._desk.host
        if reason is NoOrderReason.BELOW_FLOOR:
            return None if host.waits_for_price() else ExecutionEnd.BELOW_LEVEL
        if reason is not NoOrderReason.RESERVED:
            return None
        if not host.waits_for_shares():
            return ExecutionEnd.BELOW_LEVEL
        waited_long = desk.fruitless + 1 >= desk.tuning.attempts_before_alarm
        return ExecutionEnd.SHARES_BOUND if waited_long and not host.waits_for_price() else None

    def _end_of(self, built: NoOrder) -> ExecutionEnd:
        if built.reason is NoOrderReason.DUST:
            return ExecutionEnd.DUST
        if built.reason is NoOrderReason.MARKET_FINAL:
            self._desk.refused = "the market is closed or resolved"
            return ExecutionEnd.FAILED
        if built.shares > ZERO:
            return ExecutionEnd.KILLED
        return ExecutionEnd.COMPLETE if self.totals.filled_shares > ZERO else ExecutionEnd.NOTHING_HELD

    async def _recall(self) -> bool:
        """Adopt claims of this order that an earlier history made (a reset, a restored backup)."""
        if self._recalled or self._desk.log:
            return False
        self._recalled = True
        return await self._adopt_claims()

    async def _adopt_claims(self) -> bool:
        """Take up the claims behind the attempts that are settled; whether there were any."""
        desk = self._desk
        stored = await calls.recall(desk.identity.order_id)
        unknown = [c for c in stored.claims if c.attempt.attempt >= desk.log.next_attempt]
        for claimed in unknown:
            record = desk.log.add(claimed.attempt, claimed.venue_order_id, claimed.last_post_at_ms)
            desk.journal.current = claimed.attempt
            desk.journal.note("order.adopted", f"Attempt {claimed.attempt.attempt} stood already")
            if not claimed.settled:
                await follow(desk, record)
            await desk.refresh(record, look_up=False)
            desk.log.settle(record)
        return bool(unknown)

    # -- the end --------------------------------------------------------------------------------

    async def _is_over_with(self, dust_shares: Decimal) -> bool:
        """Whether the venue confirms what was sold; until then what is bought is not this order's to sell."""
        self.dust_shares = dust_shares
        if self.has_unconfirmed and await self._await_confirmation():
            self.dust_shares = None
        return self.dust_shares is not None

    async def _await_confirmation(self) -> bool:
        """All is sold, but the venue may still reverse a fill: wait for its word; True when it did."""
        self.trading_over = True
        self._desk.set(OrderState.FOLLOWING, "filled; waiting for the venue's confirmation")
        await self._desk.project()
        back = await confirm(self._desk)
        if back:
            self.trading_over = False
        return back

    async def _finish(self, end: ExecutionEnd) -> ExecutionEnd:
        self.trading_over = True
        self._close(end)
        if self._confirms_always and self.has_unconfirmed:
            await self._desk.project()
            while await confirm(self._desk):
                await self._desk.project()
            self._close(end)
        return end

    def _close(self, end: ExecutionEnd) -> None:
        words = end.value.replace("_", " ")
        if self.totals.filled_shares > ZERO:
            whole = end in (ExecutionEnd.COMPLETE, ExecutionEnd.DUST)
            self._desk.set(OrderState.FILLED if whole else OrderState.PARTIALLY_FILLED, words)
        else:
            state = OrderState.FAILED if end is ExecutionEnd.FAILED else OrderState.CANCELED
            self._desk.set(state, self._desk.refused or words)


def _is_nothing_held(built: ExitBuild) -> bool:
    return isinstance(built, NoOrder) and built.reason is NoOrderReason.NOTHING_HELD
