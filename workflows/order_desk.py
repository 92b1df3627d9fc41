"""What all steps of one order share: its host, its records, its story, and the ways of waiting."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Protocol

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.exits import ExitBuild
    from domain.messages import (
        ExecutionCarry,
        FreshRead,
        Holding,
        OrderFacts,
        OrderProjection,
        Projection,
        RuleProjection,
        Tuning,
    )
    from domain.orders import OrderState, WalletHolding
    from domain.quotes import Ladder
    from domain.settlement import backoff_ms

from workflows import calls
from workflows.attempts import AttemptLog, AttemptRecord
from workflows.calls import OrderCalls, OrderIdentity
from workflows.order_journal import OrderJournal


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What the host builds an attempt from; everything in it comes from history."""

    attempt: int
    ladder: Ladder
    available: Decimal | None
    timestamp_ms: int
    holder: WalletHolding | None = None


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

    def waits_for_price(self) -> bool:
        """Whether a book that pays too little is waited out (a stop), or ends the execution (a target)."""
        ...

    def waits_for_shares(self) -> bool:
        """Whether shares that other orders bind are waited for, or end the execution."""
        ...

    def may_get_back(self) -> bool:
        """Whether sales by others are not confirmed yet, of something that this order would sell."""
        ...

    def told(self, state: OrderState, detail: str) -> None:
        """Take the order's story, for the workflow's details."""
        ...

    def sent(self) -> None:
        """The order is on its way or waits: what nobody trades by can be shown now."""
        ...

    def cancel_lost(self) -> None:
        """A cancel was asked for, but everything had been filled."""
        ...


class HistoryIsLong(Exception):
    """Unwinds an execution, at a pause, to its `run`; never leaves it."""


class OrderDesk:
    """The state of one order's execution, and how it waits, writes and asks."""

    def __init__(
        self,
        identity: OrderIdentity,
        tuning: Tuning,
        host: ExecutionHost,
        carry: ExecutionCarry | None,
        *,
        keeps_pace: bool,
        keeps_timer: bool,
    ) -> None:
        self.identity = identity
        self.keeps_pace = keeps_pace
        self.keeps_timer = keeps_timer
        self.tuning = tuning
        self.host = host
        self.calls = OrderCalls(identity, tuning)
        self.log = AttemptLog(carry)
        self.journal = OrderJournal(identity, carry)
        self.cancel_requested = carry.cancel_requested if carry else False
        self.fruitless = carry.fruitless if carry else 0  # looks and attempts in a row that filled nothing
        self.refused = ""  # the latest reason why nothing was filled
        self.available: Decimal | None = None  # what a claim left free of the shares that are wanted
        self.asks_holder = False  # the venue refused for want of shares: another wallet may hold the rest
        self.holder: WalletHolding | None = None
        self.ladder: Ladder | None = None
        self.ladder_at_ms = 0
        self._updates = 0
        self._seen_updates = 0

    def notify(self) -> None:
        """Facts about this order were booked, or the holding changed."""
        self._updates += 1

    # -- writing --------------------------------------------------------------------------------

    def set(self, state: OrderState, detail: str) -> None:
        """Change the order's state and words."""
        self.journal.state = state
        self.journal.detail = detail
        self.host.told(state, detail)

    def order_projection(self) -> OrderProjection:
        """Return the order's row with its next version, and what is to be told."""
        return self.journal.projection(self.log)

    def projection(self) -> Projection:
        """Return the rows of host and order as they stand now."""
        return Projection(rule=self.host.rule_projection(), order=self.order_projection())

    async def project(self) -> None:
        """Write how things stand."""
        self.host.sent()
        await calls.project(self.projection())

    # -- asking ---------------------------------------------------------------------------------

    async def refresh(self, record: AttemptRecord, *, look_up: bool) -> OrderFacts:
        """Read what is known of an attempt; with `look_up` the venue is asked first."""
        record.facts = await self.calls.follow(record, look_up=look_up)
        self.host.learned(None, record.facts.holding)
        return record.facts

    @property
    def soon_ms(self) -> int:
        """The longest pause before something is tried that may be possible again at any moment."""
        return min(self.tuning.retry_cap_ms, 5 * self.tuning.retry_ms)

    # -- waiting --------------------------------------------------------------------------------

    async def hold_off(self, why: str) -> None:
        """Nothing can be sent now: say so, wait (news of the holding end it), look again."""
        self._say_waiting(why)
        await self.project()
        await self.pause(backoff_ms(self.fruitless, self.tuning.retry_ms, self.soon_ms), on_update=True)
        self._forget()

    async def wait_for_probe(self, why: str, holds: int, turn_ms: int) -> None:
        """An open breaker lets one exit out at a time: say so, wait, ask again.

        No try of this order failed, so none is counted: after the breaker closed it goes on at its own pace.

        Args:
            why: What the claim said.
            holds: How often in a row it did.
            turn_ms: After what time it should try again, by how many others wait; it is told when the breaker
                closes before that.
        """
        await self._held_back(why, holds, self.soon_ms, turn_ms)

    async def wait_for_switch(self, why: str, holds: int) -> None:
        """The kill switch stops every send: say so, and wait until somebody tells that it is lifted.

        Looks meanwhile are only for a telling that was lost, and seldom: each reads a book at the venue, and
        the switch may hold a thousand exits for hours. No try of this order failed, so none is counted.

        Args:
            why: What the claim said.
            holds: How often in a row it did.
        """
        await self._held_back(why, holds, self.tuning.retry_cap_ms)

    async def _held_back(self, why: str, holds: int, longest_ms: int, at_least_ms: int = 0) -> None:
        self.set(OrderState.WAITING, why)
        self.journal.warn("order.held_back", f"Held back: {why}")
        self.alarm_after(holds)
        await self.project()
        wait_ms = max(backoff_ms(holds, self.tuning.retry_ms, longest_ms), at_least_ms)
        await self.pause(wait_ms, on_update=True)
        self._forget()

    async def wait_fruitlessly(self, why: str) -> None:
        """Nothing came of it: never given up silently, tried again with fresh depth."""
        self._say_waiting(why)
        await self.project()
        await self.pause(backoff_ms(self.fruitless, self.tuning.retry_ms, self.tuning.retry_cap_ms))
        self._forget()

    async def wait_for_word(self, why: str) -> None:
        """Only the venue's word is awaited, by which no try fails: news of the holding bring it."""
        self.set(OrderState.WAITING, why)
        await self.project()
        await self.pause(self.tuning.fallback_cap_ms, on_update=True)
        self._forget()

    async def wait_for_person(self, why: str) -> None:
        """Nothing will go on before a person acted; it is tried now and then all the same."""
        self.set(OrderState.BLOCKED, why)
        self.journal.alarm("order.blocked", f"A person must act: {why}")
        await self.project()
        await self.pause(self.tuning.blocked_retry_ms)
        self._forget()

    def _say_waiting(self, why: str) -> None:
        self.fruitless += 1
        self.set(OrderState.WAITING, why)
        self.alarm_after(self.fruitless)

    def alarm_after(self, count: int) -> None:
        """Alarm when so many tries came to nothing."""
        if count >= self.tuning.attempts_before_alarm:
            self.journal.alarm("order.stuck", f"{count} tries without a fill: {self.journal.detail}")

    def _forget(self) -> None:
        """What was read before a pause is old after it."""
        self.available = None
        self.ladder_at_ms = 0

    async def pause(
        self, wait_ms: int, *, on_update: bool = False, on_cancel: bool = True, may_continue: bool = True
    ) -> bool:
        """Wait; return whether a booked fact ended it early. A cancel request ends it too.

        Every loop passes here, so here a long history is cut: what is open is carried into the next run.

        Raises:
            HistoryIsLong: the execution has to go on in a new run.
        """
        self._cut_long_history(may_continue=may_continue)
        try:
            await workflow.wait_condition(
                lambda: self._told(on_update=on_update, on_cancel=on_cancel),
                timeout=timedelta(milliseconds=wait_ms),
            )
        except TimeoutError:
            return False
        return self._take_updates(on_update=on_update)

    async def pause_until(self, over: Callable[[], bool], *, on_cancel: bool, may_continue: bool) -> bool:
        """Wait until something is over, as `pause` does for a while; a booked fact ends it early.

        Raises:
            HistoryIsLong: the execution has to go on in a new run.
        """
        self._cut_long_history(may_continue=may_continue)
        await workflow.wait_condition(lambda: over() or self._told(on_update=True, on_cancel=on_cancel))
        return self._take_updates(on_update=True)

    def _cut_long_history(self, *, may_continue: bool) -> None:
        if may_continue and history_is_long(self.tuning) and workflow.all_handlers_finished():
            raise HistoryIsLong

    def _told(self, *, on_update: bool, on_cancel: bool) -> bool:
        news = on_update and self._updates > self._seen_updates
        return news or (on_cancel and self.cancel_requested)

    def _take_updates(self, *, on_update: bool) -> bool:
        signalled = on_update and self._updates > self._seen_updates
        if signalled:
            self._seen_updates = self._updates
        return signalled


def history_is_long(tuning: Tuning) -> bool:
    """Whether this run should continue as new."""
    info = workflow.info()
    if tuning.max_history_events:
        return info.get_current_history_length() >= tuning.max_history_events
    return info.is_continue_as_new_suggested()


def now_ms() -> int:
    """Return the workflow's time, Unix milliseconds."""
    return workflow.time_ns() // 1_000_000
