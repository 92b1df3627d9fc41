"""The feed killed, paused or deaf while the price crosses."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

from domain.ids import feed_workflow_id
from runtime.embedded.stack import Part
from runtime.settings import TuningSettings
from tests.e2e.scene import IN_THE_STACKS_LOOP, Holdfast, stop_at
from tests.e2e.waiting import until

pytestmark = IN_THE_STACKS_LOOP

FEED = feed_workflow_id("polymarket", 0)


async def test_feed_killed_while_the_price_crosses_fires_after_its_return(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    generation, killed = holdfast.kill_only(Part.WORKER_FEED), datetime.now(UTC)
    await scene.market.quote("0.40")
    await holdfast.stack.wait_healthy(Part.WORKER_FEED, after=generation)
    row = await scene.rule.done()
    assert row["sold_shares"] == "10"
    await holdfast.found(
        "SELECT 1 FROM feed_gaps WHERE reason = 'restart' AND started_at <= $1 AND ended_at > $1", killed
    )
    await scene.audit()


async def test_feed_paused_while_the_price_crosses_fires_when_it_goes_on(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    await _pause_feed(holdfast)
    await scene.market.quote("0.40")
    holdfast.stack.supervisor.resume(Part.WORKER_FEED)
    row = await scene.rule.done()
    assert row["sold_shares"] == "10"
    await scene.audit()


async def test_frames_that_waited_out_a_pause_never_trade(holdfast: Holdfast) -> None:
    scene, probe = await holdfast.protected(), await holdfast.protected()
    await _pause_feed(holdfast)
    await scene.market.quote("0.40")
    await scene.market.quote("0.59")
    await probe.market.quote("0.40")  # comes last: when its rule has fired, the frames before it were taken
    holdfast.stack.supervisor.resume(Part.WORKER_FEED)
    await probe.rule.done()
    await probe.audit()
    row = await scene.rule.row()
    assert (row["status"], row["phase"], row["generation"]) == ("ACTIVE", "armed", 1)
    assert await scene.rule.events("rule.triggered") == []
    await scene.audit(sells=0, left="10")
    await scene.market.quote("0.39")
    row = await scene.rule.done()
    assert row["fired"]["quote"]["bid"] == "0.39"
    await scene.audit()


async def _pause_feed(holdfast: Holdfast) -> None:
    """Stops the feed's process for longer than it may stand still, until Temporal has missed it."""
    before = await holdfast.attempts_of_activity(FEED)
    holdfast.stack.supervisor.pause(Part.WORKER_FEED)

    async def attempts() -> int:
        return await holdfast.attempts_of_activity(FEED)

    await asyncio.sleep(1.1 * TuningSettings().scaled(0.1).feed_heartbeat.total_seconds())
    await until(attempts, lambda attempt: attempt > before, "the missed heartbeat")


async def test_trailing_mark_survives_a_feed_kill_exactly(holdfast: Holdfast) -> None:
    scene = await holdfast.protected({"type": "trailing_stop", "percent": "10"})
    await scene.market.quote("0.69")
    await holdfast.found(
        "SELECT 1 FROM trail_marks WHERE rule_id = $1 AND mark = $2", scene.rule.id, Decimal("0.695")
    )
    generation = holdfast.kill_only(Part.WORKER_FEED)
    await scene.market.quote("0.63")  # 0.635 lies above the level of 0.6255
    await holdfast.stack.wait_healthy(Part.WORKER_FEED, after=generation)
    await scene.market.watched()
    assert (await scene.rule.row())["phase"] == "armed"
    await scene.market.quote("0.62")  # 0.625 does not
    row = await scene.rule.done()
    fired = row["fired"]
    assert (fired["quote"]["bid"], fired["mark"], fired["level"]) == ("0.62", "0.695", "0.6255")
    await scene.audit()


async def test_silent_socket_with_a_living_keep_alive_is_noticed_and_the_rule_fires(
    holdfast: Holdfast,
) -> None:
    scene = await holdfast.protected(stop_at("0.50"))
    await holdfast.admin.sockets("market", "silence")
    try:
        await scene.market.quote("0.40")
        row = await scene.rule.done()
    finally:
        await holdfast.admin.sockets("market", "resume")
    assert row["sold_shares"] == "10"
    await scene.audit()


async def test_duplicated_and_disordered_frames_change_nothing(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    await holdfast.admin.sockets("market", "duplicate", times=3)
    await holdfast.admin.sockets("user", "duplicate", times=3)
    await holdfast.admin.sockets("user", "reorder", times=2)
    await scene.market.quote("0.45")
    row = await scene.rule.done()
    assert row["sold_shares"] == "10"
    await scene.audit()
