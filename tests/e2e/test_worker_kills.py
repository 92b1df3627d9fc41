"""Workers killed around the one moment that matters: while an exit goes out."""

import psutil

from runtime.embedded.stack import Part
from tests.e2e.scene import CORE_WORKERS, IN_THE_STACKS_LOOP, Holdfast, posts_by_id
from tests.e2e.waiting import until

pytestmark = IN_THE_STACKS_LOOP


async def test_crossing_sells_once_and_all_books_agree(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    await scene.market.quote("0.40")
    row = await scene.rule.done()
    assert row["sold_shares"] == "10"
    await scene.audit()


async def test_worker_killed_before_the_venue_received_the_order_sends_the_same_order_again(
    holdfast: Holdfast,
) -> None:
    scene = await holdfast.protected()
    barrier = await holdfast.hold(scene.market, "before_receive")
    await scene.market.quote("0.40")
    await barrier.arrival()
    for part in CORE_WORKERS:
        holdfast.kill_only(part)
    await scene.market.await_posts(1)  # of the next worker: the first one's request is still held
    await barrier.release()
    posts = await scene.market.await_posts(2)
    assert list(posts_by_id(posts).values()) == [["accepted", "held"]]
    await scene.rule.done()
    await scene.audit()


async def test_worker_killed_after_the_venue_accepted_finds_the_order_again(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    barrier = await holdfast.hold(scene.market, "after_accept")
    await scene.market.quote("0.40")
    await barrier.arrival()
    for part in CORE_WORKERS:
        holdfast.kill_only(part)
    await barrier.release()
    await scene.rule.done()
    assert list(posts_by_id(await scene.market.posts()).values()) == [["accepted"]]
    await scene.audit()


async def test_worker_killed_after_accept_with_lagging_look_ups_resends_and_is_told_of_the_duplicate(
    holdfast: Holdfast,
) -> None:
    scene = await holdfast.protected()
    barrier = await holdfast.hold(scene.market, "after_accept")
    await scene.market.quote("0.40")
    await barrier.arrival()
    await holdfast.admin.plant_fault(
        "lookup_missing", address=scene.trader.address, times=None, delay_ms=60_000
    )
    for part in CORE_WORKERS:
        holdfast.kill_only(part)
    await barrier.release()
    posts = await scene.market.await_posts(2)
    assert list(posts_by_id(posts).values()) == [["accepted", "duplicate"]]
    await holdfast.admin.clear_faults()
    await scene.rule.done()
    await scene.audit()


async def test_worker_killed_after_the_answer_came_and_before_it_was_written_down(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    barrier = await holdfast.hold(scene.market, "before_answer")
    await scene.market.quote("0.40")
    await barrier.arrival()
    async with holdfast.claims_locked(scene.market):
        await barrier.release()
        await until(scene.market.posts, lambda posts: posts[0].answered, "the answer")
        for part in CORE_WORKERS:
            holdfast.kill_only(part)
    await scene.rule.done()
    assert list(posts_by_id(await scene.market.posts()).values()) == [["accepted"]]
    await scene.audit()


async def test_worker_that_books_gives_way_to_those_that_sell(holdfast: Holdfast) -> None:
    niceness: dict[Part, int] = {}
    for part in (Part.WORKER_CORE_1, Part.WORKER_FEED, Part.WORKER_IO):
        pid = holdfast.stack.supervisor.pid(part)
        assert pid is not None
        niceness[part] = psutil.Process(pid).nice()
    assert niceness[Part.WORKER_IO] > niceness[Part.WORKER_CORE_1] == niceness[Part.WORKER_FEED]
