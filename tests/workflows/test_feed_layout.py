"""The feeds that settings ask for are started, told of their part, and ended when they are wanted no more."""

from contextlib import AsyncExitStack

import pytest
from temporalio.worker import Worker

from domain import messages
from domain.ids import feed_of_workflow, feed_workflow_id
from runtime.settings import load
from runtime.temporal import workflow_runner
from tests.e2e.waiting import until
from tests.workflows.test_feed import FakeFeeds
from worker.singletons import ensure_feeds
from workflows.feed import MarketFeed


class Feeds:
    """Fake feeds on the queue of the first ones and on that of the standbys."""

    def __init__(self, client, prefix):
        self.client = client
        self.prefix = prefix
        self.first, self.standby = FakeFeeds(), FakeFeeds()

    async def ask_for(self, **settings):
        await self._all_visible()
        variables = {f"HOLDFAST_FEED_{name.upper()}": str(value) for name, value in settings.items()}
        tuning = {"HOLDFAST_TUNING_FEED_STANDBY_MOVES": "0.1", "HOLDFAST_TUNING_FEED_HEARTBEAT": "1"}
        temporal = {"HOLDFAST_TEMPORAL_TASK_QUEUE_PREFIX": self.prefix}
        await ensure_feeds(self.client, load({**variables, **tuning, **temporal}))

    async def running(self):
        """What runs, by shard and replica: into how many parts it is cut."""
        found = {}
        async for execution in self.client.list_workflows(
            f'WorkflowType = "{messages.MARKET_FEED}" AND ExecutionStatus = "Running"'
        ):
            feed = feed_of_workflow(execution.id.removeprefix(self.prefix))
            if feed is not None and execution.id.startswith(self.prefix):
                found[feed[1:]] = execution.id
        return found

    async def _all_visible(self):
        """Visibility lags: a feed that it does not show is not ended."""
        live = {(shard.shard, shard.replica) for shard in self.live()}
        await until(self.running, lambda running: set(running) == live, "visibility")

    def live(self):
        return [*self.first.live, *self.standby.live]

    async def until_fed(self, *parts):
        """Waits until these are fed and no others: shard, number of shards, replica."""

        async def fed():
            return {(shard.shard, shard.shards, shard.replica) for shard in self.live()}

        await until(fed, lambda fed: fed == set(parts), "the feeds that are wanted")


@pytest.fixture
async def feeds(temporal_client, task_queue_prefix):
    feeds = Feeds(temporal_client, task_queue_prefix)
    async with AsyncExitStack() as workers:
        for queue, fake in ((messages.QUEUE_FEED, feeds.first), (messages.QUEUE_FEED_STANDBY, feeds.standby)):
            worker = Worker(
                temporal_client,
                task_queue=f"{task_queue_prefix}{queue}",
                workflows=[MarketFeed],
                activities=[fake.run_feed],
                workflow_runner=workflow_runner(),
            )
            await workers.enter_async_context(worker)
        yield feeds
        for workflow_id in (await feeds.running()).values():
            await temporal_client.get_workflow_handle(workflow_id).terminate()


async def test_feeds_follow_the_settings_up_and_down(feeds):
    await feeds.ask_for()
    await feeds.until_fed((0, 1, 0))
    await feeds.ask_for(shards=2, standby="true")
    await feeds.until_fed((0, 2, 0), (1, 2, 0), (0, 2, 1), (1, 2, 1))
    await feeds.ask_for(shards=1)
    await feeds.until_fed((0, 1, 0))
    assert not feeds.standby.live


async def test_asking_again_for_the_same_disturbs_no_feed(feeds):
    await feeds.ask_for(shards=2)
    await feeds.until_fed((0, 2, 0), (1, 2, 0))
    await feeds.ask_for(shards=2)
    await feeds.ask_for(shards=2)
    assert feeds.first.ended.empty()


@pytest.mark.parametrize("replica", [0, 1])
def test_id_of_a_feed_names_its_part(replica):
    assert feed_of_workflow(feed_workflow_id("polymarket", 12, replica)) == ("polymarket", 12, replica)


@pytest.mark.parametrize(
    "text", ["feed/polymarket", "rule/rul_1", "x-feed/polymarket/0", "feed/polymarket/0/1"]
)
def test_other_ids_are_no_feeds(text):
    assert feed_of_workflow(text) is None
