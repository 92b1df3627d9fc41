"""The minute's pass: streams live where there is business, nothing long beyond its level stays quiet."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog
from temporalio import activity

from activities.heartbeats import beating
from activities.level_sweep import LevelSweep
from activities.lost_reversals import LostReversals
from activities.orphans import Orphans
from activities.telling import tell_all
from domain.messages import PositionChanged, ReconcileReport
from domain.ports import Clock, Signals
from storage.repositories.audit import Audit
from storage.repositories.ledger import BusyAccount, Ledger
from storage.repositories.rules import Rules, UntoldRule
from storage.repositories.tape import TAPE_KEPT, Tape
from storage.repositories.watches import Watches

log = structlog.get_logger()

TELLING_TAKES = timedelta(seconds=10)
CLOSED_WATCHES_KEPT = timedelta(days=7)
AT_ONCE = 16


class ScheduleActivities:
    """Passes over everything."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        orphans: Orphans,
        rules: Rules,
        level_sweep: LevelSweep,
        reversals: LostReversals,
        tape: Tape,
        watches: Watches,
        audit: Audit,
        signals: Signals,
        clock: Clock,
    ) -> None:
        """Take the repositories, the way to workflows, and the parts of a pass that are their own."""
        self._ledger = ledger
        self._orphans = orphans
        self._rules = rules
        self._level_sweep = level_sweep
        self._reversals = reversals
        self._tape = tape
        self._watches = watches
        self._audit = audit
        self._signals = signals
        self._clock = clock

    @activity.defn
    async def reconcile(self) -> ReconcileReport:
        """Sweep watches, wake streams, tell positions and lost reversals, show orphans, tidy up.

        Raises:
            ExceptionGroup: some of it failed; all the rest was done. To be tried again: what was told twice
                is no news to a workflow.
        """
        pass_ = _Pass()
        async with beating():
            report = ReconcileReport(
                swept_crossings=await pass_.do(self._level_sweep.tell),
                streams_woken=await pass_.do(self._wake_streams),
                positions_told=await pass_.do(self._tell_positions),
                orphaned_rules=await pass_.do(self._orphans.sweep),
            )
            await pass_.do(self._reversals.tell)
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

        return await tell_all(await self._ledger.busy_accounts(), wake, at_once=AT_ONCE)

    async def _tell_positions(self) -> int:
        """Tell rules what is held when whoever booked it died before they were told."""

        async def tell(rule: UntoldRule) -> bool:
            if not await self._signals.position_changed(rule.rule_id, PositionChanged(holding=rule.holding)):
                return False
            log.warning("position.told_late", rule_id=rule.rule_id)
            return True

        untold = await self._rules.untold(self._clock.now() - TELLING_TAKES)
        return await tell_all(untold, tell, at_once=AT_ONCE)


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
