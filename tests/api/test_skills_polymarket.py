"""The Polymarket skill's form: camelCase, and the same rules as the general form."""

import pytest

from tests.api.conftest import World
from tests.api.fakes import MARKET, YES

SKILL = "/api/skills/polymarket/rules"


def body(**changes: object) -> dict[str, object]:
    return {
        "ruleType": "STOP_LOSS",
        "marketId": MARKET,
        "tokenId": YES,
        "triggerPrice": 0.4,
        "action": {"type": "SELL_ALL"},
        **changes,
    }


async def test_rule_of_the_skill_is_the_general_rule_in_camel_case(world: World) -> None:
    caller = await world.account()

    made = await caller.post(SKILL, body())

    assert made.status_code == 201, made.text
    rule = made.json()
    assert (rule["ruleType"], rule["triggerPrice"], rule["trailingPercent"]) == ("STOP_LOSS", "0.4", None)
    assert (rule["status"], rule["phase"], rule["marketId"], rule["tokenId"]) == (
        "ACTIVE",
        "armed",
        MARKET,
        YES,
    )
    general = (await caller.get(f"/api/v2/rules/{rule['id']}")).json()
    assert general["conditions"][0]["type"] == "stop_loss"
    assert general["sentence"] == rule["sentence"]


async def test_trigger_price_of_a_trail_is_its_floor(world: World) -> None:
    caller = await world.account()

    made = await caller.post(SKILL, body(ruleType="TRAILING_STOP", trailingPercent="8", triggerPrice="0.35"))

    assert (made.json()["trailingPercent"], made.json()["triggerPrice"]) == ("8", "0.35")
    general = (await caller.get(f"/api/v2/rules/{made.json()['id']}")).json()
    assert general["conditions"][0]["floor_price"] == "0.35"


async def test_partial_sale_takes_a_number_of_shares(world: World) -> None:
    caller = await world.account()

    made = await caller.post(SKILL, body(action={"type": "SELL_PARTIAL", "amount": 12.5}))

    assert made.json()["action"] == {"type": "SELL_PARTIAL", "amount": "12.5"}


@pytest.mark.parametrize(
    ("rule", "change", "shown"),
    [
        ({}, {"triggerPrice": 0.3}, {"triggerPrice": "0.3"}),
        (
            {"ruleType": "TRAILING_STOP", "trailingPercent": 8, "triggerPrice": None},
            {"trailingPercent": 6},
            {"trailingPercent": "6", "triggerPrice": None},
        ),
        (
            {"ruleType": "TRAILING_STOP", "trailingPercent": 8, "triggerPrice": "0.35"},
            {"triggerPrice": "0.38"},
            {"trailingPercent": "8", "triggerPrice": "0.38"},
        ),
    ],
)
async def test_patch_changes_trigger_price_floor_or_percent(
    world: World, rule: dict[str, object], change: dict[str, object], shown: dict[str, object]
) -> None:
    caller = await world.account()
    made = (await caller.post(SKILL, body(**rule))).json()

    answer = await caller.patch(f"{SKILL}/{made['id']}", change)

    assert answer.status_code == 200, answer.text
    assert shown.items() <= answer.json().items()
    assert answer.json()["outcome"] == "done"


async def test_percent_for_a_stop_is_refused_by_patch(world: World) -> None:
    caller = await world.account()
    made = (await caller.post(SKILL, body())).json()

    answer = await caller.patch(f"{SKILL}/{made['id']}", {"trailingPercent": 5})

    assert (answer.status_code, answer.json()["code"]) == (409, "no_such_level")


async def test_lists_events_positions_and_status_are_camel_case(world: World) -> None:
    caller = await world.account()
    made = (await caller.post(SKILL, body())).json()

    rules = (await caller.get(SKILL, status="ACTIVE")).json()
    events = (await caller.get(f"{SKILL}/events", ruleId=made["id"])).json()
    positions = (await caller.get(f"{SKILL}/positions")).json()
    status = (await caller.get(f"{SKILL}/status")).json()

    assert [rule["id"] for rule in rules["items"]] == [made["id"]]
    assert events["items"][0]["ruleId"] == made["id"]
    assert positions["items"][0]["ruleIds"] == [made["id"]]
    assert positions["items"][0]["averageEntry"] == "0.5"
    assert status["activeRules"] == 1
    assert status["websocket"] is False


async def test_delete_cancels(world: World) -> None:
    caller = await world.account()
    made = (await caller.post(SKILL, body())).json()

    answer = await caller.delete(f"{SKILL}/{made['id']}")

    assert (answer.json()["status"], answer.json()["outcome"]) == ("CANCELED", "done")


async def test_same_key_through_both_forms_is_one_rule(world: World) -> None:
    caller = await world.account()
    made = (await caller.post(SKILL, body(), key="k")).json()

    general = await caller.post(
        "/api/v2/rules",
        {"market_id": MARKET, "token_id": YES, "conditions": [{"type": "stop_loss", "price": "0.40"}]},
        key="k",
    )

    assert (general.status_code, general.json()["id"]) == (200, made["id"])
