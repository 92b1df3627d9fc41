"""Signals of the feed: kept until Temporal has taken them, without holding up the quotes."""

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from activities.feed_delivery import AT_ONCE, ONE_ACCOUNTS, Delivery
from domain.messages import Crossed
from domain.quotes import Ladder, Quote
from domain.rules.crossing import Crossing
from domain.rules.definition import ConditionType
from tests.activities.feed_floor import FeedFloor
from tests.domain.builders import TOKEN, D
from tests.fakes.trading import FakeMarketData


class AwayAtFirst:
    """Temporal that fails the first calls."""

    def __init__(self, failures, error=ConnectionError):
        self.failures = failures
        self.error = error
        self.told = asyncio.Event()

    async def market_changed(self, rule_id, instrument):
        if self.failures:
            self.failures -= 1
            raise self.error("not now")
        self.told.set()
        return True


class RefusesOneRule:
    """Temporal that takes no signal to one rule."""

    def __init__(self, rule_id):
        self.rule_id = rule_id
        self.told = asyncio.Event()

    async def market_changed(self, rule_id, instrument):
        if rule_id == self.rule_id:
            raise ConnectionError("Temporal: INVALID_ARGUMENT")
        self.told.set()
        return True


async def test_new_terms_reach_the_rule_though_temporal_was_away_and_the_feed_goes_on():
    signals = AwayAtFirst(failures=1)
    delivery = Delivery(signals, FakeMarketData())

    await delivery.market_changed(TOKEN, ["rul_1"])

    async with asyncio.timeout(5):
        await signals.told.wait()
    await delivery.close()


async def test_signal_that_fails_as_nobody_foresaw_is_tried_again():
    signals = AwayAtFirst(failures=1, error=ValueError)
    delivery = Delivery(signals, FakeMarketData())

    await delivery.market_changed(TOKEN, ["rul_1"])

    async with asyncio.timeout(5):
        await signals.told.wait()
    await delivery.close()


async def test_signals_that_wait_for_their_next_try_hold_up_no_others():
    signals = RefusesOneRule("rul_0")
    delivery = Delivery(signals, FakeMarketData())
    await delivery.market_changed(TOKEN, ["rul_0"] * AT_ONCE)
    await delivery.market_changed(TOKEN, ["rul_1"])

    async with asyncio.timeout(5):
        await signals.told.wait()
    await delivery.close()


class Crowd:
    """Rules that are signalled; none takes its crossing up before `taken` is told."""

    def __init__(self):
        self.signalled = []
        self.all_there = asyncio.Event()
        self.wanted = 0

    async def crossed(self, rule_id, crossed):
        self.signalled.append(rule_id)
        if len(self.signalled) >= self.wanted:
            self.all_there.set()
        return True

    async def reach(self, count):
        self.wanted = count
        self.all_there.clear()
        if len(self.signalled) < count:
            async with asyncio.timeout(5):
                await self.all_there.wait()


def make_crossing(rule_id):
    return Crossing(
        rule_id=rule_id,
        generation=1,
        condition_index=0,
        condition=ConditionType.STOP_LOSS,
        level=None,
        quote=Quote(None, None, None),
        price=None,
        mark=None,
        confirm_count=1,
        beyond_since_ms=None,
        observed_at_ms=0,
        venue_timestamp_ms=None,
    )


def send(delivery, *rule_ids, account_id="crowd"):
    for rule_id in rule_ids:
        crossing = make_crossing(rule_id)
        message = partial(Crossed, crossing=crossing, ladder=Ladder(()))
        delivery.send(crossing, account_id, message, lambda crossing: None)


def rules(count):
    return [f"rul_{number}" for number in range(count)]


def row_of(rule_id, **changes):
    return replace(FeedFloor().watch({"type": "stop_loss", "price": "0.40"}, rule=rule_id), **changes)


@pytest.fixture
def signals():
    return Crowd()


@pytest.fixture
async def delivery(signals):
    made = Delivery(signals, FakeMarketData(), taken_limit_s=60)
    yield made
    await made.close()


async def test_only_so_many_crossings_are_under_way_and_a_rule_that_takes_its_own_up_lets_the_next_go(
    signals, delivery
):
    send(delivery, *rules(ONE_ACCOUNTS + 1))
    await signals.reach(ONE_ACCOUNTS)
    assert len(signals.signalled) == ONE_ACCOUNTS

    delivery.taken(row_of("rul_0", armed=False))
    await signals.reach(ONE_ACCOUNTS + 1)
    assert signals.signalled[-1] == f"rul_{ONE_ACCOUNTS}"


async def test_no_more_crossings_are_under_way_than_there_are_places_however_many_accounts(signals, delivery):
    for number in range(AT_ONCE * 2):
        send(delivery, f"rul_{number}", account_id=f"account {number}")
    await signals.reach(AT_ONCE)
    await turns_of_the_loop()
    assert len(signals.signalled) == AT_ONCE


async def test_watch_of_another_size_does_not_say_that_the_crossing_was_taken_up(signals, delivery):
    send(delivery, *rules(ONE_ACCOUNTS + 1))
    await signals.reach(ONE_ACCOUNTS)
    delivery.taken(row_of("rul_0", shares=D(3)))
    await turns_of_the_loop()
    assert len(signals.signalled) == ONE_ACCOUNTS


async def test_rules_of_an_account_that_do_not_answer_leave_a_place_for_another_account(signals, delivery):
    send(delivery, *rules(AT_ONCE * 3))
    await signals.reach(ONE_ACCOUNTS)
    send(delivery, "rul_lonely", account_id="lonely")
    await signals.reach(ONE_ACCOUNTS + 1)
    assert signals.signalled[-1] == "rul_lonely"


async def test_crossing_of_a_lonely_account_does_not_wait_behind_the_crowd_of_another(signals, delivery):
    send(delivery, *rules(AT_ONCE * 3))
    send(delivery, "rul_lonely", account_id="lonely")
    await signals.reach(ONE_ACCOUNTS + 1)
    assert "rul_lonely" in signals.signalled


async def test_crossing_that_fired_a_former_watch_neither_leaves_nor_counts_as_delivered(signals, delivery):
    delivered = []
    delivery.send(make_crossing("rul_1"), "crowd", lambda: None, delivered.append)
    delivery.send_again(make_crossing("rul_1"), "crowd", lambda: None, delivered.append)
    send(delivery, "rul_2")
    await signals.reach(1)
    assert (signals.signalled, delivered) == (["rul_2"], [])


async def test_rule_that_takes_nothing_up_makes_room_for_the_next_after_a_while(signals):
    delivery = Delivery(signals, FakeMarketData(), taken_limit_s=0.05)
    send(delivery, *rules(ONE_ACCOUNTS * 3))
    await signals.reach(ONE_ACCOUNTS * 3)
    await delivery.close()


async def turns_of_the_loop():
    for _ in range(5):
        await asyncio.sleep(0)
