"""Reads that frames call for: beside the frames, one at a time per token."""

import asyncio

import pytest

from domain.ids import TokenId
from domain.ports import MarketEventKind
from tests.activities.feed_floor import FeedFloor
from tests.domain.builders import TOKEN

STOP = {"type": "stop_loss", "price": "0.40"}
OTHER = TokenId("other")


@pytest.fixture
def floor():
    floor = FeedFloor()
    floor.watch(STOP)
    floor.watch(STOP, rule="rul_2", token=OTHER)
    floor.books_at = {TOKEN: ("0.50", "0.52"), OTHER: ("0.50", "0.52")}
    return floor


def fired(floor):
    return [crossing.rule_id for crossing in floor.crossings]


@pytest.mark.parametrize("kind", [MarketEventKind.GAP, MarketEventKind.DESYNC, MarketEventKind.TICK])
async def test_slow_book_does_not_hold_up_the_frames_of_another_token(floor, kind):
    async with floor.running():
        floor.held[TOKEN] = asyncio.Event()
        await floor.frame(kind, None if kind is MarketEventKind.GAP else TOKEN)
        await floor.until(lambda: floor.reads[1:])
        await floor.quoted("0.39", "0.40", OTHER)
        await floor.until(lambda: floor.crossings)
    assert fired(floor) == ["rul_2"]


async def test_what_is_asked_for_during_a_read_is_read_once_more_after_it(floor):
    async with floor.running():
        floor.held[TOKEN] = asyncio.Event()
        await floor.frame(MarketEventKind.DESYNC)
        await floor.until(lambda: floor.reads[1:])
        for kind in (MarketEventKind.DESYNC, MarketEventKind.STATE, MarketEventKind.DESYNC):
            await floor.frame(kind)
        await floor.quoted("0.39", "0.40", OTHER)
        await floor.until(lambda: floor.crossings)  # the frames before it were taken
        assert floor.reads[1:] == [(TOKEN,)]
        floor.held[TOKEN].set()
        await floor.until(lambda: floor.reads[2:])
        floor.held.clear()
        await floor.quoted("0.38", "0.40")
        await floor.until(lambda: floor.crossings[1:])
    assert (floor.reads[1:], floor.instruments_read) == ([(TOKEN,), (TOKEN,)], [TOKEN])


async def test_frame_that_came_while_its_book_was_read_is_newer_than_the_book(floor):
    async with floor.running():
        floor.held[TOKEN] = asyncio.Event()
        floor.books_at[TOKEN] = ("0.39", "0.41")
        await floor.frame(MarketEventKind.DESYNC)
        await floor.until(lambda: floor.reads[1:])
        floor.clock.pass_s(0.1)
        await floor.quoted("0.51", "0.53")
        await floor.until(lambda: floor.entries[2:])
        floor.held.pop(TOKEN).set()
        await floor.quoted("0.39", "0.41", OTHER)
        await floor.until(lambda: len(floor.entries) > 3)
    assert fired(floor) == ["rul_2"]
    assert [str(row.quote.bid) for row in floor.entries if row.token_id == TOKEN] == ["0.50", "0.51"]
