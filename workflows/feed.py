"""The market feed's workflow: it babysits one heartbeating activity, for ever."""

from datetime import timedelta

from temporalio import workflow

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

    @workflow.run
    async def run(self, shard: FeedShard) -> None:
        """Run the feed activity until it asks for a new run."""
        workflow.set_current_details(f"Feeds {shard.venue}, shard {shard.shard + 1} of {shard.shards}")
        await workflow.execute_activity_method(
            MarketFeedActivities.run_feed,
            shard,
            task_queue=workflow.info().task_queue,
            start_to_close_timeout=RUN_FOR + timedelta(hours=1),
            heartbeat_timeout=timedelta(milliseconds=shard.heartbeat_ms),
            retry_policy=policies.babysit(timedelta(milliseconds=shard.retry_cap_ms)),
        )
        workflow.continue_as_new(shard)
