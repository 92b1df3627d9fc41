"""Rules that were armed long ago: the feed sees again soon, and finds what is old beside its live quotes."""

import asyncio
from dataclasses import replace

import pytest

from domain.ids import TokenId
from domain.rules.watch import TrailMark
from tests.activities.feed_floor import FeedFloor
from tests.domain.builders import TOKEN, D

STOP = {"type": "stop_loss", "price": "0.40"}
TRAIL = {"type": "trailing_stop", "percent": "10"}
OTHER = TokenId("other")
HOURS = 3600


@pytest.fixture
def floor():
    """Fresh books are far from every level; whoever looks far back has to wait."""
    floor = FeedFloor()
    floor.books_at = {TOKEN: ("0.60", "0.62"), OTHER: ("0.60", "0.62")}
    floor.old_tape = asyncio.Event()
    floor.leases.change(seen_until=floor.clock.now())
    return floor


def fired(floor):
    return [crossing.rule_id for crossing in floor.crossings]


async def test_feed_is_live_before_it_has_looked_through_the_old_tape(floor):
    floor.watch(STOP, armed_s=-48 * HOURS)
    floor.taped(-47 * HOURS, "0.60", "0.62")
    async with floor.running():
        await floor.quoted("0.39", "0.40")
        await floor.until(lambda: floor.crossings)
    assert fired(floor) == ["rul_1"]


async def test_crossing_of_long_ago_that_no_rule_has_taken_is_found(floor):
    floor.watch(STOP, armed_s=-48 * HOURS)
    floor.taped(-47 * HOURS, "0.38", "0.40")
    floor.taped(-46 * HOURS, "0.60", "0.62")
    async with floor.running():
        assert floor.crossings == []
        floor.old_tape.set()
        await floor.until(lambda: floor.crossings)
    assert [crossing.observed_at_ms for crossing in floor.crossings] == [floor.unix_ms(-47 * HOURS)]


async def test_crossing_of_long_ago_is_no_news_to_a_rule_that_was_armed_again_meanwhile(floor):
    row = floor.watch(STOP, armed_s=-48 * HOURS)
    floor.watch(STOP, rule="rul_2", armed_s=-48 * HOURS)
    floor.taped(-47 * HOURS, "0.38", "0.40")
    floor.taped(-46 * HOURS, "0.60", "0.62")
    async with floor.running():
        await floor.changes(replace(row, generation=2, version=2))
        floor.old_tape.set()
        await floor.until(lambda: floor.crossings)
    assert fired(floor) == ["rul_2"]


async def test_crossing_of_the_last_minutes_fires_at_once(floor):
    floor.watch(STOP, armed_s=-48 * HOURS)
    floor.taped(-60, "0.38", "0.40")
    floor.taped(-50, "0.60", "0.62")
    async with floor.running():
        await floor.until(lambda: floor.crossings)
    assert [crossing.observed_at_ms for crossing in floor.crossings] == [floor.unix_ms(-60)]


async def test_price_that_takes_long_to_confirm_is_shown_from_where_it_began(floor):
    floor.watch(STOP, armed_s=-48 * HOURS, confirm={"ms": 20 * 60_000})
    floor.taped(-20 * 60 - 5, "0.38", "0.40")
    floor.taped(-8, "0.37", "0.39")
    async with floor.running():
        await floor.until(lambda: floor.crossings)
    assert [crossing.observed_at_ms for crossing in floor.crossings] == [floor.unix_ms(-5)]


async def test_trail_goes_on_from_its_saved_mark_before_the_old_tape_was_looked_through(floor):
    row = floor.watch(TRAIL, armed_s=-48 * HOURS)
    floor.taped(-47 * HOURS, "0.79", "0.81")
    floor.taped(-46 * HOURS, "0.74", "0.76")
    mark = TrailMark(rule_id=row.rule_id, generation=1, condition_index=0, mark=D("0.80"), active=True)
    floor.saved_marks.append(mark)
    floor.books_at[TOKEN] = ("0.74", "0.76")
    async with floor.running():
        assert floor.crossings == []
        await floor.quoted("0.70", "0.72")
        await floor.until(lambda: floor.crossings)
    assert [(crossing.mark, crossing.level) for crossing in floor.crossings] == [(D("0.80"), D("0.72"))]


async def test_price_from_before_the_high_of_a_long_armed_trail_fires_nothing(floor):
    row = floor.watch(TRAIL, armed_s=-48 * HOURS)
    floor.watch(STOP, rule="rul_2", token=OTHER, armed_s=-48 * HOURS)
    floor.taped(-47 * HOURS, "0.50", "0.52")
    floor.taped(-300, "0.51", "0.53")
    floor.taped(-60, "0.79", "0.81")
    floor.taped(-HOURS, "0.38", "0.40", OTHER)
    mark = TrailMark(rule_id=row.rule_id, generation=1, condition_index=0, mark=D("0.80"), active=True)
    floor.saved_marks.append(mark)
    floor.books_at[TOKEN] = ("0.79", "0.81")
    async with floor.running():
        floor.old_tape.set()
        await floor.until(lambda: floor.crossings)  # of the rule whose crossing lies in the same old tape
    assert fired(floor) == ["rul_2"]


async def test_storage_that_goes_away_meanwhile_puts_the_look_back_off(floor):
    floor.watch(STOP, armed_s=-48 * HOURS)
    floor.taped(-47 * HOURS, "0.38", "0.40")
    floor.taped(-46 * HOURS, "0.60", "0.62")
    floor.outages_of_old_tape = 1
    floor.old_tape.set()
    async with floor.running():
        await floor.until(lambda: floor.crossings)
    assert (fired(floor), floor.outages_of_old_tape) == (["rul_1"], 0)
