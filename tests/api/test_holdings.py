"""Adjustments and proposals over the API."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from domain.errors import VenueTransient
from domain.ids import RuleId
from domain.messages import RuleStatus
from domain.orders import Mode
from domain.positions import PositionKey
from tests.api.conftest import Caller, World
from tests.api.fakes import MARKET, NO, NOW, YES, book

PROPOSALS = "/api/v2/positions/proposals"


async def adjusted(world: World, caller: Caller, ledger: str, venue: str) -> None:
    assert caller.account_id is not None
    key = PositionKey(account_id=caller.account_id, venue="polymarket", mode=Mode.PAPER, token_id=YES)
    await world.services.ledger.adjust(
        key,
        MARKET,
        ledger_shares=Decimal(ledger),
        venue_shares=Decimal(venue),
        price=Decimal("0.30"),
        at=NOW - timedelta(minutes=1),
        adjustment_key=f"outside/{ledger}",
    )


async def test_adjustments_show_both_numbers_and_the_position_its_origin(world: World) -> None:
    caller = await world.account(holds=None)
    await adjusted(world, caller, "0", "7")

    [line] = (await caller.get("/api/v2/adjustments")).json()["items"]
    [position] = (await caller.get("/api/v2/positions")).json()["items"]

    assert (line["side"], line["shares"], line["price"]) == ("BUY", "7", "0.3")
    assert (line["ledger_shares"], line["venue_shares"]) == ("0", "7")
    assert position["origin"] == "found"


async def test_a_bare_position_is_proposed_a_rule_that_can_be_armed_as_it_is(world: World) -> None:
    caller = await world.account(paid="0.50")

    [proposal] = (await caller.get(PROPOSALS)).json()["items"]
    armed = await caller.post("/api/v2/rules", proposal["rule"], key=proposal["idempotency_key"])
    again = await caller.post("/api/v2/rules", proposal["rule"], key=proposal["idempotency_key"])

    assert (proposal["level"], proposal["price"], proposal["proceeds_usd"]) == ("0.4", "0.51", "40")
    assert "falls to 0.40 or below" in proposal["sentence"]
    assert (armed.status_code, again.status_code) == (201, 200)
    assert armed.json()["id"] == again.json()["id"]
    assert (await caller.get(PROPOSALS)).json()["items"] == []


async def test_after_its_rule_ended_a_position_is_proposed_under_another_key(world: World) -> None:
    caller = await world.account()
    [first] = (await caller.get(PROPOSALS)).json()["items"]
    rule = (await caller.post("/api/v2/rules", first["rule"], key=first["idempotency_key"])).json()
    await world.rules.end(RuleId(rule["id"]), RuleStatus.CANCELED)

    [second] = (await caller.get(PROPOSALS)).json()["items"]
    armed = await caller.post("/api/v2/rules", second["rule"], key=second["idempotency_key"])

    assert second["idempotency_key"] != first["idempotency_key"]
    assert (armed.status_code, armed.json()["id"] != rule["id"]) == (201, True)


async def test_the_distance_is_the_callers_and_gains_trail(world: World) -> None:
    caller = await world.account(paid="0.40")

    [proposal] = (await caller.get(PROPOSALS, stop_percent="10")).json()["items"]
    refused = await caller.get(PROPOSALS, stop_percent="0.1")

    [condition] = proposal["rule"]["conditions"]
    assert (condition["type"], condition["percent"], proposal["level"]) == ("trailing_stop", "10", "0.45")
    assert refused.status_code == 422


async def test_what_cannot_be_protected_says_why(world: World) -> None:
    caller = await world.account(token=NO)
    world.venues.market.top[NO] = replace(book(NO, "0.5", "0.6", "0.5"), bids=(), asks=(), last=None)

    [proposal] = (await caller.get(PROPOSALS)).json()["items"]

    assert (proposal["skipped"], proposal["rule"], proposal["idempotency_key"]) == ("no_price", None, None)


async def test_a_token_in_two_wallets_is_one_proposal_for_all_of_it(world: World) -> None:
    caller = await world.account(holds=None)
    account_id = await world.goes_live(caller)
    world.venues.give(account_id, t1001="30").entries[YES] = Decimal("0.50")
    world.venues.give(account_id, t1001="10", t1002="20").entries[YES] = Decimal("0.54")

    found = (await caller.get(PROPOSALS)).json()["items"]

    assert [(p["token_id"], p["shares"], p["average_entry"], p["origin"]) for p in found] == [
        (YES, "40", "0.51", "found"),
        (NO, "20", None, "found"),
    ]


async def test_shares_of_another_accounts_wallet_are_not_proposed(world: World) -> None:
    caller, other = await world.account(holds=None), await world.account(holds=None)
    world.venues.give(await world.goes_live(caller))
    world.venues.give(await world.goes_live(other), t1001="30")

    assert (await caller.get(PROPOSALS)).json()["items"] == []


async def test_index_that_cannot_be_read_is_told_instead_of_nothing_to_protect(world: World) -> None:
    caller = await world.account(holds=None)
    session = world.venues.give(await world.goes_live(caller), t1001="30")
    session.failure = VenueTransient("away")

    answer = await caller.get(PROPOSALS)

    assert (answer.status_code, answer.json()["code"]) == (503, "venue_unavailable")


async def test_live_account_without_a_wallet_has_nothing_listed(world: World) -> None:
    caller = await world.account(holds=None)
    await world.goes_live(caller)

    answer = await caller.get(PROPOSALS)

    assert (answer.status_code, answer.json()["items"]) == (200, [])


async def test_market_without_a_book_is_skipped_for_want_of_a_price(world: World) -> None:
    caller = await world.account(token=NO)
    del world.venues.market.top[NO]

    [proposal] = (await caller.get(PROPOSALS)).json()["items"]

    assert (proposal["skipped"], proposal["rule"]) == ("no_price", None)
