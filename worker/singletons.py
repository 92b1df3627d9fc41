"""What must exist once: feeds and schedules. Any worker may ask for them; asking twice is harmless."""

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError, RPCStatusCode

from domain import messages
from domain.ids import feed_of_workflow, feed_workflow_id
from domain.messages import FeedShard
from runtime.settings import Settings
from runtime.temporal import queue
from runtime.temporal_signals import search_attributes

FEED_VENUES = ("polymarket",)


_RUNNING_FEEDS = f'WorkflowType = "{messages.MARKET_FEED}" AND ExecutionStatus = "Running"'


async def ensure_feeds(client: Client, settings: Settings, *, newest: int = -1) -> None:
    """Start the feeds that the settings ask for; tell those that run what they feed, or that they are over.

    Several workers may do this at once. A feed that visibility does not show yet goes on although it is
    wanted no more; it cannot write, and the next start of a worker tells it.

    Args:
        client: connected to Temporal.
        settings: how many feeds, and their durations.
        newest: revision of the layout that stands; a worker whose clock is behind must not be overheard.
    """
    revision = max(time.time_ns() // 1000, newest + 1)
    wanted = [shard for venue in FEED_VENUES for shard in _layout(venue, settings, revision)]
    for shard in wanted:
        await client.start_workflow(
            messages.MARKET_FEED,
            shard,
            id=_feed_id(settings, shard),
            task_queue=queue(settings.temporal, _feed_queue(shard)),
            task_timeout=settings.tuning.task_timeout,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal=messages.SIGNAL_SHARD,
            start_signal_args=[shard],
            search_attributes=search_attributes("", shard.venue, "", messages.MARKET_FEED, "live"),
        )
    await _end_others(client, settings, {_feed_id(settings, shard) for shard in wanted}, revision)


def feed_ids(settings: Settings) -> list[str]:
    """Return the workflow ids of the feeds that the settings ask for."""
    return [
        _feed_id(settings, shard) for venue in FEED_VENUES for shard in _layout(venue, settings, revision=0)
    ]


def _layout(venue: str, settings: Settings, revision: int) -> Iterator[FeedShard]:
    """Yield the first feeds of all shards, then their standbys."""
    tuning = settings.tuning
    for replica in range(2 if settings.feeds.standby else 1):
        for shard in range(settings.feeds.shards):
            yield FeedShard(
                venue=venue,
                shard=shard,
                shards=settings.feeds.shards,
                replica=replica,
                revision=revision,
                heartbeat_ms=_milliseconds(tuning.feed_heartbeat),
                retry_cap_ms=_milliseconds(tuning.feed_retry_cap),
                standby_moves_after_ms=_milliseconds(tuning.feed_standby_moves),
            )


async def _end_others(client: Client, settings: Settings, wanted: set[str], revision: int) -> None:
    prefix = settings.temporal.task_queue_prefix
    async for execution in client.list_workflows(_RUNNING_FEEDS):
        feed = feed_of_workflow(execution.id.removeprefix(prefix))
        if execution.id in wanted or feed is None or not execution.id.startswith(prefix):
            continue
        venue, shard, replica = feed
        over = FeedShard(
            venue=venue,
            shard=shard,
            shards=0,
            replica=replica,
            revision=revision,
            standby_moves_after_ms=_milliseconds(settings.tuning.feed_standby_moves),
        )
        with _closed_is_well():
            await client.get_workflow_handle(execution.id).signal(messages.SIGNAL_SHARD, over)


def _milliseconds(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)


@contextmanager
def _closed_is_well() -> Generator[None]:
    """Pass over that a workflow is closed by now."""
    try:
        yield
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise


def _feed_id(settings: Settings, shard: FeedShard) -> str:
    return settings.temporal.task_queue_prefix + feed_workflow_id(shard.venue, shard.shard, shard.replica)


def _feed_queue(shard: FeedShard) -> str:
    return messages.QUEUE_FEED_STANDBY if shard.replica else messages.QUEUE_FEED


async def ensure_schedules(client: Client, settings: Settings) -> None:
    """Create the schedules of the passes over everything, unless they stand."""
    tuning = settings.tuning
    await _ensure_schedule(client, settings, "reconcile", messages.RECONCILE, tuning.reconcile_interval)
    await _ensure_schedule(client, settings, "holdings", messages.HOLDINGS, tuning.holdings_interval)


async def _ensure_schedule(
    client: Client, settings: Settings, name: str, workflow: str, every: timedelta
) -> None:
    """Let a schedule start a pass every so often, never two at once; one that stands takes the new terms."""
    name = f"{settings.temporal.task_queue_prefix}{name}"
    wanted = Schedule(
        action=ScheduleActionStartWorkflow(
            workflow,
            id=name,
            task_queue=queue(settings.temporal, messages.QUEUE_IO),
            task_timeout=settings.tuning.task_timeout,
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)], jitter=every / 12),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(minutes=1)),
    )
    try:
        await client.create_schedule(name, wanted)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(name).update(lambda standing: _with_terms(standing, wanted))


def _with_terms(standing: ScheduleUpdateInput, wanted: Schedule) -> ScheduleUpdate:
    """Return a schedule with today's terms; whether an operator paused it stays as it is."""
    return ScheduleUpdate(replace(wanted, state=standing.description.schedule.state))
