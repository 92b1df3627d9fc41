"""Every tampered request is refused with its own text and leaves nothing behind."""

import copy
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from simulator.client import AdminMarket, SimulatorAdmin
from tests.simulator.trader import OTHER_KEY, Answer, Trader, limit, sign

Attempt = Callable[[Trader, str], Awaitable[Answer]]


async def _altered(trader: Trader, token: str, member: str, value: Any) -> Answer:
    payload = trader.payload(trader.limit(token, "BUY", "0.50", "10"))
    payload["order"][member] = value
    return await trader.call("POST", "/order", payload)


async def other_exchange(trader: Trader, token: str) -> Answer:
    return await trader.post(trader.limit(token, "BUY", "0.50", "10", neg_risk=True))


async def old_domain_version(trader: Trader, token: str) -> Answer:
    return await trader.post(trader.limit(token, "BUY", "0.50", "10", domain_version="1"))


async def other_chain(trader: Trader, token: str) -> Answer:
    return await trader.post(trader.limit(token, "BUY", "0.50", "10", chain_id=80002))


async def price_altered_after_signing(trader: Trader, token: str) -> Answer:
    return await _altered(trader, token, "makerAmount", "4900000")


async def side_altered_after_signing(trader: Trader, token: str) -> Answer:
    payload = trader.payload(trader.limit(token, "BUY", "0.50", "10"))
    payload["order"]["side"] = "SELL"
    return await trader.call("POST", "/order", payload)


async def garbled_signature(trader: Trader, token: str) -> Answer:
    return await _altered(trader, token, "signature", "0x" + "ab" * 65)


async def signed_by_another_key(trader: Trader, token: str) -> Answer:
    foreign = limit(OTHER_KEY, token, "BUY", "0.50", "10")
    payload = trader.payload(foreign)
    payload["order"] |= {"maker": trader.address, "signer": trader.address}
    return await trader.call("POST", "/order", payload)


async def foreign_owner(trader: Trader, token: str) -> Answer:
    payload = trader.payload(trader.limit(token, "BUY", "0.50", "10"))
    payload["owner"] = "00000000-0000-0000-0000-0000000000ff"
    return await trader.call("POST", "/order", payload)


async def foreign_signer(trader: Trader, token: str) -> Answer:
    return await trader.post(limit(OTHER_KEY, token, "BUY", "0.50", "10"))


async def unknown_wallet(trader: Trader, token: str) -> Answer:
    wallet = "0x" + "77" * 20
    return await trader.post(trader.limit(token, "BUY", "0.50", "10", maker=wallet, signature_type=2))


async def unknown_token(trader: Trader, token: str) -> Answer:
    return await trader.post(trader.limit("12345", "BUY", "0.50", "10"))


async def off_grid_price(trader: Trader, token: str) -> Answer:
    return await trader.post(sign(trader.key, token, "BUY", 5_230_000, 10_000_000))


async def price_of_one(trader: Trader, token: str) -> Answer:
    return await trader.post(trader.limit(token, "BUY", "1", "10"))


async def third_decimal_of_size(trader: Trader, token: str) -> Answer:
    return await trader.post(sign(trader.key, token, "BUY", 5_000_500, 10_001_000))


async def market_buy_with_three_decimals(trader: Trader, token: str) -> Answer:
    return await trader.post(sign(trader.key, token, "BUY", 5_001_000, 10_002_000), "FAK")


async def market_sell_with_five_decimals(trader: Trader, token: str) -> Answer:
    return await trader.post(sign(trader.key, token, "SELL", 10_000_000, 5_000_010), "FOK")


async def market_price_far_off_the_grid(trader: Trader, token: str) -> Answer:
    return await trader.post(sign(trader.key, token, "SELL", 10_000_000, 5_030_000), "FAK")


async def size_under_minimum(trader: Trader, token: str) -> Answer:
    return await trader.buy(token, "0.50", "4.99")


async def marketable_buy_under_a_dollar(trader: Trader, token: str) -> Answer:
    return await trader.post(sign(trader.key, token, "BUY", 860_000, 1_720_000), "FAK")


async def short_balance(trader: Trader, token: str) -> Answer:
    return await trader.buy(token, "0.50", "2001")


async def short_shares(trader: Trader, token: str) -> Answer:
    return await trader.sell(token, "0.50", "100.01")


async def expiration_on_gtc(trader: Trader, token: str) -> Answer:
    return await trader.post(trader.limit(token, "BUY", "0.50", "10", expiration=int(time.time()) + 900))


async def gtd_too_near(trader: Trader, token: str) -> Answer:
    near = int(time.time()) + 170
    return await trader.post(trader.limit(token, "BUY", "0.50", "10", expiration=near), "GTD")


async def post_only_fak(trader: Trader, token: str) -> Answer:
    return await trader.post(trader.limit(token, "BUY", "0.50", "10"), "FAK", post_only=True)


async def post_only_that_crosses(trader: Trader, token: str) -> Answer:
    return await trader.post(trader.limit(token, "BUY", "0.60", "10"), post_only=True)


async def fok_without_depth(trader: Trader, token: str) -> Answer:
    return await trader.buy(token, "0.60", "500", "FOK")


async def fak_without_match(trader: Trader, token: str) -> Answer:
    return await trader.buy(token, "0.30", "10", "FAK")


async def missing_member(trader: Trader, token: str) -> Answer:
    payload = trader.payload(trader.limit(token, "BUY", "0.50", "10"))
    del payload["order"]["timestamp"]
    return await trader.call("POST", "/order", payload)


async def number_where_a_string_belongs(trader: Trader, token: str) -> Answer:
    return await _altered(trader, token, "makerAmount", 5_000_000)


async def first_protocol_version(trader: Trader, token: str) -> Answer:
    payload = trader.payload(trader.limit(token, "BUY", "0.50", "10"))
    del payload["order"]["timestamp"]
    payload["order"] |= {"nonce": "0", "feeRateBps": "0", "taker": "0x" + "00" * 20}
    return await trader.call("POST", "/order", payload)


async def no_json(trader: Trader, token: str) -> Answer:
    return await trader.call("POST", "/order", {}, sent_body=None, headers={"content-type": "text/plain"})


async def sixteen_orders(trader: Trader, token: str) -> Answer:
    payload = trader.payload(trader.limit(token, "BUY", "0.50", "10"))
    return await trader.call("POST", "/orders", [payload] * 16)


async def hmac_over_another_body(trader: Trader, token: str) -> Answer:
    payload = trader.payload(trader.limit(token, "BUY", "0.50", "10"))
    changed = copy.deepcopy(payload)
    changed["orderType"] = "FAK"
    sent = json.dumps(changed, separators=(",", ":"))
    return await trader.call("POST", "/order", payload, sent_body=sent)


async def wrong_passphrase(trader: Trader, token: str) -> Answer:
    payload = trader.payload(trader.limit(token, "BUY", "0.50", "10"))
    return await trader.call("POST", "/order", payload, headers={"POLY_PASSPHRASE": "guess"})


async def unknown_key(trader: Trader, token: str) -> Answer:
    payload = trader.payload(trader.limit(token, "BUY", "0.50", "10"))
    return await trader.call("POST", "/order", payload, headers={"POLY_API_KEY": "guess"})


async def address_of_somebody_else(trader: Trader, token: str) -> Answer:
    payload = trader.payload(trader.limit(token, "BUY", "0.50", "10"))
    return await trader.call("POST", "/order", payload, headers={"POLY_ADDRESS": "0x" + "12" * 20})


async def old_timestamp(trader: Trader, token: str) -> Answer:
    payload = trader.payload(trader.limit(token, "BUY", "0.50", "10"))
    return await trader.call("POST", "/order", payload, headers={"POLY_TIMESTAMP": "1795246965"})


@pytest.mark.parametrize(
    ("attempt", "status", "text"),
    [
        (other_exchange, 400, "invalid signature"),
        (old_domain_version, 400, "invalid signature"),
        (other_chain, 400, "invalid signature"),
        (price_altered_after_signing, 400, "invalid signature"),
        (side_altered_after_signing, 400, "invalid signature"),
        (garbled_signature, 400, "invalid signature"),
        (signed_by_another_key, 400, "invalid signature"),
        (foreign_owner, 400, "the order owner has to be the owner of the API KEY"),
        (foreign_signer, 400, "the order signer address has to be the address of the API KEY"),
        (unknown_wallet, 400, "maker address not allowed, please use the deposit wallet flow"),
        (unknown_token, 400, "the orderbook does not exist"),
        (off_grid_price, 400, "order {id} is invalid. Price (0.523) breaks minimum tick size rule: 0.01"),
        (price_of_one, 400, "order {id} is invalid. Price (1) breaks minimum tick size rule: 0.01"),
        (
            third_decimal_of_size,
            400,
            "invalid amounts, the buy orders maker amount supports a max accuracy of 4 decimals, "
            "taker amount a max of 2 decimals",
        ),
        (
            market_buy_with_three_decimals,
            400,
            "invalid amounts, the market buy orders maker amount supports a max accuracy of 2 decimals, "
            "taker amount a max of 4 decimals",
        ),
        (
            market_sell_with_five_decimals,
            400,
            "invalid amounts, the market sell orders maker amount supports a max accuracy of 2 decimals, "
            "taker amount a max of 4 decimals",
        ),
        (
            market_price_far_off_the_grid,
            400,
            "order {id} is invalid. Price (0.503) breaks minimum tick size rule: 0.01",
        ),
        (size_under_minimum, 400, "order {id} is invalid. Size (4.99) lower than the minimum: 5"),
        (
            marketable_buy_under_a_dollar,
            400,
            "invalid amount for a marketable BUY order ($0.86), min size: $1",
        ),
        (
            short_balance,
            400,
            "not enough balance / allowance: the balance is not enough -> "
            "balance: 1000000000, order amount: 1000500000",
        ),
        (
            short_shares,
            400,
            "not enough balance / allowance: the balance is not enough -> "
            "balance: 100000000, order amount: 100010000",
        ),
        (expiration_on_gtc, 400, "invalid expiration"),
        (gtd_too_near, 400, "invalid expiration"),
        (post_only_fak, 400, "invalid post-only order: only GTC and GTD order types are allowed"),
        (post_only_that_crosses, 400, "invalid post-only order: order crosses book"),
        (
            fok_without_depth,
            400,
            "order couldn't be fully filled. FOK orders are fully filled or killed.",
        ),
        (
            fak_without_match,
            400,
            "no orders found to match with FAK order. "
            "FAK orders are partially filled or killed if no match is found.",
        ),
        (missing_member, 400, "Invalid order payload"),
        (number_where_a_string_belongs, 400, "Invalid order payload"),
        (no_json, 400, "Invalid order payload"),
        (first_protocol_version, 400, "order_version_mismatch"),
        (sixteen_orders, 400, "Too many orders in payload: 16, max allowed: 15"),
        (hmac_over_another_body, 401, "Unauthorized/Invalid api key"),
        (wrong_passphrase, 401, "Unauthorized/Invalid api key"),
        (unknown_key, 401, "Unauthorized/Invalid api key"),
        (address_of_somebody_else, 401, "Unauthorized/Invalid api key"),
        (old_timestamp, 401, "Unauthorized/Invalid api key"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
async def test_tampered_request_is_refused_in_the_venues_words(
    trader: Trader, admin: SimulatorAdmin, token: str, attempt: Attempt, status: int, text: str
) -> None:
    await admin.set_book(token, bids=[("0.45", "50")], asks=[("0.55", "50")])
    before = await admin.wallet(trader.address)
    answer = await attempt(trader, token)
    ledger = await admin.ledger()
    assert (answer.status, answer.error) == (status, text.replace("{id}", str(ledger[-1].order_id)))
    assert {entry.outcome for entry in ledger} == {"refused"}
    assert await admin.wallet(trader.address) == before
    assert [order.status for order in await admin.orders(trader.address)] in ([], ["CANCELED"])
    assert await admin.trades() == []


async def test_the_same_order_again_is_answered_duplicated_and_changes_nothing(
    trader: Trader, admin: SimulatorAdmin, token: str
) -> None:
    await admin.set_book(token, bids=[("0.45", "5")])
    order = trader.limit(token, "SELL", "0.45", "10")
    first = await trader.post(order, "FAK")
    assert first.body["makingAmount"] == "5"
    wallet = await admin.wallet(trader.address)
    await admin.set_book(token, bids=[("0.45", "5")])
    for order_type in ("FAK", "GTC"):
        again = await trader.post(order, order_type)
        assert again.error == f"order {first.body['orderID']} is invalid. Duplicated."
    assert await admin.wallet(trader.address) == wallet
    assert [entry.outcome for entry in await admin.ledger()] == ["accepted", "duplicate", "duplicate"]


async def test_balance_refusal_leaves_no_id_unless_switched(
    trader: Trader, admin: SimulatorAdmin, token: str
) -> None:
    order = trader.limit(token, "SELL", "0.45", "200")
    assert (await trader.post(order)).error.startswith("not enough balance / allowance")
    await admin.settings(balance_refusal_keeps_id=True)
    assert (await trader.post(order)).error.startswith("not enough balance / allowance")
    assert (await trader.post(order)).error.endswith("is invalid. Duplicated.")


async def test_missing_allowance_is_named(trader: Trader, admin: SimulatorAdmin, token: str) -> None:
    await admin.approve(trader.address, False)
    answer = await trader.buy(token, "0.50", "10")
    assert answer.error == (
        "not enough balance / allowance: the allowance is not enough -> allowance: 0, order amount: 5000000"
    )


async def test_standing_of_an_address_is_judged(trader: Trader, admin: SimulatorAdmin, token: str) -> None:
    await admin.set_closed_only(trader.address)
    assert (await trader.buy(token, "0.50", "10")).error == f"'{trader.address}' address in closed only mode"
    assert (await trader.sell(token, "0.50", "10")).status == 200, "closing is allowed"
    await admin.set_banned(trader.address)
    assert (await trader.sell(token, "0.51", "10")).error == f"'{trader.address}' address banned"


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ({"accepting_orders": False}, "the market is not yet ready to process new orders"),
        ({"active": False}, "the market is not yet ready to process new orders"),
        ({"closed": True}, "the orderbook does not exist"),
        ({"enable_order_book": False}, "the orderbook does not exist"),
    ],
)
async def test_market_that_takes_no_orders_says_so(
    trader: Trader, admin: SimulatorAdmin, market: AdminMarket, flags: dict[str, bool], text: str
) -> None:
    await admin.set_market_state(market.condition_id, **flags)
    assert (await trader.buy(market.token_ids[0], "0.50", "10")).error == text


async def test_proxy_and_safe_wallets_are_signed_by_their_owner(
    trader: Trader, admin: SimulatorAdmin, token: str
) -> None:
    for signature_type, wallet in ((1, "0x" + "a1" * 20), (2, "0x" + "a2" * 20)):
        await admin.set_wallet(wallet, signer=trader.address, signature_type=signature_type, collateral="100")
        order = trader.limit(token, "BUY", "0.40", "10", maker=wallet, signature_type=signature_type)
        answer = await trader.post(order)
        assert answer.status == 200
        wrong = trader.limit(token, "BUY", "0.40", "10", maker=wallet, signature_type=3 - signature_type)
        assert (await trader.post(wrong)).error == "invalid signature"
    not_mine = "0x" + "a3" * 20
    await admin.set_wallet(not_mine, signer="0x" + "bb" * 20, signature_type=2, collateral="100")
    order = trader.limit(token, "BUY", "0.40", "10", maker=not_mine, signature_type=2)
    assert (await trader.post(order)).error == "invalid signature"


DEPOSIT = "0x56687BF447DB6fFA42FFE2204a05EDAA20f55839"


async def test_deposit_wallet_is_signed_for_by_its_owner(
    trader: Trader, admin: SimulatorAdmin, token: str
) -> None:
    await admin.set_wallet(DEPOSIT, signer=trader.address, signature_type=3, collateral="100")
    await admin.settings(deposit_wallet_only=True)
    wrapped = {"maker": DEPOSIT, "order_signer": DEPOSIT, "signature_type": 3}
    answer = await trader.post(trader.limit(token, "BUY", "0.40", "10", **wrapped))
    assert answer.status == 200, answer
    (order,) = await admin.orders(DEPOSIT)
    assert (order.maker_address, order.signer) == (DEPOSIT, trader.address)
    plain = await trader.buy(token, "0.40", "10")
    assert plain.error == "maker address not allowed, please use the deposit wallet flow"


async def test_deposit_wallet_refuses_what_its_owner_did_not_sign_for_it(
    trader: Trader, other: Trader, admin: SimulatorAdmin, token: str
) -> None:
    await admin.set_wallet(DEPOSIT, signer=trader.address, signature_type=3, collateral="100")
    wrapped = {"maker": DEPOSIT, "order_signer": DEPOSIT, "signature_type": 3}
    order = trader.limit(token, "BUY", "0.40", "10", **wrapped)
    stranger = limit(other.key, token, "BUY", "0.40", "10", **wrapped)
    foreign = replace(order, signature=stranger.signature)
    bare = replace(order, signature=order.signature[: 2 + 130])
    altered = replace(order, salt="987654321")
    neg_risk = trader.limit(token, "BUY", "0.40", "10", neg_risk=True, **wrapped)
    for each in (foreign, bare, altered, neg_risk):
        assert (await trader.post(each)).error == "invalid signature"
    assert (await other.post(order)).error == (
        "the order signer address has to be the address of the API KEY"
    )


async def test_deposit_wallet_that_is_not_deployed_has_no_key(trader: Trader, token: str) -> None:
    wrapped = {"maker": DEPOSIT, "order_signer": DEPOSIT, "signature_type": 3}
    answer = await trader.post(trader.limit(token, "BUY", "0.40", "10", **wrapped))
    assert answer.error == "the order signer address has to be the address of the API KEY"


async def test_neg_risk_market_wants_its_own_exchange(
    trader: Trader, admin: SimulatorAdmin, token: str
) -> None:
    market = await admin.create_market("Neg?", neg_risk=True)
    order = trader.limit(market.token_ids[0], "BUY", "0.40", "10", neg_risk=True)
    assert (await trader.post(order)).status == 200
    plain = trader.limit(market.token_ids[0], "BUY", "0.40", "10")
    assert (await trader.post(plain)).error == "invalid signature"


@pytest.mark.parametrize(
    ("side", "maker", "taker", "fits"),
    [
        ("BUY", 9_980_000, 10_131_900, True),
        ("BUY", 9_980_000, 10_132_000, True),
        ("BUY", 9_980_000, 10_132_100, False),
        ("SELL", 10_010_000, 5_235_200, True),
        ("SELL", 10_010_000, 5_235_300, True),
        ("SELL", 10_010_000, 5_230_000, False),
    ],
)
async def test_market_order_may_bend_the_grid_by_its_fourth_decimal_only(
    trader: Trader, admin: SimulatorAdmin, side: str, maker: int, taker: int, fits: bool
) -> None:
    market = await admin.create_market("Fine?", tick_size="0.001")
    token = market.token_ids[0]
    await admin.set_wallet(trader.address, tokens={token: "100"})
    await admin.set_book(token, bids=[("0.999", "1000")], asks=[("0.001", "100000")])
    answer = await trader.post(sign(trader.key, token, side, maker, taker), "FAK")
    assert (answer.status == 200) is fits, answer
