"""Trades that the venue takes back after they filled."""

from collections.abc import AsyncGenerator

import pytest_asyncio

from simulator.client import AdminTrade
from tests.e2e.scene import IN_THE_STACKS_LOOP, Holdfast, Protected, stop_at
from tests.e2e.waiting import until

pytestmark = IN_THE_STACKS_LOOP


@pytest_asyncio.fixture(loop_scope="session")
async def by_hand(holdfast: Holdfast) -> AsyncGenerator[Holdfast]:
    """The shared stack; a test may set `trade_mode` to manual, and it is automatic again afterwards."""
    yield holdfast
    await holdfast.admin.settings(trade_mode="auto")


async def test_trade_that_fails_after_the_exit_filled_is_reversed_and_sold_again(by_hand: Holdfast) -> None:
    scene = await by_hand.protected()
    await by_hand.admin.settings(trade_mode="manual")
    await scene.market.quote("0.40")
    first = (await _sales(scene, 1))[0]
    await until(lambda: scene.trader.position(scene.market), lambda p: p["shares"] == "0", "the booked sale")
    await by_hand.admin.set_trade_status(first.id, "FAILED")
    trades = await _sales(scene, 2)
    second = next(trade for trade in trades if trade.id != first.id)
    assert (await scene.rule.row())["phase"] != "done"
    await by_hand.admin.set_trade_status(second.id, "CONFIRMED")
    row = await scene.rule.done()
    assert row["sold_shares"] == "10"
    kinds = [entry["kind"] for entry in await scene.trader.ledger(scene.market)]
    assert kinds.count("reversal") == 1
    await scene.audit(sells=2)


async def test_trade_that_fails_after_its_rule_was_terminated_is_sold_again_by_an_order_of_its_own(
    by_hand: Holdfast,
) -> None:
    scene, first = await _partly_sold(by_hand)
    await by_hand.temporal.get_workflow_handle(scene.rule.workflow_id).terminate("by hand")
    await by_hand.admin.set_trade_status(first.id, "FAILED")
    await by_hand.admin.settings(trade_mode="auto")
    await scene.market.quote("0.47")
    await _sales(scene, 2)
    kinds = await until(lambda: _kinds(scene), lambda k: k.count("confirmation") == 2, "the second sale")
    assert kinds.count("reversal") == 1
    await scene.trader.audit(scene.market, sells=2, left="6")


async def test_trade_that_fails_after_its_rule_was_cancelled_comes_back_and_stays_with_its_owner(
    by_hand: Holdfast,
) -> None:
    scene, first = await _partly_sold(by_hand)
    answer = await scene.trader.api.delete(scene.rule.path)
    assert (answer["outcome"], answer["residual_shares"]) == ("canceled_with_residual", "6")
    await by_hand.admin.set_trade_status(first.id, "FAILED")
    await until(lambda: _kinds(scene), lambda kinds: "reversal" in kinds, "the reversal")
    await scene.market.quote("0.47")
    await scene.audit(left="10")


async def _partly_sold(by_hand: Holdfast) -> tuple[Protected, AdminTrade]:
    """A stop that sold four of ten shares, not confirmed, and waits above its floor with the rest."""
    scene = await by_hand.protected(stop_at("0.50"), floor="0.45")
    await by_hand.admin.settings(trade_mode="manual")
    await scene.market.quote("0.46", size="4")
    (first,) = await _sales(scene, 1)
    await scene.market.quote("0.40")
    await scene.rule.phase("waiting")
    return scene, first


async def _kinds(scene: Protected) -> list[str]:
    return [entry["kind"] for entry in await scene.trader.ledger(scene.market)]


async def _sales(scene: Protected, count: int) -> list[AdminTrade]:
    """Waits for so many trades in which the account sold."""

    async def sold() -> list[AdminTrade]:
        trades = await scene.trader.holdfast.admin.trades(scene.trader.address)
        return [trade for trade in trades if trade.side == "SELL"]

    return await until(sold, lambda trades: len(trades) >= count, f"{count} sales at the venue")
