import time

import pytest

from simulator.client import AdminMarket, SimulatorAdmin
from tests.simulator.trader import Trader, sign


async def test_better_price_first_then_older_order(
    trader: Trader, other: Trader, admin: SimulatorAdmin, token: str
) -> None:
    older = (await other.sell(token, "0.52", "10")).body["orderID"]
    newer = (await other.sell(token, "0.52", "10")).body["orderID"]
    better = (await other.sell(token, "0.51", "10")).body["orderID"]
    answer = await trader.buy(token, "0.52", "25")
    assert (answer.body["makingAmount"], answer.body["takingAmount"]) == ("12.9", "25")
    matched = {order.id: order.size_matched for order in await admin.orders(other.address)}
    assert matched == {better: "10", older: "10", newer: "5"}


async def test_taker_gets_the_makers_price(trader: Trader, other: Trader, token: str) -> None:
    await other.sell(token, "0.40", "10")
    answer = await trader.buy(token, "0.60", "10")
    assert (answer.body["makingAmount"], answer.body["status"]) == ("4", "matched")


async def test_rest_of_a_limit_order_stays_in_the_book(
    trader: Trader, other: Trader, admin: SimulatorAdmin, token: str
) -> None:
    await other.sell(token, "0.40", "10")
    answer = await trader.buy(token, "0.45", "15")
    order = (await trader.call("GET", f"/data/order/{answer.body['orderID']}")).body
    assert (order["status"], order["size_matched"]) == ("LIVE", "10")
    book = (await trader.call("GET", f"/book?token_id={token}")).body
    assert (book["bids"], book["asks"]) == ([{"price": "0.45", "size": "5"}], [])
    answer = await other.sell(token, "0.45", "5")
    assert answer.body["status"] == "matched"
    order = (await trader.call("GET", f"/data/order/{order['id']}")).body
    assert (order["status"], order["size_matched"]) == ("MATCHED", "15")


async def test_rest_of_a_fak_is_killed(trader: Trader, other: Trader, token: str) -> None:
    await other.sell(token, "0.40", "10")
    answer = await trader.buy(token, "0.45", "20", "FAK")
    assert answer.body["takingAmount"] == "10"
    order = (await trader.call("GET", f"/data/order/{answer.body['orderID']}")).body
    assert (order["status"], order["original_size"], order["size_matched"]) == ("MATCHED", "9", "10")
    assert (await trader.call("GET", f"/book?token_id={token}")).body["bids"] == []


async def test_books_of_both_outcomes_mirror_each_other(
    trader: Trader, other: Trader, market: AdminMarket, admin: SimulatorAdmin
) -> None:
    yes, no = market.token_ids
    await admin.set_book(yes, bids=[("0.41", "7")])
    await trader.buy(yes, "0.40", "10")
    await other.sell(no, "0.57", "6")
    book = (await trader.call("GET", f"/book?token_id={no}")).body
    assert book["asks"] == [
        {"price": "0.6", "size": "10"},
        {"price": "0.59", "size": "7"},
        {"price": "0.57", "size": "6"},
    ]
    book = (await trader.call("GET", f"/book?token_id={yes}")).body
    assert book["bids"] == [
        {"price": "0.4", "size": "10"},
        {"price": "0.41", "size": "7"},
        {"price": "0.43", "size": "6"},
    ]


async def test_two_buyers_of_opposite_outcomes_mint_a_pair(
    trader: Trader, other: Trader, admin: SimulatorAdmin, market: AdminMarket
) -> None:
    yes, no = market.token_ids
    await other.buy(no, "0.45", "10")
    answer = await trader.buy(yes, "0.60", "10")
    assert answer.body["makingAmount"] == "5.5", "the maker's 0.45 leaves 0.55 for the taker"
    (trade,) = await admin.trades()
    assert (trade.price, trade.maker_orders[0]["price"]) == ("0.55", "0.45")
    assert (trade.token_id, trade.maker_orders[0]["asset_id"]) == (yes, no)
    buyer, seller = await admin.wallet(trader.address), await admin.wallet(other.address)
    assert (buyer.tokens[yes], seller.tokens[no]) == ("110", "110")
    assert seller.collateral == "995.5"
    assert buyer.collateral == "994.37625", "5.5 and the fee 10 × 0.05 × 0.55 × 0.45"


async def test_two_sellers_of_opposite_outcomes_merge_a_pair(
    trader: Trader, other: Trader, admin: SimulatorAdmin, market: AdminMarket
) -> None:
    yes, no = market.token_ids
    await other.sell(no, "0.45", "10")
    answer = await trader.sell(yes, "0.50", "10")
    assert answer.body["takingAmount"] == "5.5"
    assert (await admin.wallet(other.address)).collateral == "1004.5"
    assert (await admin.wallet(other.address)).tokens[no] == "90"


async def test_traders_stand_before_the_house_at_the_same_price(
    trader: Trader, other: Trader, admin: SimulatorAdmin, token: str
) -> None:
    await admin.set_book(token, asks=[("0.50", "100")])
    await other.sell(token, "0.50", "10")
    await trader.buy(token, "0.50", "15")
    (trade,) = await admin.trades(trader.address)
    assert [maker["matched_amount"] for maker in trade.maker_orders] == ["10", "5"]
    book = (await trader.call("GET", f"/book?token_id={token}")).body
    assert book["asks"] == [{"price": "0.5", "size": "95"}]


async def test_house_that_moves_over_a_resting_order_fills_it_at_its_own_price(
    trader: Trader, admin: SimulatorAdmin, token: str
) -> None:
    order_id = (await trader.sell(token, "0.60", "10")).body["orderID"]
    await admin.set_book(token, bids=[("0.62", "4"), ("0.61", "100")], asks=[("0.70", "1")])
    (trade,) = await admin.trades(trader.address)
    assert (trade.price, trade.size, trade.side, trade.fee) == ("0.6", "10", "BUY", "0")
    (order,) = await admin.orders(trader.address)
    assert (order.id, order.status, order.usd_matched) == (order_id, "MATCHED", "6")
    book = (await trader.call("GET", f"/book?token_id={token}")).body
    assert book["bids"] == [{"price": "0.61", "size": "94"}]


async def test_open_orders_bind_balance_per_market(
    trader: Trader, admin: SimulatorAdmin, market: AdminMarket
) -> None:
    yes = market.token_ids[0]
    assert (await trader.buy(yes, "0.50", "1500")).status == 200
    answer = await trader.buy(yes, "0.50", "600")
    assert answer.error == (
        "not enough balance / allowance: the balance is not enough -> "
        "balance: 1000000000, sum of active orders: 750000000, order amount: 300000000"
    )
    elsewhere = await admin.create_market("Another?")
    assert (await trader.buy(elsewhere.token_ids[0], "0.50", "600")).status == 200


async def test_resting_sell_holds_its_shares_until_cancelled(
    trader: Trader, admin: SimulatorAdmin, token: str
) -> None:
    await admin.set_book(token, bids=[("0.45", "1000")])
    order_id = (await trader.sell(token, "0.60", "80")).body["orderID"]
    assert "sum of active orders: 80000000" in (await trader.sell(token, "0.45", "100", "FAK")).error
    await trader.call("DELETE", "/order", {"orderID": order_id})
    assert (await trader.sell(token, "0.45", "100", "FAK")).body["makingAmount"] == "100"


async def test_resting_orders_no_longer_covered_become_invalid(
    trader: Trader, admin: SimulatorAdmin, token: str
) -> None:
    kept = (await trader.sell(token, "0.60", "30")).body["orderID"]
    lost = (await trader.sell(token, "0.61", "60")).body["orderID"]
    await admin.set_wallet(trader.address, tokens={token: "40"})
    statuses = {order.id: order.status for order in await admin.orders(trader.address)}
    assert statuses == {kept: "LIVE", lost: "INVALID"}


async def test_maker_that_cannot_pay_is_skipped_and_invalid(
    trader: Trader, other: Trader, admin: SimulatorAdmin, market: AdminMarket
) -> None:
    elsewhere = (await admin.create_market("Another?")).token_ids[0]
    await admin.set_wallet(other.address, collateral="10")
    first = (await other.buy(market.token_ids[0], "0.50", "20")).body["orderID"]
    second = (await other.buy(elsewhere, "0.50", "20")).body["orderID"]
    assert (await trader.sell(market.token_ids[0], "0.50", "20")).body["status"] == "matched"
    statuses = {order.id: order.status for order in await admin.orders(other.address)}
    assert statuses == {first: "MATCHED", second: "INVALID"}


async def test_buy_reserves_its_fee_too(trader: Trader, admin: SimulatorAdmin, token: str) -> None:
    await admin.set_wallet(trader.address, collateral="5.124")
    await admin.set_book(token, asks=[("0.50", "100")])
    answer = await trader.buy(token, "0.50", "10")
    assert answer.error.endswith("balance: 5124000, order amount: 5125000")
    await admin.set_wallet(trader.address, collateral="5.125")
    assert (await trader.buy(token, "0.50", "10")).status == 200
    assert (await admin.wallet(trader.address)).collateral == "0"


async def test_bought_shares_count_only_after_the_balance_lag(
    trader: Trader, admin: SimulatorAdmin, token: str
) -> None:
    await admin.settings(balance_lag_ms=600_000)
    await admin.set_book(token, bids=[("0.49", "1000")], asks=[("0.50", "1000")])
    await trader.buy(token, "0.50", "50")
    path = f"/balance-allowance?asset_type=CONDITIONAL&signature_type=0&token_id={token}"
    assert (await trader.call("GET", path)).body["balance"] == "100000000"
    assert "balance: 100000000" in (await trader.sell(token, "0.49", "150", "FAK")).error
    await admin.settings(trade_mode="manual")
    (trade,) = await admin.trades()
    if trade.status == "MATCHED":
        await admin.set_trade_status(trade.id, "MINED")
    await trader.call("GET", path.replace("?", "/update?"))
    assert (await trader.sell(token, "0.49", "150", "FAK")).status == 200


async def test_gtd_order_expires_early(trader: Trader, admin: SimulatorAdmin, token: str) -> None:
    await admin.settings(gtd_minimum_s=0, gtd_early_s=60)
    order = trader.limit(token, "BUY", "0.40", "10", expiration=int(time.time()) + 60)
    order_id = (await trader.post(order, "GTD")).body["orderID"]
    for _ in range(200):
        (row,) = await admin.orders(trader.address)
        if row.status != "LIVE":
            break
    assert (row.id, row.status) == (order_id, "CANCELED")


async def test_resolution_cancels_remainders_and_closes_the_book(
    trader: Trader, admin: SimulatorAdmin, market: AdminMarket
) -> None:
    yes, no = market.token_ids
    order_id = (await trader.buy(yes, "0.40", "10")).body["orderID"]
    await admin.resolve(market.condition_id, yes)
    order = (await trader.call("GET", f"/data/order/{order_id}")).body
    assert order["status"] == "CANCELED_MARKET_RESOLVED"
    assert (await trader.buy(yes, "0.40", "10")).error == "the orderbook does not exist"
    answer = await trader.call("GET", f"/book?token_id={no}")
    assert (answer.status, answer.error) == (404, "No orderbook exists for the requested token id")
    tokens = (await trader.call("GET", f"/markets/{market.condition_id}")).body["tokens"]
    assert [token["winner"] for token in tokens] == [True, False]


@pytest.mark.parametrize(("fill_at_last", "status"), [(True, 200), (False, 400)])
async def test_print_without_a_bid_lets_a_market_order_trade_at_the_last_price(
    trader: Trader, admin: SimulatorAdmin, token: str, fill_at_last: bool, status: int
) -> None:
    rows = [{"ts": "2026-01-01T00:00:00.000Z", "bid": None, "ask": "0.60", "last": "0.50", "size": "5"}]
    tape = await admin.load_tape(token, rows=rows, fill_at_last=fill_at_last)
    await admin.step_tape(tape)
    assert (await trader.call("GET", f"/book?token_id={token}")).body["bids"] == []
    answer = await trader.post(sign(trader.key, token, "SELL", 40_000_000, 16_000_000), "FAK")
    assert answer.status == status
    if fill_at_last:
        assert answer.body["takingAmount"] == "20", "at the last price, above the limit of 0.40"
        resting = await trader.sell(token, "0.45", "10")
        assert resting.body["status"] == "live", "only FAK and FOK meet the hidden level"
        too_dear = await trader.post(sign(trader.key, token, "SELL", 10_000_000, 5_500_000), "FAK")
        assert too_dear.error.startswith("no orders found")
