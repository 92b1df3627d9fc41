"""The minute's pass: streams live where there is business, nothing long beyond its level stays quiet."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeVar

import structlog
from temporalio import activity

from activities.heartbeats import beating
from activities.orphans import Orphans
from domain.messages import Crossed, PositionChanged, ReconcileReport
from domain.ports import Clock, Signals
from domain.quotes import Ladder
from domain.rules.crossing import Crossing
from storage.repositories.audit import Audit
from storage.repositories.ledger import BusyAccount, Ledger
from storage.repositories.rules import Rules, UntoldRule
from storage.repositories.sweep import BeyondLevel, Sweep
from storage.repositories.tape import TAPE_KEPT, Tape
from storage.repositories.watches import Watches

log = structlog.get_logger()

TELLING_TAKES = timedelta(seconds=10)
CLOSED_WATCHES_KEPT = timedelta(days=7)
AT_ONCE = 16

_Told = TypeVar("_Told")


class ScheduleActivities:
    """Passes over everything. The sweep shares no code with the trigger index, on purpose."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        orphans: Orphans,
        rules: Rules,
        sweep: Sweep,
        tape: Tape,
        watches: Watches,
        audit: Audit,
        signals: Signals,
        clock: Clock,
        venues: tuple[str, ...],
        beyond_for: timedelta,
    ) -> None:
        """Take the repositories, the way to workflows, and how long beyond its level a watch is swept."""
        self._ledger = ledger
        self._orphans = orphans
        self._rules = rules
        self._sweep = sweep
        self._tape = tape
        self._watches = watches
        self._audit = audit
        self._signals = signals
        self._clock = clock
        self._venues = venues
        self._beyond_for = beyond_for

    @activity.defn
    async def reconcile(self) -> ReconcileReport:
        """Sweep watches, wake streams, tell positions, show orphans, seal the audit log, compact the tape.

        Raises:
            ExceptionGroup: some of it failed; all the rest was done. To be tried again: what was told twice
                is no news to a workflow.
        """
        pass_ = _Pass()
        async with beating():
            report = ReconcileReport(
                swept_crossings=await pass_.do(self._sweep_watches),
                streams_woken=await pass_.do(self._wake_streams),
                positions_told=await pass_.do(self._tell_positions),
                orphaned_rules=await pass_.do(self._orphans.sweep),
            )
            await pass_.do(self._tidy)
        pass_.end()
        return report

    async def _tidy(self) -> int:
        """Seal the audit log and let go of what is old; return how many watches and marks went."""
        await self._audit.chain()
        now = self._clock.now()
        await self._tape.compact(now - TAPE_KEPT)
        return await self._watches.prune(now - CLOSED_WATCHES_KEPT)

    async def _wake_streams(self) -> int:
        """Every account with something unsettled, unconfirmed or held has its stream."""

        async def wake(account: BusyAccount) -> bool:
            await self._signals.wake_stream(account.account_id, account.venue, account.mode)
            return True

        return await _tell_all(await self._ledger.busy_accounts(), wake)

    async def _tell_positions(self) -> int:
        """Tell rules what is held when whoever booked it died before they were told."""

        async def tell(rule: UntoldRule) -> bool:
            if not await self._signals.position_changed(rule.rule_id, PositionChanged(holding=rule.holding)):
                return False
            log.warning("position.told_late", rule_id=rule.rule_id)
            return True

        return await _tell_all(await self._rules.untold(self._clock.now() - TELLING_TAKES), tell)

    async def _sweep_watches(self) -> int:
        """Signal armed watches that the tape shows beyond their level for the whole window."""

        async def signal(found: BeyondLevel) -> bool:
            crossing = self._crossing(found)
            await self._signals.crossed(crossing.rule_id, Crossed(crossing=crossing, ladder=Ladder(())))
            log.warning("crossing.found_by_sweep", rule_id=crossing.rule_id)
            return True

        count = 0
        for venue in self._venues:
            beyond = await self._sweep.beyond(venue, self._clock.now(), window=self._beyond_for)
            count += await _tell_all(beyond, signal)
        return count

    def _crossing(self, found: BeyondLevel) -> Crossing:
        watch = found.watch
        return Crossing(
            rule_id=watch.rule_id,
            generation=watch.generation,
            condition_index=found.condition_index,
            condition=watch.resolved.conditions[found.condition_index].type,
            level=found.level,
            quote=found.quote,
            price=found.price,
            mark=found.mark,
            confirm_count=found.changes,
            beyond_since_ms=int(found.since.timestamp() * 1000),
            observed_at_ms=int(self._clock.now().timestamp() * 1000),
            venue_timestamp_ms=None,
        )


class _Pass:
    """The parts of one pass: one that fails stops none of those behind it, and fails the pass at its end."""

    def __init__(self) -> None:
        self._failures: list[Exception] = []

    async def do(self, part: Callable[[], Awaitable[int]]) -> int:
        """Do a part; return what it counts, 0 when it failed."""
        try:
            return await part()
        except Exception as error:
            log.exception("pass.part_failed", part=part.__qualname__)
            self._failures.append(error)
            return 0

    def end(self) -> None:
        """Raise what failed."""
        if self._failures:
            raise ExceptionGroup("parts of the pass failed", self._failures)


async def _tell_all(them: Sequence[_Told], tell: Callable[[_Told], Awaitable[bool]]) -> int:
    """Tell each, a few at once, and return how many took it; one that fails stops none of the others.

    Raises:
        ExceptionGroup: some could not be told; all others were.
    """
    places = asyncio.Semaphore(AT_ONCE)

    async def one(it: _Told) -> bool:
        async with places:
            return await tell(it)

    answers = await asyncio.gather(*(one(it) for it in them), return_exceptions=True)
    failures = [answer for answer in answers if isinstance(answer, Exception)]
    if failures:
        raise ExceptionGroup("some could not be told", failures)
    return sum(answer is True for answer in answers)
