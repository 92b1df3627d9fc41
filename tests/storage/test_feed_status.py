"""What feeds last said of themselves."""

from dataclasses import replace
from datetime import timedelta

from storage.database import Database
from storage.repositories.feed_status import FeedStatus, FeedStatuses
from tests.storage.builders import START


async def test_report_of_each_replica_is_its_newest_one(empty_database: Database) -> None:
    statuses = FeedStatuses(empty_database)
    first = FeedStatus(
        venue="polymarket",
        shard=1,
        shards=2,
        websocket=True,
        tokens=2,
        rules=3,
        newest_quote_age_ms=None,
        polling=False,
        at=START,
    )
    newer = replace(first, rules=4, at=START + timedelta(seconds=1))
    standby = replace(first, replica=1, writes_tape=False)
    for report in (standby, newer, first):  # the last one was held up
        await statuses.put(report)
    assert await statuses.all() == [newer, standby]
