"""The venue's limiters: token buckets of a signer, windows of a network address."""

import asyncio
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime

import httpx2
import pytest

from simulator.app import Running, serve
from simulator.client import SimulatorAdmin
from tests.simulator.clock import ManualClock
from tests.simulator.trader import KEY, Answer, Trader


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def running(clock: ManualClock) -> AsyncIterator[Running]:
    async with serve(None, clock=clock) as running, SimulatorAdmin(running.admin_url) as admin:
        await admin.settings(hmac_window_s=None)
        yield running


@pytest.fixture
async def limits(admin: SimulatorAdmin) -> None:
    await admin.settings(
        signer_limits="enforced", orders_per_s=2, orders_burst=3, cancels_per_s=2, cancels_burst=4
    )


async def rest(trader: Trader, token: str) -> Answer:
    return await trader.buy(token, "0.40", "5")


@pytest.mark.usefixtures("limits")
async def test_burst_passes_and_the_next_order_is_told_when_to_come_again(
    trader: Trader, token: str, clock: ManualClock, admin: SimulatorAdmin
) -> None:
    answers = [await rest(trader, token) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert [a.headers["poly-ratelimit-remaining"] for a in answers] == ["2", "1", "0", "0"]
    refused = answers[3]
    assert (refused.error, refused.headers["retry-after"]) == ("Too Many Requests", "1")
    answered = parsedate_to_datetime(refused.headers["date"]).timestamp()
    assert int(refused.headers["poly-ratelimit-reset"]) == answered + 1
    assert refused.headers["poly-ratelimit-tier"] == "standard"
    clock.advance(500)
    assert (await rest(trader, token)).status == 200
    assert [entry.outcome for entry in await admin.ledger()] == [*["accepted"] * 3, "refused", "accepted"]


@pytest.mark.usefixtures("limits")
async def test_refused_order_leaves_no_id(trader: Trader, token: str, clock: ManualClock) -> None:
    for _ in range(3):
        await rest(trader, token)
    order = trader.limit(token, "BUY", "0.40", "5")
    assert (await trader.post(order)).status == 429
    clock.advance(1_000)
    assert (await trader.post(order)).body["status"] == "live"


@pytest.mark.usefixtures("limits")
async def test_cancels_have_a_bucket_of_their_own_and_each_signer_too(
    trader: Trader, other: Trader, token: str
) -> None:
    order_ids = [(await rest(trader, token)).body["orderID"] for _ in range(3)]
    assert (await rest(trader, token)).status == 429
    assert (await rest(other, token)).status == 200
    assert (await trader.call("DELETE", "/order", {"orderID": order_ids[0]})).status == 200


@pytest.mark.usefixtures("limits")
async def test_batch_is_admitted_whole_or_refused_whole(trader: Trader, token: str) -> None:
    assert (await rest(trader, token)).status == 200
    batch = [trader.payload(trader.limit(token, "BUY", "0.40", "5")) for _ in range(3)]
    assert (await trader.call("POST", "/orders", batch)).status == 429
    assert (await trader.call("POST", "/orders", batch[:2])).status == 200
    order_ids = [order["id"] for order in (await trader.call("GET", "/data/orders")).body["data"]]
    assert len(order_ids) == 3
    answer = await trader.call("DELETE", "/orders", order_ids[:2])
    assert answer.headers["poly-ratelimit-remaining"] == "2"


@pytest.mark.usefixtures("limits")
async def test_cancel_all_costs_one_and_each_order(trader: Trader, token: str) -> None:
    for _ in range(2):
        await rest(trader, token)
    answer = await trader.call("DELETE", "/cancel-all")
    assert (len(answer.body["canceled"]), answer.headers["poly-ratelimit-remaining"]) == (2, "1")


async def test_warning_mode_lets_pass_and_says_so(trader: Trader, token: str, admin: SimulatorAdmin) -> None:
    await admin.settings(signer_limits="warning", orders_per_s=1, orders_burst=1)
    first, second = [await rest(trader, token) for _ in range(2)]
    assert (first.status, "poly-ratelimit-warning" in first.headers) == (200, False)
    assert (second.status, "poly-ratelimit-warning" in second.headers) == (200, True)


async def test_tier_is_shown_to_its_signer(trader: Trader) -> None:
    assert (await trader.call("GET", "/v1/user/rate-limit-tier")).body == {"tier": "standard"}


async def test_network_delays_what_is_too_much_and_refuses_what_would_wait_long(
    http: httpx2.AsyncClient,
) -> None:
    async with serve(None) as running, SimulatorAdmin(running.admin_url) as admin:
        token = (await admin.create_market("?")).token_ids[0]
        await admin.settings(
            network_limits=True, network_per_10_s={"GET /tick-size": 2}, network_delay_ms=10_000
        )
        url = f"{running.url}/tick-size?token_id={token}"
        assert [(await http.get(url)).status_code for _ in range(2)] == [200, 200]
        await admin.settings(network_delay_ms=0)
        refused = await http.get(url)
        assert (refused.status_code, refused.text) == (429, "error code: 1015")
        assert not [name for name in refused.headers if name.startswith("poly-")]
        assert (await http.get(f"{running.url}/time")).status_code == 200


async def test_delayed_request_is_answered_when_the_window_has_room(
    running: Running, admin: SimulatorAdmin, clock: ManualClock, http: httpx2.AsyncClient
) -> None:
    await admin.settings(network_limits=True, network_per_10_s={"GET /tick-size": 1}, network_delay_ms=10_000)
    token = (await admin.create_market("?")).token_ids[0]
    url = f"{running.url}/tick-size?token_id={token}"
    await http.get(url)
    waiting = asyncio.create_task(http.get(url))
    await clock.until_timer()
    assert not waiting.done()
    clock.advance(10_000)
    assert (await waiting).status_code == 200


@pytest.fixture
async def heart(running: Running, admin: SimulatorAdmin, http: httpx2.AsyncClient, token: str) -> Trader:
    trader = await Trader(running.url, KEY, http).log_in()
    await admin.set_wallet(trader.address, collateral="1000")
    return trader


async def beat(trader: Trader, heartbeat_id: str = "") -> Answer:
    return await trader.call("POST", "/v1/heartbeats", {"heartbeat_id": heartbeat_id})


async def test_open_orders_of_a_silent_key_are_cancelled(
    heart: Trader, token: str, clock: ManualClock, admin: SimulatorAdmin, other: Trader
) -> None:
    await rest(heart, token)
    await rest(other, token)
    next_id = (await beat(heart)).body["heartbeat_id"]
    clock.advance(9_000)
    assert (await beat(heart, next_id)).status == 200
    clock.advance(10_000)  # silent for ten seconds, and not looked at since
    assert [order.status for order in await admin.orders(heart.address)] == ["LIVE"]
    clock.advance(1_000)
    assert [order.status for order in await admin.orders(heart.address)] == ["CANCELED"]
    assert [order.status for order in await admin.orders(other.address)] == ["LIVE"]
    assert (await beat(heart)).status == 200


async def test_wrong_heartbeat_is_told_the_expected_id(heart: Trader) -> None:
    expected = (await beat(heart)).body["heartbeat_id"]
    refused = await beat(heart, "another")
    assert (refused.status, refused.body) == (
        400,
        {"error_msg": "Invalid Heartbeat ID", "heartbeat_id": expected},
    )
    assert (await beat(heart, expected)).status == 200


async def test_key_that_never_sent_a_heartbeat_has_no_switch(
    heart: Trader, token: str, clock: ManualClock, admin: SimulatorAdmin
) -> None:
    await rest(heart, token)
    clock.advance(60_000)
    assert [order.status for order in await admin.orders(heart.address)] == ["LIVE"]
