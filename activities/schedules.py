"""The minute's pass: streams live where there is business, nothing long beyond its level stays quiet."""

from datetime import timedelta

import structlog
from temporalio import activity

from activities.orphans import Orphans
from domain.messages import Crossed, PositionChanged, ReconcileReport
from domain.ports import Clock, Signals
from domain.quotes import Ladder
from domain.rules.crossing import Crossing
from storage.repositories.audit import Audit
from storage.repositories.ledger import Ledger
from storage.repositories.rules import Rules
from storage.repositories.sweep import BeyondLevel, Sweep
from storage.repositories.tape import TAPE_KEPT, Tape
from storage.repositories.watches import Watches

log = structlog.get_logger()

TELLING_TAKES = timedelta(seconds=10)
CLOSED_WATCHES_KEPT = timedelta(days=7)


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
        """Wake streams, sweep watches, tell positions, show orphans, seal the audit log, compact the tape."""
        woken = await self._wake_streams()
        swept = await self._sweep_watches()
        told = await self._tell_positions()
        orphaned = await self._orphans.sweep()
        await self._audit.chain()
        now = self._clock.now()
        await self._tape.compact(now - TAPE_KEPT)
        await self._watches.prune(now - CLOSED_WATCHES_KEPT)
        return ReconcileReport(
            streams_woken=woken, positions_told=told, orphaned_rules=orphaned, swept_crossings=swept
        )

    async def _wake_streams(self) -> int:
        """Every account with something unsettled, unconfirmed or held has its stream."""
        busy = await self._ledger.busy_accounts()
        for account in busy:
            await self._signals.wake_stream(account.account_id, account.venue, account.mode)
        return len(busy)

    async def _tell_positions(self) -> int:
        """Tell rules what is held when whoever booked it died before they were told."""
        count = 0
        for rule in await self._rules.untold(self._clock.now() - TELLING_TAKES):
            if await self._signals.position_changed(rule.rule_id, PositionChanged(holding=rule.holding)):
                log.warning("position.told_late", rule_id=rule.rule_id)
                count += 1
        return count

    async def _sweep_watches(self) -> int:
        """Signal armed watches that the tape shows beyond their level for the whole window."""
        count = 0
        for venue in self._venues:
            for found in await self._sweep.beyond(venue, self._clock.now(), window=self._beyond_for):
                crossing = self._crossing(found)
                await self._signals.crossed(crossing.rule_id, Crossed(crossing=crossing, ladder=Ladder(())))
                log.warning("crossing.found_by_sweep", rule_id=crossing.rule_id)
                count += 1
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
