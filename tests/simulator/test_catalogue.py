"""Gamma, Data API and the remaining public reads."""

import json
from typing import Any

import httpx2
import pytest

from simulator.app import Running
from simulator.client import AdminMarket, SimulatorAdmin, SimulatorRefusedError
from tests.simulator.trader import Trader


async def get(http: httpx2.AsyncClient, url: str) -> Any:
    response = await http.get(url)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("filter_name", ["slug", "condition_ids", "clob_token_ids"])
async def test_gamma_finds_a_market_by_filter(
    running: Running, http: httpx2.AsyncClient, admin: SimulatorAdmin, filter_name: str
) -> None:
    await admin.create_market("Other?")
    market = await admin.create_market("This?", slug="this", fee_rate="0.07", end_date="2027-01-01T00:00:00Z")
    values = {"slug": "this", "condition_ids": market.condition_id, "clob_token_ids": market.token_ids[1]}
    (found,) = await get(http, f"{running.url}/gamma/markets?{filter_name}={values[filter_name]}")
    assert json.loads(found["clobTokenIds"]) == market.token_ids
    assert json.loads(found["outcomes"]) == ["Yes", "No"]
    assert found["feeSchedule"] == {"rate": 0.07, "exponent": 1, "takerOnly": True, "rebateRate": 0}
    assert (found["endDate"], found["orderPriceMinTickSize"], found["orderMinSize"]) == (
        "2027-01-01T00:00:00Z",
        0.01,
        5,
    )
    assert await get(http, f"{running.url}/gamma/markets/{found['id']}") == found
    (event,) = await get(http, f"{running.url}/events?slug=this")
    assert event["markets"][0]["conditionId"] == market.condition_id


async def test_gamma_hides_closed_markets_unless_asked(
    running: Running, http: httpx2.AsyncClient, admin: SimulatorAdmin, market: AdminMarket
) -> None:
    await admin.resolve(market.condition_id, market.token_ids[0])
    base = f"{running.url}/gamma/markets?condition_ids={market.condition_id}"
    assert await get(http, base) == []
    (found,) = await get(http, base + "&closed=true")
    assert (json.loads(found["outcomePrices"]), found["closed"]) == (["1", "0"], True)


async def test_clob_views_of_a_market(
    running: Running, http: httpx2.AsyncClient, admin: SimulatorAdmin
) -> None:
    market = await admin.create_market("Neg?", neg_risk=True, fee_rate="0.04", tick_size="0.001")
    compact = await get(http, f"{running.url}/clob-markets/{market.condition_id}")
    assert (compact["mts"], compact["mos"], compact["nr"]) == (0.001, 5, True)
    assert compact["fd"] == {"r": 0.04, "e": 1, "to": True}
    by_token = await get(http, f"{running.url}/markets-by-token/{market.token_ids[1]}")
    assert by_token == {
        "condition_id": market.condition_id,
        "primary_token_id": market.token_ids[0],
        "secondary_token_id": market.token_ids[1],
    }
    missing = await http.get(f"{running.url}/markets/0xnone")
    assert (missing.status_code, missing.json()) == (404, {"error": "market not found"})
    geoblock = await get(http, f"{running.url}/api/geoblock")
    assert geoblock["blocked"] is False


async def test_positions_show_average_price_and_hide_small_ones(
    running: Running,
    http: httpx2.AsyncClient,
    admin: SimulatorAdmin,
    trader: Trader,
    market: AdminMarket,
) -> None:
    yes, no = market.token_ids
    await admin.set_wallet(trader.address, tokens={yes: "0", no: "0.5"})
    await admin.set_book(yes, bids=[("0.48", "1000")], asks=[("0.50", "10"), ("0.52", "1000")])
    await trader.buy(yes, "0.52", "20")
    base = f"{running.url}/data-api/positions?user={trader.address.lower()}"
    (position,) = await get(http, base)
    assert (position["asset"], position["size"], position["avgPrice"]) == (yes, 20, 0.51)
    assert (position["curPrice"], position["redeemable"], position["outcome"]) == (0.5, False, "Yes")
    assert len(await get(http, base + "&sizeThreshold=0")) == 2
    page = await get(http, f"{running.url}/data-api/v2/positions?user={trader.address}&limit=1")
    second = await get(http, f"{running.url}/data-api/v2/positions?user={trader.address}&limit=1&cursor=1")
    assert (page["pagination"]["has_more"], page["pagination"]["next_cursor"]) == (True, "1")
    assert (second["pagination"]["has_more"], second["pagination"]["next_cursor"]) == (False, None)
    sizes = {row["token_id"]: (row["current_size"], row["status"]) for row in page["data"] + second["data"]}
    assert sizes == {yes: (20, "OPEN"), no: (0.5, "OPEN")}
    (worth,) = await get(http, f"{running.url}/data-api/value?user={trader.address}")
    assert worth["value"] == pytest.approx(10.25)
    trades = await get(http, f"{running.url}/data-api/trades?user={trader.address}")
    assert [(t["price"], t["size"], t["side"]) for t in trades] == [(0.52, 10, "BUY"), (0.5, 10, "BUY")]


async def test_price_history_holds_executions(
    running: Running, http: httpx2.AsyncClient, admin: SimulatorAdmin, token: str
) -> None:
    await admin.set_book(token, bids=[("0.40", "10")], last="0.41")
    history = await get(http, f"{running.url}/prices-history?market={token}&interval=1h")
    assert [point["p"] for point in history["history"]] == [0.41]
    refused = await http.get(f"{running.url}/prices-history?market={token}")
    assert refused.status_code == 400


async def test_unknown_paths_and_tokens_are_404(running: Running, http: httpx2.AsyncClient) -> None:
    assert (await http.get(f"{running.url}/nothing")).status_code == 404
    answer = await http.get(f"{running.url}/book?token_id=5")
    assert (answer.status_code, answer.json()["error"]) == (
        404,
        "No orderbook exists for the requested token id",
    )


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/markets", {"question": "?", "tick_size": "0.03"}),
        ("/wallets", {"address": "0x12", "collateral": "1"}),
        ("/settings", {"unknown": 1}),
        ("/faults", {"kind": "nonsense"}),
        ("/barriers", {"point": "nowhere"}),
        ("/tape", {"token_id": "1"}),
    ],
)
async def test_control_port_refuses_what_it_does_not_understand(
    running: Running, http: httpx2.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    assert (await http.post(running.admin_url + path, json=body)).status_code in (404, 422)


async def test_wallet_is_set_not_added(admin: SimulatorAdmin, trader: Trader, token: str) -> None:
    for _ in range(2):
        wallet = await admin.set_wallet(trader.address, collateral="7.5", tokens={token: "3"})
    assert (wallet.collateral, wallet.tokens[token]) == ("7.5", "3")
    assert await admin.wallet(trader.address.lower()) == wallet
    with pytest.raises(SimulatorRefusedError):
        await admin.wallet("0x" + "99" * 20)


async def test_tokens_of_a_market_can_be_chosen_once(admin: SimulatorAdmin) -> None:
    market = await admin.create_market("Chosen?", token_ids=["111", "222"], outcomes=["Up", "Down"])
    assert (market.token_ids, market.outcomes) == (["111", "222"], ["Up", "Down"])
    with pytest.raises(SimulatorRefusedError):
        await admin.create_market("Again?", token_ids=["111", "333"])
    assert [m.condition_id for m in await admin.markets()] == [market.condition_id]
    assert await admin.health() is True
