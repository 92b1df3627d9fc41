"""Bad rules: each is refused with its field and code, and nothing is changed."""

import pytest

from domain.errors import VenueTransient
from tests.api.conftest import World
from tests.api.fakes import BEHEMOTH, CLOSED, RESOLVED, YES

RULES = "/api/v2/rules"
SKILL = "/api/skills/polymarket/rules"
STOP = [{"type": "stop_loss", "price": "0.40"}]


def rule(**changes: object) -> dict[str, object]:
    return {"token_id": YES, "conditions": STOP, **changes}


def condition(**fields: object) -> dict[str, object]:
    return rule(conditions=[fields])


BAD = [
    ("no token", {"conditions": STOP}, "token_id", "unknown_token"),
    ("unknown token", rule(token_id="999"), "token_id", "unknown_token"),
    ("token with a line end", rule(token_id="99\n9"), "token_id", "unknown_token"),
    ("token with a zero byte", rule(token_id="99\x009"), "token_id", "unknown_token"),
    ("unknown venue", rule(venue="nowhere"), "venue", "unknown_venue"),
    ("other market", rule(market_id="0x1"), "market_id", "market_mismatch"),
    ("resolved market", rule(token_id=RESOLVED), "token_id", "market_resolved"),
    ("closed market", rule(token_id=CLOSED), "token_id", "market_closed"),
    ("price above 1", condition(type="stop_loss", price="1.2"), "conditions.0.price", "price_out_of_range"),
    ("price below 0", condition(type="stop_loss", price="-0.1"), "conditions.0.price", "greater_than_equal"),
    ("not a number", condition(type="stop_loss", price="cheap"), "conditions.0.price", "decimal_parsing"),
    ("not finite", condition(type="stop_loss", price="NaN"), "conditions.0.price", "decimal_parsing"),
    ("floor above 1", rule(floor="1.5"), "floor", "price_out_of_range"),
    ("no level", condition(type="stop_loss"), "conditions.0.price", "one_level"),
    (
        "two levels",
        condition(type="stop_loss", price="0.4", percent="5"),
        "conditions.0.percent",
        "one_level",
    ),
    ("no conditions", rule(conditions=[]), "conditions", "no_condition"),
    ("conditions missing", {"token_id": YES}, "conditions", "missing"),
    ("unknown condition", condition(type="moon"), "conditions.0", "union_tag_invalid"),
    ("twice the same", rule(conditions=STOP * 2), "conditions.1", "duplicate_condition"),
    ("naive time", condition(type="at", time="2027-01-01T00:00:00"), "conditions.0.time", "timezone_aware"),
    ("naive expiry", rule(expires_at="2027-01-01T00:00:00"), "expires_at", "timezone_aware"),
    ("expiry passed", rule(expires_at="2026-01-01T00:00:00Z"), "expires_at", "in_the_past"),
    (
        "moment passed",
        condition(type="at", time="2026-01-01T00:00:00Z"),
        "conditions.0",
        "would_fire_at_once",
    ),
    ("held too long", condition(type="max_hold", seconds=60), "conditions.0", "would_fire_at_once"),
    ("stop above the price", condition(type="stop_loss", price="0.51"), "conditions.0", "would_fire_at_once"),
    (
        "target below the price",
        condition(type="take_profit", price="0.51"),
        "conditions.0",
        "would_fire_at_once",
    ),
    (
        "stop above the price, confirmed later",
        {**condition(type="stop_loss", price="0.55"), "confirm": {"updates": 5}},
        "conditions.0",
        "would_fire_at_once",
    ),
    (
        "trail whose floor is above the price",
        condition(type="trailing_stop", percent="5", floor_price="0.60"),
        "conditions.0",
        "would_fire_at_once",
    ),
    ("nothing held", rule(token_id=BEHEMOTH), "token_id", "no_holding"),
    (
        "more than held",
        rule(action={"type": "SELL_PARTIAL", "amount": "100.01"}),
        "action.amount",
        "more_than_held",
    ),
    (
        "nothing to sell",
        rule(action={"type": "SELL_PARTIAL", "amount": 0}),
        "action.amount",
        "greater_than",
    ),
    (
        "fraction for a percent",
        condition(type="stop_loss", percent="0.1"),
        "conditions.0.percent",
        "small_percent",
    ),
    (
        "percent without an entry price",
        {
            "token_id": BEHEMOTH,
            "expect_position": True,
            "conditions": [{"type": "stop_loss", "percent": "10"}],
        },
        "conditions.0.percent",
        "entry_price_needed",
    ),
    (
        "target beyond 1",
        condition(type="take_profit", percent="150"),
        "conditions.0.percent",
        "price_out_of_range",
    ),
    ("unknown field", rule(stop="0.4"), "stop", "extra_forbidden"),
    ("text for a list", rule(conditions="stop"), "conditions", "tuple_type"),
    ("a list for the body", [], "body", "model_attributes_type"),
]


@pytest.mark.parametrize(("body", "field", "code"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
async def test_bad_rule_names_its_field_and_changes_nothing(
    world: World, body: object, field: str, code: str
) -> None:
    caller = await world.account()

    answer = await caller.post(RULES, body, key="bad")

    problem = answer.json()
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert (field, code) in [(error["field"], error["code"]) for error in problem["errors"]]
    assert all(error["reason"] for error in problem["errors"])
    assert world.rules.starts == []
    assert (await caller.get(RULES)).json()["total"] == 0
    # The key is still free: a corrected body takes it.
    assert (await caller.post(RULES, rule(), key="bad")).status_code == 201


async def test_every_refused_field_is_named_at_once(world: World) -> None:
    caller = await world.account()

    answer = await caller.post(
        RULES,
        rule(
            market_id="0x1", expires_at="2026-01-01T00:00:00Z", action={"type": "SELL_PARTIAL", "amount": 500}
        ),
    )

    fields = {error["field"] for error in answer.json()["errors"]}
    assert fields == {"market_id", "expires_at", "action.amount"}


@pytest.mark.parametrize("secret", ["s3cr3t-value", "0x" + "7" * 64])
async def test_refusal_repeats_neither_values_nor_unreadable_names(world: World, secret: str) -> None:
    caller = await world.account()
    bodies = [
        rule(venue=secret),
        rule(token_id=secret),
        rule(market_id=secret),
        condition(type=secret),
        condition(type="stop_loss", price=secret),
        condition(type="at", time=secret),
        rule(action={"type": secret}),
        rule(evaluator=secret),
        rule(price_source=secret),
        rule(**{f"{secret} {secret}": 1}),
    ]

    answers = [(await caller.post(RULES, body)).text for body in bodies]

    assert [secret in answer for answer in answers] == [False] * len(bodies)


async def test_venue_that_does_not_answer_is_503_and_nothing_starts(world: World) -> None:
    caller = await world.account()
    world.venues.market.failure = VenueTransient("slow", wait_ms=2500)

    answer = await caller.post(RULES, rule())

    assert (answer.status_code, answer.json()["code"]) == (503, "venue_unavailable")
    assert answer.headers["Retry-After"] == "3"
    assert world.rules.starts == []


async def test_live_account_without_credentials_is_told_what_to_do(world: World) -> None:
    caller = await world.account(holds=None)
    await world.goes_live(caller)

    answer = await caller.post(RULES, rule())

    assert (answer.status_code, answer.json()["code"]) == (409, "credentials_missing")


async def test_malformed_json_is_a_problem_document(world: World) -> None:
    caller = await world.account()

    answer = await world.http.post(
        RULES,
        content=b'{"token_id": ',
        headers={"Authorization": f"Bearer {caller.key}", "Content-Type": "application/json"},
    )

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "json_invalid")


async def test_oversized_body_is_413_whether_announced_or_not(world: World) -> None:
    caller = await world.account()
    headers = {"Authorization": f"Bearer {caller.key}"}

    async def chunks():  # type: ignore[no-untyped-def]
        for _ in range(80):
            yield b"x" * 1024

    announced = await world.http.post(RULES, content=b"x" * 80_000, headers=headers)
    streamed = await world.http.post(RULES, content=chunks(), headers=headers)

    assert [(a.status_code, a.json()["code"]) for a in (announced, streamed)] == [(413, "body_too_large")] * 2


@pytest.mark.parametrize("key", ["", "a b", "x" * 201])
async def test_unusable_idempotency_key_is_refused(world: World, key: str) -> None:
    caller = await world.account()

    answer = await caller.post(RULES, rule(), headers={"Idempotency-Key": key})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "Idempotency-Key")


SKILL_BAD = [
    ("no trigger price", {"ruleType": "STOP_LOSS"}, "triggerPrice", "no_level"),
    ("no percent", {"ruleType": "TRAILING_STOP"}, "trailingPercent", "no_level"),
    (
        "percent on a stop",
        {"ruleType": "STOP_LOSS", "triggerPrice": 0.4, "trailingPercent": 5},
        "trailingPercent",
        "not_for_this_type",
    ),
    ("outside 0..1", {"ruleType": "STOP_LOSS", "triggerPrice": 1.4}, "triggerPrice", "price_out_of_range"),
    ("at once", {"ruleType": "TAKE_PROFIT", "triggerPrice": 0.2}, "triggerPrice", "would_fire_at_once"),
    ("fraction", {"ruleType": "TRAILING_STOP", "trailingPercent": 0.05}, "trailingPercent", "small_percent"),
    (
        "floor above 1",
        {"ruleType": "TRAILING_STOP", "trailingPercent": 5, "triggerPrice": 2},
        "triggerPrice",
        "price_out_of_range",
    ),
    (
        "unknown token",
        {"ruleType": "STOP_LOSS", "triggerPrice": 0.4, "tokenId": "9"},
        "tokenId",
        "unknown_token",
    ),
    (
        "other market",
        {"ruleType": "STOP_LOSS", "triggerPrice": 0.4, "marketId": "0x9"},
        "marketId",
        "market_mismatch",
    ),
    (
        "too much",
        {"ruleType": "STOP_LOSS", "triggerPrice": 0.4, "action": {"type": "SELL_PARTIAL", "amount": 101}},
        "action.amount",
        "more_than_held",
    ),
    ("snake case", {"ruleType": "STOP_LOSS", "trigger_price": 0.4}, "trigger_price", "extra_forbidden"),
]


@pytest.mark.parametrize(
    ("body", "field", "code"), [row[1:] for row in SKILL_BAD], ids=[row[0] for row in SKILL_BAD]
)
async def test_skill_form_refuses_with_its_own_field_names(
    world: World, body: dict[str, object], field: str, code: str
) -> None:
    caller = await world.account()

    answer = await caller.post(SKILL, {"tokenId": YES, **body})

    assert answer.status_code == 422, answer.text
    assert (field, code) in [(error["field"], error["code"]) for error in answer.json()["errors"]]
    assert world.rules.starts == []
