"""Adopting rules whose workflow is gone."""

from decimal import Decimal

from domain.ids import RuleId
from domain.messages import RuleStatus
from tests.api.conftest import Caller, World
from tests.api.fakes import YES

PERCENT = {"token_id": YES, "conditions": [{"type": "stop_loss", "percent": "10"}]}


async def orphan(world: World, owner: Caller) -> str:
    rule_id = (await owner.post("/api/v2/rules", PERCENT)).json()["id"]
    await world.rules.orphan(RuleId(rule_id))
    return rule_id


async def test_orphaned_rule_is_started_again_with_the_levels_that_it_had(world: World) -> None:
    owner = await world.account(paid="0.50")
    rule_id = await orphan(world, owner)
    assert owner.account_id is not None
    await world.bought(owner.account_id, YES, "100", "0.30")  # the average changed, the level must not

    answer = await owner.post(f"/api/v2/rules/{rule_id}/adopt", {})

    assert (answer.status_code, answer.json()["phase"]) == (200, "armed")
    assert answer.json()["levels"][0]["level"] == "0.45"
    start = world.rules.starts[-1]
    assert start.carry is not None
    assert (start.carry.adopts, start.carry.generation, start.carry.episode) == (True, 1, 1)
    assert start.carry.holding.shares == Decimal(200)
    assert start.carry.holding.average_entry == Decimal("0.40")
    assert start.fingerprint == world.rules.starts[0].fingerprint


async def test_adopting_again_with_the_same_key_answers_the_same(world: World) -> None:
    owner = await world.account()
    rule_id = await orphan(world, owner)
    first = await owner.post(f"/api/v2/rules/{rule_id}/adopt", {}, key="once")
    again = await owner.post(f"/api/v2/rules/{rule_id}/adopt", {}, key="once")

    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json()["id"] == rule_id
    assert len(world.rules.starts) == 2


async def test_key_of_one_adoption_adopts_no_other_rule(world: World) -> None:
    owner = await world.account()
    one, other = await orphan(world, owner), await orphan(world, owner)
    await owner.post(f"/api/v2/rules/{one}/adopt", {}, key="once")
    answer = await owner.post(f"/api/v2/rules/{other}/adopt", {}, key="once")

    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_conflict")


async def test_rule_that_lives_or_has_ended_is_not_adopted(world: World) -> None:
    owner = await world.account()
    rule_id = (await owner.post("/api/v2/rules", PERCENT)).json()["id"]
    living = await owner.post(f"/api/v2/rules/{rule_id}/adopt", {})
    await world.rules.end(RuleId(rule_id), RuleStatus.CANCELED)
    ended = await owner.post(f"/api/v2/rules/{rule_id}/adopt", {})

    assert [(a.status_code, a.json()["code"]) for a in (living, ended)] == [(409, "not_orphaned")] * 2
    assert len(world.rules.starts) == 1


async def test_adoption_without_a_worker_is_pending(world: World) -> None:
    owner = await world.account()
    rule_id = await orphan(world, owner)
    world.rules.no_worker = True
    answer = await owner.post(f"/api/v2/rules/{rule_id}/adopt", {})

    assert (answer.status_code, answer.json()["state"]) == (202, "pending")


async def test_cancelling_an_orphan_says_that_it_must_be_adopted_first(world: World) -> None:
    owner = await world.account()
    rule_id = await orphan(world, owner)
    answer = await owner.delete(f"/api/v2/rules/{rule_id}")

    assert (answer.status_code, answer.json()["code"]) == (409, "orphaned")
