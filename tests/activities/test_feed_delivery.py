"""Signals of the feed: kept until Temporal has taken them, without holding up the quotes."""

import asyncio

from activities.feed_delivery import Delivery
from tests.domain.builders import TOKEN
from tests.fakes.trading import FakeMarketData


class AwayAtFirst:
    """Temporal that is away for the first calls."""

    def __init__(self, failures):
        self.failures = failures
        self.told = asyncio.Event()

    async def market_changed(self, rule_id, instrument):
        if self.failures:
            self.failures -= 1
            raise ConnectionError("Temporal: UNAVAILABLE")
        self.told.set()
        return True


async def test_new_terms_reach_the_rule_though_temporal_was_away_and_the_feed_goes_on():
    signals = AwayAtFirst(failures=1)
    delivery = Delivery(signals, FakeMarketData())

    await delivery.market_changed(TOKEN, ["rul_1"])

    async with asyncio.timeout(5):
        await signals.told.wait()
    await delivery.close()
