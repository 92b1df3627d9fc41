"""What nearly fired, from the socket's frame to the event log."""

from tests.e2e.scene import IN_THE_STACKS_LOOP, Holdfast, stop_at

pytestmark = IN_THE_STACKS_LOOP


async def test_level_that_a_guard_held_back_is_in_the_log_and_the_stop_fires_later(
    holdfast: Holdfast,
) -> None:
    scene = await holdfast.protected(stop_at("0.50"), max_spread="0.03")
    await scene.market.quote("0.44", "0.50")
    await scene.market.quote("0.59")
    held = await scene.rule.event("rule.held_back")
    assert held["data"]["held_by"] == "spread_too_wide"
    assert held["data"]["price"] == "0.47"
    explained = await scene.trader.api.get(f"{scene.rule.path}/explain")
    assert [miss["held_by"] for miss in explained["history"]["near_misses"]] == ["spread_too_wide"]
    await scene.market.quote("0.45")
    row = await scene.rule.done()
    assert row["fired"]["price"] == "0.455"
    await scene.audit()
