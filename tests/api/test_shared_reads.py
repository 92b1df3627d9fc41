"""Reads of instruments that several callers share."""

import asyncio

import pytest

from api.shared_reads import SharedReads
from domain.errors import VenueTransient
from domain.ids import TokenId
from tests.domain.builders import make_instrument

TOKEN = TokenId("71321")


class SlowMarket:
    """Answers once it is let; counts how often it was asked."""

    def __init__(self):
        self.asked = 0
        self.answers = asyncio.Event()
        self.fails = False

    def market_data(self, venue):
        return self

    async def instrument(self, token_id):
        self.asked += 1
        await self.answers.wait()
        if self.fails:
            raise VenueTransient("away")
        return make_instrument()


async def test_those_who_ask_together_share_one_read_and_the_next_reads_anew():
    market = SlowMarket()
    reads = SharedReads(market)
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(reads.instrument("polymarket", TOKEN)) for _ in range(5)]
        await asyncio.sleep(0)
        market.answers.set()
    assert {task.result() for task in asking} == {make_instrument()}
    assert market.asked == 1
    await reads.instrument("polymarket", TOKEN)
    assert market.asked == 2


async def test_who_hangs_up_does_not_end_the_read_of_others():
    market = SlowMarket()
    reads = SharedReads(market)
    first = asyncio.create_task(reads.instrument("polymarket", TOKEN))
    second = asyncio.create_task(reads.instrument("polymarket", TOKEN))
    await asyncio.sleep(0)
    first.cancel()
    market.answers.set()
    assert await second == make_instrument()


async def test_a_failure_is_told_to_all_and_not_kept():
    market = SlowMarket()
    reads = SharedReads(market)
    market.fails = True
    market.answers.set()
    for _ in range(2):
        with pytest.raises(VenueTransient):
            await reads.instrument("polymarket", TOKEN)
    assert market.asked == 2
