"""A feed that comes back: the tape fires what it would have fired, at its own times."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from activities.feed_gaps import GapReason
from activities.feed_session import TIMER_STEP_S
from domain.rules.watch import TrailMark
from storage.repositories.tape import FeedGap
from tests.activities.feed_floor import SHARD, FeedFloor
from tests.domain.builders import TOKEN, D

STOP = {"type": "stop_loss", "price": "0.40"}
TRAIL = {"type": "trailing_stop", "percent": "10"}
FIVE_SECONDS = {"confirm": {"ms": 5_000}}


@pytest.fixture
def floor():
    """Fresh books are far from every level, so only the tape can fire."""
    floor = FeedFloor()
    floor.books_at[TOKEN] = ("0.60", "0.62")
    return floor


def gap_between(floor, start, end, **fields):
    now = floor.clock.now()
    return FeedGap(
        venue=SHARD.venue,
        **{"shard": SHARD.shard, "token_id": None, **fields},
        started_at=now + timedelta(seconds=start),
        ended_at=now + timedelta(seconds=end),
        reason=GapReason.RESTART,
    )


async def replayed(floor, *, blind_s=0, shard=SHARD):
    """Lets a feed come back and see the fresh book; returns what had fired."""
    floor.leases.change(seen_until=floor.clock.now() + timedelta(seconds=blind_s))
    async with floor.running(shard=shard):
        await floor.until(
            lambda: floor.leases.state.seen_until == floor.clock.now() and floor.leases.state.replica == 0
        )
        return list(floor.crossings)


async def test_price_that_stood_long_enough_on_the_tape_fires_at_the_time_it_was_confirmed(floor):
    floor.watch(STOP, armed_s=-60, **FIVE_SECONDS)
    floor.taped(-20, "0.39", "0.40")
    floor.taped(-10, "0.50", "0.52")
    (crossing,) = await replayed(floor)
    assert (crossing.beyond_since_ms, crossing.observed_at_ms) == (floor.unix_ms(-20), floor.unix_ms(-15))


async def test_price_that_came_back_in_time_on_the_tape_does_not_fire(floor):
    floor.watch(STOP, armed_s=-60, **FIVE_SECONDS)
    floor.taped(-20, "0.39", "0.40")
    floor.taped(-16, "0.50", "0.52")
    assert await replayed(floor) == []


async def test_time_without_a_feed_confirms_nothing(floor):
    floor.watch(STOP, armed_s=-60, **FIVE_SECONDS)
    floor.taped(-8, "0.39", "0.40")
    assert await replayed(floor, blind_s=-7) == []


async def test_what_ran_out_while_no_feed_saw_waits_for_the_fresh_book(floor):
    floor.watch(STOP, armed_s=-60, **FIVE_SECONDS)
    floor.taped(-8, "0.39", "0.40")
    floor.held[TOKEN] = asyncio.Event()
    floor.leases.change(seen_until=floor.clock.now() + timedelta(seconds=-7))
    async with floor.running(live=False):
        await floor.until(lambda: floor.reads)
        await asyncio.sleep(3 * TIMER_STEP_S)  # timers would have fired by now
        assert floor.crossings == []
        floor.held[TOKEN].set()
        await floor.until(lambda: floor.recorded)
        assert floor.crossings == []


async def test_earlier_gap_confirms_nothing_when_its_fresh_books_were_back(floor):
    floor.watch(STOP, armed_s=-60, **FIVE_SECONDS)
    floor.recorded.append(gap_between(floor, -29, -19))
    floor.taped(-30, "0.39", "0.40")
    floor.taped(-19, "0.50", "0.52")
    assert await replayed(floor) == []


async def test_gap_of_another_token_or_shard_delays_nothing(floor):
    half = replace(SHARD, shards=2)
    floor.watch(STOP, armed_s=-60, **FIVE_SECONDS)
    floor.recorded.append(gap_between(floor, -29, -19, token_id="another", shards=2))
    floor.recorded.append(gap_between(floor, -29, -19, shard=1, shards=2))
    floor.taped(-30, "0.39", "0.40")
    (crossing,) = await replayed(floor, shard=half)
    assert crossing.observed_at_ms == floor.unix_ms(-25)


async def test_gap_of_a_former_layout_may_have_been_this_shards(floor):
    floor.watch(STOP, armed_s=-60, **FIVE_SECONDS)
    floor.recorded.append(gap_between(floor, -29, -19, shard=1, shards=2))
    floor.taped(-30, "0.39", "0.40")
    (crossing,) = await replayed(floor)
    assert crossing.observed_at_ms == floor.unix_ms(-19)


async def test_price_that_stood_before_and_after_a_gap_fires_at_its_end(floor):
    floor.watch(STOP, armed_s=-60, **FIVE_SECONDS)
    floor.recorded.append(gap_between(floor, -29, -19))
    floor.taped(-30, "0.39", "0.40")
    (crossing,) = await replayed(floor)
    assert crossing.observed_at_ms == floor.unix_ms(-19)


async def test_rows_before_arming_and_before_the_earliest_moment_fire_nothing(floor):
    floor.watch(STOP, rule="rul_late", armed_s=-10)
    floor.watch(STOP, rule="rul_waits", armed_s=-60, not_before_s=-12)
    floor.taped(-20, "0.39", "0.40")
    floor.taped(-15, "0.50", "0.52")
    floor.taped(-5, "0.55", "0.57")
    assert await replayed(floor) == []


async def test_price_that_still_stood_at_the_earliest_moment_fires_then(floor):
    floor.watch(STOP, armed_s=-60, not_before_s=-12)
    floor.taped(-20, "0.39", "0.40")
    floor.taped(-5, "0.50", "0.52")
    (crossing,) = await replayed(floor)
    assert crossing.observed_at_ms == floor.unix_ms(-12)


async def test_price_that_stood_beyond_when_the_rule_was_armed_is_confirmed_from_there_on(floor):
    floor.taped(-30, "0.39", "0.40")
    floor.watch(STOP, armed_s=-20, **FIVE_SECONDS)
    (crossing,) = await replayed(floor)
    assert (crossing.beyond_since_ms, crossing.observed_at_ms) == (floor.unix_ms(-20), floor.unix_ms(-15))


async def test_high_of_before_a_token_was_watched_again_is_no_mark(floor):
    floor.taped(-86_400, "0.90", "0.92")
    floor.watch(TRAIL, armed_s=-60)
    floor.taped(-50, "0.60", "0.62")
    assert await replayed(floor) == []


async def test_high_that_stood_quietly_since_the_arming_is_the_mark(floor):
    floor.watch(TRAIL, armed_s=-3_600)
    floor.taped(-1_800, "0.90", "0.92")
    floor.taped(-50, "0.60", "0.62")
    (crossing,) = await replayed(floor)
    assert crossing.mark == D("0.91")


async def test_rule_armed_while_no_feed_ran_is_not_judged_by_what_stood_before(floor):
    floor.taped(-30, "0.39", "0.40")
    floor.watch(STOP, armed_s=-20)
    assert await replayed(floor, blind_s=-25) == []


async def test_what_stood_before_a_rule_counts_no_update_for_another_one(floor):
    floor.taped(-30, "0.39", "0.40")
    floor.watch(STOP, rule="rul_early", armed_s=-40, confirm={"updates": 2})
    floor.watch(STOP, rule="rul_late", armed_s=-20, confirm={"updates": 2})
    assert await replayed(floor) == []


async def test_change_that_two_feeds_wrote_counts_once(floor):
    floor.watch(STOP, armed_s=-60, confirm={"updates": 2})
    floor.taped(-20, "0.39", "0.40")
    floor.taped(-19.9, "0.39", "0.40")
    assert await replayed(floor) == []
    floor.taped(-19, "0.38", "0.40")
    assert len(await replayed(floor)) == 1


async def test_mark_of_the_generation_before_stands_from_the_arming_on(floor):
    row = floor.watch({"type": "trailing_stop", "percent": "10"}, armed_s=-60)
    floor.carried_marks.append(TrailMark(row.rule_id, 1, 0, D("0.80"), active=True))
    floor.taped(-20, "0.70", "0.72")
    floor.taped(-10, "0.75", "0.77")
    (crossing,) = await replayed(floor)
    assert (crossing.mark, crossing.observed_at_ms) == (D("0.80"), floor.unix_ms(-20))


async def test_mark_goes_on_from_where_it_was_saved(floor):
    row = floor.watch({"type": "trailing_stop", "percent": "10"}, armed_s=-60)
    floor.saved_marks.append(TrailMark(row.rule_id, 1, 0, D("0.80"), active=True))
    floor.taped(-20, "0.75", "0.77")
    (crossing,) = await fired_by_fresh_book(floor)
    assert (crossing.mark, crossing.level) == (D("0.80"), D("0.72"))


async def fired_by_fresh_book(floor):
    floor.leases.change(seen_until=floor.clock.now())
    async with floor.running():
        await floor.until(lambda: floor.crossings)
        return list(floor.crossings)


async def test_recovery_of_many_rules_lets_heartbeats_through(floor):
    """At most 200 rules are armed, or their marks put back, in one go."""
    for number in range(1_000):
        row = floor.watch(TRAIL, rule=f"rul_{number}", armed_s=-60)
        mark = TrailMark(rule_id=row.rule_id, generation=1, condition_index=0, mark=D("0.60"), active=True)
        floor.saved_marks.append(mark)
    async with floor.running(live=False) as session:
        turns = 0
        while not floor.reads:
            turns += 1
            await asyncio.sleep(0)
        assert session.health().rules == 1_000
    assert turns > 8
