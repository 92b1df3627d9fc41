"""Orders of one's own, and the exits of rules beside them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain.errors import VenueBlocked, VenueTransient
from domain.ids import AccountId, OrderId, RuleId, rule_workflow_id
from domain.messages import OrderStart
from domain.orders import OrderState, Purpose
from tests.api.conftest import Caller, World
from tests.api.fakes import NOW, RESOLVED, YES, wallet

ORDERS = "/api/v2/orders"
BUY = {"token_id": YES, "side": "BUY", "shares": "10", "price": "0.52"}


async def test_order_starts_its_workflow_and_shows_its_row(world: World) -> None:
    caller = await world.account()

    answer = await caller.post(ORDERS, BUY, key="k")

    assert answer.status_code == 201, answer.text
    assert (answer.json()["state"], answer.json()["time_in_force"]) == ("resting", "FAK")
    start = world.orders.starts[-1]
    assert (start.purpose, start.send_within_ms, start.mode.value) == (Purpose.ENTRY, 10_000, "paper")


async def test_selling_is_an_exit_without_a_time_limit(world: World) -> None:
    caller = await world.account()

    await caller.post(ORDERS, {**BUY, "side": "SELL"})

    start: OrderStart = world.orders.starts[-1]
    assert (start.purpose, start.send_within_ms) == (Purpose.EXIT, None)


async def test_sell_is_signed_by_a_wallet_that_holds_the_shares_while_the_venue_refuses_another(
    world: World,
) -> None:
    caller = await world.account(holds=None)
    account_id = await world.goes_live(caller)
    world.venues.give(account_id, t1001="40").failure = VenueBlocked("the key was revoked")
    world.venues.give(account_id, t1001="10")

    sold = await caller.post(ORDERS, {**BUY, "side": "SELL", "shares": "10"})

    assert sold.status_code == 201, sold.text
    assert world.orders.starts[-1].wallet == wallet(2, account_id)


async def test_sell_is_signed_by_the_wallet_that_holds_the_shares_and_a_buy_by_the_newest(
    world: World,
) -> None:
    caller, other = await world.account(holds=None), await world.account(holds=None)
    account_id = await world.goes_live(caller)
    for shares in ("30", "10"):
        world.venues.give(account_id, t1001=shares)
    world.venues.give(await world.goes_live(other), t1001="90")

    sold = await caller.post(ORDERS, {**BUY, "side": "SELL", "shares": "30"})
    more = await caller.post(ORDERS, {**BUY, "side": "SELL", "shares": "31"})
    bought = await caller.post(ORDERS, BUY)

    assert (sold.status_code, bought.status_code) == (201, 201)
    assert [start.wallet for start in world.orders.starts] == [wallet(1, account_id), wallet(2, account_id)]
    assert (more.status_code, more.json()["errors"][0]["code"]) == (422, "more_than_held")


@asynccontextmanager
async def opened_breaker(
    world: World, caller: Caller, account_id: str = "", tried_s: float = 7, mode: str = "live"
) -> AsyncGenerator[AccountId]:
    """Open a breaker that was last tried some seconds ago; the venue's own is everybody's."""
    own = await world.goes_live(caller)
    world.venues.give(own, t1001="30")
    async with world.database.hot.connection() as connection:
        await connection.execute("DELETE FROM breakers WHERE venue = 'polymarket'")
        await connection.execute(
            "INSERT INTO breakers (venue, mode, account_id, failures, opened_at, tried_at) VALUES"
            " ('polymarket', $1, $2, 5, clock_timestamp() - interval '1 hour',"
            " clock_timestamp() - make_interval(secs => $3))",
            mode,
            "" if account_id == "venue" else account_id or own,
            tried_s,
        )
    try:
        yield own
    finally:
        async with world.database.hot.connection() as connection:
            await connection.execute("DELETE FROM breakers WHERE venue = 'polymarket'")


@pytest.mark.parametrize("whose", ["venue", ""], ids=["the venue's", "the account's own"])
async def test_purchase_under_an_open_breaker_is_answered_at_once_with_when_to_come_again(
    world: World, whose: str
) -> None:
    caller = await world.account(holds=None)
    async with opened_breaker(world, caller, whose):
        answer = await caller.post(ORDERS, BUY, key="k")
        world.venues.market.failure = VenueTransient("the venue is not even asked")
        at_once = await caller.post(ORDERS, BUY, key="k")

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (503, "breaker_open")
    wait_s = int(answer.headers["Retry-After"])
    assert 0 < wait_s <= 23  # of 30, of which 7 had passed
    assert problem["breaker"] == ("venue" if whose else "account")
    assert "5 sends in a row" in problem["detail"]
    assert f"Send this again in {wait_s} s." in problem["detail"]
    assert at_once.json()["code"] == "breaker_open"
    assert world.orders.starts == []


async def test_purchase_that_may_be_under_way_is_not_called_unplaced_when_a_breaker_opened_since(
    world: World,
) -> None:
    caller = await world.account(holds=None)
    own = await world.goes_live(caller)
    world.venues.give(own, t1001="30")
    world.orders.no_worker = True
    assert (await caller.post(ORDERS, BUY, key="k")).status_code == 202
    async with opened_breaker(world, caller, "venue"):
        again = await caller.post(ORDERS, BUY, key="k")
        other = await caller.post(ORDERS, BUY, key="another")

    assert again.status_code == 202, again.text
    assert other.json()["code"] == "breaker_open"


@pytest.mark.parametrize(
    ("breaker", "body"),
    [
        ({"account_id": "venue"}, {**BUY, "side": "SELL"}),
        ({"account_id": "venue", "tried_s": 31}, BUY),
        ({"account_id": "acc_stranger"}, BUY),
        ({"account_id": "venue", "mode": "paper"}, BUY),
    ],
    ids=["a sale", "whose turn it is to try", "another account's breaker", "the breaker of paper"],
)
async def test_order_that_an_open_breaker_lets_pass_is_placed(
    world: World, breaker: dict[str, Any], body: dict[str, str]
) -> None:
    caller = await world.account(holds=None)
    async with opened_breaker(world, caller, **breaker):
        answer = await caller.post(ORDERS, body)

    assert answer.status_code == 201, answer.text


async def test_same_key_places_one_order_and_another_body_is_409(world: World) -> None:
    caller = await world.account()
    first = await caller.post(ORDERS, BUY, key="k")

    again = await caller.post(ORDERS, {**BUY, "shares": 10}, key="k")
    other = await caller.post(ORDERS, {**BUY, "shares": 11}, key="k")

    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    assert len(world.orders.starts) == 1


async def test_order_without_a_worker_is_202(world: World) -> None:
    caller = await world.account()
    world.orders.no_worker = True

    answer = await caller.post(ORDERS, BUY)

    assert (answer.status_code, answer.json()["id"]) == (202, world.orders.starts[0].order_id)


BAD = [
    ({"price": "0.525"}, "price"),
    ({"price": "1.01"}, "price"),
    ({"price": "0"}, "price"),
    ({"shares": "0"}, "shares"),
    ({"shares": None}, "body"),
    ({"budget_usd": "5"}, "body"),
    ({"token_id": "9"}, "token_id"),
    ({"token_id": RESOLVED}, "token_id"),
    ({"side": "SELL", "shares": "101"}, "shares"),
    ({"side": "HOLD"}, "side"),
    ({"time_in_force": "IOC"}, "time_in_force"),
    ({"post_only": True}, "post_only"),
    ({"time_in_force": "GTD"}, "expires_at"),
    ({"expires_at": (NOW + timedelta(hours=1)).isoformat()}, "expires_at"),
    ({"time_in_force": "GTD", "expires_at": (NOW + timedelta(seconds=30)).isoformat()}, "expires_at"),
    ({"unknown": 1}, "unknown"),
]


@pytest.mark.parametrize(("change", "field"), BAD)
async def test_bad_order_names_its_field_and_starts_nothing(
    world: World, change: dict[str, object], field: str
) -> None:
    caller = await world.account()

    answer = await caller.post(ORDERS, {**BUY, **change})

    assert answer.status_code == 422, answer.text
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert world.orders.starts == []


async def test_cancel_returns_how_the_order_ended(world: World) -> None:
    caller = await world.account()
    order = (await caller.post(ORDERS, {**BUY, "time_in_force": "GTC"})).json()

    answer = await caller.delete(f"{ORDERS}/{order['id']}")
    again = await caller.delete(f"{ORDERS}/{order['id']}")

    assert [(a.status_code, a.json()["state"]) for a in (answer, again)] == [(200, "canceled")] * 2


async def test_exit_of_a_rule_says_cancel_the_rule(world: World) -> None:
    caller = await world.account()
    order = (await caller.post(ORDERS, BUY)).json()
    rule_id = RuleId("rul_1")
    row = world.orders.rows[OrderId(order["id"])]
    await world.orders.write(
        replace(row, host_workflow_id=rule_workflow_id(rule_id), rule_id=rule_id, version=9)
    )

    answer = await caller.delete(f"{ORDERS}/{order['id']}")

    assert (answer.status_code, answer.json()["code"], answer.json()["rule_id"]) == (
        409,
        "cancel_the_rule",
        "rul_1",
    )


async def test_list_filters_by_state_token_and_rule(world: World) -> None:
    caller = await world.account()
    order = (await caller.post(ORDERS, BUY)).json()

    assert (await caller.get(ORDERS, state="resting", token_id=YES)).json()["total"] == 1
    assert (await caller.get(ORDERS, state=OrderState.FILLED.value)).json()["total"] == 0
    assert (await caller.get(ORDERS, rule_id="rul_x")).json()["total"] == 0
    assert (await caller.get(f"{ORDERS}/{order['id']}")).json() == order


async def test_ledger_and_positions_show_what_was_booked(world: World) -> None:
    caller = await world.account(holds="40", paid="0.45")

    entries = (await caller.get("/api/v2/fills", token_id=YES)).json()
    fills = (await caller.get("/api/v2/fills", kind="fill")).json()
    positions = (await caller.get("/api/v2/positions")).json()

    assert sorted(entry["kind"] for entry in entries["items"]) == ["confirmation", "fill"]
    assert [(fill["shares"], fill["notional_usd"]) for fill in fills["items"]] == [("40", "18")]
    assert [(p["shares"], p["average_entry"], p["mode"]) for p in positions["items"]] == [
        ("40", "0.45", "paper")
    ]
