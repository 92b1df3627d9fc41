"""Markets that pause, change their terms or hold orders back: an exit waits, fits itself, sells once."""

from decimal import Decimal

from simulator.client import AdminOrder
from tests.e2e.scene import ENTRY, IN_THE_STACKS_LOOP, Holdfast, Market, Protected, posts_by_id, stop_at
from tests.e2e.waiting import until

pytestmark = IN_THE_STACKS_LOOP


async def protected_on(holdfast: Holdfast, market: Market) -> Protected:
    """Buys in a market that the test opened, and arms a stop at 0.50."""
    await market.quote("0.59", ENTRY)
    trader = await holdfast.open_trader()
    await trader.buy(market)
    rule = await trader.arm(market, stop_at("0.50"))
    await market.watched()
    return Protected(trader, market, rule)


async def test_exit_waits_out_a_pause_of_its_market(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    await holdfast.admin.set_market_state(scene.market.condition_id, active=False)
    await scene.market.quote("0.40")
    row = await scene.rule.phase("waiting")
    assert row["status"] == "TRIGGERED"
    await holdfast.admin.set_market_state(scene.market.condition_id, active=True)
    await scene.rule.done()
    (outcomes,) = posts_by_id(await scene.market.posts()).values()
    assert (outcomes[0], outcomes[-1]) == ("refused", "accepted")
    await scene.audit()


async def test_exit_waits_through_a_dispute_and_ends_with_the_resolution(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    await holdfast.admin.set_market_state(
        scene.market.condition_id, closed=True, uma_statuses=["proposed", "disputed"]
    )
    await scene.market.quote("0.40")
    await scene.rule.phase("waiting")
    await holdfast.admin.resolve(scene.market.condition_id, scene.market.token_id)
    await scene.rule.done("FAILED")
    assert await scene.market.orders() == []


async def test_exit_below_its_floor_ends_when_its_market_resolves(holdfast: Holdfast) -> None:
    scene = await holdfast.protected(stop_at("0.50"), floor="0.45")
    await scene.market.quote("0.40")
    await scene.rule.phase("waiting")
    await holdfast.admin.resolve(scene.market.condition_id, scene.market.token_id)
    await scene.rule.phase("done")
    assert await scene.market.posts() == []


async def test_exit_fits_itself_to_ticks_that_change_while_armed_and_on_the_way(holdfast: Holdfast) -> None:
    """In a neg-risk market, so that every attempt is signed for that exchange."""
    opened = await holdfast.admin.create_market("Which one?", fee_rate="0.04", neg_risk=True)
    scene = await protected_on(holdfast, Market(holdfast, opened))
    await holdfast.admin.set_tick_size(scene.market.condition_id, "0.001")
    await scene.rule.signalled("market_changed")
    barrier = await holdfast.hold(scene.market, "before_receive")
    await scene.market.quote("0.405", "0.406")
    await barrier.arrival()
    await holdfast.admin.set_tick_size(scene.market.condition_id, "0.1")
    await scene.market.quote("0.4", "0.5")
    await barrier.release()
    row = await scene.rule.done()
    assert row["sold_shares"] == "10"
    posts = await scene.market.posts()
    refused = next(post for post in posts if post.outcome == "refused")
    assert "breaks minimum tick size rule: 0.1" in refused.text
    assert Decimal(refused.price or "0") % Decimal("0.01") != 0, "the first attempt is on the fine grid"
    assert (posts[-1].outcome, Decimal(posts[-1].price or "0") % Decimal("0.1")) == ("accepted", 0)
    await scene.audit()


async def test_exit_held_by_the_venue_is_followed_and_built_anew_when_it_is_killed(
    holdfast: Holdfast,
) -> None:
    opened = await holdfast.admin.create_market("Who wins?", fee_rate="0.04")
    scene = await protected_on(holdfast, Market(holdfast, opened))
    await holdfast.admin.set_market_state(scene.market.condition_id, seconds_delay=600)

    async def held() -> list[AdminOrder]:
        orders = await holdfast.admin.orders(scene.trader.address)
        return [order for order in orders if order.status == "DELAYED"]

    await scene.market.quote("0.40")
    (first,) = await until(held, bool, "a held order")
    await scene.rule.phase("exiting")
    await scene.market.quote("0.30")  # its counterpart leaves
    assert await holdfast.admin.release_held() == 1
    (second,) = await until(held, bool, "the next attempt, held as well")
    assert second.id != first.id
    assert await holdfast.admin.release_held() == 1
    row = await scene.rule.done()
    assert (row["sold_shares"], row["proceeds_usd"]) == ("10", "3")
    assert list(posts_by_id(await scene.market.posts()).values()) == [["accepted"], ["accepted"]]
    await scene.audit()
