"""Gaps of a feed: whatever it could not see is recorded, from when to when."""

import asyncio
from datetime import timedelta

import pytest

from activities.feed_session import FeedRestart
from domain.ids import TokenId
from domain.ports import LostSocket, MarketEventKind
from tests.activities.feed_floor import LIMIT_S, FeedFloor
from tests.domain.builders import TOKEN

OTHER = TokenId("other")
STOP = {"type": "stop_loss", "price": "0.40"}


@pytest.fixture
def floor():
    floor = FeedFloor()
    floor.watch(STOP)
    floor.books_at[TOKEN] = ("0.50", "0.52")
    return floor


def spans(floor):
    return [(gap.reason, gap.started_at, gap.ended_at) for gap in floor.recorded]


async def test_time_without_a_feed_is_a_gap_until_fresh_books_were_read(floor):
    stopped = floor.clock.now()
    floor.clock.pass_s(7)
    floor.held[TOKEN] = asyncio.Event()
    floor.leases.change(seen_until=stopped)
    async with floor.running(live=False):
        await floor.until(lambda: floor.reads)
        floor.clock.pass_s(2)
        floor.held[TOKEN].set()
        await floor.until(lambda: floor.recorded)
    assert spans(floor) == [("restart", stopped, stopped + timedelta(seconds=9))]


async def test_first_feed_of_a_shard_has_no_gap(floor):
    async with floor.running() as session:
        await session.flush()
    assert floor.recorded == []


async def test_gap_waits_for_the_database(floor):
    floor.leases.change(seen_until=floor.clock.now())
    floor.clock.pass_s(1)
    async with floor.running(flush_s=3600) as session:
        floor.storage_away = True
        await session.flush()
        assert floor.recorded == []
        floor.storage_away = False
        await session.flush()
        await session.flush()
    assert len(floor.recorded) == 1


async def test_pause_ends_the_session_that_stood_still_and_its_sight(floor):
    session = floor.session(flush_s=3600)
    running = asyncio.create_task(session.run())
    async with asyncio.timeout(LIMIT_S):
        await session.until_live()
        await session.flush()
        paused = floor.clock.now()
        floor.clock.pass_s(60)
        await stood_still(running)
    await session.close()
    assert (floor.leases.state.seen_until, floor.leases.state.replica) == (paused, 0)
    async with floor.running():
        await floor.until(lambda: floor.recorded)
    assert spans(floor) == [("restart", paused, floor.clock.now())]


async def test_pause_before_fresh_books_keeps_the_start_of_the_gap_that_was_open(floor):
    stopped = floor.clock.now()
    floor.leases.change(seen_until=stopped)
    floor.clock.pass_s(7)
    floor.held[TOKEN] = asyncio.Event()
    session = floor.session()
    running = asyncio.create_task(session.run())
    await floor.until(lambda: floor.reads)
    floor.clock.pass_s(60)
    async with asyncio.timeout(LIMIT_S):
        await stood_still(running)
    await session.close()
    assert (floor.leases.state.seen_until, floor.recorded) == (stopped, [])


async def test_lost_socket_is_a_gap_from_its_last_frame_to_fresh_books(floor):
    async with floor.running():
        await floor.quoted("0.51", "0.53")
        await floor.until(lambda: floor.entries[1:])
        seen = floor.clock.now()
        floor.clock.pass_s(1)
        floor.held[TOKEN] = asyncio.Event()
        await floor.frame(MarketEventKind.GAP, None)
        await floor.until(lambda: floor.reads[1:])
        floor.clock.pass_s(1)
        floor.held[TOKEN].set()
        await floor.until(lambda: floor.recorded)
    assert spans(floor) == [("socket", seen, seen + timedelta(seconds=2))]


async def test_one_lost_socket_of_several_is_a_gap_of_its_tokens_since_it_was_last_heard(floor):
    floor.watch(STOP, rule="rul_2", token=OTHER)
    async with floor.running():
        heard, heard_ms = floor.clock.now(), floor.clock.monotonic_ms()
        floor.clock.pass_s(2)
        await floor.quoted("0.51", "0.53", OTHER)
        await floor.until(lambda: floor.entries[1:])
        lost = LostSocket(tokens=frozenset({TOKEN, TokenId("left")}), heard_ms=heard_ms)
        await floor.frame(MarketEventKind.GAP, None, lost=lost)
        await floor.until(lambda: floor.recorded)
    (gap,) = floor.recorded
    assert (gap.token_id, gap.started_at, gap.ended_at) == (TOKEN, heard, floor.clock.now())
    assert floor.reads[1:] == [(TOKEN,)]


async def stood_still(running):
    with pytest.raises(ExceptionGroup) as raised:
        await running
    (restart,) = raised.value.exceptions
    assert isinstance(restart, FeedRestart)
