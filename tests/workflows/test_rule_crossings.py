"""What a rule makes of a crossing before anything is sold: judged, refused, repeated, late."""

from decimal import Decimal

import pytest
from temporalio.client import WorkflowUpdateFailedError

from domain.messages import RuleOutcome, RulePhase, RuleStatus
from tests.fakes.exchange import FakeExchange, accepts
from tests.workflows.floor import STOP, TARGET, Floor

D = Decimal


async def test_a_repeated_crossing_changes_nothing(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm()
    crossing = rule.crossing("0.39")
    for _ in range(3):
        await rule.cross("0.39", observed_at_ms=crossing.observed_at_ms)
    await rule.result()

    assert len(exchange.attempts) == 1
    assert exchange.kinds.count("rule.triggered") == 1


async def test_a_crossing_repeated_after_the_rule_was_armed_again_changes_nothing(
    floor: Floor, exchange: FakeExchange
):
    rule = await floor.arm(TARGET)
    await rule.cross("0.60", ladder=[("0.59", "1000")])
    await exchange.event("rule.rearmed")
    await rule.cross("0.60")  # of the first generation, once more
    await rule.holds("9")
    await exchange.until(lambda: exchange.watch.shares == D(9))

    assert (exchange.rule.generation, exchange.kinds.count("rule.triggered")) == (2, 1)
    assert exchange.attempts == []


async def test_a_crossing_that_does_not_satisfy_the_rule_is_refused_and_arms_again(
    floor: Floor, exchange: FakeExchange
):
    rule = await floor.arm()
    await rule.cross("0.45")
    event = await exchange.event("crossing.refused")

    assert "not_reached" in event.message
    assert (exchange.watch.generation, exchange.watch.armed) == (2, True)
    assert exchange.watch.not_before_ms is not None
    await rule.cross("0.40", generation=2)
    assert (await rule.result()).status is RuleStatus.TRIGGERED


async def test_a_crossing_of_an_older_generation_is_judged_by_the_new_level(
    floor: Floor, exchange: FakeExchange
):
    rule = await floor.arm()
    await rule.patch({"type": "stop_loss", "price": "0.45"})
    await rule.cross("0.44")  # reaches the new level only; seen by the feed under the old generation
    answer = await rule.result()

    assert answer.status is RuleStatus.TRIGGERED
    assert exchange.rule.generation == 2


async def test_an_older_crossing_above_the_new_level_is_refused(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm()
    await rule.patch({"type": "stop_loss", "price": "0.30"})
    await rule.cross("0.39")
    await exchange.event("crossing.refused")

    assert exchange.attempts == []
    assert exchange.rule.status is RuleStatus.ACTIVE


async def test_a_late_copy_of_a_crossing_before_the_last_one_is_dropped(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm()
    for generation in (1, 2):
        await rule.cross("0.41", generation=generation)
        await exchange.until(lambda g=generation: exchange.watch.generation > g)
    await rule.cross("0.39", generation=1)  # of a second feed, long after
    await rule.patch(STOP)

    assert exchange.attempts == []
    assert exchange.rule.status is RuleStatus.ACTIVE


async def test_a_rule_that_lags_behind_its_watch_goes_on_behind_the_generation_of_the_crossing(
    floor: Floor, exchange: FakeExchange
):
    rule = await floor.arm()
    await rule.cross("0.41", generation=3)  # the watch stood at 3 when this history was reset
    await exchange.event("crossing.refused")
    assert exchange.watch.generation == 4

    await rule.cross("0.39", generation=4)
    assert (await rule.result()).status is RuleStatus.TRIGGERED


async def test_a_patch_before_the_crossing_moves_the_level(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm()
    answer = await rule.patch({"type": "stop_loss", "price": "0.30"})

    assert (answer.outcome, answer.phase) == (RuleOutcome.DONE, RulePhase.ARMED)
    assert exchange.watch.generation == 2
    assert exchange.watch.resolved.conditions[0].level == D("0.30")
    assert answer.version == exchange.rule.version


async def test_a_patch_after_the_crossing_is_told_that_it_lost(floor: Floor, exchange: FakeExchange):
    exchange.script(accepts())
    rule = await floor.arm()
    await rule.cross("0.39")
    await exchange.until(lambda: bool(exchange.posts))
    answer = await rule.patch({"type": "stop_loss", "price": "0.30"})

    assert answer.outcome is RuleOutcome.CROSSING_WON
    await exchange.fill("10")
    assert (await rule.result()).status is RuleStatus.TRIGGERED
    assert exchange.rule.definition.conditions[0].price == D("0.40")


async def test_a_patch_of_another_version_changes_nothing(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm()
    answer = await rule.patch({"type": "stop_loss", "price": "0.30"}, expected_version=1)

    assert answer.outcome is RuleOutcome.VERSION_MISMATCH
    assert exchange.rule.generation == 1


async def test_a_patch_without_a_level_is_refused_and_leaves_the_rule_armed(
    floor: Floor, exchange: FakeExchange
):
    rule = await floor.arm()
    with pytest.raises(WorkflowUpdateFailedError) as refusal:
        await rule.patch({"type": "take_profit", "percent": "150"})

    assert refusal.value.cause.type == "unresolvable_rule"
    await rule.cross("0.39")
    assert (await rule.result()).status is RuleStatus.TRIGGERED


async def test_a_second_create_gets_the_same_answer_and_another_fingerprint_is_refused(floor: Floor):
    rule = await floor.arm()
    assert (await rule.create()).phase is RulePhase.ARMED
    with pytest.raises(WorkflowUpdateFailedError) as refusal:
        await rule.create(fingerprint="another")
    assert refusal.value.cause.type == "idempotency_conflict"


async def test_the_story_is_told_in_the_projection(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm(STOP)
    await rule.cross("0.39")
    await rule.result()

    assert exchange.kinds == ["rule.armed", "rule.triggered", "order.submitted", "order.filled", "rule.done"]
    triggered = await exchange.event("rule.triggered")
    assert triggered.data["price"] == "0.39"
    assert triggered.data["level"] == "0.40"
