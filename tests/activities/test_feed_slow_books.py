"""Books by REST come slowly, late, or old: the feed sees by its frames all the same."""

import asyncio
from dataclasses import replace

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


def armed_later(floor, **fields):
    """A watch that was not there when the session began."""
    floor.watch(STOP, **fields)
    return floor.rows.pop()


async def test_frames_fire_while_the_first_books_are_still_read(floor):
    floor.held[TOKEN] = asyncio.Event()
    async with floor.running(live=False) as session:
        await floor.until(lambda: floor.reads)
        await floor.quoted("0.39", "0.40", OTHER)
        await floor.until(lambda: floor.crossings)
        assert (fired(floor), floor.leases.state.replica) == (["rul_2"], None)  # it does not see all yet
        floor.held[TOKEN].set()
        await asyncio.wait_for(session.until_live(), 10)


async def test_gap_lasts_until_the_first_books_were_read(floor):
    floor.leases.change(seen_until=floor.clock.now())
    floor.held[TOKEN] = asyncio.Event()
    async with floor.running(live=False):
        await floor.until(lambda: floor.reads)
        floor.clock.pass_s(2)
        floor.held[TOKEN].set()
        await floor.until(lambda: floor.recorded)
    (gap,) = floor.recorded
    assert gap.ended_at == floor.clock.now()


async def test_slow_book_of_a_new_token_holds_up_no_other_watch(floor):
    new = TokenId("new")
    floor.held[new] = asyncio.Event()
    async with floor.running():
        await floor.quoted("0.39", "0.40", OTHER)
        await floor.until(lambda: floor.crossings)
        await floor.changes(armed_later(floor, rule="rul_new", token=new))
        await floor.until(lambda: floor.reads[-1] == (new,))
        await floor.changes(armed_later(floor, rule="rul_3", token=OTHER))
        await floor.until(lambda: floor.crossings[1:])
    assert fired(floor) == ["rul_2", "rul_3"]


@pytest.mark.parametrize(
    ("book_ms", "fires"), [(900, False), (1_000, True), (1_100, True)], ids=["older", "same time", "newer"]
)
async def test_book_older_than_the_last_frame_by_the_venues_time_is_not_taken(floor, book_ms, fires):
    async with floor.running():
        await floor.quoted("0.60", "0.62", venue_ms=1_000)
        await floor.until(lambda: len(floor.entries) > 2)
        floor.books_at[TOKEN] = ("0.38", "0.40", book_ms)
        await floor.frame(MarketEventKind.DESYNC)
        await floor.until(lambda: floor.reads[1:])
        await floor.quoted("0.39", "0.40", OTHER)
        await floor.until(lambda: "rul_2" in fired(floor))
    assert ("rul_1" in fired(floor)) is fires


async def test_older_book_that_equals_the_last_frame_confirms_it(floor):
    async with floor.running() as session:
        await floor.quoted("0.60", "0.62", venue_ms=1_000)
        await floor.until(lambda: len(floor.entries) > 2)
        floor.clock.pass_s(1)
        floor.books_at[TOKEN] = ("0.60", "0.62", 900)  # a quiet book keeps the time of its last change
        await floor.frame(MarketEventKind.DESYNC)
        await floor.until(lambda: floor.reads[1:])
        await floor.until(lambda: session.health().newest_quote_age_ms == 0)


async def test_book_of_a_token_that_was_given_up_meanwhile_leaves_no_quote_behind(floor):
    first = floor.rows[0]
    async with floor.running():
        floor.books_at[TOKEN] = ("0.38", "0.40")
        floor.held[TOKEN] = asyncio.Event()
        await floor.frame(MarketEventKind.DESYNC)
        await floor.until(lambda: floor.reads[1:])
        await floor.changes(replace(first, armed=False, version=2))
        floor.held.pop(TOKEN).set()
        await floor.quoted("0.39", "0.40")  # it was on its way, too
        await floor.quoted("0.39", "0.40", OTHER)
        await floor.until(lambda: floor.crossings)
        floor.books_at[TOKEN] = ("0.50", "0.52")
        await floor.changes(replace(first, generation=2, version=3))
        await floor.until(lambda: floor.reads[-1] == (TOKEN,))
        floor.watch(STOP, rule="rul_3", token=OTHER)
        await floor.changes(floor.rows.pop())
        await floor.until(lambda: floor.crossings[1:])
    assert fired(floor) == ["rul_2", "rul_3"]
