"""Scheduled passes over everything: nothing that should live is dead, nothing beyond its level is quiet."""

import structlog
from storage.repositories.rules import Rules
from storage.repositories.sweep import Sweep
from temporalio import activity

from activities.ingest import Ingest
from domain.messages import Crossed, ReconcileReport, RulePhase
from domain.ports import Clock, Signals
from domain.quotes import Ladder
from storage.repositories.ledger import Ledger

log = structlog.get_logger()


class ScheduleActivities:
    """The minute's pass. Shares no code with the trigger index, on purpose."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        rules: Rules,
        sweep: Sweep,
        ingest: Ingest,
        signals: Signals,
        clock: Clock,
    ) -> None:
        """Take the repositories and ports."""
        self._ledger = ledger
        self._rules = rules
        self._sweep = sweep
        self._ingest = ingest
        self._signals = signals
        self._clock = clock

    @activity.defn
    async def reconcile(self) -> ReconcileReport:
        """Wake streams of busy accounts, mark orphaned rules, signal watches long beyond their level."""
        woken = await self._wake_streams()
        orphans = await self._find_orphans()
        swept = await self._sweep_watches()
        return ReconcileReport(streams_woken=woken, orphaned_rules=orphans, swept_crossings=swept)

    async def _wake_streams(self) -> int:
        busy = await self._ledger.busy_accounts()
        for account_id, venue, mode in busy:
            await self._signals.wake_stream(account_id, venue, mode)
        return len(busy)

    async def _find_orphans(self) -> int:
        """Rules that say they live while no workflow of theirs does: terminated by hand."""
        open_rules = await self._rules.open_rule_ids(older_than_s=60)
        if not open_rules:
            return 0
        orphans = [rule for rule in open_rules if not await self._signals.rule_is_open(rule)]
        for rule_id in orphans:
            await self._rules.mark_orphaned(rule_id, RulePhase.ORPHANED, self._clock.now())
            log.error("rule.orphaned", rule_id=rule_id)
        return len(orphans)

    async def _sweep_watches(self) -> int:
        """Signal armed watches of the present generation that the tape shows beyond their level for long."""
        crossings = await self._sweep.beyond(self._clock.now())
        for crossing in crossings:
            await self._signals.crossed(crossing.rule_id, Crossed(crossing=crossing, ladder=Ladder(())))
            log.warning("crossing.found_by_sweep", rule_id=crossing.rule_id)
        return len(crossings)
