"""The tape's batch when the database stays away: bounded, and what it lost is known."""

from datetime import timedelta

from activities import feed_tape
from activities.feed_tape import Dropped, TapeBatch
from tests.activities.feed_floor import FeedFloor, quote
from tests.domain.builders import START, TOKEN


def at(seconds):
    return START + timedelta(seconds=seconds)


def test_oldest_rows_are_dropped_beyond_the_limit_and_counted_once(monkeypatch):
    monkeypatch.setattr(feed_tape, "MOST_ROWS", 2)
    batch = TapeBatch("polymarket")
    for second in range(5):
        batch.add(TOKEN, at(second), quote("0.5", "0.6"))
    assert len(batch) == 2
    assert batch.take_dropped() == Dropped(3, at(0), at(2))
    assert batch.take_dropped() is None


async def test_rows_that_the_tape_lost_are_a_gap_of_it(monkeypatch):
    monkeypatch.setattr(feed_tape, "MOST_ROWS", 2)
    floor = FeedFloor()
    floor.watch({"type": "stop_loss", "price": "0.40"})
    async with floor.running():
        floor.storage_away = True
        first = floor.clock.now()
        for bid in ("0.51", "0.52", "0.53"):
            await floor.quoted(bid, "0.60")
        await floor.quoted("0.39", "0.41")  # comes last: when its rule has fired, the frames were taken
        await floor.until(lambda: floor.crossings)
        floor.storage_away = False
        await floor.until(lambda: floor.recorded)
    (gap,) = floor.recorded
    assert (gap.reason, gap.started_at) == ("tape_full", first)
