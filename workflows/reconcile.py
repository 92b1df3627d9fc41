"""Scheduled passes: what should live does live, and what is beyond its level was signalled."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.schedules import ScheduleActivities
    from domain import messages
    from domain.messages import ReconcileReport

PASS_TIMEOUT = timedelta(seconds=50)
# A pass that is lost with its worker would keep the next ones from starting.
PASS_HEARTBEAT = timedelta(seconds=6)
# What one pass could not do is the next one's: a minute is soon enough, and all of it would be told again.
_FEW = RetryPolicy(maximum_attempts=4)


@workflow.defn(name=messages.RECONCILE)
class Reconcile:
    """One pass; a schedule starts it every minute, never two at once."""

    @workflow.run
    async def run(self) -> ReconcileReport:
        """Wake streams, book what was missed, find orphans, sweep watches beyond their level."""
        report = await workflow.execute_activity_method(
            ScheduleActivities.reconcile,
            start_to_close_timeout=PASS_TIMEOUT,
            heartbeat_timeout=PASS_HEARTBEAT,
            retry_policy=_FEW,
        )
        workflow.set_current_details(report.story)
        return report
