"""Credentials that change while an exit is under way: it goes on with new ones, or waits for a person."""

import asyncio
import secrets

from eth_account import Account
from py_clob_client_v2 import ClobClient

from tests.e2e.scene import IN_THE_STACKS_LOOP, START_USD, Holdfast, Trader, posts_by_id, stop_at
from tests.e2e.waiting import until

pytestmark = IN_THE_STACKS_LOOP

CHAIN_ID = 137


async def revoke(holdfast: Holdfast, trader: Trader) -> None:
    """Revokes the account's API key as its owner would on the exchange's own page."""

    def delete() -> None:
        client = ClobClient(holdfast.stack.settings().polymarket.clob_url, CHAIN_ID, key=trader.key)
        client.set_api_creds(client.derive_api_key())
        client.delete_api_key()

    await asyncio.to_thread(delete)


async def test_key_stored_anew_while_the_order_waits_at_the_venue_leaves_one_order(
    holdfast: Holdfast,
) -> None:
    scene = await holdfast.protected()
    where = {"token_id": scene.market.token_id, "path": "/order", "method": "POST"}
    fault = await holdfast.admin.plant_fault("engine_restart", times=None, **where)
    await scene.market.quote("0.40")
    await scene.rule.phase("waiting")
    await scene.trader.store_key()
    await holdfast.admin.remove_fault(fault)
    await scene.rule.done()
    (outcomes,) = posts_by_id(await scene.market.posts()).values()
    assert outcomes[-1] == "accepted"
    assert set(outcomes[:-1]) == {"fault"}
    await scene.audit()


async def test_exit_whose_key_was_revoked_waits_blocked_with_an_alarm_and_sells_once_with_the_next_key(
    holdfast: Holdfast,
) -> None:
    scene = await holdfast.protected()
    await revoke(holdfast, scene.trader)
    await scene.market.quote("0.40")
    blocked = await scene.rule.phase("blocked")
    assert "api key" in blocked["detail"].lower(), blocked["detail"]
    alarms = [event["type"] for event in await scene.rule.events() if event["severity"] == "alarm"]
    assert alarms == ["order.blocked"], await scene.rule.events()
    await scene.trader.store_key()
    await scene.rule.done()
    assert len(await scene.market.orders()) == 1
    await scene.audit()


async def test_shares_that_two_wallets_hold_are_all_sold_each_by_its_own(holdfast: Holdfast) -> None:
    trader, market = await holdfast.open_trader(), await holdfast.open_market()
    await trader.buy(market, "30")
    second = Account.from_key(secrets.token_bytes(32))
    await holdfast.admin.set_wallet(second.address, collateral=START_USD)
    trader.key = "0x" + bytes(second.key).hex()
    await trader.store_key()
    await trader.order(market, "BUY", "10", "0.60")
    await until(lambda: trader.position(market), lambda p: p["shares"] == "40", "both purchases")
    rule = await trader.arm(market, stop_at("0.50"))
    await market.watched()
    await market.quote("0.40")
    row = await rule.done()
    assert row["sold_shares"] == "40"
    sold = {order.maker_address.lower(): order.size_matched for order in await market.orders()}
    assert sold == {trader.address.lower(): "30", second.address.lower(): "10"}
