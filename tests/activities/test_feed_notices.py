"""Near misses and samples of a feed: seen beside the quotes, written in batches by the feed that writes."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from activities.feed_board import Moment, QuoteBoard
from activities.feed_notices import FeedNotices, NoticeSettings
from domain.messages import Severity
from tests.activities.feed_floor import LIMIT_S, SHARD, FeedFloor, book, quote
from tests.domain.builders import ACCOUNT, TOKEN, D

STOP = {"type": "stop_loss", "price": "0.40"}
TARGET = {"type": "take_profit", "price": "0.60"}


class Watched:
    """A board with notices beside it, and a clock that tests move."""

    def __init__(self, **settings):
        self.floor = FeedFloor()
        self.board = QuoteBoard(SHARD.venue)
        self.writes = True
        self.notices = FeedNotices(
            self.board,
            self.floor,
            self.floor.clock,
            NoticeSettings(**settings),
            writes=lambda: self.writes,
        )

    def arm(self, *conditions, rule="rul_1", **fields):
        self.board.add(self.floor.watch(*conditions, rule=rule, **fields), (), self.now)
        self.floor.clock.pass_s(1)
        return self

    @property
    def now(self):
        return Moment.now(self.floor.clock)

    def quoted(self, *prices):
        for price in prices:
            bid, ask = price if isinstance(price, tuple) else (price, price)
            self.floor.clock.pass_s(1)
            self.board.take(TOKEN, quote(bid, ask), self.now)
            self.notices.saw(TOKEN, quote(bid, ask), self.now)
        return self

    async def told(self):
        await self.notices.look()
        await self.notices.write()
        told, self.floor.told = self.floor.told, []
        return told


async def test_near_miss_is_told_of_the_rule_with_its_figures():
    (event,) = await Watched().arm(STOP).quoted("0.50", "0.41", "0.50").told()

    assert (event.type, event.rule_id, event.account_id) == ("rule.near_miss", "rul_1", ACCOUNT)
    assert event.message == "stop_loss at 0.40 was missed by 0.01: the price came to 0.41."
    assert (event.data["level"], event.data["price"], event.data["count"]) == ("0.4", "0.41", "1")
    assert event.severity is Severity.INFO


async def test_level_that_a_guard_held_back_for_long_is_a_warning_and_names_the_guard():
    watched = Watched(lasting=timedelta(seconds=30)).arm(STOP, max_spread="0.02")
    nothing = await watched.quoted("0.50", ("0.30", "0.40")).told()
    watched.floor.clock.pass_s(60)
    (event,) = await watched.told()

    assert nothing == []
    assert (event.type, event.severity) == ("rule.held_back", Severity.WARNING)
    assert event.data["held_by"] == "spread_too_wide"
    assert "has been so since" in event.message


async def test_noise_is_merged_into_few_lines():
    watched = Watched().arm(STOP)
    lines = []
    for _ in range(600):  # twenty minutes of a market that comes near every other second
        lines += await watched.quoted("0.41", "0.50").told()

    assert len(lines) == 5
    assert sum(int(event.data["count"]) for event in lines) > 400


async def test_storage_that_is_away_delays_near_misses_and_loses_none():
    watched = Watched().arm(STOP).quoted("0.50", "0.41", "0.50")
    watched.floor.storage_away = True
    nothing = await watched.told()
    watched.floor.storage_away = False

    assert nothing == []
    assert [event.type for event in await watched.told()] == ["rule.near_miss"]


async def test_samples_take_rules_in_turn_and_pass_over_those_whose_quote_stands_still():
    watched = Watched(samples=2)
    for rule in ("rul_1", "rul_2", "rul_3"):
        watched.arm(STOP, TARGET, rule=rule)
    watched.quoted("0.50")
    sampled = []
    for _ in range(3):
        await watched.notices.sample()
        sampled.append([event.rule_id for event in await watched.told()])
    watched.quoted("0.52")
    await watched.notices.sample()
    (later, _) = await watched.told()

    assert sampled == [["rul_1", "rul_2"], ["rul_3"], []]
    assert later.type == "rule.evaluated"
    assert later.message.startswith("The price is 0.52. stop_loss at 0.40: 0.12 down from here")


async def test_book_tells_how_near_is_near():
    watched = Watched().arm(STOP)
    watched.notices.saw_book(replace(book(TOKEN, "0.50", "0.50"), tick=D("0.1")))

    assert [event.type for event in await watched.quoted("0.50", "0.59", "0.70").told()] == ["rule.near_miss"]


async def test_look_that_costs_too_much_is_cut_short():
    watched = Watched(slice_s=0, look_costs_s=-1)
    for rule in ("rul_1", "rul_2", "rul_3"):
        watched.arm(STOP, rule=rule)

    assert len(await watched.quoted("0.50", "0.41", "0.50").told()) == 1


async def test_standby_keeps_silent_and_tells_what_it_sees_once_it_writes():
    watched = Watched(look_s=0, write_s=0, sample_s=3600).arm(STOP, TARGET)
    watched.writes = False
    running = asyncio.create_task(watched.notices.run())
    watched.quoted("0.50", "0.41", "0.50")
    for _ in range(10):
        await asyncio.sleep(0)
    watched.writes = True
    watched.quoted("0.59", "0.50")
    await watched.floor.until(lambda: watched.floor.told)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert [event.data["condition"] for event in watched.floor.told] == ["take_profit"]


async def test_what_waits_at_the_end_of_a_session_is_written():
    floor = feed_of_a_stop()
    async with floor.running(notices=NoticeSettings(look_s=3600)):
        for prices in ("0.41", "0.50"):
            floor.clock.pass_s(0.1)
            await floor.quoted(prices, prices)
        await floor.until(lambda: len(floor.entries) >= 3)

    assert [event.type for event in floor.told] == ["rule.near_miss"]


async def test_failure_of_the_notices_leaves_the_feed_running():
    floor, failed = feed_of_a_stop(), asyncio.Event()

    async def broken(*events):
        failed.set()
        raise ValueError("a defect")

    floor.tell = broken
    async with floor.running(notices=NoticeSettings(look_s=0.01, write_s=0.01)):
        for prices in ("0.41", "0.50"):
            floor.clock.pass_s(0.1)
            await floor.quoted(prices, prices)
        async with asyncio.timeout(LIMIT_S):
            await failed.wait()
        await floor.quoted("0.39", "0.39")
        await floor.until(lambda: floor.crossings)

    assert floor.crossings[0].price == quote("0.39", "0.39").bid


async def test_old_observations_are_removed_after_their_time():
    watched = Watched(kept=timedelta(days=3))
    await watched.notices.prune()

    assert watched.floor.pruned_before == [watched.floor.clock.now() - timedelta(days=3)]


def feed_of_a_stop():
    floor = FeedFloor()
    floor.watch(STOP)
    floor.books_at[TOKEN] = ("0.50", "0.50")
    return floor
