"""Credentials that change while an exit is under way: it goes on with new ones, or waits for a person."""

import asyncio

from py_clob_client_v2 import ClobClient

from tests.e2e.scene import IN_THE_STACKS_LOOP, Holdfast, Trader, posts_by_id

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
    assert "credentials" in blocked["detail"] or "key" in blocked["detail"], blocked["detail"]
    alarms = [event for event in await scene.rule.events() if event["severity"] == "alarm"]
    assert alarms, await scene.rule.events()
    await scene.trader.store_key()
    await scene.rule.done()
    assert len(await scene.market.orders()) == 1
    await scene.audit()
