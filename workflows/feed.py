"""The market feed's workflow: it babysits one heartbeating activity, for ever."""

from dataclasses import replace
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.market_feed import MarketFeedActivities
    from domain import messages
    from domain.messages import FeedShard

from workflows import policies

RUN_FOR = timedelta(hours=24)


@workflow.defn(name=messages.MARKET_FEED)
class MarketFeed:
    """Keeps a shard's feed running; continues as new daily so its history stays short."""

    @workflow.init
    def __init__(self, shard: FeedShard) -> None:
        """Take the shard."""
        self._shard = shard
        self._wanted = shard

    @workflow.run
    async def run(self, shard: FeedShard) -> None:
        """Run the feed activity until it asks for a new run, or is wanted elsewhere or no more."""
        workflow.set_current_details(_told(shard))
        feeding = workflow.start_activity_method(
            MarketFeedActivities.run_feed,
            shard,
            task_queue=workflow.info().task_queue,
            start_to_close_timeout=RUN_FOR + timedelta(hours=1),
            heartbeat_timeout=timedelta(milliseconds=shard.heartbeat_ms),
            retry_policy=policies.babysit(timedelta(milliseconds=shard.retry_cap_ms)),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        await workflow.wait_condition(lambda: feeding.done() or self._is_moved())
        if not feeding.done():
            await self._let_others_move(feeding)
            feeding.cancel()
        try:
            await feeding
        except ActivityError as error:
            if not (self._is_moved() and is_cancelled_exception(error)):
                raise
        if not self._wanted.is_in_its_layout:
            workflow.set_current_details(f"No part of {shard.venue}'s feeds any more")
            return
        workflow.continue_as_new(self._wanted)

    @workflow.signal(name=messages.SIGNAL_SHARD)
    def shard(self, wanted: FeedShard) -> None:
        """Feed what this says from now on; the latest layout wins, whatever order the signals come in.

        The same layout asked for once more keeps its revision, as in the leases.
        """
        if wanted.revision > self._wanted.revision and not _alike(wanted, self._wanted):
            self._wanted = wanted

    def _is_moved(self) -> bool:
        return not _alike(self._wanted, self._shard)

    async def _let_others_move(self, feeding: workflow.ActivityHandle[None]) -> None:
        """A standby sees on, also one that ends, until the first feeds see in the new layout."""
        if not self._shard.replica:
            return
        try:
            await workflow.wait_condition(
                feeding.done, timeout=timedelta(milliseconds=self._wanted.standby_moves_after_ms)
            )
        except TimeoutError:
            return


def _alike(one: FeedShard, other: FeedShard) -> bool:
    return replace(one, revision=other.revision) == other


def _told(shard: FeedShard) -> str:
    """Return in words what a feed does."""
    part = f"shard {shard.shard + 1} of {shard.shards}"
    return f"Feeds {shard.venue}, {part}" + (f", as standby {shard.replica}" if shard.replica else "")
