"""The feed's activity: one session after another, and what each tells the next."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

from temporalio.testing import ActivityEnvironment

from activities.feed_session import FeedSettings
from activities.market_feed import MarketFeedActivities
from domain.ids import RuleId
from domain.messages import RulePhase
from storage.repositories.rules import OpenRule
from tests.activities.feed_floor import SHARD, FeedFloor
from tests.domain.builders import ACCOUNT, TOKEN

STOP = {"type": "stop_loss", "price": "0.40"}


class FeedOfOneVenue(FeedFloor):
    """The floor as its own venue and status table."""

    def __init__(self):
        super().__init__()
        self.report = None
        self.streams = 0
        self.quiet = []
        self.looked_after = []

    def market_data(self, venue):
        return self

    @asynccontextmanager
    async def stream(self):
        self.streams += 1
        yield self

    async def quiet_exits(self, venue, shard, shards, *, last_heard):
        return self.quiet

    async def look_after_exit(self, rule_id):
        self.looked_after.append(rule_id)
        await self.happened()
        return False

    async def put(self, status):
        self.report = status
        await self.happened()

    @asynccontextmanager
    async def fed(self):
        environment = ActivityEnvironment()
        activities = MarketFeedActivities(
            venues=self,
            watches=self,
            tape=self,
            leases=self.leases,
            observations=self,
            statuses=self,
            rules=self,
            signals=self,
            workflows=self,
            clock=self.clock,
            settings=FeedSettings(flush_s=0.01, silence_s=3600),
        )
        task = asyncio.ensure_future(environment.run(activities.run_feed, SHARD))
        try:
            yield
        finally:
            environment.worker_shutdown()
            async with asyncio.timeout(10):
                await task


async def test_gap_begins_where_the_feed_before_ended_its_tape():
    floor = FeedOfOneVenue()
    died = floor.clock.now()
    floor.leases.change(seen_until=died)
    floor.clock.pass_s(5)
    async with floor.fed():
        await floor.until(lambda: floor.recorded)
    (gap,) = floor.recorded
    assert (gap.started_at, gap.ended_at, gap.shard) == (died, died + timedelta(seconds=5), SHARD.shard)


async def test_feed_that_ends_in_order_lets_another_write_at_once():
    floor = FeedOfOneVenue()
    async with floor.fed():
        await floor.until(lambda: floor.leases.state.replica == 0)
    assert floor.leases.state.replica is None


async def test_feed_that_stood_still_begins_anew_and_records_the_pause():
    floor = FeedOfOneVenue()
    floor.watch(STOP)
    async with floor.fed():
        await floor.until(lambda: floor.report is not None)
        paused = floor.clock.now()
        floor.clock.pass_s(60)
        await floor.until(lambda: floor.recorded)
    (gap,) = floor.recorded
    assert (gap.started_at, gap.ended_at, gap.reason) == (paused, paused + timedelta(seconds=60), "pause")
    assert floor.streams == 2


async def test_feed_makes_quiet_exits_look_after_themselves():
    floor = FeedOfOneVenue()
    floor.quiet = [OpenRule(rule_id=RuleId("rul_1"), account_id=ACCOUNT, phase=RulePhase.EXITING, version=1)]
    async with floor.fed():
        await floor.until(lambda: floor.looked_after)
    assert floor.looked_after == ["rul_1"]


async def test_feed_reports_nothing_before_it_sees():
    floor = FeedOfOneVenue()
    floor.watch(STOP)
    floor.held[TOKEN] = asyncio.Event()
    async with floor.fed():
        await floor.until(lambda: floor.reads)
        floor.clock.pass_s(2)
        assert floor.report is None
        floor.held[TOKEN].set()
        await floor.until(lambda: floor.report is not None)
    assert (floor.report.replica, floor.report.writes_tape) == (0, True)
