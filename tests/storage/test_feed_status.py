"""What feed shards last said of themselves."""

from dataclasses import replace
from datetime import timedelta

from storage.repositories.feed_status import FeedStatus, FeedStatuses
from tests.storage.builders import START, Store


async def test_last_report_of_a_shard_is_the_newest_one_and_none_before_it_ran(store: Store) -> None:
    statuses = FeedStatuses(store.database)
    first = FeedStatus(
        venue=f"venue-{store.token_id}",
        shard=1,
        websocket=True,
        tokens=2,
        rules=3,
        newest_quote_age_ms=None,
        polling=False,
        at=START,
    )
    assert await statuses.last(first.venue, 1) is None
    newer = replace(first, rules=4, at=START + timedelta(seconds=1))
    await statuses.put(newer)
    await statuses.put(first)  # a report that was held up
    assert await statuses.last(first.venue, 1) == newer
    assert await statuses.last(first.venue, 0) is None
