"""A worker that starts ends what the feeds of a dead one of its machine were doing, and nothing else."""

import asyncio
import os
import socket
import subprocess
import sys

import pytest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import PollActivityTaskQueueRequest
from temporalio.worker import Worker

from domain.ids import feed_workflow_id
from runtime.settings import load
from runtime.temporal import workflow_runner
from worker.dead_feeds import end_dead_feeds
from worker.singletons import ensure_feeds
from workflows.feed import MarketFeed

LIMIT_S = 20


def ended_pid():
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as process:
        pass
    return process.pid


class Feed:
    """A running feed whose activity is handed to whoever asks for it: no worker serves it."""

    def __init__(self, client, prefix):
        self.client = client
        self.queue = f"{prefix}feed"
        self.settings = load(
            {"HOLDFAST_TEMPORAL_TASK_QUEUE_PREFIX": prefix, "HOLDFAST_TUNING_FEED_HEARTBEAT": "600"}
        )
        self.handle = client.get_workflow_handle(prefix + feed_workflow_id("polymarket", 0, 0))

    async def taken_by(self, identity):
        """Take the activity as a worker of this identity would; return which try it is."""
        request = PollActivityTaskQueueRequest(
            namespace=self.client.namespace, task_queue=TaskQueue(name=self.queue), identity=identity
        )
        async with asyncio.timeout(LIMIT_S):
            while True:
                task = await self.client.workflow_service.poll_activity_task_queue(request)
                if task.task_token:
                    return task.attempt

    async def worker_at_work(self):
        [pending] = (await self.handle.describe()).raw_description.pending_activities
        return pending.last_worker_identity, pending.attempt


@pytest.fixture
async def feed(temporal_client, task_queue_prefix):
    feed = Feed(temporal_client, task_queue_prefix)
    async with Worker(
        temporal_client, task_queue=feed.queue, workflows=[MarketFeed], workflow_runner=workflow_runner()
    ):
        await ensure_feeds(temporal_client, feed.settings)
        yield feed
        await feed.handle.terminate()


async def test_feed_of_a_process_that_ended_is_given_to_the_next_at_once(feed):
    assert await feed.taken_by(f"{ended_pid()}@{socket.gethostname()}") == 1
    await end_dead_feeds(feed.client, feed.settings)
    assert await feed.taken_by("the next") == 2


async def test_feed_that_had_the_identity_of_the_worker_that_starts_is_that_of_a_container_before_it(feed):
    assert await feed.taken_by(feed.client.identity) == 1
    await end_dead_feeds(feed.client, feed.settings)
    assert await feed.taken_by("the next") == 2


@pytest.mark.parametrize(
    "worker",
    [f"{os.getppid()}@{socket.gethostname()}", "4194305@another-machine", "a name of its own"],
    ids=["alive", "on another machine", "unreadable"],
)
async def test_feed_of_any_other_worker_goes_on(feed, worker):
    assert await feed.taken_by(worker) == 1
    await end_dead_feeds(feed.client, feed.settings)
    assert await feed.worker_at_work() == (worker, 1)


async def test_feed_that_nobody_has_begun_is_left_alone(feed):
    await end_dead_feeds(feed.client, feed.settings)
    assert await feed.taken_by("the first") == 1


async def test_worker_starts_where_no_feed_runs_yet(temporal_client, task_queue_prefix):
    await end_dead_feeds(temporal_client, Feed(temporal_client, task_queue_prefix).settings)
