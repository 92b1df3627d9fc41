"""Leases of feed shards: one writer, fenced, over failures, hand-backs and changes of the layout."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from domain.messages import FeedShard
from domain.quotes import Quote
from storage.database import Database
from storage.repositories.feed_leases import FeedLeases, Lease, LeaseLost
from storage.repositories.feed_status import FeedStatus, FeedStatuses
from storage.repositories.tape import FeedGap, Tape, TapeEntry
from tests.storage.builders import START

FIRST = FeedShard(venue="polymarket")
STANDBY = replace(FIRST, replica=1)
LONG = timedelta(hours=1)
NOTHING = timedelta(microseconds=1)


def at(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def change(seconds: float) -> TapeEntry:
    quote = Quote(Decimal("0.40"), Decimal("0.42"), None)
    return TapeEntry(venue="polymarket", token_id="1", ts=START + at(seconds), quote=quote)


def gap(seconds: float) -> FeedGap:
    ended = START + at(seconds)
    return FeedGap(
        venue="polymarket", shard=0, token_id=None, started_at=START, ended_at=ended, reason="socket"
    )


class Feeds:
    """The leases of a database of its own."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.leases = FeedLeases(database, life=LONG)
        self.impatient = FeedLeases(database, life=NOTHING)  # finds every lease run out

    async def write(self, shard: FeedShard, lease: Lease, seconds: float, *changes: TapeEntry) -> bool:
        until = START + at(seconds)
        current = await self.leases.seen_until(shard)
        known = Lease(lease.fence, current)
        return await self.leases.write(shard, known, until=until, changes=changes, gaps=())

    async def taken(self, shard: FeedShard) -> Lease:
        lease = await self.leases.take(shard)
        assert lease is not None
        return lease

    async def taped(self) -> list[float]:
        pages = Tape(self.database).pages("polymarket", {"1": START})
        return [(row.ts - START).total_seconds() async for page in pages for row in page]


@pytest.fixture
def feeds(empty_database: Database) -> Feeds:
    return Feeds(empty_database)


async def test_first_feed_of_all_finds_that_nobody_saw_before(feeds: Feeds) -> None:
    assert await feeds.leases.seen_until(FIRST) is None
    assert await feeds.leases.newest_revision() == -1
    assert (await feeds.taken(FIRST)).seen_until is None


async def test_writer_tells_the_next_one_until_when_it_saw(feeds: Feeds) -> None:
    lease = await feeds.taken(FIRST)
    await feeds.write(FIRST, lease, 5, change(1), change(4))
    await feeds.write(FIRST, lease, 3)  # a clock that was set back takes nothing back
    assert (await feeds.taken(FIRST)).seen_until == START + at(5)
    assert await feeds.taped() == [1, 4]


async def test_feed_that_was_followed_by_another_writes_nothing(feeds: Feeds) -> None:
    old = await feeds.taken(FIRST)
    new = await feeds.taken(FIRST)
    with pytest.raises(LeaseLost):
        await feeds.write(FIRST, old, 5, change(1))
    await feeds.write(FIRST, new, 6)
    assert await feeds.taped() == []


async def test_standby_waits_for_the_lease_to_run_out(feeds: Feeds) -> None:
    first = await feeds.taken(FIRST)
    assert await feeds.leases.take(STANDBY) is None
    await feeds.write(FIRST, first, 7)
    await asyncio.sleep(0.001)
    lease = await feeds.impatient.take(STANDBY)
    assert lease is not None
    assert lease.seen_until == START + at(7)
    with pytest.raises(LeaseLost):
        await feeds.write(FIRST, first, 8, change(8))


async def test_standby_never_lays_the_first_layout(feeds: Feeds) -> None:
    assert await feeds.leases.take(STANDBY) is None
    assert await feeds.leases.read(STANDBY) is None


async def test_first_feed_that_is_back_asks_and_the_standby_gives_the_lease_back(feeds: Feeds) -> None:
    await feeds.taken(FIRST)
    await asyncio.sleep(0.001)
    standby = await feeds.impatient.take(STANDBY)
    assert standby is not None
    assert not await feeds.write(STANDBY, standby, 1, change(1))
    assert await feeds.leases.take(FIRST) is None
    assert await feeds.write(STANDBY, standby, 2, change(2))  # it is asked for
    await feeds.leases.give_back(STANDBY, standby)
    assert await feeds.leases.take(STANDBY) is None  # not for itself
    assert (await feeds.taken(FIRST)).seen_until == START + at(2)
    assert await feeds.taped() == [1, 2]


@pytest.mark.parametrize(
    ("report", "seen"),
    [
        ({"replica": 1}, True),
        ({"replica": 0}, False),
        ({"replica": 1, "shards": 2}, False),
        ({"replica": 1, "at": datetime.now(UTC) - timedelta(hours=2)}, False),
    ],
)
async def test_standby_that_reported_lately_is_known_to_see(
    feeds: Feeds, report: dict[str, int | datetime], seen: bool
) -> None:
    await feeds.taken(FIRST)
    status = FeedStatus(
        venue="polymarket",
        shard=0,
        websocket=True,
        tokens=1,
        rules=1,
        newest_quote_age_ms=0,
        polling=False,
        at=datetime.now(UTC),
    )
    await FeedStatuses(feeds.database).put(replace(status, **report))  # type: ignore[arg-type]
    states = [await feeds.leases.read(shard) for shard in (FIRST, STANDBY)]
    assert [state is not None and state.standby_sees for state in states] == [seen, False]


async def test_standby_takes_over_at_once_what_was_given_back_in_order(feeds: Feeds) -> None:
    lease = await feeds.taken(FIRST)
    await feeds.leases.give_back(FIRST, lease)
    await feeds.taken(STANDBY)


async def test_asking_by_a_standby_does_not_disturb_the_first_feed(feeds: Feeds) -> None:
    lease = await feeds.taken(FIRST)
    assert await feeds.leases.take(STANDBY) is None
    assert not await feeds.write(FIRST, lease, 1)


async def test_write_whose_answer_was_lost_is_not_repeated(feeds: Feeds) -> None:
    lease = await feeds.taken(FIRST)
    first, second = change(1), change(2)
    for seconds in (1.5, 3):  # the second time nothing is known of the first
        until = START + at(seconds)
        await feeds.leases.write(
            FIRST, lease, until=until, changes=[first, second][: int(seconds)], gaps=[gap(1)]
        )
    lease = replace(lease, seen_until=until)
    await feeds.leases.write(FIRST, lease, until=START + at(4), changes=[change(0.5)], gaps=())
    assert await feeds.taped() == [0.5, 1, 2]
    assert len(await Tape(feeds.database).gaps("polymarket", START)) == 1


async def test_other_number_of_shards_begins_where_the_oldest_shard_ended(feeds: Feeds) -> None:
    whole = await feeds.taken(FIRST)
    await feeds.write(FIRST, whole, 10)
    halves = [replace(FIRST, shard=number, shards=2, revision=1) for number in range(2)]
    assert await feeds.leases.seen_until(halves[1]) == START + at(10)
    leases = [await feeds.taken(half) for half in halves]
    assert {lease.seen_until for lease in leases} == {START + at(10)}
    with pytest.raises(LeaseLost):
        await feeds.write(FIRST, whole, 11, change(11))
    await feeds.write(halves[0], leases[0], 20)
    await feeds.write(halves[1], leases[1], 30)
    assert await feeds.leases.newest_revision() == 1
    whole_again = replace(FIRST, revision=2)
    assert (await feeds.taken(whole_again)).seen_until == START + at(20)


async def test_feed_of_an_older_layout_does_not_bring_it_back(feeds: Feeds) -> None:
    half = replace(FIRST, shards=2, revision=1)
    await feeds.taken(FIRST)
    lease = await feeds.taken(half)
    assert await feeds.leases.take(FIRST) is None
    assert await feeds.leases.take(STANDBY) is None
    await feeds.write(half, lease, 1, change(1))
    assert await feeds.taped() == [1]


async def test_of_feeds_that_lay_the_same_layout_at_once_none_undoes_the_other(feeds: Feeds) -> None:
    halves = [replace(FIRST, shard=number, shards=2, revision=1) for number in range(2)]
    leases = await asyncio.gather(*(feeds.taken(half) for half in halves))
    for half, lease in zip(halves, leases, strict=True):
        await feeds.write(half, lease, 1)
