"""The unmodified client with only its host changed."""

import pytest
from py_clob_client_v2.clob_types import (
    BalanceAllowanceParams,
    BookParams,
    MarketOrderArgsV2,
    OpenOrderParams,
    OrderArgsV2,
    OrderMarketCancelParams,
    OrderPayload,
    OrderType,
    PostOrdersV2Args,
    TradeParams,
)
from py_clob_client_v2.exceptions import PolyApiException

from simulator.client import AdminMarket, SimulatorAdmin
from tests.simulator.trader import Trader

BOOK = {"bids": [("0.50", "100"), ("0.49", "50")], "asks": [("0.53", "20"), ("0.55", "500")]}


async def test_api_key_is_created_once_and_derived_ever_after(trader: Trader) -> None:
    derived = await trader.run(lambda: trader.client.derive_api_key())
    assert derived == trader.creds
    with pytest.raises(PolyApiException, match="Could not create api key"):
        await trader.run(lambda: trader.client.create_api_key())
    assert (await trader.run(lambda: trader.client.create_or_derive_api_key())) == trader.creds


async def test_another_nonce_gives_another_key_and_a_deleted_key_is_refused(trader: Trader) -> None:
    second = await trader.run(lambda: trader.client.create_api_key(nonce=1))
    assert second.api_key != trader.creds.api_key
    keys = await trader.run(lambda: trader.client.get_api_keys())
    assert set(keys["apiKeys"]) == {second.api_key, trader.creds.api_key}
    await trader.run(lambda: trader.client.delete_api_key())
    with pytest.raises(PolyApiException, match="Unauthorized/Invalid api key"):
        await trader.run(lambda: trader.client.get_api_keys())


async def test_resting_order_is_posted_read_and_cancelled(trader: Trader, token: str) -> None:
    client = trader.client
    signed = await trader.run(lambda: client.create_order(OrderArgsV2(token, 0.52, 10, "BUY")))
    reply = await trader.run(lambda: client.post_order(signed, OrderType.GTC, post_only=True))
    assert (reply["success"], reply["status"], reply["makingAmount"]) == (True, "live", "")
    order_id = reply["orderID"]
    order = await trader.run(lambda: client.get_order(order_id))
    assert (order["status"], order["price"], order["original_size"]) == ("LIVE", "0.52", "10")
    assert [o["id"] for o in await trader.run(lambda: client.get_open_orders())] == [order_id]
    reply = await trader.run(lambda: client.cancel_order(OrderPayload(orderID=order_id)))
    assert reply == {"canceled": [order_id], "not_canceled": {}}
    assert await trader.run(lambda: client.get_open_orders()) == []
    by_id = await trader.run(lambda: client.get_open_orders(OpenOrderParams(id=order_id)))
    assert by_id[0]["status"] == "CANCELED"


async def test_market_buy_spends_its_budget_at_improving_prices(
    trader: Trader, admin: SimulatorAdmin, token: str
) -> None:
    await admin.set_book(token, **BOOK)
    args = MarketOrderArgsV2(token, 20, "BUY", price=0.55)
    signed = await trader.run(lambda: trader.client.create_market_order(args))
    reply = await trader.run(lambda: trader.client.post_order(signed, OrderType.FAK))
    assert (reply["status"], reply["makingAmount"], reply["takingAmount"]) == ("matched", "20", "37.09091")
    assert len(reply["tradeIDs"]) == 2
    assert len(reply["transactionsHashes"]) == 2, "the client's poll found the mined trades"
    trades = await trader.run(lambda: trader.client.get_trades(TradeParams(market=None)))
    assert [(t["price"], t["size"]) for t in trades] == [("0.55", "17.09091"), ("0.53", "20")]
    wallet = await admin.wallet(trader.address)
    assert (wallet.collateral, wallet.fees_paid) == ("979.5394", "0.4606")


async def test_market_sell_meets_the_bids(trader: Trader, admin: SimulatorAdmin, token: str) -> None:
    await admin.set_book(token, **BOOK)
    args = MarketOrderArgsV2(token, 40, "SELL", order_type=OrderType.FOK)
    signed = await trader.run(lambda: trader.client.create_market_order(args))
    reply = await trader.run(lambda: trader.client.post_order(signed, OrderType.FOK))
    assert (reply["makingAmount"], reply["takingAmount"]) == ("40", "20")
    wallet = await admin.wallet(trader.address)
    assert wallet.tokens[token] == "60"
    assert wallet.collateral == "1019.5", "proceeds 20, fee 40 × 0.05 × 0.25 = 0.5"


async def test_killed_fok_is_refused_and_keeps_its_id(
    trader: Trader, admin: SimulatorAdmin, token: str
) -> None:
    await admin.set_book(token, **BOOK)
    args = MarketOrderArgsV2(token, 90, "SELL", price=0.50, order_type=OrderType.FOK)
    await admin.set_book(token, bids=[("0.50", "10")])
    signed = await trader.run(lambda: trader.client.create_market_order(args))
    with pytest.raises(PolyApiException, match="FOK orders are fully filled or killed"):
        await trader.run(lambda: trader.client.post_order(signed, OrderType.FOK))
    with pytest.raises(PolyApiException, match="Duplicated"):
        await trader.run(lambda: trader.client.post_order(signed, OrderType.FOK))
    assert (await admin.wallet(trader.address)).tokens[token] == "100"


async def test_fak_without_any_match_is_refused(trader: Trader, token: str) -> None:
    args = MarketOrderArgsV2(token, 10, "SELL", price=0.50, order_type=OrderType.FAK)
    signed = await trader.run(lambda: trader.client.create_market_order(args))
    with pytest.raises(PolyApiException, match="no orders found to match with FAK order"):
        await trader.run(lambda: trader.client.post_order(signed, OrderType.FAK))


async def test_batch_answers_each_leg_in_order(trader: Trader, token: str) -> None:
    client = trader.client
    good = await trader.run(lambda: client.create_order(OrderArgsV2(token, 0.40, 10, "BUY")))
    costly = await trader.run(lambda: client.create_order(OrderArgsV2(token, 0.90, 5000, "BUY")))
    batch = [PostOrdersV2Args(order=o, orderType=OrderType.GTC) for o in (good, costly, good)]
    reply = await trader.run(lambda: client.post_orders(batch))
    assert [leg["orderID"] != "" for leg in reply] == [True, False, False]
    assert reply[1]["errorMsg"].startswith("not enough balance / allowance")
    assert reply[2]["errorMsg"].endswith("is invalid. Duplicated.")


async def test_cancel_calls_report_what_they_could_not_do(
    trader: Trader, other: Trader, token: str, market: AdminMarket
) -> None:
    ids = [(await trader.buy(token, price, "10")).body["orderID"] for price in ("0.30", "0.31", "0.32")]
    foreign = (await other.buy(token, "0.20", "10")).body["orderID"]
    client = trader.client
    reply = await trader.run(lambda: client.cancel_orders([ids[0], ids[0], foreign]))
    assert reply["canceled"] == [ids[0]]
    assert reply["not_canceled"] == {ids[0]: "already canceled or matched", foreign: "order not found"}
    params = OrderMarketCancelParams(market=market.condition_id, asset_id=token)
    assert set((await trader.run(lambda: client.cancel_market_orders(params)))["canceled"]) == set(ids[1:])
    assert (await trader.run(lambda: client.cancel_all())) == {"canceled": [], "not_canceled": {}}
    with pytest.raises(PolyApiException, match="Invalid orderID"):
        await trader.run(lambda: client.cancel_order(OrderPayload(orderID="0xabc")))
    assert (await other.run(lambda: other.client.cancel_all()))["canceled"] == [foreign]


async def test_public_reads_of_the_client(trader: Trader, admin: SimulatorAdmin, market: AdminMarket) -> None:
    client, (yes, no) = trader.client, market.token_ids
    both = [BookParams(token_id=yes), BookParams(token_id=no)]
    await admin.set_book(yes, bids=[("0.50", "100"), ("0.49", "50")], asks=[("0.53", "20")], last="0.51")

    def read() -> dict[str, object]:
        return {
            "ok": client.get_ok(),
            "version": client.get_version(),
            "tick": client.get_tick_size(yes),
            "neg_risk": client.get_neg_risk(yes),
            "fee": client.get_fee_rate_bps(yes),
            "mid": client.get_midpoint(no),
            "mids": client.get_midpoints([BookParams(token_id=yes)]),
            "spread": client.get_spread(yes),
            "price": client.get_price(yes, "SELL"),
            "last": client.get_last_trade_price(yes),
            "rate": client.get_fee_exponent(yes),
            "books": [book["asset_id"] for book in client.get_order_books(both)],
            "market": client.get_market(market.condition_id)["minimum_tick_size"],
            "page": client.get_markets()["next_cursor"],
            "pay": client.calculate_market_price(no, "BUY", 10),
        }

    assert await trader.run(read) == {
        "ok": "OK",
        "version": 2,
        "tick": "0.01",
        "neg_risk": False,
        "fee": 1000,
        "mid": {"mid": "0.485"},
        "mids": {yes: "0.515"},
        "spread": {"spread": "0.03"},
        "price": {"price": "0.53"},
        "last": {"price": "0.51", "side": "BUY", "token_id": yes},
        "rate": 1,
        "books": [yes, no],
        "market": 0.01,
        "page": "LTE=",
        "pay": 0.5,
    }
    book = await trader.run(lambda: client.get_order_book(yes))
    assert await trader.run(lambda: client.get_order_book_hash(dict(book))) == book["hash"]
    assert [level["price"] for level in book["bids"]] == ["0.49", "0.5"], "the best is last"


async def test_balance_and_allowance_are_six_decimal_integers_as_text(
    trader: Trader, admin: SimulatorAdmin, token: str
) -> None:
    collateral = BalanceAllowanceParams(asset_type="COLLATERAL")
    shares = BalanceAllowanceParams(asset_type="CONDITIONAL", token_id=token)
    reply = await trader.run(lambda: trader.client.get_balance_allowance(collateral))
    assert reply["balance"] == "1000000000"
    assert all(int(allowance) > 0 for allowance in reply["allowances"].values())
    assert (await trader.run(lambda: trader.client.update_balance_allowance(shares)))[
        "balance"
    ] == "100000000"
    await admin.approve(trader.address, False)
    reply = await trader.run(lambda: trader.client.get_balance_allowance(collateral))
    assert set(reply["allowances"].values()) == {"0"}


async def test_lists_page_until_the_end_marker(trader: Trader, admin: SimulatorAdmin, token: str) -> None:
    await admin.settings(page_size=2)
    for cents in range(30, 35):
        await trader.buy(token, f"0.{cents}", "10")
    orders = await trader.run(lambda: trader.client.get_open_orders())
    assert [order["price"] for order in orders] == ["0.3", "0.31", "0.32", "0.33", "0.34"]


async def test_closed_only_mode_is_reported(trader: Trader, admin: SimulatorAdmin) -> None:
    assert await trader.run(lambda: trader.client.get_closed_only_mode()) == {"closed_only": False}
    await admin.set_closed_only(trader.address)
    assert await trader.run(lambda: trader.client.get_closed_only_mode()) == {"closed_only": True}
