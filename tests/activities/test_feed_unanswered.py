"""Crossings whose watch stays armed are signalled again, so that one that Temporal lost is no lost exit."""

from dataclasses import replace

import pytest

from activities.feed_unanswered import FIRST_PAUSE_MS, PAUSE_CAP_MS, Unanswered
from domain.messages import WatchRow
from domain.rules.crossing import Crossing
from tests.activities.feed_floor import FeedFloor, quote
from tests.domain.builders import TOKEN, D

STOP = {"type": "stop_loss", "price": "0.40"}


class OneRule:
    """A rule's watch as the feed knows it, and a crossing of its first generation."""

    def __init__(self):
        self.row: WatchRow | None = FeedFloor().watch(STOP)
        self.crossing = Crossing(
            rule_id=self.row.rule_id,
            generation=1,
            condition_index=0,
            condition=self.row.resolved.conditions[0].type,
            level=D("0.40"),
            quote=quote("0.38", "0.40"),
            price=D("0.39"),
            mark=None,
            confirm_count=1,
            beyond_since_ms=0,
            observed_at_ms=0,
            venue_timestamp_ms=None,
        )
        self.unanswered = Unanswered(lambda rule_id: self.row)


@pytest.fixture
def rule():
    return OneRule()


def test_crossing_whose_watch_stays_armed_is_due_after_a_pause_and_only_once(rule):
    rule.unanswered.delivered(rule.crossing, 0)
    assert rule.unanswered.due(FIRST_PAUSE_MS - 1) == []
    assert rule.unanswered.due(FIRST_PAUSE_MS) == [rule.crossing]
    assert rule.unanswered.due(10 * PAUSE_CAP_MS) == []  # its copy travels


def test_pauses_between_copies_grow_up_to_a_cap(rule):
    now_ms, pauses = 0, []
    for _ in range(6):
        rule.unanswered.delivered(rule.crossing, now_ms)
        asked_ms = now_ms
        while not rule.unanswered.due(now_ms):
            now_ms += 1_000
        pauses.append(now_ms - asked_ms)
    assert pauses == [5_000, 10_000, 20_000, 40_000, PAUSE_CAP_MS, PAUSE_CAP_MS]


def test_next_crossing_of_a_rule_begins_with_the_first_pause(rule):
    rule.unanswered.delivered(rule.crossing, 0)
    rule.unanswered.due(FIRST_PAUSE_MS)
    rule.unanswered.delivered(rule.crossing, 6_000)
    rule.row = replace(rule.row, generation=2)
    rule.unanswered.delivered(replace(rule.crossing, generation=2), 7_000)
    assert [crossing.generation for crossing in rule.unanswered.due(12_000)] == [2]


@pytest.mark.parametrize("change", [{"armed_again": True}, {"armed_again": False}])
def test_crossing_whose_watch_changed_is_answered(rule, change):
    rule.unanswered.delivered(rule.crossing, 0)
    first, rule.row = rule.row, replace(rule.row, generation=2) if change["armed_again"] else None
    assert rule.unanswered.due(FIRST_PAUSE_MS) == []
    rule.row = first  # forgotten by now
    assert rule.unanswered.due(FIRST_PAUSE_MS) == []


def test_watch_that_changed_before_its_signal_returned_leaves_nothing_to_doubt(rule):
    first, rule.row = rule.row, None
    rule.unanswered.delivered(rule.crossing, 0)
    rule.row = first
    assert rule.unanswered.due(FIRST_PAUSE_MS) == []


async def test_feed_signals_the_same_crossing_again_though_the_price_came_back():
    floor = FeedFloor()
    floor.watch(STOP)
    floor.books_at = {TOKEN: ("0.50", "0.52")}
    async with floor.running(pause_limit_ms=60_000):
        await floor.quoted("0.38", "0.40")
        await floor.until(lambda: floor.crossings)
        await floor.quoted("0.50", "0.52")
        await floor.until(lambda: len(floor.entries) > 2)
        floor.clock.pass_s(FIRST_PAUSE_MS / 1000)
        await floor.until(lambda: floor.crossings[1:])
    first, again = floor.crossings
    assert again == first


async def test_feed_signals_a_crossing_that_its_rule_took_no_second_time():
    floor = FeedFloor()
    row = floor.watch(STOP)
    floor.watch(STOP, rule="rul_2")
    floor.books_at = {TOKEN: ("0.50", "0.52")}
    async with floor.running(pause_limit_ms=60_000):
        await floor.quoted("0.38", "0.40")
        await floor.until(lambda: floor.crossings[1:])
        await floor.changes(replace(row, armed=False, version=2))
        floor.clock.pass_s(FIRST_PAUSE_MS / 1000)
        await floor.until(lambda: floor.crossings[2:])
    assert [crossing.rule_id for crossing in floor.crossings[2:]] == ["rul_2"]


def test_copy_that_nobody_needed_any_more_is_forgotten(rule):
    rule.unanswered.delivered(rule.crossing, 0)
    assert rule.unanswered.due(FIRST_PAUSE_MS) == [rule.crossing]
    armed, rule.row = rule.row, None
    assert rule.unanswered.due(FIRST_PAUSE_MS + 1) == []
    rule.row = armed
    assert rule.unanswered.due(10 * PAUSE_CAP_MS) == []
