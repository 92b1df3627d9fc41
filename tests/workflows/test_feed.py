"""The feed's workflow: it babysits one activity, and moves it to another part of the tokens when told."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from temporalio import activity
from temporalio.client import WorkflowExecutionStatus
from temporalio.worker import Worker

from domain import messages
from domain.messages import FeedShard
from runtime.temporal import workflow_runner
from tests.workflows.recording import RECORDER
from workflows.feed import MarketFeed

WHOLE = FeedShard(venue="polymarket", heartbeat_ms=1_000)
LIMIT_S = 20


class FakeFeeds:
    """The feed's activity: it feeds until it is told to end, or to move."""

    def __init__(self):
        self.begun = asyncio.Queue()
        self.ended = asyncio.Queue()
        self.ends = asyncio.Event()
        self.live = []

    @activity.defn(name="run_feed")
    async def run_feed(self, shard: FeedShard) -> None:
        self.begun.put_nowait(shard)
        self.live.append(shard)
        try:
            while not self.ends.is_set():
                activity.heartbeat()
                await asyncio.sleep(0.05)
        finally:
            self.live.remove(shard)
            self.ended.put_nowait(shard)
        self.ends.clear()

    async def next(self):
        async with asyncio.timeout(LIMIT_S):
            return await self.begun.get()


@pytest.fixture(params=[100, 0], ids=["cached", "replayed"])
def cached(request):
    return request.param


@pytest.fixture
def start(request, temporal_client, task_queue_prefix, cached):
    """Starts a feed on a worker with a fake activity: `async with start(shard) as (feeds, workflow)`."""

    @asynccontextmanager
    async def starting(shard):
        feeds, queue = FakeFeeds(), f"{task_queue_prefix}feed"
        worker = Worker(
            temporal_client,
            task_queue=queue,
            workflows=[MarketFeed],
            activities=[feeds.run_feed],
            workflow_runner=workflow_runner(),
            max_cached_workflows=cached,
        )
        async with worker:
            handle = await temporal_client.start_workflow(
                messages.MARKET_FEED, shard, id=f"{task_queue_prefix}feed/0", task_queue=queue
            )
            yield feeds, temporal_client.get_workflow_handle(handle.id)
            recorder = request.config.stash.get(RECORDER, None)
            if recorder is not None:
                first = temporal_client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
                await recorder.keep(request.node.originalname, first)
            if (await handle.describe()).status is WorkflowExecutionStatus.RUNNING:
                await temporal_client.get_workflow_handle(handle.id).terminate()

    return starting


async def test_a_feed_goes_on_in_a_new_run(start):
    async with start(WHOLE) as (feeds, _):
        assert await feeds.next() == WHOLE
        feeds.ends.set()
        assert await feeds.next() == WHOLE


HALF = replace(WHOLE, shards=2, revision=5)


async def test_a_feed_moves_to_its_part_of_a_new_layout(start):
    async with start(WHOLE) as (feeds, workflow):
        await feeds.next()
        await workflow.signal(messages.SIGNAL_SHARD, HALF)
        assert await feeds.next() == HALF
        assert feeds.ended.get_nowait() == WHOLE


async def test_a_feed_that_is_told_what_it_feeds_already_goes_on(start):
    async with start(WHOLE) as (feeds, workflow):
        await feeds.next()
        await workflow.signal(messages.SIGNAL_SHARD, replace(WHOLE, revision=3))
        feeds.ends.set()
        assert await feeds.next() == WHOLE
        assert feeds.ended.qsize() == 1


async def test_an_older_layout_does_not_win_over_a_newer_one(start):
    async with start(WHOLE) as (feeds, workflow):
        await feeds.next()
        await workflow.signal(messages.SIGNAL_SHARD, HALF)
        await workflow.signal(messages.SIGNAL_SHARD, replace(WHOLE, shards=3, revision=4))
        assert await feeds.next() == HALF
        await workflow.signal(messages.SIGNAL_SHARD, replace(WHOLE, shards=4, revision=4))
        feeds.ends.set()
        assert await feeds.next() == HALF


async def test_a_feed_whose_shard_is_no_more_ends(start):
    second = replace(HALF, shard=1)
    async with start(second) as (feeds, workflow):
        await feeds.next()
        await workflow.signal(messages.SIGNAL_SHARD, replace(second, shards=1, revision=6))
        async with asyncio.timeout(LIMIT_S):
            await workflow.result()
            assert await feeds.ended.get() == second


async def test_a_standby_moves_after_the_first_feeds(start):
    standby = replace(WHOLE, replica=1)
    moved = replace(standby, shards=2, revision=5, standby_moves_after_ms=500)
    async with start(standby) as (feeds, workflow):
        await feeds.next()
        await workflow.signal(messages.SIGNAL_SHARD, moved)
        assert await feeds.next() == moved
        history = await workflow_of_first_run(workflow)
        assert any(event.HasField("timer_fired_event_attributes") for event in history.events)


async def test_a_standby_that_is_wanted_no_more_sees_on_until_the_first_feeds_have_moved(start):
    standby = replace(WHOLE, replica=1)
    over = replace(standby, shards=0, revision=5, standby_moves_after_ms=500)
    async with start(standby) as (feeds, workflow):
        await feeds.next()
        await workflow.signal(messages.SIGNAL_SHARD, over)
        async with asyncio.timeout(LIMIT_S):
            await workflow.result()
        history = await workflow.fetch_history()
        assert any(event.HasField("timer_fired_event_attributes") for event in history.events)


async def workflow_of_first_run(workflow):
    """The history of the run before this one."""
    description = await workflow.describe()
    first = description.raw_description.workflow_execution_info.first_run_id
    client = workflow._client
    return await client.get_workflow_handle(workflow.id, run_id=first).fetch_history()
