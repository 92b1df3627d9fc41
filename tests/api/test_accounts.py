"""Accounts, switches, keys, credentials and checks."""

from dataclasses import replace
from decimal import Decimal

import pytest

from domain.errors import VenueBlocked, VenueTransient
from domain.ids import OrderId, RuleId, rule_workflow_id
from domain.messages import RulePhase
from domain.orders import OrderState
from domain.ports import Balance, Region
from storage.repositories.api_keys import Scope
from tests.api.conftest import Caller, World
from tests.api.fakes import SIGNER, YES

ACCOUNTS = "/api/v2/accounts"
PRIVATE_KEY = "0x" + "a1" * 32


async def test_operator_makes_an_account_in_paper_mode_once_a_key(world: World) -> None:
    first = await world.admin.post(ACCOUNTS, {"name": "desk"}, key="desk-1")

    again = await world.admin.post(ACCOUNTS, {"name": "desk"}, key="desk-1")
    other = await world.admin.post(ACCOUNTS, {"name": "other"}, key="desk-1")

    assert (first.status_code, first.json()["mode"], first.json()["enabled"]) == (201, "paper", True)
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")


async def test_live_needs_an_acknowledgement(world: World) -> None:
    caller = await world.account()
    path = f"{ACCOUNTS}/{caller.account_id}"

    refused = await world.admin.patch(path, {"mode": "live"})
    taken = await world.admin.patch(path, {"mode": "live", "acknowledge_live": True})

    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "acknowledge_live")
    assert (taken.json()["mode"], taken.json()["live_acknowledged"]) == ("live", True)


async def test_limits_and_switches_are_shown_as_they_were_set(world: World) -> None:
    caller = await world.account()
    path = f"{ACCOUNTS}/{caller.account_id}"

    limited = await world.admin.patch(path, {"policy": {"max_order_usd": 25}, "enabled": False})
    killed = await world.admin.put(f"{path}/kill-switch", {"level": "entries"})

    assert (limited.json()["policy"]["max_order_usd"], limited.json()["enabled"]) == ("25", False)
    assert killed.json()["kill_switch"] == "entries"
    assert (await caller.get(path)).json() == killed.json()


async def test_empty_patch_is_refused(world: World) -> None:
    caller = await world.account()

    answer = await world.admin.patch(f"{ACCOUNTS}/{caller.account_id}", {})

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "no_change")


async def test_global_kill_switch_is_the_operators(world: World) -> None:
    caller = await world.account(Scope.ADMIN)

    refused = await caller.put("/api/v2/kill-switch", {"level": "all"})
    try:
        thrown = await world.admin.put("/api/v2/kill-switch", {"level": "entries"})
        shown = await world.admin.get("/api/v2/kill-switch")
    finally:
        await world.admin.put("/api/v2/kill-switch", {"level": "off"})

    assert refused.status_code == 403
    assert thrown.json() == shown.json() == {"level": "entries"}


async def held(world: World, owner: Caller, phase: RulePhase = RulePhase.WAITING) -> str:
    """An exit that the kill switch holds."""
    stop = {"token_id": YES, "conditions": [{"type": "stop_loss", "percent": "10"}]}
    rule_id = RuleId((await owner.post("/api/v2/rules", stop)).json()["id"])
    await world.rules.fire(rule_id, phase=phase)
    return rule_workflow_id(rule_id)


@pytest.mark.parametrize("phase", [RulePhase.WAITING, RulePhase.EXITING], ids=["waits", "looks just now"])
async def test_exit_that_an_accounts_kill_switch_held_looks_again_once_it_is_lifted(
    world: World, phase: RulePhase
) -> None:
    owner = await world.account()
    host = await held(world, owner, phase)
    path = f"{ACCOUNTS}/{owner.account_id}/kill-switch"
    stranger = await world.account()

    await world.admin.put(path, {"level": "all"})
    await world.admin.put(f"{ACCOUNTS}/{stranger.account_id}/kill-switch", {"level": "off"})
    assert world.signals.updated == []
    await world.admin.put(path, {"level": "entries"})
    assert world.signals.updated == [host]


@pytest.mark.parametrize("state", [OrderState.WAITING, OrderState.PLACING], ids=["waits", "looks just now"])
async def test_sale_by_hand_that_the_kill_switch_held_looks_again_once_it_is_lifted(
    world: World, state: OrderState
) -> None:
    owner = await world.account()
    sale = {"token_id": YES, "side": "SELL", "shares": "5", "price": "0.40"}
    order_id = OrderId((await owner.post("/api/v2/orders", sale)).json()["id"])
    row = world.orders.rows[order_id]
    await world.orders.write(replace(row, state=state, version=row.version + 1))

    await world.admin.put(f"{ACCOUNTS}/{owner.account_id}/kill-switch", {"level": "off"})

    assert world.signals.updated == [row.host_workflow_id]


async def test_exit_that_the_global_kill_switch_held_looks_again_once_it_is_lifted(world: World) -> None:
    host = await held(world, await world.account())

    await world.admin.put("/api/v2/kill-switch", {"level": "off"})

    assert host in world.signals.updated


async def test_kill_switch_is_lifted_while_temporal_is_away(world: World) -> None:
    owner = await world.account()
    await held(world, owner)
    world.signals.away = True

    lifted = await world.admin.put(f"{ACCOUNTS}/{owner.account_id}/kill-switch", {"level": "off"})

    assert (lifted.status_code, lifted.json()["kill_switch"]) == (200, "off")


async def test_key_is_shown_once_and_works_until_revoked(world: World) -> None:
    caller = await world.account()
    path = f"{ACCOUNTS}/{caller.account_id}/keys"
    made = (await world.admin.post(path, {"scopes": ["read"], "name": "bot"}, key="k")).json()
    bot = Caller(world.http, caller.account_id, made["key"])
    before = await bot.get("/api/v2/rules")

    again = (await world.admin.post(path, {"scopes": ["read"], "name": "bot"}, key="k")).json()
    revoked = await world.admin.delete(f"{path}/{made['id']}")
    after = await bot.get("/api/v2/rules")

    assert made["key"].startswith(f"hf_{made['prefix']}_")
    assert (again["id"], again["key"]) == (made["id"], None)
    assert (before.status_code, revoked.status_code, after.status_code) == (200, 200, 401)
    listed = (await world.admin.get(path)).json()
    assert listed["total"] == 2
    assert made["key"] not in str(listed)


async def test_key_of_another_account_cannot_be_revoked(world: World) -> None:
    one, other = await world.account(Scope.ADMIN), await world.account(Scope.ADMIN)
    keys = (await other.get(f"{ACCOUNTS}/{other.account_id}/keys")).json()["items"]

    answer = await one.delete(f"{ACCOUNTS}/{one.account_id}/keys/{keys[0]['id']}")

    assert answer.status_code == 404


async def test_header_key_works_like_the_bearer(world: World) -> None:
    caller = await world.account()

    answer = await world.http.get("/api/v2/rules", headers={"X-API-Key": caller.key})

    assert answer.status_code == 200


async def test_operator_acts_for_the_account_of_the_header(world: World) -> None:
    caller = await world.account()
    headers = {"Authorization": f"Bearer {world.admin.key}"}

    without = await world.http.get("/api/v2/positions", headers=headers)
    unknown = await world.http.get("/api/v2/positions", headers={**headers, "X-Holdfast-Account": "acc_0"})
    named = await world.http.get(
        "/api/v2/positions", headers={**headers, "X-Holdfast-Account": str(caller.account_id)}
    )

    assert (without.status_code, without.json()["code"]) == (400, "account_required")
    assert unknown.status_code == 404
    assert named.json()["total"] == 1


async def test_credentials_are_stored_sealed_and_never_returned(world: World) -> None:
    caller = await world.account()
    path = f"{ACCOUNTS}/{caller.account_id}/credentials"

    first = await world.admin.put(path, {"private_key": PRIVATE_KEY})
    again = await world.admin.put(path, {"private_key": PRIVATE_KEY})

    assert first.status_code == 200, first.text
    assert first.json()["signer"] == SIGNER
    assert again.json() == first.json()
    assert PRIVATE_KEY[2:] not in first.text + again.text


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "private_key"),
        ({"private_key": "0x12"}, "private_key"),
        ({"private_key": PRIVATE_KEY, "venue": "nowhere"}, "venue"),
        ({"private_key": PRIVATE_KEY, "signature_type": 7}, "signature_type"),
        ({"private_key": PRIVATE_KEY, "signature_type": 1}, "body"),
        ({"private_key": PRIVATE_KEY, "signature_type": 3}, "body"),
        ({"private_key": PRIVATE_KEY, "funder": PRIVATE_KEY}, "funder"),
    ],
)
async def test_bad_credentials_name_the_field_alone(
    world: World, body: dict[str, object], field: str
) -> None:
    caller = await world.account()

    answer = await world.admin.put(f"{ACCOUNTS}/{caller.account_id}/credentials", body)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
    assert PRIVATE_KEY[2:] not in answer.text


async def test_venue_away_while_storing_credentials_is_503(world: World) -> None:
    caller = await world.account()
    world.opener.failure = VenueTransient("slow")

    answer = await world.admin.put(
        f"{ACCOUNTS}/{caller.account_id}/credentials", {"private_key": PRIVATE_KEY}
    )

    assert answer.status_code == 503


CHECKS = [
    "mode",
    "venue_reachable",
    "credentials",
    "wallets",
    "balance",
    "allowance",
    "region",
    "closed_only",
]


async def checks(world: World, caller: Caller) -> dict[str, dict[str, object]]:
    answer = await caller.get(f"{ACCOUNTS}/{caller.account_id}/checks")
    assert answer.status_code == 200, answer.text
    return {check["name"]: check for check in answer.json()}


async def test_all_checks_pass_for_a_sound_account(world: World) -> None:
    caller = await world.account()

    found = await checks(world, caller)

    assert list(found) == CHECKS
    assert all(check["ok"] and check["fix"] is None for check in found.values())


async def test_each_check_can_fail_and_names_what_mends_it(world: World) -> None:
    caller = await world.account()
    world.venues.market.skew_ms = 60_000
    world.regions.answer = Region(blocked=True, country="US")
    session = world.venues.give(await world.goes_live(caller))
    session.cash, session.only_closing = Balance(amount=Decimal(0), allowance=Decimal(0)), True

    found = await checks(world, caller)

    failed = [name for name, check in found.items() if not check["ok"] and check["fix"]]
    assert failed == ["venue_reachable", "balance", "allowance", "region", "closed_only"]


async def test_former_wallet_that_the_venue_refuses_fails_the_check_of_wallets_alone(world: World) -> None:
    caller = await world.account()
    account_id = await world.goes_live(caller)
    world.venues.give(account_id).failure = VenueBlocked("the key was revoked")
    world.venues.give(account_id)

    found = await checks(world, caller)

    assert [name for name, check in found.items() if not check["ok"]] == ["wallets"]
    assert found["wallets"]["detail"] == "the venue refuses 1 of 2: what these hold cannot be sold"


async def test_checks_without_credentials_or_venue_fail_instead_of_breaking_off(world: World) -> None:
    caller = await world.account()
    await world.goes_live(caller)
    world.venues.market.failure = VenueTransient("slow")

    found = await checks(world, caller)

    assert found["credentials"]["fix"] == "holdfast credentials set"
    assert "venue_unavailable" in str(found["venue_reachable"]["detail"])


async def test_checks_of_an_unknown_venue_are_refused(world: World) -> None:
    caller = await world.account()

    answer = await caller.get(f"{ACCOUNTS}/{caller.account_id}/checks", venue="nowhere")

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "venue")
