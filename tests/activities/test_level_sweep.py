"""The backstop of the trigger index: at the pace of the rules, and never in the way of those that sell."""

from dataclasses import replace
from datetime import timedelta

import pytest

from activities import level_sweep
from activities.level_sweep import AT_ONCE, LOOKS, LevelSweep
from domain.quotes import Quote
from storage.repositories.sweep import BeyondLevel
from tests.activities.feed_floor import FeedFloor
from tests.domain.builders import START, D
from tests.fakes.trading import FakeClock

STOP = {"type": "stop_loss", "price": "0.40"}


def beyond(rule, account):
    return BeyondLevel(
        watch=replace(FeedFloor().watch(STOP, rule=rule), account_id=account),
        condition_index=0,
        level=D("0.40"),
        mark=None,
        quote=Quote(D("0.38"), D("0.40"), None),
        price=D("0.39"),
        changes=1,
        since=START,
    )


class Crowd:
    """Rules beyond their level. One that is told takes its crossing up after so many looks at it."""

    def __init__(self, *rules, account="crowd", takes_up_after=1):
        self.clock = FakeClock()
        self.found = [beyond(rule, account) for rule in rules]
        self.takes_up_after = takes_up_after
        self.deaf, self.gone = set(), set()
        self.told = []
        self.looks = {}
        self.busy = self.busiest = 0

    def sweep(self, **settings):
        return LevelSweep(
            sweep=self,
            watches=self,
            signals=self,
            clock=self.clock,
            venues=("polymarket",),
            beyond_for=timedelta(seconds=10),
            **settings,
        )

    async def beyond(self, venue, now, *, window):
        return list(self.found)

    async def crossed(self, rule_id, crossed):
        if rule_id in self.deaf:
            raise ConnectionError("Temporal: INVALID_ARGUMENT")
        self.told.append(rule_id)
        self.looks[rule_id] = 0
        self.busy += 1
        self.busiest = max(self.busy, self.busiest)
        return rule_id not in self.gone

    async def armed_generation(self, rule_id):
        if rule_id not in self.looks:
            return 1
        self.looks[rule_id] += 1
        taken_up = self.looks[rule_id] >= self.takes_up_after
        if taken_up or self.looks[rule_id] == LOOKS:
            self.busy -= 1
        return None if taken_up else 1


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch):
    monkeypatch.setattr(level_sweep, "LOOK_AGAIN_S", 0.0)


async def test_each_rule_beyond_its_level_is_told_once_and_counted():
    crowd = Crowd("rul_1", "rul_2")
    assert await crowd.sweep().tell() == 2
    assert sorted(crowd.told) == ["rul_1", "rul_2"]


async def test_only_a_few_are_told_before_they_take_their_crossing_up():
    crowd = Crowd(*(f"rul_{number}" for number in range(AT_ONCE * 5)), takes_up_after=3)
    assert await crowd.sweep().tell() == AT_ONCE * 5
    assert crowd.busiest == AT_ONCE


async def test_rules_that_take_nothing_up_hold_up_the_others_for_a_few_looks_only():
    crowd = Crowd(*(f"rul_{number}" for number in range(AT_ONCE * 2)), takes_up_after=LOOKS + 1)
    assert await crowd.sweep().tell() == AT_ONCE * 2
    assert set(crowd.looks.values()) == {LOOKS}


async def test_rule_that_was_let_sell_meanwhile_is_left_alone():
    crowd = Crowd("rul_1", "rul_2", "rul_3")
    crowd.looks["rul_2"] = 0  # it is disarmed at the next look
    crowd.found[2] = replace(crowd.found[2], watch=replace(crowd.found[2].watch, generation=2))
    assert await crowd.sweep().tell() == 1
    assert crowd.told == ["rul_1"]


async def test_lonely_account_is_told_before_the_rest_of_a_crowd():
    crowd = Crowd(*(f"rul_{number}" for number in range(AT_ONCE * 2)))
    crowd.found.append(beyond("rul_lonely", "lonely"))
    await crowd.sweep().tell()
    assert crowd.told.index("rul_lonely") == 1


async def test_what_cannot_be_told_in_the_time_of_a_pass_is_left_to_the_next():
    crowd = Crowd(*(f"rul_{number}" for number in range(AT_ONCE * 3)))
    sweep = crowd.sweep(takes_s=10)
    said = crowd.crossed

    async def slowly(rule_id, crossed):
        crowd.clock.time += timedelta(seconds=4)
        return await said(rule_id, crossed)

    crowd.crossed = slowly
    assert await sweep.tell() == len(crowd.told) < AT_ONCE * 3


async def test_rule_that_cannot_be_told_stops_none_of_the_others():
    crowd = Crowd("rul_1", "rul_2", "rul_3")
    crowd.deaf = {"rul_1"}
    with pytest.raises(ExceptionGroup) as failed:
        await crowd.sweep().tell()
    assert failed.group_contains(ConnectionError, match="INVALID_ARGUMENT")
    assert sorted(crowd.told) == ["rul_2", "rul_3"]


async def test_rule_whose_workflow_is_gone_is_not_counted_as_told():
    crowd = Crowd("rul_1", "rul_2")
    crowd.gone = {"rul_1"}
    assert await crowd.sweep().tell() == 1
