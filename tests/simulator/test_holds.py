"""Holds: marketable orders wait before they meet the book, as it stands then."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from simulator.app import Simulator, serve
from simulator.client import AdminMarket, AdminOrder, SimulatorAdmin
from tests.simulator.clock import ManualClock
from tests.simulator.trader import KEY, Answer, Trader

HOLD_S = 3


@dataclass
class Pitch:
    """A sports market with a hold, a funded trader and a bid of 1,000 at 0.50."""

    clock: ManualClock
    admin: SimulatorAdmin
    market: AdminMarket
    trader: Trader

    @property
    def token(self) -> str:
        return self.market.token_ids[0]

    async def order(self) -> AdminOrder:
        (order,) = await self.admin.orders()
        return order

    async def sell(self, price: str = "0.50", shares: str = "10", order_type: str = "FAK") -> Answer:
        return await self.trader.sell(self.token, price, shares, order_type)


@pytest.fixture
async def pitch(http: httpx2.AsyncClient) -> AsyncIterator[Pitch]:
    clock = ManualClock()
    async with serve(None, clock=clock) as running, SimulatorAdmin(running.admin_url) as admin:
        await admin.settings(hmac_window_s=None)
        market = await admin.create_market("Who wins?", seconds_delay=HOLD_S)
        trader = await Trader(running.url, KEY, http).log_in()
        await admin.set_wallet(trader.address, collateral="1000", tokens={market.token_ids[0]: "100"})
        await admin.set_book(market.token_ids[0], bids=[("0.50", "1000")])
        yield Pitch(clock, admin, market, trader)


async def test_marketable_order_is_delayed_and_matches_when_its_hold_is_over(pitch: Pitch) -> None:
    answer = await pitch.sell()
    assert (answer.status, answer.body["status"]) == (200, "delayed")
    assert (answer.body["makingAmount"], answer.body["takingAmount"]) == ("", "")
    assert await pitch.admin.trades() == []
    pitch.clock.advance(HOLD_S * 1000 - 1)
    assert (await pitch.order()).status == "DELAYED"
    pitch.clock.advance(1)
    order = await pitch.order()
    assert (order.status, order.size_matched) == ("MATCHED", "10")


async def test_hold_can_be_ended_by_hand(pitch: Pitch) -> None:
    await pitch.sell()
    assert await pitch.admin.release_held() == 1
    assert (await pitch.order()).status == "MATCHED"
    pitch.clock.advance(HOLD_S * 1000)
    assert len(await pitch.admin.trades()) == 1
    assert await pitch.admin.release_held() == 0


async def test_order_that_does_not_cross_is_not_held(pitch: Pitch) -> None:
    assert (await pitch.sell("0.60", order_type="GTC")).body["status"] == "live"
    assert (await pitch.sell("0.55")).error.startswith("no orders found")


async def test_held_order_meets_the_book_as_it_is_when_the_hold_ends(pitch: Pitch) -> None:
    await pitch.sell("0.40")
    await pitch.admin.set_book(pitch.token, bids=[("0.45", "1000")])
    pitch.clock.advance(HOLD_S * 1000)
    (trade,) = await pitch.admin.trades()
    assert (trade.price, trade.size) == ("0.45", "10")


@pytest.mark.parametrize(
    ("order_type", "status"),
    [("FAK", "CANCELED"), ("FOK", "CANCELED"), ("GTC", "UNMATCHED")],
)
async def test_held_order_whose_counterpart_left_is_killed_or_rests(
    pitch: Pitch, order_type: str, status: str
) -> None:
    order_id = (await pitch.sell(order_type=order_type)).body["orderID"]
    await pitch.admin.set_book(pitch.token)
    pitch.clock.advance(HOLD_S * 1000)
    assert ((await pitch.order()).status, await pitch.admin.trades()) == (status, [])
    book = (await pitch.trader.call("GET", f"/book?token_id={pitch.token}")).body
    assert book["asks"] == ([{"price": "0.5", "size": "10"}] if order_type == "GTC" else [])
    shown = (await pitch.trader.call("GET", f"/data/order/{order_id}")).body
    assert shown["status"] == status


async def test_order_that_rests_after_its_hold_is_matched_and_can_be_cancelled(pitch: Pitch) -> None:
    order_id = (await pitch.sell(order_type="GTC")).body["orderID"]
    await pitch.admin.set_book(pitch.token)
    pitch.clock.advance(HOLD_S * 1000)
    await pitch.admin.set_book(pitch.token, bids=[("0.50", "4")])
    order = await pitch.order()
    assert (order.status, order.size_matched) == ("UNMATCHED", "4")
    answer = await pitch.trader.call("DELETE", "/order", {"orderID": order_id})
    assert answer.body["canceled"] == [order_id]


async def test_held_order_cannot_be_cancelled_and_binds_its_shares(pitch: Pitch) -> None:
    order_id = (await pitch.sell(shares="80")).body["orderID"]
    for method, path, body in (
        ("DELETE", "/order", {"orderID": order_id}),
        ("DELETE", "/orders", [order_id]),
        ("DELETE", "/cancel-all", None),
    ):
        answer = await pitch.trader.call(method, path, body)
        assert answer.body == {
            "canceled": [],
            "not_canceled": {order_id: "order is delayed and can't be canceled"},
        }
    assert "sum of active orders: 80000000" in (await pitch.sell(shares="30")).error


async def test_held_order_posted_again_is_a_duplicate(pitch: Pitch) -> None:
    order = pitch.trader.limit(pitch.token, "SELL", "0.50", "10")
    first, second = [await pitch.trader.post(order, "FAK") for _ in range(2)]
    assert (first.body["status"], second.status) == ("delayed", 400)
    assert second.error.endswith("is invalid. Duplicated.")


async def test_held_order_of_an_emptied_wallet_becomes_invalid(pitch: Pitch) -> None:
    await pitch.sell()
    await pitch.admin.set_wallet(pitch.trader.address, tokens={pitch.token: "0"})
    assert (await pitch.order()).status == "INVALID"
    pitch.clock.advance(HOLD_S * 1000)
    assert await pitch.admin.trades() == []


async def test_market_paused_during_a_hold_refuses_the_order_at_its_end(pitch: Pitch) -> None:
    await pitch.sell()
    await pitch.admin.set_market_state(pitch.market.condition_id, active=False)
    pitch.clock.advance(HOLD_S * 1000)
    assert (await pitch.order()).status == "INVALID"


async def test_resolution_ends_a_held_order(pitch: Pitch) -> None:
    await pitch.sell()
    await pitch.admin.resolve(pitch.market.condition_id, pitch.token)
    pitch.clock.advance(HOLD_S * 1000)
    assert (await pitch.order()).status == "CANCELED_MARKET_RESOLVED"


async def test_hold_outlives_a_restart_of_the_exchange(http: httpx2.AsyncClient, tmp_path: Path) -> None:
    clock = ManualClock()
    async with serve(tmp_path, clock=clock) as running, SimulatorAdmin(running.admin_url) as admin:
        await admin.settings(hmac_window_s=None)
        token = (await admin.create_market("Who wins?", seconds_delay=HOLD_S)).token_ids[0]
        trader = await Trader(running.url, KEY, http).log_in()
        await admin.set_wallet(trader.address, tokens={token: "100"})
        await admin.set_book(token, bids=[("0.50", "1000")])
        await trader.sell(token, "0.50", "10", "FAK")
    restarted = ManualClock(clock.now_ms() + 60_000)
    simulator = Simulator(tmp_path, clock=restarted)
    simulator.resume()
    restarted.advance(0)
    assert [order.filled for order in simulator.state.orders.values()] == [10_000_000]
    await simulator.close()
    simulator.journal.close()


async def test_short_hold_makes_the_call_wait_for_its_result(
    trader: Trader, admin: SimulatorAdmin, http: httpx2.AsyncClient
) -> None:
    await admin.settings(short_hold_ms=30)
    market = await admin.create_market("Up in five minutes?", short_hold=True)
    token = market.token_ids[0]
    await admin.set_wallet(trader.address, tokens={token: "100"})
    await admin.set_book(token, bids=[("0.50", "1000")])
    assert (await trader.sell(token, "0.50", "10", "FAK")).body["status"] == "matched"
    (entry,) = await admin.ledger()
    (trade,) = await admin.trades()
    assert trade.matched_at_ms - entry.received_at_ms >= 30
    compact = await http.get(f"{trader.url}/clob-markets/{market.condition_id}")
    assert compact.json()["itode"] is True
