"""Creating, reading, changing and cancelling rules in the general form."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from api.deps import TradeManager
from api.problems import unavailable
from api.starters import StillGoingOn
from domain.errors import VenueBlocked
from domain.ids import RuleId
from domain.messages import RuleOutcome, RuleStatus
from domain.orders import MarketState, Mode
from storage.database import Database
from storage.repositories.api_keys import Scope
from tests.api.conftest import World, opened_world
from tests.api.fakes import BEHEMOTH, MARKET, YES, FakeSession, instrument, wallet

RULES = "/api/v2/rules"
STOP = {"token_id": YES, "conditions": [{"type": "stop_loss", "price": "0.40"}]}


async def test_stop_is_created_with_level_sentence_and_workflow_input(world: World) -> None:
    caller = await world.account()

    answer = await caller.post(RULES, STOP, key="first")

    assert answer.status_code == 201, answer.text
    rule = answer.json()
    assert rule["levels"][0]["level"] == "0.4"
    assert rule["sentence"].startswith("Sells all shares when the display price falls to 0.40 or below")
    assert (rule["status"], rule["phase"], rule["mode"]) == ("ACTIVE", "armed", "paper")
    assert rule["market_id"] == MARKET
    assert answer.headers["Idempotency-Key"] == "first"
    start = world.rules.starts[-1]
    assert start.account_id == caller.account_id
    assert start.holding.shares == 100
    assert start.definition.market_id == MARKET


async def test_numbers_and_text_mean_the_same_rule(world: World) -> None:
    caller = await world.account()
    first = await caller.post(RULES, STOP, key="k")

    again = await caller.post(
        RULES, {"token_id": YES, "conditions": [{"type": "stop_loss", "price": 0.4}]}, key="k"
    )

    assert again.status_code == 200
    assert again.json()["id"] == first.json()["id"]
    assert len(world.rules.starts) == 1


OTHERS = [
    {"conditions": [{"type": "stop_loss", "price": "0.41"}]},
    {"conditions": [{"type": "take_profit", "price": "0.40"}]},
    {"action": {"type": "SELL_PARTIAL", "amount": 5}},
    {"follow_token": True},
]


@pytest.mark.parametrize("change", OTHERS)
async def test_same_key_with_another_body_is_refused(world: World, change: dict[str, object]) -> None:
    caller = await world.account()
    await caller.post(RULES, STOP, key="k")

    answer = await caller.post(RULES, {**STOP, **change}, key="k")

    assert answer.status_code == 409
    assert answer.json()["code"] == "idempotency_conflict"


async def test_same_key_of_two_accounts_makes_two_rules(world: World) -> None:
    one, other = await world.account(), await world.account()

    answers = [await caller.post(RULES, STOP, key="same") for caller in (one, other)]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json()["id"] != answers[1].json()["id"]


async def test_server_makes_a_key_that_repeats_the_request(world: World) -> None:
    caller = await world.account()
    first = await caller.post(RULES, STOP)

    again = await caller.post(RULES, STOP, key=first.headers["Idempotency-Key"])

    assert again.json()["id"] == first.json()["id"]


async def test_repeated_key_returns_the_rule_after_the_position_is_gone(world: World) -> None:
    caller = await world.account()
    first = await caller.post(RULES, STOP, key="k")
    await world.rules.end(RuleId(first.json()["id"]), RuleStatus.TRIGGERED)
    world.venues.market.instruments.clear()

    again = await caller.post(RULES, STOP, key="k")

    assert (again.status_code, again.json()["status"]) == (200, "TRIGGERED")


async def test_without_a_worker_the_answer_is_202_with_the_id(world: World) -> None:
    caller = await world.account()
    world.rules.no_worker = True

    answer = await caller.post(RULES, STOP, key="k")

    assert answer.status_code == 202
    assert answer.json()["state"] == "pending"
    assert answer.json()["id"] == world.rules.starts[0].rule_id


async def test_temporal_away_is_503_and_the_same_key_succeeds_later(world: World) -> None:
    caller = await world.account()
    world.rules.failure = unavailable("temporal_unavailable", "away")
    away = await caller.post(RULES, STOP, key="k")
    world.rules.failure = None

    later = await caller.post(RULES, STOP, key="k")

    assert (away.status_code, away.headers["Retry-After"]) == (503, "1")
    assert away.json()["code"] == "temporal_unavailable"
    assert later.status_code == 201


async def test_percent_levels_use_the_ledgers_average_entry(world: World) -> None:
    caller = await world.account(paid="0.48")

    answer = await caller.post(RULES, {"token_id": YES, "conditions": [{"type": "stop_loss", "percent": 10}]})

    assert answer.json()["levels"][0]["level"] == "0.432"
    assert answer.json()["entry_price"] == "0.48"


async def test_own_entry_price_wins_over_the_ledgers(world: World) -> None:
    caller = await world.account(paid="0.48")

    answer = await caller.post(
        RULES, {**STOP, "entry_price": "0.50", "conditions": [{"type": "stop_loss", "percent": "10"}]}
    )

    assert answer.json()["levels"][0]["level"] == "0.45"


async def test_holding_found_at_the_venue_alone_is_enough_and_wakes_the_stream(world: World) -> None:
    caller = await world.account(holds=None)
    assert caller.account_id is not None
    world.venues.paper[caller.account_id] = FakeSession(holdings={YES: Decimal(7)})

    answer = await caller.post(RULES, STOP)

    assert answer.status_code == 201
    assert world.signals.woken == [caller.account_id]
    positions = (await caller.get("/api/v2/positions")).json()["items"]
    assert [(p["token_id"], p["shares"]) for p in positions] == [(YES, "7")]


async def test_holding_found_at_the_venue_is_taken_once_for_two_rules(world: World) -> None:
    caller = await world.account(holds=None)
    assert caller.account_id is not None
    world.venues.paper[caller.account_id] = FakeSession(holdings={YES: Decimal(7)})

    await caller.post(RULES, STOP)
    await caller.post(RULES, STOP)

    entries = (await caller.get("/api/v2/fills")).json()["items"]
    assert [(e["kind"], e["shares"]) for e in entries] == [("adjustment", "7")]


async def test_rule_is_signed_by_the_wallet_that_holds_most_of_its_token(world: World) -> None:
    caller, other = await world.account(holds=None), await world.account(holds=None)
    account_id = await world.goes_live(caller)
    for shares in ("30", "10"):
        world.venues.give(account_id, t1001=shares)
    world.venues.give(await world.goes_live(other), t1001="90")

    answer = await caller.post(RULES, STOP)

    assert answer.status_code == 201, answer.text
    start = world.rules.starts[-1]
    assert (start.mode, start.wallet) == (Mode.LIVE, wallet(1, account_id))
    assert start.holding.shares == Decimal(40)


async def test_rule_is_created_on_what_the_others_hold_while_the_venue_refuses_a_wallet(world: World) -> None:
    caller = await world.account(holds=None)
    account_id = await world.goes_live(caller)
    world.venues.give(account_id, t1001="4").failure = VenueBlocked("the key was revoked")
    world.venues.give(account_id, t1001="6")

    answer = await caller.post(RULES, STOP)

    assert answer.status_code == 201, answer.text
    start = world.rules.starts[-1]
    assert (start.wallet, start.holding.shares) == (wallet(2, account_id), Decimal(6))


async def test_rule_stands_even_when_the_stream_cannot_be_woken(world: World) -> None:
    caller = await world.account(holds=None)
    assert caller.account_id is not None
    world.venues.paper[caller.account_id] = FakeSession(holdings={YES: Decimal(7)})
    world.signals.away = True

    assert (await caller.post(RULES, STOP)).status_code == 201


async def test_expected_position_needs_no_holding(world: World) -> None:
    caller = await world.account(holds=None)

    answer = await caller.post(RULES, {**STOP, "token_id": BEHEMOTH, "expect_position": True})

    assert answer.status_code == 201


async def test_immediate_rule_is_taken_when_asked_for(world: World) -> None:
    caller = await world.account()
    body = {"token_id": YES, "conditions": [{"type": "stop_loss", "price": "0.60"}]}

    refused = await caller.post(RULES, body)
    taken = await caller.post(RULES, {**body, "allow_immediate": True})

    assert (refused.status_code, taken.status_code) == (422, 201)


async def test_switched_off_trade_manager_refuses_creation_but_still_reads(database: Database) -> None:
    off = TradeManager(enabled=False, ws_enabled=True, poll_interval=timedelta(seconds=60))
    async with opened_world(database, off) as world:
        caller = await world.account()

        created = await caller.post(RULES, STOP)
        listed = await caller.get(RULES)

    assert (created.status_code, created.json()["code"]) == (503, "trade_manager_disabled")
    assert listed.status_code == 200


async def test_disabled_account_gets_no_new_rules(world: World) -> None:
    caller = await world.account()
    assert caller.account_id is not None
    await world.services.accounts.set_enabled(caller.account_id, False)

    answer = await caller.post(RULES, STOP)

    assert (answer.status_code, answer.json()["code"]) == (403, "account_disabled")


async def test_reading_key_may_not_create(world: World) -> None:
    caller = await world.account(Scope.READ)

    answer = await caller.post(RULES, STOP)

    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


async def test_list_filters_and_pages(world: World) -> None:
    caller = await world.account()
    ids = [(await caller.post(RULES, STOP)).json()["id"] for _ in range(3)]
    await caller.delete(f"{RULES}/{ids[0]}")

    active = (await caller.get(RULES, status="ACTIVE", limit=1)).json()
    cancelled = (await caller.get(RULES, status="CANCELED")).json()

    assert (active["total"], len(active["items"]), active["limit"], active["offset"]) == (2, 1, 1, 0)
    assert [rule["id"] for rule in cancelled["items"]] == [ids[0]]
    assert (await caller.get(RULES, token_id="9")).json()["total"] == 0


async def test_patch_changes_the_level_and_says_so(world: World) -> None:
    caller = await world.account()
    rule = (await caller.post(RULES, STOP)).json()

    answer = await caller.patch(
        f"{RULES}/{rule['id']}",
        {"conditions": [{"type": "stop_loss", "price": "0.35"}], "version": rule["version"]},
    )

    assert answer.status_code == 200, answer.text
    assert answer.json()["outcome"] == "done"
    assert answer.json()["levels"][0]["level"] == "0.35"
    assert answer.json()["generation"] == 2


async def test_patch_with_an_old_version_changes_nothing(world: World) -> None:
    caller = await world.account()
    rule = (await caller.post(RULES, STOP)).json()
    path = f"{RULES}/{rule['id']}"
    await caller.patch(path, {"floor": "0.2", "version": rule["version"]})

    answer = await caller.patch(path, {"floor": "0.1", "version": rule["version"]})

    assert (answer.status_code, answer.json()["code"]) == (409, "version_mismatch")
    assert (await caller.get(path)).json()["floor"] == "0.2"


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({}, "body", "no_change"),
        ({"conditions": [{"type": "stop_loss", "price": "1.5"}]}, "conditions.0.price", "price_out_of_range"),
        ({"conditions": [{"type": "stop_loss", "price": "0.6"}]}, "conditions.0", "would_fire_at_once"),
        ({"conditions": [{"type": "stop_loss", "percent": "0.1"}]}, "conditions.0.percent", "small_percent"),
        ({"action": {"type": "SELL_PARTIAL", "amount": 101}}, "action.amount", "more_than_held"),
        ({"expires_at": "2026-01-01T00:00:00Z"}, "expires_at", "in_the_past"),
        ({"token_id": "1"}, "token_id", "extra_forbidden"),
    ],
)
async def test_bad_patch_names_its_field_and_changes_nothing(
    world: World, body: dict[str, object], field: str, code: str
) -> None:
    caller = await world.account()
    rule = (await caller.post(RULES, STOP)).json()

    answer = await caller.patch(f"{RULES}/{rule['id']}", body)

    assert answer.status_code == 422
    assert {"field": field, "code": code}.items() <= answer.json()["errors"][0].items()
    assert (await caller.get(f"{RULES}/{rule['id']}")).json() == rule


@pytest.mark.parametrize("method", ["patch", "delete"])
async def test_crossing_that_won_the_race_is_named(world: World, method: str) -> None:
    caller = await world.account()
    rule = (await caller.post(RULES, STOP)).json()
    world.rules.answer = RuleOutcome.CROSSING_WON
    path = f"{RULES}/{rule['id']}"

    answer = await (caller.patch(path, {"floor": "0.1"}) if method == "patch" else caller.delete(path))

    assert (answer.status_code, answer.json()["code"]) == (409, "crossing_won")
    assert answer.json()["rule_id"] == rule["id"]


async def test_patch_that_is_bad_only_because_the_rule_has_fired_is_told_so(world: World) -> None:
    caller = await world.account()
    rule = (await caller.post(RULES, STOP)).json()
    await world.rules.fire(RuleId(rule["id"]))
    world.venues.market.instruments[YES] = instrument(YES, MarketState.CLOSED)

    answer = await caller.patch(f"{RULES}/{rule['id']}", {"floor": "0.1"})

    assert (answer.status_code, answer.json()["code"]) == (409, "crossing_won")


async def test_cancel_ends_the_rule_and_again_is_harmless(world: World) -> None:
    caller = await world.account()
    rule = (await caller.post(RULES, STOP)).json()

    first = await caller.delete(f"{RULES}/{rule['id']}")
    again = await caller.delete(f"{RULES}/{rule['id']}")

    assert (first.status_code, first.json()["outcome"], first.json()["status"]) == (200, "done", "CANCELED")
    assert (again.status_code, again.json()["outcome"]) == (200, "already_finished")


async def test_cancel_amid_an_exit_names_what_is_left(world: World) -> None:
    caller = await world.account()
    rule = (await caller.post(RULES, STOP)).json()
    world.rules.answer = RuleOutcome.CANCELED_WITH_RESIDUAL

    answer = await caller.delete(f"{RULES}/{rule['id']}")

    assert answer.status_code == 200
    assert answer.json()["outcome"] == "canceled_with_residual"
    assert "left unsold" in answer.json()["outcome_detail"]


@pytest.mark.parametrize(
    ("status", "code"), [(RuleStatus.TRIGGERED, "crossing_won"), (RuleStatus.EXPIRED, "already_finished")]
)
async def test_finished_rule_is_neither_patched_nor_cancelled(
    world: World, status: RuleStatus, code: str
) -> None:
    caller = await world.account()
    rule = (await caller.post(RULES, STOP)).json()
    await world.rules.end(RuleId(rule["id"]), status)

    patched = await caller.patch(f"{RULES}/{rule['id']}", {"floor": "0.1"})
    cancelled = await caller.delete(f"{RULES}/{rule['id']}")

    assert [(a.status_code, a.json()["code"]) for a in (patched, cancelled)] == [(409, code), (409, code)]


async def test_rule_without_its_workflow_is_called_orphaned(world: World) -> None:
    caller = await world.account()
    rule = (await caller.post(RULES, STOP)).json()
    await world.rules.orphan(RuleId(rule["id"]))

    answer = await caller.delete(f"{RULES}/{rule['id']}")

    assert (answer.status_code, answer.json()["code"]) == (409, "orphaned")


async def test_accepted_change_that_takes_long_is_202(world: World) -> None:
    caller = await world.account()
    rule = (await caller.post(RULES, STOP)).json()
    world.rules.failure = StillGoingOn()

    answer = await caller.delete(f"{RULES}/{rule['id']}")

    assert answer.status_code == 202
    assert answer.json()["id"] == rule["id"]


async def test_events_and_monitored_positions_show_the_rule(world: World) -> None:
    caller = await world.account()
    rule = (await caller.post(RULES, STOP)).json()

    events = (await caller.get(f"{RULES}/events", rule_id=rule["id"])).json()
    positions = (await caller.get(f"{RULES}/positions")).json()

    assert [event["type"] for event in events["items"]] == ["rule.armed"]
    assert positions["items"][0]["rule_ids"] == [rule["id"]]
    assert positions["items"][0]["shares"] == "100"


async def test_follower_of_events_reads_on_from_the_last_id(world: World) -> None:
    caller = await world.account()
    first = (await caller.post(RULES, STOP)).json()
    seen = (await caller.get("/api/v2/events")).json()["items"][0]["id"]
    second = (await caller.post(RULES, STOP)).json()

    later = (await caller.get("/api/v2/events", after=seen)).json()["items"]
    of_first = (await caller.get("/api/v2/events", after=0, rule_id=first["id"])).json()["items"]

    assert [event["rule_id"] for event in later] == [second["id"]]
    assert [event["rule_id"] for event in of_first] == [first["id"]]


async def test_rule_of_an_account_that_went_live_stays_paper(world: World) -> None:
    caller = await world.account()
    rule = (await caller.post(RULES, STOP)).json()
    start = world.rules.starts[-1]
    assert caller.account_id is not None
    await world.services.accounts.set_mode(caller.account_id, Mode.LIVE, acknowledge_live=True)

    patched = await caller.patch(f"{RULES}/{rule['id']}", {"floor": "0.1"})

    assert patched.json()["mode"] == "paper"
    assert replace(start, mode=Mode.PAPER) == start
