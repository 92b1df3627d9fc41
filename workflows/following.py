"""Staying with what is at the venue: until an attempt is settled, until its fills are final."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.messages import OrderFacts
    from domain.money import plain
    from domain.orders import RESTING, OrderState, VenueOrderStatus
    from domain.settlement import backoff_ms

from workflows.attempts import ZERO, AttemptRecord
from workflows.order_desk import OrderDesk, now_ms


class _LookUps:
    """When the venue is asked next: less and less often, and never later because a signal came meanwhile.

    A timer tells that it is time. The clock cannot: a task that waits for Postgres longer than a task may
    last is renewed, and its replay begins as late as its last renewal: what was due need not be due then.
    """

    def __init__(self, desk: OrderDesk) -> None:
        """Begin with the first pause."""
        self._desk = desk
        self._count = 0
        self._due_ms = 0  # 0: the next pause has not begun
        self._timer: asyncio.Task[None] | None = None
        self._cap_ms = 0

    async def pause(
        self, cap_ms: int, *, settles_ms: int = 0, on_cancel: bool = False, may_continue: bool = True
    ) -> bool:
        """Wait for the next look-up, as the desk's pause does; one that is under way goes on.

        Args:
            cap_ms: The longest pause.
            settles_ms: When a look-up that finds nothing settles the attempt: one comes at that very time.
            on_cancel: Whether a cancel request ends it.
            may_continue: Whether a long history may be cut here.

        Raises:
            HistoryIsLong: the execution has to go on in a new run.
        """
        left_ms = self._left_ms(cap_ms, settles_ms=settles_ms)
        desk = self._desk
        if not desk.keeps_timer:
            return await desk.pause(left_ms, on_update=True, on_cancel=on_cancel, may_continue=may_continue)
        if self._timer is None or cap_ms < self._cap_ms:
            self.stop()
            self._timer = asyncio.create_task(workflow.sleep(timedelta(milliseconds=left_ms)))
            self._cap_ms = cap_ms
        return await desk.pause_until(self._timer.done, on_cancel=on_cancel, may_continue=may_continue)

    def is_due(self, *, signalled: bool) -> bool:
        """Whether the pause is over, by which the next one begins; a signal alone does not end it."""
        over = not signalled or self._is_over()
        if over:
            self._due_ms = 0
            self.stop()
        return over

    def begin_anew(self) -> None:
        """Ask as often again as at the beginning, and now."""
        self.stop()
        self._count = self._due_ms = 0

    def stop(self) -> None:
        """No look-up is waited for any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _is_over(self) -> bool:
        if self._timer is not None:
            return self._timer.done()
        return self._desk.keeps_pace and now_ms() >= self._due_ms

    def _left_ms(self, cap_ms: int, *, settles_ms: int) -> int:
        """Return how long until the next look-up: at least a moment, so that waiting is always a timer."""
        now = now_ms()
        if not self._due_ms:
            self._count += 1
            self._due_ms = now + backoff_ms(self._count, self._desk.tuning.fallback_ms, cap_ms)
            if settles_ms > now:
                self._due_ms = min(self._due_ms, settles_ms)
        self._due_ms = min(self._due_ms, now + cap_ms)  # an order that no longer rests has a shorter cap
        return max(self._due_ms - now, 1)


@contextmanager
def _look_ups(desk: OrderDesk) -> Generator[_LookUps]:
    look_ups = _LookUps(desk)
    try:
        yield look_ups
    finally:
        look_ups.stop()


async def follow(desk: OrderDesk, record: AttemptRecord) -> None:
    """Stay with an attempt that the venue has, or may have, until it is settled."""
    desk.set(OrderState.FOLLOWING, "at the venue; fills are being booked")
    with _look_ups(desk) as look_ups:
        await _follow(desk, record, look_ups)


async def _follow(desk: OrderDesk, record: AttemptRecord, look_ups: _LookUps) -> None:
    cancel_seen = False
    while True:
        cap = desk.tuning.resting_cap_ms if _rests(desk) else desk.tuning.fallback_cap_ms
        settles_ms = record.last_post_at_ms + desk.tuning.absent_settles_ms
        signalled = await look_ups.pause(cap, settles_ms=settles_ms, on_cancel=not cancel_seen)
        if desk.cancel_requested and not cancel_seen:
            cancel_seen = True
            look_ups.begin_anew()
        cancelling = cancel_seen and desk.identity.time_in_force in RESTING
        if cancelling:
            await desk.calls.cancel(record)
        booked = record.booked
        due = look_ups.is_due(signalled=signalled)
        facts = await desk.refresh(record, look_up=cancelling or due)
        if facts.blocked and not facts.settled:
            await desk.wait_for_person(facts.blocked)
            desk.set(OrderState.FOLLOWING, "at the venue; fills are being booked")
            continue
        if facts.settled or await _absent(desk, record, facts):
            return
        await _tell_of(desk, record, facts, news=facts.booked_shares != booked)


async def look(desk: OrderDesk, record: AttemptRecord) -> bool:
    """Ask the venue once for an attempt that may be there; whether it is settled."""
    facts = await desk.refresh(record, look_up=True)
    return facts.settled or await _absent(desk, record, facts)


async def _absent(desk: OrderDesk, record: AttemptRecord, facts: OrderFacts) -> bool:
    """Rule (d): absent everywhere for long enough, and a refreshed balance equals the ledger."""
    waited_ms = _read_at_ms(facts) - record.last_post_at_ms
    absent = facts.looked_up and facts.venue_status is None and facts.booked_shares == ZERO
    if not absent or waited_ms < desk.tuning.absent_settles_ms:
        return False
    return await desk.calls.confirm_absent(record)


async def _tell_of(desk: OrderDesk, record: AttemptRecord, facts: OrderFacts, *, news: bool) -> None:
    """Write what changed for an attempt that is not settled."""
    if facts.venue_status is VenueOrderStatus.LIVE:
        if news or not _rests(desk):
            desk.set(OrderState.RESTING, f"rests, {plain(facts.booked_shares)} shares filled")
            await desk.project()
        return
    if _rests(desk):
        desk.set(OrderState.FOLLOWING, "no longer rests; its last fills are being booked")
    overdue = _read_at_ms(facts) - record.last_post_at_ms > desk.tuning.unsettled_alarm_ms
    if overdue and "order.unsettled" not in desk.journal.alarmed:
        desk.journal.alarm("order.unsettled", "The venue does not say what became of the order")
        await desk.project()


def _read_at_ms(facts: OrderFacts) -> int:
    """Return when the facts were read: the time of a task may be another one at its replay."""
    return facts.at_ms or now_ms()


def _rests(desk: OrderDesk) -> bool:
    return desk.journal.state is OrderState.RESTING


async def confirm(desk: OrderDesk, *, may_continue: bool = True) -> bool:
    """Wait until every fill is final; True as soon as the venue took one back."""
    before = desk.log.totals().reversed_shares
    with _look_ups(desk) as look_ups:
        while desk.log.totals().unconfirmed_shares > ZERO:
            signalled = await look_ups.pause(desk.tuning.fallback_cap_ms, may_continue=may_continue)
            due = look_ups.is_due(signalled=signalled)
            for record in desk.log.unconfirmed():
                await desk.refresh(record, look_up=due)
            back = desk.log.totals().reversed_shares - before
            if back > ZERO:
                desk.journal.note("fill.reversed", f"The venue took back a fill of {plain(back)} shares")
                return True
    return False
