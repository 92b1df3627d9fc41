"""Gaps of a feed: whatever it could not see is recorded, from when to when."""

import asyncio
from datetime import timedelta

import pytest

from activities.feed_gaps import Blind, GapReason
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
    async with floor.running(blind=Blind(stopped, GapReason.RESTART), live=False):
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
    floor.storage_away = True
    async with floor.running(blind=Blind(floor.clock.now(), GapReason.RESTART)) as session:
        await session.flush()
        assert floor.recorded == []
        floor.storage_away = False
        await floor.until(lambda: floor.recorded)
    assert len(floor.recorded) == 1


async def test_pause_tells_the_next_session_since_when_the_feed_was_blind(floor):
    session = floor.session()
    running = asyncio.create_task(session.run())
    async with asyncio.timeout(LIMIT_S):
        await session.until_live()
        paused = floor.clock.now()
        floor.clock.pass_s(60)
        restart = await restart_of(running)
    assert restart.blind == Blind(paused, GapReason.PAUSE)


async def test_pause_before_fresh_books_keeps_the_start_of_the_gap_that_was_open(floor):
    stopped = floor.clock.now()
    floor.clock.pass_s(7)
    floor.held[TOKEN] = asyncio.Event()
    running = asyncio.create_task(floor.session(blind=Blind(stopped, GapReason.RESTART)).run())
    await floor.until(lambda: floor.reads)
    floor.clock.pass_s(60)
    async with asyncio.timeout(LIMIT_S):
        restart = await restart_of(running)
    assert restart.blind == Blind(stopped, GapReason.PAUSE)
    assert floor.recorded == []


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


async def restart_of(running):
    with pytest.raises(ExceptionGroup) as raised:
        await running
    (restart,) = raised.value.exceptions
    assert isinstance(restart, FeedRestart)
    return restart
