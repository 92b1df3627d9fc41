"""Placing one attempt: claim and send, send the same again, make room, until it is settled."""

from dataclasses import replace

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.claims import ClaimRefusal
    from domain.errors import CredentialsMissing
    from domain.messages import PlaceOrder, PlaceResult
    from domain.money import plain
    from domain.orders import AnswerKind, Attempt, OrderState, Purpose, RebuildReason, Side
    from domain.settlement import NextStep, backoff_ms, next_step

from workflows.attempts import ZERO, AttemptRecord
from workflows.following import follow, look
from workflows.order_desk import OrderDesk, now_ms

_NEEDS_PERSON = frozenset({CredentialsMissing.code, ClaimRefusal.LIVE_NOT_ACKNOWLEDGED.value})
_MAY_BE_OUT = frozenset({NextStep.FOLLOW, NextStep.RESEND, NextStep.HOLD_OFF})


class Placing:
    """Works off attempts, one after another."""

    def __init__(
        self,
        desk: OrderDesk,
        send_within_ms: int | None,
        *,
        takes_facts: bool,
        switch_is_no_try: bool,
        resends_after_switch: bool,
    ) -> None:
        """Take the order's desk, and what its execution took for sending.

        Args:
            desk: The order's desk.
            send_within_ms: How long after its build an attempt may still be sent.
            takes_facts: What is booked is taken from the venue's answer where it brings that.
            switch_is_no_try: A refusal by the kill switch does not count among the tries that failed.
            resends_after_switch: An exit whose bytes may be out sends them again once the switch is lifted.
        """
        self._takes_facts = takes_facts
        self._switch_is_no_try = switch_is_no_try
        self._resends_after_switch = resends_after_switch
        self._desk = desk
        self._send_within_ms = send_within_ms
        self._submitted = False
        self._tries = 0  # of the present attempt that got an answer
        self._holds = 0  # in a row, by an open breaker
        self._stops = 0  # in a row, by the kill switch
        self._releases = 0  # since something was filled

    async def work(self, attempt: Attempt) -> NextStep:
        """Place one attempt and stay with it until it is settled, or nothing of it was sent."""
        self._tries = 0
        while True:
            result = await self._place(attempt)
            self._desk.host.sent()
            step = next_step(result)
            self._count(result)
            if step is NextStep.ADOPT:
                attempt = _adopted(result)
                self._desk.journal.current = attempt
                self._desk.journal.note("order.adopted", f"Attempt {attempt.attempt} stood already")
                continue
            record = self._record(attempt, result)
            if record is None:
                return await self._nothing_sent(step, result)
            if self._is_held_back(record):
                if await self._settled_meanwhile(record, result):
                    return await self.settle(record, NextStep.FOLLOW, None)
                if not self._desk.cancel_requested and not self._is_there(record):
                    continue
            if step is NextStep.RESEND:
                await self._pause_before_resend(result)
                if not self._desk.cancel_requested:
                    continue
            if step in _MAY_BE_OUT and record.doubt and not _is_booked(result):
                await follow(self._desk, record)
            return await self.settle(record, step, result)

    def _count(self, result: PlaceResult) -> None:
        """Count a try; an exit that a breaker or the switch holds back has made none that failed."""
        exits = self._desk.identity.purpose is Purpose.EXIT
        breaker = exits and result.refusal == ClaimRefusal.BREAKER_OPEN.value
        switch = result.refusal == ClaimRefusal.KILL_SWITCH.value
        self._holds = self._holds + 1 if breaker else 0
        self._stops = self._stops + 1 if switch else 0
        self._tries += 0 if breaker or (switch and exits and self._resends_after_switch) else 1

    def _is_held_back(self, record: AttemptRecord) -> bool:
        """Whether the same bytes go out as soon as they may: nothing was sent now, and nothing is settled."""
        if self._stops and self._resends_after_switch:
            return record.doubt and self._desk.identity.purpose is Purpose.EXIT
        return self._holds > 0

    def _is_there(self, record: AttemptRecord) -> bool:
        """Whether the venue has what the switch kept from being sent again: it is followed where it rests."""
        return self._stops > 0 and record.facts is not None and record.facts.venue_status is not None

    async def _place(self, attempt: Attempt) -> PlaceResult:
        desk, within = self._desk, self._send_within_ms
        desk.journal.current = attempt
        desk.set(OrderState.PLACING, _words(attempt))
        if attempt.attempt == 1 and not self._submitted:
            self._submitted = True
            desk.journal.note("order.submitted", _words(attempt))
        request = PlaceOrder(
            attempt=attempt,
            order=desk.order_projection(),
            rule=desk.host.rule_projection(),
            send_until_ms=None if within is None else attempt.timestamp_ms + within,
        )
        result = await desk.calls.place(request)
        return result if self._takes_facts else replace(result, facts=None)

    def _record(self, attempt: Attempt, result: PlaceResult) -> AttemptRecord | None:
        """Record what was sent, now or by an earlier try; None when nothing of this attempt ever was."""
        if result.venue_order_id is None:
            return self._desk.log.find(attempt.attempt)
        posted = result.last_post_at_ms or now_ms()
        record = self._desk.log.add(attempt, result.venue_order_id, posted)
        record.last_post_at_ms = max(record.last_post_at_ms, posted)
        record.doubt = result.unknown_before or next_step(result) is NextStep.FOLLOW or _is_unknown(result)
        if result.facts is not None:
            record.facts = result.facts
            self._desk.host.learned(None, result.facts.holding)
        return record

    async def _nothing_sent(self, step: NextStep, result: PlaceResult) -> NextStep:
        """The claim did not grant the send: make room, or wait, or give up an entry."""
        desk = self._desk
        if step is NextStep.SHRINK:
            desk.available = result.available
            return step
        if step is NextStep.RELEASE:
            await self._release(result)
            return step
        desk.refused = result.detail or "refused"
        if desk.identity.purpose is Purpose.ENTRY:
            return NextStep.FAIL
        if result.refusal in _NEEDS_PERSON:
            await desk.wait_for_person(desk.refused)
        elif self._holds:
            await desk.wait_for_probe(desk.refused, self._holds, result.turn_ms)
        elif self._stops and self._switch_is_no_try:
            await desk.wait_for_switch(desk.refused, self._stops)
        else:
            await desk.hold_off(desk.refused)
        return step

    async def _settled_meanwhile(self, record: AttemptRecord, result: PlaceResult) -> bool:
        """Wait for breaker or switch with bytes that may be out; whether they are settled by now.

        Asking a sick venue is left to the stream's sweep, and to the probe that looks up before it sends. The
        switch may stay for hours: what is absent for long enough is settled, and a fresh attempt follows.
        """
        desk = self._desk
        desk.refused = result.detail
        if self._stops:
            await desk.wait_for_switch(result.detail, self._stops)
            return await look(desk, record)
        await desk.wait_for_probe(result.detail, self._holds, result.turn_ms)
        if not record.doubt:
            return False
        return (await desk.refresh(record, look_up=False)).settled

    async def _release(self, result: PlaceResult) -> None:
        """Cancel the resting sells that hold the shares: an exit pre-empts them."""
        desk = self._desk
        self._releases += 1
        if self._releases > 1:
            await desk.hold_off("resting sells still hold the shares")
        else:
            desk.set(OrderState.WAITING, "cancelling resting sells that hold the shares")
            desk.journal.note("exit.preempts", "Cancels resting sells that hold the shares")
        await desk.calls.release_shares(result.held_by)
        desk.available = None

    async def _pause_before_resend(self, result: PlaceResult) -> None:
        desk, answer = self._desk, result.answer
        asked_ms = answer.wait_ms if answer is not None else None
        # Who tells no time is asked again soon: the breaker of a sick venue paces all of its exits together.
        blind = _is_unknown(result) or asked_ms is None
        cap_ms = desk.soon_ms if blind else desk.tuning.retry_cap_ms
        wait_ms = max(backoff_ms(self._tries, desk.tuning.retry_ms, cap_ms), asked_ms or 0)
        words = f"{answer.code}: {answer.detail}" if answer is not None else "no answer"
        desk.set(OrderState.WAITING, f"the venue asks for patience ({words}); the same order goes out again")
        desk.alarm_after(self._tries)
        await desk.project()
        await desk.pause(wait_ms)

    async def settle(self, record: AttemptRecord, step: NextStep, result: PlaceResult | None) -> NextStep:
        """Close an attempt and say what it came to; pause where nothing was gained."""
        desk = self._desk
        desk.log.settle(record)
        desk.available = None
        if record.booked > ZERO:
            self._gained(record)
            return step
        desk.refused = _reason(result)
        if step is NextStep.FAIL:
            return step
        if desk.identity.purpose is Purpose.ENTRY:
            killed = step in (NextStep.FOLLOW, NextStep.NO_LIQUIDITY)
            return step if killed or desk.cancel_requested else NextStep.FAIL
        if step is NextStep.BLOCKED:
            await desk.wait_for_person(desk.refused)
            return step
        if _is_short(result):
            desk.asks_holder = True
            await desk.calls.release_shares(())
        await desk.wait_fruitlessly(desk.refused or "nothing matched")
        return step

    def _gained(self, record: AttemptRecord) -> None:
        self._desk.fruitless, self._releases = 0, 0
        self._desk.journal.calm()
        usd = record.facts.notional_usd if record.facts else ZERO
        self._desk.journal.note("order.filled", f"Filled {plain(record.booked)} shares for {plain(usd)} USD")


def _adopted(result: PlaceResult) -> Attempt:
    if result.adopted is None:
        raise ValueError("an adopted result needs its attempt")
    return result.adopted


def _is_booked(result: PlaceResult) -> bool:
    """Whether all fills were booked before the venue's answer was in."""
    return result.facts is not None and result.facts.settled


def _is_unknown(result: PlaceResult) -> bool:
    return result.answer is not None and result.answer.kind is AnswerKind.UNKNOWN


def _is_short(result: PlaceResult | None) -> bool:
    answer = result.answer if result else None
    return answer is not None and answer.rebuild is RebuildReason.BALANCE_SHORT


def _reason(result: PlaceResult | None) -> str:
    """Return the words of the venue or the claim, if there are any."""
    if result is None:
        return ""
    return (result.answer.detail or result.answer.code) if result.answer else result.detail


def _words(attempt: Attempt) -> str:
    verb = "Sells" if attempt.side is Side.SELL else "Buys"
    return (
        f"{verb} {plain(attempt.shares)} shares at {plain(attempt.limit_price)} or better "
        f"({attempt.time_in_force.value}, attempt {attempt.attempt})"
    )
