import asyncio

import httpx2
import pytest

from simulator.app import Running
from simulator.client import AdminMarket, SimulatorAdmin
from tests.simulator.trader import Trader


async def test_request_held_before_receipt_is_in_no_ledger_until_it_goes_on(
    trader: Trader, admin: SimulatorAdmin, token: str
) -> None:
    barrier = await admin.raise_barrier("before_receive", token_id=token)
    order = trader.limit(token, "BUY", "0.40", "10")
    posting = asyncio.create_task(trader.post(order))
    held = await admin.barrier(barrier)
    assert (held.held, len(held.order_ids)) == (1, 1)
    assert await admin.ledger() == []
    assert await admin.orders() == []
    await admin.release_barrier(barrier)
    answer = await posting
    assert answer.body["orderID"] == held.order_ids[0]
    (entry,) = await admin.ledger()
    assert (entry.outcome, entry.order_id, entry.answered) == ("accepted", held.order_ids[0], True)


async def test_client_that_left_before_receipt_leaves_no_order(
    trader: Trader, admin: SimulatorAdmin, token: str
) -> None:
    barrier = await admin.raise_barrier("before_receive")
    posting = asyncio.create_task(trader.post(trader.limit(token, "BUY", "0.40", "10")))
    await admin.barrier(barrier)
    posting.cancel()
    await asyncio.gather(posting, return_exceptions=True)
    await admin.release_barrier(barrier)
    while not (entries := await admin.ledger()):
        pass
    assert [(entry.outcome, entry.status_code) for entry in entries] == [("held", None)]
    assert await admin.orders() == []


@pytest.mark.parametrize("point", ["after_accept", "before_answer"])
async def test_order_stays_accepted_when_its_client_leaves_before_the_answer(
    trader: Trader, admin: SimulatorAdmin, token: str, point: str
) -> None:
    barrier = await admin.raise_barrier(point)
    order = trader.limit(token, "BUY", "0.40", "10")
    posting = asyncio.create_task(trader.post(order))
    held = await admin.barrier(barrier)
    (entry,) = await admin.ledger()
    assert (entry.outcome, entry.answered) == ("accepted", False)
    posting.cancel()
    await asyncio.gather(posting, return_exceptions=True)
    await admin.release_barrier(barrier)
    assert (await trader.post(order)).error.endswith("is invalid. Duplicated.")
    assert [entry.order_id for entry in await admin.ledger()] == held.order_ids * 2
    (order_row,) = await admin.orders()
    assert order_row.status == "LIVE"


async def test_hold_after_acceptance_lets_refused_orders_pass(
    trader: Trader, admin: SimulatorAdmin, token: str
) -> None:
    barrier = await admin.raise_barrier("after_accept")
    assert (await trader.buy(token, "0.40", "1")).status == 400
    assert (await admin.barrier(barrier, wait_ms=0)).taken == 0


async def test_held_request_holds_up_nobody_else(
    trader: Trader, admin: SimulatorAdmin, market: AdminMarket
) -> None:
    yes, no = market.token_ids
    barrier = await admin.raise_barrier("before_receive", token_id=yes, times=None)
    posting = asyncio.create_task(trader.buy(yes, "0.40", "10"))
    await admin.barrier(barrier)
    assert (await trader.buy(no, "0.40", "10")).status == 200
    assert (await trader.call("GET", "/data/orders")).status == 200
    await admin.clear_barriers()
    assert (await posting).status == 200


async def test_barrier_holds_only_as_many_requests_as_asked(
    trader: Trader, admin: SimulatorAdmin, token: str
) -> None:
    barrier = await admin.raise_barrier("before_receive", times=1)
    posting = asyncio.create_task(trader.buy(token, "0.40", "10"))
    await admin.barrier(barrier)
    assert (await trader.buy(token, "0.41", "10")).status == 200
    await admin.release_barrier(barrier)
    assert (await posting).status == 200


async def test_barrier_on_another_path_holds_cancels(
    trader: Trader, admin: SimulatorAdmin, token: str
) -> None:
    order_id = (await trader.buy(token, "0.40", "10")).body["orderID"]
    barrier = await admin.raise_barrier("before_answer", method="DELETE", path="/order")
    canceling = asyncio.create_task(trader.call("DELETE", "/order", {"orderID": order_id}))
    await admin.barrier(barrier)
    (order,) = await admin.orders()
    assert order.status == "CANCELED", "done, only not answered"
    await admin.release_barrier(barrier)
    assert (await canceling).body["canceled"] == [order_id]


async def test_unknown_barrier_is_404(running: Running, http: httpx2.AsyncClient) -> None:
    response = await http.get(f"{running.admin_url}/barriers/barrier-99")
    assert response.status_code == 404
