"""Two that want the same shares, and people who change their mind while the price crosses."""

import asyncio
from decimal import Decimal

import pytest

from bench.client import Refused
from domain.messages import Crossed
from domain.quotes import Ladder, Level, Quote
from domain.rules.crossing import Crossing
from domain.rules.definition import ConditionType
from tests.e2e.scene import CORE_WORKERS, IN_THE_STACKS_LOOP, Holdfast, stop_at, target_at
from tests.e2e.waiting import until

pytestmark = IN_THE_STACKS_LOOP


async def test_two_rules_that_sell_all_of_one_position_sell_it_once(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    second = await scene.trader.arm(scene.market, stop_at("0.49"))
    await scene.market.quote("0.40")
    rows = [await rule.phase("done") for rule in (scene.rule, second)]
    assert sum(Decimal(row["sold_shares"]) for row in rows) == 10
    assert {row["status"] for row in rows} == {"TRIGGERED", "CANCELED"}
    await scene.trader.audit(scene.market, scene.rule, second, sells=1)


async def test_two_partial_rules_never_sell_more_than_is_held(holdfast: Holdfast) -> None:
    trader, market = await holdfast.open_trader(), await holdfast.open_market()
    await trader.buy(market)
    seven = {"type": "SELL_PARTIAL", "amount": "7"}
    rules = [await trader.arm(market, stop_at(price), action=seven) for price in ("0.50", "0.49")]
    await market.watched()
    await market.quote("0.40")
    rows = [await rule.phase("done") for rule in rules]
    assert sorted(row["sold_shares"] for row in rows) == ["3", "7"]
    await trader.audit(market, *rules, sells=2)


async def test_stop_cancels_a_resting_sell_that_holds_its_shares(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    resting = await scene.trader.order(scene.market, "SELL", "10", "0.90", tif="GTC")
    path = f"/api/v2/orders/{resting}"
    await until(lambda: scene.trader.api.get(path), lambda o: o["state"] == "resting", "the resting sell")
    await scene.market.quote("0.40")
    row = await scene.rule.done()
    assert row["sold_shares"] == "10"
    await until(lambda: scene.trader.api.get(path), lambda o: o["state"] == "canceled", "the canceled sell")
    await scene.audit(sells=2)


async def test_crossing_signalled_three_times_is_one_exit(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    handle = holdfast.temporal.get_workflow_handle(scene.rule.workflow_id)
    barrier = await holdfast.hold(scene.market, "before_receive")
    await scene.market.quote("0.40")
    await barrier.arrival()
    for _ in range(2):
        await handle.signal("crossed", _crossing(scene.rule.id))
    await barrier.release()
    row = await scene.rule.done()
    assert row["sold_shares"] == "10"
    assert len(await scene.rule.events("rule.triggered")) == 1
    await scene.audit()


def _crossing(rule_id: str) -> Crossed:
    quote = Quote(Decimal("0.40"), Decimal("0.41"), None)
    crossing = Crossing(
        rule_id=rule_id,
        generation=1,
        condition_index=0,
        condition=ConditionType.STOP_LOSS,
        level=Decimal("0.50"),
        quote=quote,
        price=Decimal("0.405"),
        mark=None,
        confirm_count=1,
        beyond_since_ms=None,
        observed_at_ms=0,
        venue_timestamp_ms=None,
    )
    return Crossed(crossing=crossing, ladder=Ladder((Level(Decimal("0.40"), Decimal(1000)),)))


async def test_cancel_while_the_exit_is_at_the_venue_says_that_the_crossing_won(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    barrier = await holdfast.hold(scene.market, "after_accept")
    await scene.market.quote("0.40")
    await barrier.arrival()
    cancelling = asyncio.create_task(_outcome_of_cancel(scene.trader.api.delete(scene.rule.path)))
    await asyncio.sleep(0)
    await barrier.release()
    assert await cancelling in ("crossing_won", "still_going_on")
    await scene.rule.done("TRIGGERED")
    await scene.audit()


async def test_cancel_before_the_crossing_leaves_the_position_alone(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    answer = await scene.trader.api.delete(scene.rule.path)
    assert (answer["outcome"], answer["status"]) == ("done", "CANCELED")
    await scene.market.quote("0.40")
    other = await scene.trader.arm(scene.market, target_at("0.70"))
    await scene.market.watched()
    await scene.market.quote("0.70")
    await other.done()
    row = await scene.rule.row()
    assert (row["status"], row["sold_shares"]) == ("CANCELED", "0")
    await scene.trader.audit(scene.market, scene.rule, other, sells=1)


@pytest.mark.parametrize("first", ["cancel", "crossing"])
async def test_cancel_and_crossing_in_one_task_end_cleanly_and_the_answer_says_how(
    holdfast: Holdfast, first: str
) -> None:
    scene = await holdfast.protected()
    for part in CORE_WORKERS:
        holdfast.stack.supervisor.pause(part)
    if first == "crossing":
        await scene.market.quote("0.40")
        await scene.rule.signalled()
    cancelling = asyncio.create_task(_outcome_of_cancel(scene.trader.api.delete(scene.rule.path)))
    if first == "cancel":
        await asyncio.sleep(0.1)  # the update waits in the server; nothing tells when it arrived
        await scene.market.quote("0.40")
        await scene.rule.signalled()
    for part in CORE_WORKERS:
        holdfast.stack.supervisor.resume(part)
    outcome = await cancelling
    row = await scene.rule.phase("done")
    if row["status"] == "CANCELED":
        assert outcome in ("done", "canceled_with_residual", "still_going_on", "no_answer_yet")
        await scene.audit(sells=0, left="10")
    else:
        assert outcome in ("crossing_won", "still_going_on", "no_answer_yet")
        await scene.audit(sells=1)


async def _outcome_of_cancel(answering: object) -> str:
    try:
        answer = await answering  # type: ignore[misc]
    except Refused as refused:
        return refused.code
    return str(answer.get("outcome") or "still_going_on")


async def test_patch_after_the_crossing_is_refused_and_changes_nothing(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    barrier = await holdfast.hold(scene.market, "before_receive")
    await scene.market.quote("0.40")
    await barrier.arrival()
    with pytest.raises(Refused) as refused:
        await scene.trader.api.patch(scene.rule.path, {"conditions": [stop_at("0.30")]})
    await barrier.release()
    assert refused.value.code == "crossing_won"
    row = await scene.rule.done()
    assert row["fired"]["level"] == "0.5"
    await scene.audit()


async def test_patch_before_the_crossing_moves_the_level(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    answer = await scene.trader.api.patch(scene.rule.path, {"conditions": [stop_at("0.30")]})
    assert answer["outcome"] == "done"
    await scene.market.quote("0.40")
    await scene.market.quote("0.29")
    row = await scene.rule.done()
    assert row["fired"]["level"] == "0.3"
    await scene.audit()


async def test_patch_and_crossing_of_the_old_level_in_one_task_end_cleanly(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    for part in CORE_WORKERS:
        holdfast.stack.supervisor.pause(part)
    body = {"conditions": [stop_at("0.30")], "allow_immediate": True}
    patching = asyncio.create_task(_outcome_of_cancel(scene.trader.api.patch(scene.rule.path, body)))
    await asyncio.sleep(0.1)  # as above
    await scene.market.quote("0.40")
    await scene.rule.signalled()
    for part in CORE_WORKERS:
        holdfast.stack.supervisor.resume(part)
    outcome = await patching
    decided = await until(scene.rule.events, lambda log: _DECIDED & {e["type"] for e in log}, "a decision")
    if "rule.triggered" in {event["type"] for event in decided}:
        assert outcome in ("crossing_won", "no_answer_yet")
        level = "0.5"
    else:
        assert outcome in ("done", "still_going_on", "no_answer_yet")
        await scene.market.quote("0.29")
        level = "0.3"
    row = await scene.rule.done()
    assert row["fired"]["level"] == level, str((outcome, row["fired"], await scene.rule.events()))
    await scene.audit()


_DECIDED = {"rule.patched", "rule.triggered"}
