"""The minute's pass: what fails stops nothing else of it, and it is known to live while it waits."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio.testing import ActivityEnvironment

from activities.schedules import ScheduleActivities
from domain.ids import RuleId
from domain.messages import ReconcileReport
from domain.orders import Mode
from storage.repositories.ledger import BusyAccount
from storage.repositories.rules import UntoldRule
from tests.domain.builders import ACCOUNT
from tests.fakes.trading import FakeClock, make_holding

BUSY = BusyAccount(account_id=ACCOUNT, venue="polymarket", mode=Mode.LIVE)


class NoReversals:
    """Looked for, and none found."""

    def __init__(self):
        self.looked = 0

    async def tell(self):
        self.looked += 1
        return 0


class Everything:
    """All that a pass looks at and tells, in one object; `deaf` are those that cannot be told."""

    def __init__(self, *, crossed=(), untold=(), busy=()):
        self.crossed_rules = crossed
        self.untold_rules = untold
        self.busy = busy
        self.deaf = set()
        self.told = []
        self.reversals = NoReversals()
        self.tidied = 0
        self.tidies = asyncio.Event()
        self.may_tidy = asyncio.Event()
        self.may_tidy.set()

    def activities(self):
        return ScheduleActivities(
            ledger=self,
            orphans=self,
            rules=self,
            level_sweep=self,
            reversals=self.reversals,
            tape=self,
            watches=self,
            audit=self,
            signals=self,
            clock=FakeClock(),
        )

    async def tell(self):
        for rule in self.crossed_rules:
            self._tell(rule)
        return len(self.crossed_rules)

    async def untold(self, quiet_since):
        return [UntoldRule(rule_id=RuleId(rule), holding=make_holding()) for rule in self.untold_rules]

    async def busy_accounts(self):
        return list(self.busy)

    async def position_changed(self, rule_id, change):
        return self._tell(rule_id)

    async def wake_stream(self, account_id, venue, mode):
        self._tell(account_id)

    async def sweep(self):
        return 0

    async def chain(self):
        self.tidies.set()
        await self.may_tidy.wait()

    async def compact(self, before):
        self.tidied += 1

    async def prune(self, before):
        return 0

    def _tell(self, whom):
        if whom in self.deaf:
            raise ConnectionError("Temporal: INVALID_ARGUMENT")
        self.told.append(whom)
        return True


def environment():
    found = ActivityEnvironment()
    found.info = replace(found.info, heartbeat_timeout=timedelta(seconds=0.03))
    return found


async def reconcile(everything):
    return await environment().run(everything.activities().reconcile)


async def test_pass_reports_what_it_did():
    everything = Everything(crossed=["rul_1", "rul_2"], untold=["rul_3"], busy=[BUSY])
    assert await reconcile(everything) == ReconcileReport(
        streams_woken=1, positions_told=1, swept_crossings=2
    )
    assert (sorted(everything.told), everything.tidied) == (sorted(["rul_1", "rul_2", "rul_3", ACCOUNT]), 1)


async def test_sweep_that_fails_stops_nothing_else_and_fails_the_pass():
    everything = Everything(crossed=["rul_1"], untold=["rul_4"])
    everything.deaf = {"rul_1"}
    with pytest.raises(ExceptionGroup) as failed:
        await reconcile(everything)
    assert failed.group_contains(ConnectionError, match="INVALID_ARGUMENT")
    assert (everything.told, everything.reversals.looked, everything.tidied) == (["rul_4"], 1, 1)


async def test_stream_that_cannot_be_woken_holds_up_no_crossing():
    everything = Everything(crossed=["rul_1"], busy=[BUSY])
    everything.deaf = {ACCOUNT}
    with pytest.raises(ExceptionGroup):
        await reconcile(everything)
    assert everything.told == ["rul_1"]


async def test_pass_that_waits_for_slow_storage_beats_on():
    everything, here, beats = Everything(), environment(), asyncio.Queue()
    here.on_heartbeat = lambda *details: beats.put_nowait(details)
    everything.may_tidy.clear()
    running = asyncio.create_task(here.run(everything.activities().reconcile))
    async with asyncio.timeout(10):
        await everything.tidies.wait()
        while not beats.empty():
            beats.get_nowait()
        await beats.get()  # one that came while it waited
        everything.may_tidy.set()
        await running
