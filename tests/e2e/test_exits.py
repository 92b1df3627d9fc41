"""Exits that take more than one order, wait for a price, or begin by time; and paper beside live."""

from decimal import Decimal

from tests.e2e.scene import IN_THE_STACKS_LOOP, Holdfast, stop_at, target_at
from tests.e2e.waiting import until

pytestmark = IN_THE_STACKS_LOOP


async def test_target_filled_in_part_stays_armed_and_finishes_later(holdfast: Holdfast) -> None:
    scene = await holdfast.protected(target_at("0.80"))
    await scene.market.quote("0.80", size="4")
    await until(scene.rule.row, lambda row: row["sold_shares"] == "4", "four shares sold")
    row = await scene.rule.phase("armed")
    assert row["status"] == "ACTIVE"
    await scene.market.quote("0.70")
    await scene.market.quote("0.81")
    row = await scene.rule.done()
    assert (row["sold_shares"], row["proceeds_usd"]) == ("10", "8.06")
    assert all(Decimal(o.price) >= Decimal("0.80") for o in await scene.market.orders())
    await scene.audit(sells=2)


async def test_stop_with_a_floor_waits_above_it_and_sells_when_the_book_pays(holdfast: Holdfast) -> None:
    scene = await holdfast.protected(stop_at("0.50"), floor="0.45")
    await scene.market.quote("0.40")
    row = await scene.rule.phase("waiting")
    assert row["status"] == "TRIGGERED"
    assert await scene.market.posts() == []
    await scene.market.quote("0.46")
    row = await scene.rule.done()
    assert row["sold_shares"] == "10"
    assert all(Decimal(o.price) >= Decimal("0.45") for o in await scene.market.orders())
    await scene.audit()


async def test_time_exit_fires_without_a_price_moving(holdfast: Holdfast) -> None:
    scene = await holdfast.protected(stop_at("0.10"), {"type": "max_hold", "seconds": 3})
    row = await scene.rule.done()
    assert row["fired"]["condition"] == "max_hold"
    await scene.audit()


async def test_paper_rule_stays_paper_after_its_account_turned_live(holdfast: Holdfast) -> None:
    trader, market = await holdfast.open_trader(live=False), await holdfast.open_market()
    await trader.buy(market)
    rule = await trader.arm(market, stop_at("0.50"))
    await market.watched()
    await trader.go_live()
    await market.quote("0.40")
    row = await rule.done()
    assert (row["mode"], row["sold_shares"]) == ("paper", "10")
    assert (await trader.position(market, mode="paper"))["shares"] == "0"
    assert await market.posts("SELL") + await market.posts("BUY") == []
    await trader.audit(market, rule, sells=0)
