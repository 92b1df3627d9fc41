"""Signals of the feed: kept until Temporal has taken them, without holding up the quotes."""

import asyncio
from functools import partial

from activities.feed_delivery import AT_ONCE, Delivery
from domain.messages import Crossed
from domain.quotes import Ladder, Quote
from domain.rules.crossing import Crossing
from domain.rules.definition import ConditionType
from tests.domain.builders import TOKEN
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


def sent(delivery, rule_id, account_id="crowd"):
    crossing = Crossing(
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
    message = partial(Crossed, crossing=crossing, ladder=Ladder(()))
    delivery.send(crossing, account_id, message, lambda delivered: None)


async def test_only_so_many_crossings_are_under_way_and_a_rule_that_takes_its_own_up_lets_the_next_go():
    signals = Crowd()
    delivery = Delivery(signals, FakeMarketData())
    for number in range(AT_ONCE + 2):
        sent(delivery, f"rul_{number}")
    await signals.reach(AT_ONCE)
    assert len(signals.signalled) == AT_ONCE

    delivery.taken("rul_0")
    await signals.reach(AT_ONCE + 1)
    assert signals.signalled[-1] == f"rul_{AT_ONCE}"
    await delivery.close()


async def test_crossing_of_a_lonely_account_does_not_wait_behind_the_crowd_of_another():
    signals = Crowd()
    delivery = Delivery(signals, FakeMarketData())
    for number in range(AT_ONCE * 3):
        sent(delivery, f"rul_{number}")
    sent(delivery, "rul_lonely", "lonely")
    await signals.reach(AT_ONCE)
    assert "rul_lonely" in signals.signalled
    await delivery.close()


async def test_rules_that_take_nothing_up_hold_up_the_others_for_a_while_only():
    signals = Crowd()
    delivery = Delivery(signals, FakeMarketData(), taken_limit_s=0)
    for number in range(AT_ONCE * 3):
        sent(delivery, f"rul_{number}")
    await signals.reach(AT_ONCE * 3)
    await delivery.close()
