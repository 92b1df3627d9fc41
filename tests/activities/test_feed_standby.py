"""A standby beside the first feed of a shard: it sees and signals as well, and writes only when it has to."""

from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from activities.feed_recorder import FeedSuperseded
from domain.ports import MarketEventKind
from tests.activities.feed_floor import SHARD, FeedFloor
from tests.domain.builders import TOKEN, D

STANDBY = replace(SHARD, replica=1)
STOP = {"type": "stop_loss", "price": "0.40"}
TRAIL = {"type": "trailing_stop", "percent": "10"}


@pytest.fixture
def floor():
    floor = FeedFloor()
    floor.watch(STOP)
    floor.books_at[TOKEN] = ("0.50", "0.52")
    floor.leases.change(replica=0, fence=7, seen_until=floor.clock.now())
    return floor


@asynccontextmanager
async def standing_by(floor, shard=STANDBY):
    """A session that flushes when the test says so."""
    async with floor.running(shard=shard, flush_s=3600) as session:
        await floor.until(lambda: floor.reads)
        floor.clock.pass_s(0.1)
        floor.books_at.clear()  # frames alone tell from now on
        yield session


async def test_standby_signals_what_crosses_and_writes_nothing_while_the_first_feed_writes(floor):
    async with standing_by(floor) as session:
        await floor.quoted("0.39", "0.40")
        await floor.until(lambda: floor.crossings)
        await session.flush()
        assert (floor.entries, session.health().writes_tape) == ([], False)


async def test_standby_that_takes_over_writes_what_the_tape_lacks_and_no_more(floor):
    floor.watch(TRAIL, rule="rul_2")
    async with standing_by(floor) as session:
        await seen_and_flushed(floor, session, "0.51")
        floor.clock.pass_s(0.5)
        await seen_and_flushed(floor, session, "0.52")
        died = floor.clock.now()
        floor.leases.change(seen_until=died)
        floor.clock.pass_s(0.1)
        await seen_and_flushed(floor, session, "0.55", "0.53")
        floor.leases.change(free=True)
        await session.flush()
    # What was seen just before may have been too late for the feed that died: rather twice than never.
    assert [str(row.quote.bid) for row in floor.entries] == ["0.52", "0.55", "0.53"]
    assert floor.recorded == []  # it saw all the time
    assert [(mark.rule_id, mark.mark) for mark in floor.saved_marks] == [("rul_2", D("0.575"))]


async def seen_and_flushed(floor, session, *bids):
    """Frames that the session takes in before the next flush."""
    for bid in bids:
        await floor.quoted(bid, "0.60")
        await floor.frame(MarketEventKind.TICK)
        read = len(floor.instruments_read)
        await floor.until(lambda read=read: len(floor.instruments_read) > read)
        floor.clock.pass_s(0.1)
    await session.flush()


async def test_standby_forgets_marks_that_the_writer_has_written_long_ago(floor):
    floor.watch(TRAIL, rule="rul_2")
    async with standing_by(floor) as session:
        await seen_and_flushed(floor, session, "0.55")
        floor.clock.pass_s(2)
        floor.leases.change(seen_until=floor.clock.now() + timedelta(minutes=2))
        await session.flush()
        floor.leases.change(free=True)
        await session.flush()
    assert floor.saved_marks == []


async def test_standby_that_came_later_than_the_first_feed_ended_records_the_gap(floor):
    ended = floor.leases.state.seen_until
    floor.clock.pass_s(5)
    floor.leases.change(free=True)
    live_from = floor.clock.now()
    async with standing_by(floor) as session:
        await session.flush()
    (gap,) = floor.recorded
    assert (gap.started_at, gap.ended_at, gap.reason) == (ended, live_from, "restart")


async def test_lost_socket_of_a_standby_is_no_gap_while_the_first_feed_sees(floor):
    async with standing_by(floor) as session:
        await floor.frame(MarketEventKind.GAP, None)
        await floor.until(lambda: floor.reads[1:])
        await session.flush()
        floor.clock.pass_s(1)
        floor.leases.change(seen_until=floor.clock.now(), free=True)
        await session.flush()
    assert floor.recorded == []


async def test_standby_gives_the_lease_back_when_the_first_feed_asks_for_it(floor):
    floor.leases.change(free=True)
    async with standing_by(floor) as session:
        await session.flush()
        assert session.health().writes_tape
        floor.leases.change(wanted_by=0)
        await session.flush()
        assert not session.health().writes_tape
    assert floor.leases.state.replica is None


async def test_first_feed_that_is_back_asks_for_the_lease_and_records_no_gap(floor):
    floor.leases.change(replica=1)
    async with standing_by(floor, SHARD) as session:
        await session.flush()
        assert (floor.leases.state.wanted_by, session.health().writes_tape) == (0, False)
        floor.leases.change(replica=None, seen_until=floor.clock.now())
        await session.flush()
        assert session.health().writes_tape
    assert floor.recorded == []


@pytest.mark.parametrize("left", [{"replica": 0}, {"replica": None, "wanted_by": 0}])
async def test_first_feed_that_is_back_lets_a_standby_write_what_it_alone_saw(floor, left):
    floor.leases.change(standby_sees=True, **left)
    floor.clock.pass_s(1)
    async with standing_by(floor, SHARD) as session:
        await session.flush()
        assert not session.health().writes_tape
        floor.leases.change(replica=1)
        await session.flush()
        assert floor.leases.state.wanted_by == 0
        floor.leases.change(replica=None, seen_until=floor.clock.now())
        await session.flush()
        assert session.health().writes_tape
    assert floor.recorded == []


async def test_feed_whose_lease_was_taken_by_its_successor_ends(floor):
    async with standing_by(floor, SHARD) as session:
        await session.flush()
        floor.leases.change(fence=99)
        await session.flush()
        with pytest.raises(FeedSuperseded):
            await session.flush()


async def test_feed_whose_lease_a_standby_took_asks_for_it(floor):
    async with standing_by(floor, SHARD) as session:
        await session.flush()
        floor.leases.change(fence=99, replica=1)
        await session.flush()
        await session.flush()
        assert (floor.leases.state.wanted_by, session.health().writes_tape) == (0, False)
