import asyncio
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import pytest
from py_clob_client_v2.clob_types import OrderArgsV2, OrderType
from py_clob_client_v2.exceptions import PolyApiException

from simulator.client import SimulatorAdmin
from tests.simulator.trader import Trader


@pytest.mark.parametrize(
    ("kind", "parameters", "status", "body"),
    [
        ("status", {"status": 500, "body": {"error": "order timed out"}}, 500, {"error": "order timed out"}),
        ("engine_restart", {}, 425, {"error": "service not ready"}),
        (
            "disabled",
            {},
            503,
            {"error": "Trading is currently disabled. Check polymarket.com for updates"},
        ),
        (
            "cancel_only",
            {},
            503,
            {
                "error": "Trading is currently cancel-only. New orders are not accepted, "
                "but cancels are allowed."
            },
        ),
        (
            "post_only_window",
            {"retry_after_s": 7},
            503,
            {
                "error": "post-only mode: only post-only orders and cancels are allowed",
                "code": "post_only_mode",
                "retry_after_seconds": 7,
            },
        ),
        ("rate_limited", {}, 429, {"error": "Too Many Requests"}),
    ],
)
async def test_fault_answers_before_the_exchange_sees_the_order(
    trader: Trader,
    admin: SimulatorAdmin,
    token: str,
    kind: str,
    parameters: dict[str, Any],
    status: int,
    body: dict[str, Any],
) -> None:
    fault = await admin.plant_fault(kind, path="/order", times=2, **parameters)
    order = trader.limit(token, "BUY", "0.40", "10")
    answers = [await trader.post(order) for _ in range(3)]
    assert [answer.status for answer in answers] == [status, status, 200]
    assert answers[0].body == body
    entries = await admin.ledger()
    assert [entry.outcome for entry in entries] == ["fault", "fault", "accepted"]
    assert len({entry.order_id for entry in entries}) == 1, "the same bytes were received three times"
    assert [(state.fault_id, state.hits) for state in await admin.faults()] == [(fault, 2)]


async def test_rate_limit_names_the_limiter_or_not(trader: Trader, admin: SimulatorAdmin, token: str) -> None:
    await admin.plant_fault("rate_limited", path="/order", retry_after_s=3)
    await admin.plant_fault("rate_limited", path="/order", with_headers=False)
    order = trader.limit(token, "BUY", "0.40", "10")
    named, plain = await trader.post(order), await trader.post(order)
    assert (named.headers["retry-after"], named.headers["poly-ratelimit-remaining"]) == ("3", "0")
    answered = parsedate_to_datetime(named.headers["date"]).timestamp()
    assert int(named.headers["poly-ratelimit-reset"]) == answered + 3
    assert "retry-after" not in plain.headers
    assert plain.status == 429


async def test_order_is_accepted_although_the_answer_is_a_server_error(
    trader: Trader, admin: SimulatorAdmin, token: str
) -> None:
    await admin.plant_fault("status_after_accept", method="POST", path="/order", status=503)
    order = trader.limit(token, "BUY", "0.40", "10")
    assert (await trader.post(order)).status == 503
    assert (await trader.post(order)).error.endswith("is invalid. Duplicated.")
    first, second = await admin.ledger()
    assert (first.outcome, first.status_code) == ("accepted", 503)
    assert (second.outcome, first.order_id) == ("duplicate", second.order_id)


@pytest.mark.parametrize(("kind", "registered"), [("drop_before", 0), ("drop_after", 1)])
async def test_dropped_connection_gives_no_answer(
    trader: Trader, admin: SimulatorAdmin, token: str, kind: str, registered: int
) -> None:
    await admin.plant_fault(kind, method="POST", path="/order")
    order = trader.limit(token, "BUY", "0.40", "10")
    with pytest.raises(httpx2.RemoteProtocolError):
        await trader.post(order)
    assert len(await admin.orders()) == registered
    (entry,) = await admin.ledger()
    assert entry.answered is False
    again = await trader.post(order)
    assert again.status == (400 if registered else 200)


async def test_real_client_sees_a_dropped_answer_as_request_exception(
    trader: Trader, admin: SimulatorAdmin, token: str
) -> None:
    signed = await trader.run(lambda: trader.client.create_order(OrderArgsV2(token, 0.40, 10, "BUY")))
    await admin.plant_fault("drop_after", method="POST", path="/order")
    with pytest.raises(PolyApiException, match="Request exception!"):
        await trader.run(lambda: trader.client.post_order(signed, OrderType.GTC))
    (order,) = await trader.run(lambda: trader.client.get_open_orders())
    assert order["price"] == "0.4"


async def test_delayed_answer_comes_after_the_work(trader: Trader, admin: SimulatorAdmin, token: str) -> None:
    await admin.plant_fault("delay_after", method="POST", path="/order", delay_ms=60_000)
    posting = asyncio.create_task(trader.buy(token, "0.40", "10"))
    while not await admin.orders():
        pass
    assert not posting.done()
    posting.cancel()
    await asyncio.gather(posting, return_exceptions=True)


async def test_delay_before_lets_nothing_happen_yet(
    trader: Trader, admin: SimulatorAdmin, token: str
) -> None:
    fault = await admin.plant_fault("delay_before", method="POST", path="/order", delay_ms=60_000)
    posting = asyncio.create_task(trader.buy(token, "0.40", "10"))
    while (await admin.faults())[0].hits == 0:
        pass
    assert await admin.orders() == []
    posting.cancel()
    await asyncio.gather(posting, return_exceptions=True)
    await admin.remove_fault(fault)
    assert await admin.faults() == []


async def test_post_only_orders_pass_the_post_only_window(
    trader: Trader, admin: SimulatorAdmin, token: str
) -> None:
    await admin.plant_fault("post_only_window", times=None)
    order = trader.limit(token, "BUY", "0.40", "10")
    assert (await trader.post(order)).status == 503
    assert (await trader.post(order, post_only=True)).status == 200
    order_id = (await admin.orders())[0].id
    assert (await trader.call("DELETE", "/order", {"orderID": order_id})).status == 200


@pytest.mark.parametrize(
    ("flavour", "status", "expected"),
    [("null", 200, None), ("404", 404, {"error": "Order not found"})],
)
async def test_lagging_look_ups_do_not_know_young_orders(
    trader: Trader, admin: SimulatorAdmin, token: str, flavour: str, status: int, expected: object
) -> None:
    order_id = (await trader.buy(token, "0.40", "10")).body["orderID"]
    await admin.plant_fault("lookup_missing", times=None, delay_ms=600_000, flavour=flavour)
    answer = await trader.call("GET", f"/data/order/{order_id}")
    assert (answer.status, answer.body) == (status, expected)
    assert (await trader.call("GET", f"/data/orders?id={order_id}")).body["data"] == []
    await admin.clear_faults()
    assert (await trader.call("GET", f"/data/order/{order_id}")).body["id"] == order_id


async def test_stale_look_up_shows_the_order_as_it_was_placed(
    trader: Trader, admin: SimulatorAdmin, token: str
) -> None:
    await admin.set_book(token, asks=[("0.40", "100")])
    order_id = (await trader.buy(token, "0.40", "10")).body["orderID"]
    await admin.plant_fault("lookup_missing", times=None, delay_ms=600_000, flavour="stale")
    order = (await trader.call("GET", f"/data/order/{order_id}")).body
    assert (order["status"], order["size_matched"]) == ("LIVE", "0")
    assert (await trader.call("GET", "/data/trades")).body["data"] == []


async def test_planted_balance_lag_hides_what_is_bought_meanwhile(
    trader: Trader, admin: SimulatorAdmin, token: str
) -> None:
    await admin.set_book(token, bids=[("0.39", "100")], asks=[("0.40", "100")])
    await admin.plant_fault("balance_lag", address=trader.address, delay_ms=600_000, times=None)
    await trader.buy(token, "0.40", "10")
    answer = await trader.sell(token, "0.39", "110", "FAK")
    assert "balance: 100000000" in answer.error
    assert (await admin.wallet(trader.address)).tokens[token] == "110", "the chain has them"


async def test_fault_strikes_only_its_address_and_token(
    trader: Trader, other: Trader, admin: SimulatorAdmin, token: str
) -> None:
    await admin.plant_fault("status", address=trader.address, token_id=token, times=None)
    assert (await trader.buy(token, "0.40", "10")).status == 500
    assert (await other.buy(token, "0.40", "10")).status == 200
    assert (await trader.call("GET", "/data/orders")).status == 200


async def test_page_of_another_hop_is_no_json(
    trader: Trader, admin: SimulatorAdmin, http: httpx2.AsyncClient
) -> None:
    await admin.plant_fault("status", path="/time", status=403, body="<html>blocked</html>")
    response = await http.get(f"{trader.url}/time")
    assert (response.status_code, response.text) == (403, "<html>blocked</html>")
    assert response.headers["content-type"].startswith("text/html")
