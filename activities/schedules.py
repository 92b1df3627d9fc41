"""Scheduled passes: what has business has a living stream."""

from temporalio import activity

from domain.messages import ReconcileReport
from domain.ports import Signals
from storage.repositories.ledger import Ledger


class ScheduleActivities:
    """The minute's pass over all accounts."""

    def __init__(self, *, ledger: Ledger, signals: Signals) -> None:
        """Take the ledger and the way to workflows."""
        self._ledger = ledger
        self._signals = signals

    @activity.defn
    async def reconcile(self) -> ReconcileReport:
        """Wake the stream of every account with something unsettled, unconfirmed or held."""
        busy = await self._ledger.busy_accounts()
        for account in busy:
            await self._signals.wake_stream(account.account_id, account.venue, account.mode)
        return ReconcileReport(streams_woken=len(busy))
