"""A paper exit in a market that holds orders goes the way that a live one goes there."""

from tests.e2e.scene import IN_THE_STACKS_LOOP, Holdfast, Market, stop_at
from tests.e2e.waiting import until

pytestmark = IN_THE_STACKS_LOOP

HELD = "SELECT venue_order_id FROM paper_orders WHERE token_id = $1 AND status = 'delayed'"
LET_GO = "UPDATE paper_orders SET held_until = now() WHERE venue_order_id = $1"


async def held_order(holdfast: Holdfast, market: Market, but: str = "") -> str:
    """Waits for a held order of the market, another one than `but`."""
    async with holdfast.database() as connection:
        return await until(
            lambda: connection.fetchval(HELD, market.token_id),
            lambda found: found not in (None, but),
            "a held paper order",
        )


async def let_go(holdfast: Holdfast, venue_order_id: str) -> None:
    async with holdfast.database() as connection:
        await connection.execute(LET_GO, venue_order_id)


async def test_held_paper_exit_is_followed_and_built_anew_when_it_is_killed(holdfast: Holdfast) -> None:
    trader, market = await holdfast.open_trader(live=False), await holdfast.open_market()
    await trader.buy(market)
    rule = await trader.arm(market, stop_at("0.50"))
    await market.watched()
    await holdfast.admin.set_market_state(market.condition_id, seconds_delay=600)
    await market.quote("0.40")
    first = await held_order(holdfast, market)
    await rule.phase("exiting")
    await market.quote("0.30")  # its counterpart leaves
    await let_go(holdfast, first)
    await let_go(holdfast, await held_order(holdfast, market, but=first))
    row = await rule.done()
    assert (row["mode"], row["sold_shares"], row["proceeds_usd"]) == ("paper", "10", "3")
    assert (await trader.position(market))["shares"] == "0"
    assert await market.posts("SELL") + await market.posts("BUY") == []
