"""Exits of which nothing is heard are made to look after themselves."""

import asyncio
from datetime import timedelta

import pytest

from activities import quiet_exits
from activities.quiet_exits import AGAIN_AFTER, LOOKED_AFTER, QUIET, QuietExits
from domain.ids import RuleId
from domain.messages import FeedShard, RulePhase
from storage.repositories.rules import OpenRule
from tests.domain.builders import ACCOUNT
from tests.fakes.trading import FakeClock


class Floor:
    """Exits by how long ago they were heard of, and their workflows; `away` is Temporal."""

    def __init__(self, *rules):
        self.clock = FakeClock()
        self.quiet = list(rules)
        self.windows = []
        self.looked_after = []
        self.told = asyncio.Event()
        self.shown = []
        self.gone = set()
        self.deaf = set()
        self.away = False

    def exits(self):
        return QuietExits(FeedShard(venue="polymarket"), self, self, self.clock)

    async def quiet_exits(self, venue, shard, shards, *, last_heard):
        self.windows.append(last_heard)
        return [
            OpenRule(rule_id=RuleId(rule), account_id=ACCOUNT, phase=RulePhase.EXITING, version=1)
            for rule in self.quiet
        ]

    async def look_after_exit(self, rule_id):
        if self.away or rule_id in self.deaf:
            raise ConnectionError("Temporal is away")
        self.looked_after.append(rule_id)
        self.told.set()
        return rule_id not in self.gone

    async def show_rule(self, rule_id):
        self.shown.append(rule_id)
        return True


async def test_quiet_exit_is_told_to_look_and_to_show_its_rows_once():
    floor = Floor("rul_1")
    exits = floor.exits()
    for _ in range(3):
        await exits.look()
    assert (floor.looked_after, floor.shown) == (["rul_1"], ["rul_1"])


async def test_exit_that_is_still_quiet_after_a_minute_is_told_again():
    floor = Floor("rul_1")
    exits = floor.exits()
    await exits.look()
    floor.clock.time += AGAIN_AFTER
    await exits.look()
    assert floor.looked_after == ["rul_1", "rul_1"]


async def test_window_leaves_out_what_goes_well_and_what_the_minute_s_pass_sees():
    floor = Floor()
    before = floor.clock.time
    await floor.exits().look()
    ((last_from, last_before),) = floor.windows
    assert last_before - last_from == AGAIN_AFTER - QUIET
    assert timedelta(0) <= last_before - (before - QUIET) < timedelta(seconds=1)


async def test_one_look_tells_a_few_and_the_next_one_the_others():
    floor = Floor(*(f"rul_{number}" for number in range(LOOKED_AFTER + 3)))
    exits = floor.exits()
    await exits.look()
    assert floor.looked_after == floor.quiet[:LOOKED_AFTER]
    await exits.look()
    assert floor.looked_after == floor.quiet


async def test_workflow_that_is_gone_is_not_asked_for_its_rows():
    floor = Floor("rul_1")
    floor.gone = {"rul_1"}
    await floor.exits().look()
    assert floor.shown == []


async def test_exit_that_could_not_be_told_is_told_by_the_next_look():
    floor = Floor("rul_1")
    exits = floor.exits()
    floor.away = True
    with pytest.raises(ExceptionGroup) as failed:
        await exits.look()
    assert failed.group_contains(ConnectionError, match="away")
    floor.away = False
    await exits.look()
    assert floor.looked_after == ["rul_1"]


async def test_exit_that_cannot_be_told_stops_none_behind_it():
    floor = Floor("rul_1", "rul_2")
    floor.deaf = {"rul_1"}
    with pytest.raises(ExceptionGroup):
        await floor.exits().look()
    assert floor.looked_after == ["rul_2"]


async def test_looking_goes_on_after_a_look_that_could_not_tell_all(monkeypatch):
    monkeypatch.setattr(quiet_exits, "LOOK_EVERY_S", 0.0)
    floor = Floor("rul_1")
    floor.away = True
    looks = 0

    def in_charge():
        nonlocal looks
        looks += 1
        floor.away = looks < 2
        return True

    looking = asyncio.create_task(floor.exits().run(in_charge))
    async with asyncio.timeout(10):
        await floor.told.wait()
    looking.cancel()
    assert floor.looked_after == ["rul_1"]
