"""What rules hear of the position that they stand on while it changes fast."""

import asyncio
from dataclasses import replace

import pytest

from activities.position_news import PositionNews
from domain.ids import TokenId
from tests.domain.builders import KEY
from tests.fakes.trading import FakeRules, FakeSignals, make_holding


class SlowSignals(FakeSignals):
    """Says when a message is under way, and lets it through when told."""

    def __init__(self):
        super().__init__()
        self.under_way = asyncio.Event()
        self.through = asyncio.Event()

    async def position_changed(self, rule_id, change):
        self.under_way.set()
        await self.through.wait()
        return await super().position_changed(rule_id, change)


def make_news(signals, *rules) -> PositionNews:
    found = FakeRules()
    found.open = list(rules)
    return PositionNews(found, signals)


async def test_what_changes_while_rules_are_told_is_told_once_with_the_newest_holding():
    signals = SlowSignals()
    news = make_news(signals, "rul_1", "rul_2")
    news.take(KEY, make_holding("9", version=1), set())
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(news.tell())
        await signals.under_way.wait()
        for version in range(2, 100):
            news.take(KEY, make_holding("8", version=version), set())
            await news.tell()  # another one tells of it
        signals.through.set()

    told = [(rule, holding.version) for rule, holding in signals.positions]
    assert told == [("rul_1", 1), ("rul_2", 1), ("rul_1", 99), ("rul_2", 99)]


async def test_an_older_holding_that_comes_late_is_never_told():
    signals = FakeSignals()
    news = make_news(signals, "rul_1")
    news.take(KEY, make_holding("2", version=7), set())
    news.take(KEY, make_holding("3", version=6), set())
    await news.tell()

    assert [holding.version for _, holding in signals.positions] == [7]


async def test_a_host_that_heard_of_one_change_of_two_is_told_of_both():
    signals = FakeSignals()
    news = make_news(signals, "rul_1", "rul_2")
    news.take(KEY, make_holding("2", version=1), {"rule/rul_1", "rule/rul_2"})
    news.take(KEY, make_holding("1", version=2), {"rule/rul_2"})
    await news.tell()

    assert [rule for rule, _ in signals.positions] == ["rul_1"]


async def test_a_rule_that_was_just_told_hears_that_its_size_is_back():
    """Its rows still show the first size, so that by them it is not concerned."""
    signals, found = FakeSignals(), FakeRules()
    found.open = ["rul_1"]
    news = PositionNews(found, signals)
    news.take(KEY, make_holding("0", version=1), set())
    await news.tell()
    found.open = []
    news.take(KEY, make_holding("10", version=2), set())
    await news.tell()

    assert [holding.version for _, holding in signals.positions] == [1, 2]


async def test_a_rule_that_was_told_lately_is_not_told_the_same_size_again():
    signals, found = FakeSignals(), FakeRules()
    found.open = ["rul_1"]
    news = PositionNews(found, signals)
    for version in (1, 2):
        news.take(KEY, make_holding("5", version=version), set())
        await news.tell()
        found.open = []

    assert [holding.version for _, holding in signals.positions] == [1]


async def test_what_one_position_was_told_is_remembered_while_another_is_told():
    signals, found, other = SlowSignals(), FakeRules(), replace(KEY, token_id=TokenId("other"))
    found.open = ["rul_1"]
    news = PositionNews(found, signals)
    news.take(KEY, make_holding("0", version=1), set())
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(news.tell())
        await signals.under_way.wait()
        news.take(other, make_holding("1", version=1), set())
        group.create_task(news.tell())
        await asyncio.sleep(0)
        signals.through.set()
    found.open = []
    news.take(KEY, make_holding("10", version=2), set())
    await news.tell()

    assert signals.positions[-1][1].version == 2


async def test_what_temporal_did_not_take_is_told_with_the_next_change():
    signals = FakeSignals()
    news = make_news(signals, "rul_1")
    signals.away = True
    news.take(KEY, make_holding("2", version=1), set())
    with pytest.raises(ConnectionError):
        await news.tell()
    signals.away = False
    await news.tell()

    assert [holding.version for _, holding in signals.positions] == [1]
