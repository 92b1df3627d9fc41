"""Temporal or Postgres away, everything restarted, no websocket: on stacks that nobody else uses.

What comes back by itself is killed in one stack of this module; an orderly restart and other settings need
stacks of their own.
"""

import time
from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from bench.client import Refused
from runtime.embedded.stack import ALL_PARTS, Part
from tests.conftest import traversable_folder
from tests.e2e.conftest import StartHoldfast, full_stack
from tests.e2e.scene import IN_THE_STACKS_LOOP, Holdfast, Protected, stop_at
from tests.e2e.waiting import until

pytestmark = IN_THE_STACKS_LOOP

BACK_WITHIN_S = 10.0
QUOTE_AGE_LIMIT_MS = 10_000  # many polls, and what a loaded machine may add


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def battered() -> AsyncGenerator[Holdfast]:
    """The module's stack, whose Temporal and Postgres are killed again and again."""
    with traversable_folder() as folder:
        async with full_stack(folder) as stack, Holdfast.on(stack) as holdfast:
            yield holdfast


@pytest_asyncio.fixture(loop_scope="session")
async def holdfast(battered: Holdfast) -> Holdfast:
    """The module's stack, whole again."""
    await battered.stack.wait_healthy()
    return battered


async def test_rules_armed_before_everything_was_killed_fire_afterwards(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    await holdfast.kill(*ALL_PARTS)
    await scene.market.watched()
    assert (await scene.rule.row())["phase"] == "armed"
    await scene.market.quote("0.40")
    row = await scene.rule.done()
    assert row["sold_shares"] == "10"
    await scene.audit()


async def test_rules_armed_before_an_orderly_restart_fire_afterwards_from_their_marks() -> None:
    with traversable_folder() as folder:
        async with full_stack(folder) as stack, Holdfast.on(stack) as before:
            trail = {"type": "trailing_stop", "percent": "10"}
            scene = await before.protected(trail)
            await scene.market.quote("0.69")
            await before.found("SELECT 1 FROM trail_marks WHERE rule_id = $1 AND mark > 0.69", scene.rule.id)
        async with full_stack(folder) as stack, Holdfast.on(stack) as after:
            again = _seen_by(after, scene)
            await again.market.watched()
            await again.market.quote("0.62")
            row = await again.rule.done()
            fired = row["fired"]
            assert (fired["quote"]["bid"], fired["mark"], fired["level"]) == ("0.62", "0.695", "0.6255")
            await again.audit()


def _seen_by(holdfast: Holdfast, scene: Protected) -> Protected:
    """Returns the same account, market and rule as another stack's clients see them."""
    trader = scene.trader.on(holdfast)
    return Protected(trader, scene.market.on(holdfast), scene.rule.of(trader))


async def test_exit_goes_out_once_after_temporal_was_away_while_the_price_crossed(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    async with holdfast.kept_away(Part.TEMPORAL, holdfast.stack.ports.temporal):
        await scene.market.quote("0.40")
        await _taped(holdfast, scene, "0.40")  # the feed quotes on
        body = {"token_id": scene.market.token_id, "conditions": [stop_at("0.30")]}
        with pytest.raises(Refused) as refused:
            await scene.trader.api.post("/api/v2/rules", body)
        assert (refused.value.status, refused.value.code) == (503, "temporal_unavailable")
        assert (await scene.rule.row())["phase"] == "armed"
        assert await scene.market.posts() == []
    row = await scene.rule.done()
    assert row["sold_shares"] == "10"
    await scene.audit()


async def test_crossing_that_could_not_be_told_is_found_on_the_tape(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    async with holdfast.kept_away(Part.TEMPORAL, holdfast.stack.ports.temporal):
        await scene.market.quote("0.40")
        await _taped(holdfast, scene, "0.40")
        holdfast.kill_only(Part.WORKER_FEED)  # and with it what it held for delivery
        await scene.market.quote("0.59")
    row = await scene.rule.done()
    assert row["fired"]["quote"]["bid"] == "0.4"
    await scene.audit()


async def _taped(holdfast: Holdfast, scene: Protected, bid: str) -> None:
    """Waits until a quote stands on the product's own tape."""
    query = "SELECT 1 FROM tape WHERE token_id = $1 AND bid = $2::text::numeric"
    await holdfast.found(query, scene.market.token_id, bid)


async def test_nothing_is_sent_while_postgres_is_away_and_once_when_it_is_back(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    async with holdfast.kept_away(Part.POSTGRES, holdfast.stack.ports.postgres):
        await scene.market.quote("0.40")
        await scene.rule.signalled()

        async def tries() -> int:
            return await holdfast.attempts_of_activity(scene.rule.workflow_id)

        await until(tries, lambda attempt: attempt > 2, "tries to claim")
        assert await scene.market.posts() == []
        with pytest.raises(Refused) as refused:
            await scene.rule.row()
        assert (refused.value.status, refused.value.code) == (503, "storage_unavailable")
    back = time.monotonic()
    await scene.market.await_posts(1)
    assert time.monotonic() - back <= BACK_WITHIN_S
    await scene.rule.done()
    assert len(await scene.market.posts()) == 1
    await scene.audit()


async def test_order_in_flight_when_postgres_goes_ends_as_one_order(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    barrier = await holdfast.hold(scene.market, "before_answer")
    await scene.market.quote("0.40")
    await barrier.arrival()
    async with holdfast.kept_away(Part.POSTGRES, holdfast.stack.ports.postgres):
        await barrier.release()
        await until(scene.market.posts, lambda posts: posts[0].answered, "the answer")
    row = await scene.rule.done()
    assert row["sold_shares"] == "10"
    await scene.audit()


async def test_rule_fires_by_polling_alone(own_holdfast: StartHoldfast) -> None:
    holdfast = await own_holdfast(TRADE_MANAGER_WS_ENABLED="false", TRADE_MANAGER_POLL_INTERVAL_S="0.3")
    trader, market = await holdfast.open_trader(), await holdfast.open_market()
    await trader.buy(market)
    rule = await trader.arm(market, stop_at("0.50"))
    status = await until(
        lambda: trader.api.get("/api/v2/rules/status"),
        lambda s: s["tokens_polled"] == 1 and s["newest_quote_age_ms"] is not None,
        "the polled token",
    )
    assert status["running"]
    assert not status["websocket"]
    assert 0 <= status["newest_quote_age_ms"] < QUOTE_AGE_LIMIT_MS
    await market.quote("0.40")
    row = await rule.done()
    assert row["sold_shares"] == "10"
    await trader.audit(market, rule, sells=1)
