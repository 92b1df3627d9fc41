import httpx2
import pytest

from simulator.app import serve
from simulator.client import AdminMarket, SimulatorAdmin, SimulatorRefusedError
from tests.simulator.clock import ManualClock
from tests.simulator.trader import KEY, Trader


@pytest.fixture
async def manual(admin: SimulatorAdmin, token: str) -> None:
    await admin.settings(trade_mode="manual")
    await admin.set_book(token, bids=[("0.40", "1000")], asks=[("0.50", "1000")])


async def test_trade_goes_from_matched_over_mined_to_confirmed_by_the_clock(http: httpx2.AsyncClient) -> None:
    clock = ManualClock()
    async with serve(None, clock=clock) as running, SimulatorAdmin(running.admin_url) as admin:
        await admin.settings(hmac_window_s=None, trade_mined_ms=2_000, trade_confirmed_ms=60_000)
        token = (await admin.create_market("?")).token_ids[0]
        trader = await Trader(running.url, KEY, http).log_in()
        await admin.set_wallet(trader.address, collateral="100")
        await admin.set_book(token, asks=[("0.50", "1000")])
        await trader.buy(token, "0.50", "10")
        seen = []
        for wait_ms in (0, 1_999, 1, 57_999, 1):
            clock.advance(wait_ms)
            (trade,) = (await trader.call("GET", "/data/trades")).body["data"]
            seen.append((trade["status"], "transaction_hash" in trade))
        assert seen == [
            ("MATCHED", False),
            ("MATCHED", False),
            ("MINED", True),
            ("MINED", True),
            ("CONFIRMED", True),
        ]


async def test_trade_that_fell_due_in_manual_mode_goes_on_after_the_switch_back(
    http: httpx2.AsyncClient,
) -> None:
    clock = ManualClock()
    async with serve(None, clock=clock) as running, SimulatorAdmin(running.admin_url) as admin:
        await admin.settings(hmac_window_s=None, trade_mined_ms=2_000, trade_confirmed_ms=60_000)
        token = (await admin.create_market("?")).token_ids[0]
        trader = await Trader(running.url, KEY, http).log_in()
        await admin.set_wallet(trader.address, collateral="100")
        await admin.set_book(token, asks=[("0.50", "1000")])
        await trader.buy(token, "0.50", "10")  # its timer rings in manual mode and finds nothing to do
        await admin.settings(trade_mode="manual")
        await trader.buy(token, "0.50", "10")  # and this one never gets a timer
        clock.advance(3_000)
        assert {trade.status for trade in await admin.trades()} == {"MATCHED"}
        await admin.settings(trade_mode="auto")
        clock.advance(0)
        assert {trade.status for trade in await admin.trades()} == {"MINED"}
        clock.advance(60_000)
        assert {trade.status for trade in await admin.trades()} == {"CONFIRMED"}


@pytest.mark.usefixtures("manual")
async def test_failed_trade_gives_everything_back(trader: Trader, admin: SimulatorAdmin, token: str) -> None:
    before = await admin.wallet(trader.address)
    reply = await trader.buy(token, "0.50", "10")
    assert (await admin.wallet(trader.address)).tokens[token] == "110"
    (trade_id,) = reply.body["tradeIDs"]
    await admin.set_trade_status(trade_id, "MINED")
    await admin.set_trade_status(trade_id, "RETRYING")
    failed = await admin.set_trade_status(trade_id, "FAILED")
    assert failed.status == "FAILED"
    after = await admin.wallet(trader.address)
    assert (after.collateral, after.tokens) == (before.collateral, before.tokens)
    (trade,) = (await trader.call("GET", "/data/trades")).body["data"]
    assert trade["status"] == "FAILED"


@pytest.mark.usefixtures("manual")
async def test_failure_that_uncovers_a_resting_order_cancels_it(
    trader: Trader, admin: SimulatorAdmin, token: str
) -> None:
    reply = await trader.buy(token, "0.50", "10")
    resting = (await trader.sell(token, "0.90", "110")).body["orderID"]
    await admin.set_trade_status(reply.body["tradeIDs"][0], "FAILED")
    statuses = {order.id: order.status for order in await admin.orders(trader.address)}
    assert statuses[resting] == "INVALID"


@pytest.mark.usefixtures("manual")
@pytest.mark.parametrize("path", [["CONFIRMED", "FAILED"], ["FAILED", "MINED"], ["MINED", "MATCHED"]])
async def test_step_the_life_cycle_does_not_know_is_refused(
    trader: Trader, admin: SimulatorAdmin, token: str, path: list[str]
) -> None:
    reply = await trader.buy(token, "0.50", "10")
    await admin.set_trade_status(reply.body["tradeIDs"][0], path[0])
    with pytest.raises(SimulatorRefusedError) as refused:
        await admin.set_trade_status(reply.body["tradeIDs"][0], path[1])
    assert refused.value.status_code == 409


@pytest.mark.usefixtures("manual")
async def test_maker_sees_the_takers_trade_and_its_own_part(
    trader: Trader, other: Trader, token: str
) -> None:
    order_id = (await other.sell(token, "0.45", "10")).body["orderID"]
    await trader.buy(token, "0.45", "10")
    (seen,) = (await other.call("GET", "/data/trades")).body["data"]
    assert (seen["trader_side"], seen["side"], seen["maker_address"]) == ("MAKER", "BUY", trader.address)
    (part,) = seen["maker_orders"]
    assert (part["order_id"], part["owner"], part["side"]) == (order_id, other.creds.api_key, "SELL")
    (taken,) = (await trader.call("GET", "/data/trades")).body["data"]
    assert (taken["trader_side"], taken["id"]) == ("TAKER", seen["id"])


@pytest.mark.usefixtures("manual")
async def test_trades_are_filtered_by_id_market_and_time(
    trader: Trader, token: str, market: AdminMarket
) -> None:
    reply = await trader.buy(token, "0.50", "10")
    (trade,) = (await trader.call("GET", "/data/trades")).body["data"]
    at = int(trade["match_time"])
    for query, found in [
        (f"id={trade['id']}", 1),
        ("id=other", 0),
        (f"market={market.condition_id}&after={at}", 1),
        (f"after={at + 1}", 0),
        (f"before={at - 1}", 0),
        (f"asset_id={market.token_ids[1]}", 0),
        (f"maker_address={trader.address}", 1),
    ]:
        page = (await trader.call("GET", f"/data/trades?{query}")).body
        assert (len(page["data"]), page["next_cursor"]) == (found, "LTE="), query
    assert reply.body["tradeIDs"] == [trade["id"]]
