"""A worker process: its queues, its singletons, its clean end."""

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import structlog
from temporalio.client import Client
from temporalio.worker import PollerBehaviorSimpleMaximum, Worker

from activities.heartbeats import BEATS_PER_TIMEOUT
from domain import messages
from domain.errors import StorageUnavailable
from domain.messages import (
    Crossed,
    FollowOrder,
    OrderFacts,
    PlaceOrder,
    PlaceResult,
    PositionChanged,
    Projection,
    RuleStart,
)
from runtime.build import Parts, build_parts
from runtime.settings import Settings
from runtime.telemetry.process import ProcessTelemetry
from runtime.telemetry.tracing import NO_TRACING, Tracing
from runtime.temporal import connect, queue, workflow_runner
from runtime.temporal_payloads import build_adapters
from storage.repositories.feed_leases import FeedLeases
from worker.dead_feeds import end_dead_feeds
from worker.log_ids import LogIds
from worker.parts import activities_of
from worker.registry import QueueWork, Role, work_of
from worker.singletons import ensure_feeds, ensure_schedules
from workflows.policies import PLACE_HEARTBEAT, READ_HEARTBEAT

log = structlog.get_logger()

# Many first tasks at once on few cores can trip the deadlock detector of two seconds.
WORKFLOW_TASKS_AT_ONCE = 16
# A poll brings one task and takes as long as a loaded server does. With the SDK's five polls, one of them for
# tasks of workflows that no worker holds in its cache, a slow machine had time to spare while exits that had
# lost their worker waited for a minute.
WORKFLOW_TASK_POLLS = WORKFLOW_TASKS_AT_ONCE
SHARE_OF_POLLS_FOR_UNCACHED = 0.5
HOT_MESSAGES = (
    RuleStart,
    Crossed,
    PlaceOrder,
    PlaceResult,
    Projection,
    FollowOrder,
    OrderFacts,
    PositionChanged,
)
ACTIVITIES_AT_ONCE = 200
# Operators see it at each task. The SDK's own would be a hash over the bytecode of all that is imported: a
# third of a second of CPU at each start, for a number that says nothing.
BUILD_ID = f"rule-{messages.RULE_REVISION}.order-{messages.ORDER_REVISION}"


async def run_worker(
    settings: Settings, role: Role, *, standby: bool = False, tracing: Tracing = NO_TRACING
) -> None:
    """Serve a role until SIGTERM or SIGINT.

    Args:
        settings: what it connects to, and how it works.
        role: what it does.
        standby: of the feeds it runs the standbys.
        tracing: where its spans go.

    Raises:
        RuntimeError: Temporal cannot be reached at the start; the supervisor tries again.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    telemetry = ProcessTelemetry(settings.telemetry, role=role.value)
    client = await connect(settings.temporal, runtime=telemetry.runtime, interceptors=tracing.interceptors)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(telemetry.served())
        measured = tracing.around(telemetry.activities)
        parts = await stack.enter_async_context(build_parts(settings, client, telemetry=measured))
        await _warm_up(parts)
        if role in (Role.FEED, Role.ALL):
            await end_dead_feeds(client, settings)
        for work in work_of(role, activities_of(parts), standby=standby):
            await stack.enter_async_context(_worker(client, settings, work))
        if role in (Role.FEED, Role.ALL):
            await ensure_feeds(client, settings, newest=await _newest_layout(parts))
        if role in (Role.IO, Role.ALL):
            await ensure_schedules(client, settings)
        _say_ready(role)
        await stop.wait()
        log.info("worker.stopping", role=role.value)


async def _warm_up(parts: Parts) -> None:
    """Do now what the first order would wait for: adapters of messages, a connection to Postgres."""
    build_adapters(HOT_MESSAGES)
    try:
        await parts.database.ping()
    except StorageUnavailable as error:
        log.warning("worker.starts_without_postgres", error=str(error))


async def _newest_layout(parts: Parts) -> int:
    """Return the revision of the feeds' layout; without Postgres the clock has to do."""
    try:
        return await FeedLeases(parts.database, life=parts.settings.tuning.feed_lease).newest_revision()
    except StorageUnavailable as error:
        log.warning("worker.layout_unknown", error=str(error))
        return -1


def _worker(client: Client, settings: Settings, work: QueueWork) -> Worker:
    return Worker(
        client,
        task_queue=queue(settings.temporal, work.queue),
        workflows=work.workflows,
        activities=work.activities,
        workflow_runner=workflow_runner(),
        interceptors=[LogIds()],
        build_id=BUILD_ID,
        max_cached_workflows=settings.tuning.max_cached_workflows,
        max_concurrent_workflow_tasks=WORKFLOW_TASKS_AT_ONCE,
        workflow_task_poller_behavior=PollerBehaviorSimpleMaximum(WORKFLOW_TASK_POLLS),
        nonsticky_to_sticky_poll_ratio=SHARE_OF_POLLS_FOR_UNCACHED,
        max_concurrent_activities=_activities_at_once(settings, work),
        sticky_queue_schedule_to_start_timeout=settings.tuning.sticky_timeout,
        # The SDK would send a feed's beats so rarely that a single late one takes the feed down.
        max_heartbeat_throttle_interval=_shortest_heartbeat(settings) / BEATS_PER_TIMEOUT,
        graceful_shutdown_timeout=settings.tuning.graceful_shutdown,
    )


def _shortest_heartbeat(settings: Settings) -> timedelta:
    return min(settings.tuning.feed_heartbeat, READ_HEARTBEAT, PLACE_HEARTBEAT)


def _activities_at_once(settings: Settings, work: QueueWork) -> int:
    """Feeds are one long activity each: their number is how a venue's tokens are spread over workers."""
    if work.queue in (messages.QUEUE_FEED, messages.QUEUE_FEED_STANDBY):
        return settings.feeds.shards_per_worker or ACTIVITIES_AT_ONCE
    return ACTIVITIES_AT_ONCE


def _say_ready(role: Role) -> None:
    log.info("worker.ready", role=role.value, pid=os.getpid())
    ready_file = os.environ.get("HOLDFAST_READY_FILE")
    if ready_file:
        Path(ready_file).write_text(str(os.getpid()))
