"""What must exist once: feeds and schedules. Any worker may ask for them; asking twice is harmless."""

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
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from domain import messages
from domain.ids import feed_workflow_id
from domain.messages import FeedShard
from runtime.settings import Settings
from runtime.temporal import queue
from runtime.temporal_signals import search_attributes

FEED_VENUES = ("polymarket",)


async def ensure_feed(client: Client, settings: Settings) -> None:
    """Start the feed of each venue unless it runs."""
    tuning = settings.tuning
    for venue in FEED_VENUES:
        shard = FeedShard(
            venue=venue,
            heartbeat_ms=int(tuning.feed_heartbeat.total_seconds() * 1000),
            retry_cap_ms=int(tuning.feed_retry_cap.total_seconds() * 1000),
        )
        await client.start_workflow(
            messages.MARKET_FEED,
            shard,
            id=f"{settings.temporal.task_queue_prefix}{feed_workflow_id(venue, shard.shard)}",
            task_queue=queue(settings.temporal, messages.QUEUE_FEED),
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            search_attributes=search_attributes("", venue, "", messages.MARKET_FEED, "live"),
        )


async def ensure_schedules(client: Client, settings: Settings) -> None:
    """Create the schedules of the passes over everything, unless they stand."""
    tuning = settings.tuning
    await _ensure_schedule(client, settings, "reconcile", messages.RECONCILE, tuning.reconcile_interval)
    await _ensure_schedule(client, settings, "holdings", messages.HOLDINGS, tuning.holdings_interval)


async def _ensure_schedule(
    client: Client, settings: Settings, name: str, workflow: str, every: timedelta
) -> None:
    """Create a schedule that starts a pass every so often, never two at once."""
    name = f"{settings.temporal.task_queue_prefix}{name}"
    try:
        await client.create_schedule(
            name,
            Schedule(
                action=ScheduleActionStartWorkflow(
                    workflow, id=name, task_queue=queue(settings.temporal, messages.QUEUE_IO)
                ),
                spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)], jitter=every / 12),
                policy=SchedulePolicy(
                    overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(minutes=1)
                ),
            ),
        )
    except ScheduleAlreadyRunningError:
        return
