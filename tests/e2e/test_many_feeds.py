"""A venue in shards with standbys: a feed dies or stands still, the layout changes, nothing is lost."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import pytest_asyncio

from runtime.embedded.stack import ALL_PARTS, Part
from tests.conftest import traversable_folder
from tests.e2e.conftest import full_stack
from tests.e2e.scene import IN_THE_STACKS_LOOP, Holdfast, Protected
from tests.e2e.waiting import until
from worker.singletons import ensure_feeds

pytestmark = IN_THE_STACKS_LOOP

SHARDS = 2
PARTS = ALL_PARTS | {Part.WORKER_FEED_STANDBY}
FEEDS = {"HOLDFAST_FEED_STANDBY": "true", "HOLDFAST_FEED_SHARDS": str(SHARDS)}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running() -> AsyncGenerator[Holdfast]:
    """A stack with two shards, each with a standby in a process of its own."""
    with traversable_folder() as folder:
        async with full_stack(folder, PARTS, **FEEDS) as stack, Holdfast.on(stack) as holdfast:
            yield holdfast


@pytest_asyncio.fixture(loop_scope="session")
async def holdfast(running: Holdfast) -> Holdfast:
    """The stack whole again: every shard fed twice, the tape written by the first feeds."""
    await running.stack.wait_healthy()
    await writers(running, {(shard, False) for shard in range(SHARDS)})
    return running


async def writers(holdfast: Holdfast, wanted: set[tuple[int, bool]]) -> None:
    """Waits until these feeds say that they write, and no others: shard, and whether it is a standby."""
    async with holdfast.database() as connection:

        async def writing() -> set[tuple[int, bool]]:
            rows = await connection.fetch(
                "SELECT shard, replica > 0 FROM feed_status"
                " WHERE writes_tape AND at > now() - interval '2.5 seconds'"
            )
            return {(row[0], row[1]) for row in rows}

        await until(writing, lambda found: found == wanted, "the feeds that write")


async def watched_twice(holdfast: Holdfast, scene: Protected) -> None:
    """Waits until both feeds of its shard follow a token."""

    async def followers() -> int:
        sockets = (await holdfast.admin.open_sockets())["market"]
        assert isinstance(sockets, list)
        return sum(1 for s in sockets if isinstance(s, dict) and scene.market.token_id in str(s["token_ids"]))

    await until(followers, lambda count: count == 2, "both feeds on the token")


async def test_crossing_that_two_feeds_signal_sells_once(holdfast: Holdfast) -> None:
    scenes = [await holdfast.protected() for _ in range(3)]
    for scene in scenes:
        await watched_twice(holdfast, scene)
        await scene.market.quote("0.40")
    for scene in scenes:
        assert (await scene.rule.done())["sold_shares"] == "10"
        assert len(await scene.rule.events("rule.triggered")) == 1
        await scene.audit()


async def test_standby_fires_and_writes_while_the_first_feed_stands_still(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    await watched_twice(holdfast, scene)
    began = datetime.now(UTC)
    holdfast.stack.pause(Part.WORKER_FEED)
    try:
        await scene.market.quote("0.40")
        row = await scene.rule.done()
        await holdfast.found("SELECT 1 FROM tape WHERE token_id = $1 AND bid = 0.40", scene.market.token_id)
    finally:
        holdfast.stack.resume(Part.WORKER_FEED)
    assert row["sold_shares"] == "10"
    await scene.audit()
    await writers(holdfast, {(shard, False) for shard in range(SHARDS)})
    async with holdfast.database() as connection:
        assert await connection.fetch("SELECT * FROM feed_gaps WHERE ended_at > $1", began) == []


async def test_first_feed_killed_while_the_price_crosses_costs_nothing(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    await watched_twice(holdfast, scene)
    generation = holdfast.kill_only(Part.WORKER_FEED)
    await scene.market.quote("0.40")
    row = await scene.rule.done()
    assert row["sold_shares"] == "10"
    await scene.audit()
    await holdfast.stack.wait_healthy(Part.WORKER_FEED, after=generation)


async def test_rules_survive_a_change_of_the_number_of_shards(holdfast: Holdfast) -> None:
    scenes = [await holdfast.protected() for _ in range(3)]
    for shards in (3, 1, SHARDS):
        await ensure_feeds(holdfast.temporal, holdfast.stack.settings({"HOLDFAST_FEED_SHARDS": str(shards)}))
        scene = scenes.pop()
        await scene.market.quote("0.40")  # while the feeds move
        assert (await scene.rule.done())["sold_shares"] == "10"
        await scene.audit()
        await writers(holdfast, {(shard, False) for shard in range(shards)})
        await asyncio.gather(*(watched_twice(holdfast, scene) for scene in scenes))
