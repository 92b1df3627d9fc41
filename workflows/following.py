"""Staying with what is at the venue: until an attempt is settled, until its fills are final."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.messages import OrderFacts
    from domain.money import plain
    from domain.orders import RESTING, OrderState, VenueOrderStatus
    from domain.settlement import backoff_ms

from workflows.attempts import ZERO, AttemptRecord
from workflows.order_desk import OrderDesk, now_ms


class _LookUps:
    """When the venue is asked next: less and less often, and never later because a signal came meanwhile."""

    def __init__(self, desk: OrderDesk) -> None:
        """Begin with the first pause."""
        self._desk = desk
        self._count = 0
        self._due_ms = 0  # 0: the next pause has not begun

    def pause_ms(self, cap_ms: int, *, settles_ms: int = 0) -> int:
        """Return how long until the next look-up, whose pause begins now unless one is under way already.

        At least a moment, so that waiting is always a timer.

        Args:
            cap_ms: The longest pause.
            settles_ms: When a look-up that finds nothing settles the attempt: one comes at that very time.
        """
        now = now_ms()
        if not self._due_ms:
            self._count += 1
            self._due_ms = now + backoff_ms(self._count, self._desk.tuning.fallback_ms, cap_ms)
            if settles_ms > now:
                self._due_ms = min(self._due_ms, settles_ms)
        self._due_ms = min(self._due_ms, now + cap_ms)  # an order that no longer rests has a shorter cap
        return max(self._due_ms - now, 1)

    def is_due(self, *, signalled: bool) -> bool:
        """Whether the pause is over, by which the next one begins; a signal alone does not end it."""
        over = not signalled or (self._desk.keeps_pace and now_ms() >= self._due_ms)
        self._due_ms = 0 if over else self._due_ms
        return over


async def follow(desk: OrderDesk, record: AttemptRecord) -> None:
    """Stay with an attempt that the venue has, or may have, until it is settled."""
    desk.set(OrderState.FOLLOWING, "at the venue; fills are being booked")
    look_ups, cancel_seen = _LookUps(desk), False
    while True:
        cap = desk.tuning.resting_cap_ms if _rests(desk) else desk.tuning.fallback_cap_ms
        settles_ms = record.last_post_at_ms + desk.tuning.absent_settles_ms
        left_ms = look_ups.pause_ms(cap, settles_ms=settles_ms)
        signalled = await desk.pause(left_ms, on_update=True, on_cancel=not cancel_seen)
        if desk.cancel_requested and not cancel_seen:
            cancel_seen, look_ups = True, _LookUps(desk)
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


async def _absent(desk: OrderDesk, record: AttemptRecord, facts: OrderFacts) -> bool:
    """Rule (d): absent everywhere for long enough, and a refreshed balance equals the ledger."""
    waited_ms = now_ms() - record.last_post_at_ms
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
    overdue = now_ms() - record.last_post_at_ms > desk.tuning.unsettled_alarm_ms
    if overdue and "order.unsettled" not in desk.journal.alarmed:
        desk.journal.alarm("order.unsettled", "The venue does not say what became of the order")
        await desk.project()


def _rests(desk: OrderDesk) -> bool:
    return desk.journal.state is OrderState.RESTING


async def confirm(desk: OrderDesk, *, may_continue: bool = True) -> bool:
    """Wait until every fill is final; True as soon as the venue took one back."""
    before, look_ups = desk.log.totals().reversed_shares, _LookUps(desk)
    while desk.log.totals().unconfirmed_shares > ZERO:
        left_ms = look_ups.pause_ms(desk.tuning.fallback_cap_ms)
        signalled = await desk.pause(left_ms, on_update=True, on_cancel=False, may_continue=may_continue)
        due = look_ups.is_due(signalled=signalled)
        for record in desk.log.unconfirmed():
            await desk.refresh(record, look_up=due)
        back = desk.log.totals().reversed_shares - before
        if back > ZERO:
            desk.journal.note("fill.reversed", f"The venue took back a fill of {plain(back)} shares")
            return True
    return False
