"""Signals of the feed: kept until Temporal has taken them, without holding up the quotes."""

import asyncio

from activities.feed_delivery import AT_ONCE, Delivery
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
