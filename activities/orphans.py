"""Rules whose workflow is gone or behind: terminated by hand, failed, lost, or rolled back with Temporal."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from domain.ids import RuleId
from domain.messages import EventRow, RulePhase, RuleProjection, RuleRow, RuleStatus, Severity, WatchRow
from domain.ports import Clock, RuleWorkflows
from storage.repositories.projections import Projections
from storage.repositories.rules import OpenRule, Rules

log = structlog.get_logger()

# Visibility lags behind, so a rule counts only when nothing was written of it for so long.
GRACE = timedelta(seconds=30)
PAGE = 1000
AT_ONCE = 16
_EXITING = frozenset({RulePhase.EXITING, RulePhase.WAITING, RulePhase.BLOCKED})
# What one pass asks Temporal about one by one; while visibility itself is lost every rule looks suspicious.
CONFIRMED_IN_ONE_PASS = 500


class Orphans:
    """Compares open rows with running workflows, and shows what it finds as `orphaned`, with an alarm."""

    def __init__(
        self,
        rules: Rules,
        projections: Projections,
        workflows: RuleWorkflows,
        clock: Clock,
        *,
        grace: timedelta = GRACE,
    ) -> None:
        """Take the rows, the way to Temporal, and how long a rule must have been quiet to be looked at."""
        self._rules = rules
        self._projections = projections
        self._workflows = workflows
        self._clock = clock
        self._grace = grace
        self._from = RuleId("")  # where the next pass goes on, when one could not confirm everything

    async def sweep(self) -> int:
        """Show every rule without a workflow, ask those that came back for their rows; return how many stand.

        Raises:
            ConnectionError: Temporal is away.
            StorageUnavailable: Postgres cannot be reached now.
        """
        quiet = await self._quiet_rules()
        running = await self._workflows.running_rules()
        await self._wake_exits_left_behind(quiet, running)
        shown = {rule.rule_id for rule in quiet if rule.phase is RulePhase.ORPHANED}
        for rule_id in sorted(shown & set(running)):
            # Somebody reset the workflow: it lives, and says so with its next rows.
            await self._workflows.show_rule(rule_id)
        missing = [rule.rule_id for rule in quiet if rule.rule_id not in running]
        found = [rule_id for rule_id in missing if rule_id not in shown]
        ends = await asyncio.gather(*self._confirmations(found))
        lost = [rule_id for rule_id, end in ends if end is not None and await self._show(rule_id, end)]
        return len(shown - set(running)) + len(lost)

    async def _wake_exits_left_behind(self, quiet: Sequence[OpenRule], running: Collection[RuleId]) -> None:
        """Let workflows that an older Temporal file knows only as armed find their exits, by the claims.

        Their rows are exiting without news, or closed already; a workflow that has just ended is still listed
        as running, and hears nothing any more.
        """
        for rule in quiet:
            if rule.phase in _EXITING and rule.rule_id in running:
                await self._workflows.look_after_exit(rule.rule_id)
                # One that its history shows as armed, and that has no claim, watches again by this.
                await self._workflows.show_rule(rule.rule_id)
        closed = sorted(set(running) - set(await self._rules.open_rule_ids()))
        for rule_id in closed[:CONFIRMED_IN_ONE_PASS]:
            await self._close_again(rule_id)

    async def _close_again(self, rule_id: RuleId) -> None:
        """Let a workflow end as its row did: a cancel that was answered must not come back to life."""
        row = await self._rules.find_any(rule_id)
        if row is None or row.phase is not RulePhase.DONE:
            return  # it is just being armed
        if row.status is RuleStatus.CANCELED:
            await self._workflows.cancel_rule(rule_id)
        await self._workflows.look_after_exit(rule_id)

    async def _quiet_rules(self) -> list[OpenRule]:
        quiet_since = self._clock.now() - self._grace
        quiet: list[OpenRule] = []
        while True:
            after = quiet[-1].rule_id if quiet else None
            page = await self._rules.all_open(after=after, limit=PAGE, quiet_since=quiet_since)
            quiet += page
            if len(page) < PAGE:
                return quiet

    def _confirmations(self, suspicious: Sequence[RuleId]) -> "list[asyncio.Task[tuple[RuleId, str | None]]]":
        """Ask Temporal itself about each; those that one pass leaves out are the first of the next."""
        turned = [r for r in suspicious if r > self._from] + [r for r in suspicious if r <= self._from]
        asked = turned[:CONFIRMED_IN_ONE_PASS]
        self._from = asked[-1] if len(asked) < len(turned) else RuleId("")
        places = asyncio.Semaphore(AT_ONCE)

        async def confirm(rule_id: RuleId) -> tuple[RuleId, str | None]:
            async with places:
                return rule_id, await self._workflows.rule_end(rule_id)

        return [asyncio.create_task(confirm(rule_id)) for rule_id in asked]

    async def _show(self, rule_id: RuleId, end: str) -> bool:
        """Write that a rule is orphaned; False when its last step turns out to have ended it.

        The row is read only now: a closed workflow writes no more, so nothing newer can be overwritten.
        """
        row, watch = await self._rules.find_any(rule_id), await self._rules.watch_of(rule_id)
        if row is None or row.phase is RulePhase.DONE:
            return False
        await self._projections.apply(orphaned(row, watch, end, self._clock.now()))
        log.error("rule.orphaned", rule_id=rule_id, account_id=row.account_id, workflow=end)
        return True


def orphaned(row: RuleRow, watch: WatchRow | None, end: str, now: datetime) -> RuleProjection:
    """Return the rows of a rule whose workflow ended otherwise than by its own decision, with the alarm.

    Its watch leaves the index: nobody is there to be signalled. What the watch says besides stays, for the
    adoption.
    """
    version = max(row.version + 1, int(now.timestamp() * 1_000_000))
    detail = f"its workflow is gone ({end}): it protects nothing until it is adopted"
    alarm = EventRow(
        event_key=f"{row.rule_id}/rule.orphaned/{row.version}",
        account_id=row.account_id,
        rule_id=row.rule_id,
        order_id=row.order_id,
        type="rule.orphaned",
        severity=Severity.ALARM,
        message=f"The rule's workflow is gone ({end}). It protects nothing: adopt it, or create it again.",
        data={"workflow": end, "phase_before": row.phase.value},
        at=now,
    )
    return RuleProjection(
        rule=replace(row, phase=RulePhase.ORPHANED, detail=detail, version=version),
        watch=None if watch is None else replace(watch, armed=False, version=version),
        events=(alarm,),
    )
