"""Answers that never come, come late or ask for patience: always one registered order."""

import time

import pytest

from tests.e2e.scene import IN_THE_STACKS_LOOP, Holdfast, posts_by_id
from tests.e2e.waiting import until

pytestmark = IN_THE_STACKS_LOOP

SECOND_NS = 1_000_000_000


async def test_answer_lost_after_accept_while_look_ups_lag_resends_the_same_order(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    await holdfast.admin.sockets("user", "silence")  # only look-ups could tell, and they lag
    try:
        where = {"token_id": scene.market.token_id, "path": "/order", "method": "POST"}
        await holdfast.admin.plant_fault("drop_after", times=1, **where)
        await holdfast.admin.plant_fault(
            "lookup_missing", address=scene.trader.address, times=None, delay_ms=1_500
        )
        await scene.market.quote("0.40")
        await scene.rule.done()
    finally:
        await holdfast.admin.sockets("user", "resume")
    (outcomes,) = posts_by_id(await scene.market.posts()).values()
    assert outcomes[:2] == ["accepted", "duplicate"]
    assert set(outcomes[1:]) == {"duplicate"}
    await scene.audit()


async def test_answer_lost_after_accept_is_looked_up_and_not_sent_again(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    where = {"token_id": scene.market.token_id, "path": "/order", "method": "POST"}
    await holdfast.admin.plant_fault("drop_after", times=1, **where)
    await scene.market.quote("0.40")
    await scene.rule.done()
    assert list(posts_by_id(await scene.market.posts()).values()) == [["accepted"]]
    await scene.audit()


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"kind": "engine_restart", "times": 2}, ["fault", "fault", "accepted"]),
        ({"kind": "status", "status": 500, "times": 1}, ["fault", "accepted"]),
        ({"kind": "drop_before", "times": 1}, ["fault", "accepted"]),
        ({"kind": "status_after_accept", "status": 500, "times": 1}, ["accepted"]),
    ],
    ids=["425 twice", "500 before", "connection lost before", "500 after accept"],
)
async def test_unknown_outcome_ends_in_one_registered_order(
    holdfast: Holdfast, fault: dict[str, object], expected: list[str]
) -> None:
    scene = await holdfast.protected()
    fault = {"path": "/order", "method": "POST", "token_id": scene.market.token_id, **fault}
    await holdfast.admin.plant_fault(**fault)  # type: ignore[arg-type]
    await scene.market.quote("0.40")
    await scene.rule.done()
    assert list(posts_by_id(await scene.market.posts()).values()) == [expected]
    await scene.audit()


@pytest.mark.parametrize("kind", ["post_only_window", "rate_limited"])
async def test_venue_that_asks_to_wait_gets_the_same_order_no_sooner(holdfast: Holdfast, kind: str) -> None:
    scene = await holdfast.protected()
    where = {"token_id": scene.market.token_id, "path": "/order", "method": "POST"}
    await holdfast.admin.plant_fault(kind, times=1, retry_after_s=1, **where)
    await scene.market.quote("0.40")
    await scene.rule.phase("waiting")
    await scene.rule.done()
    posts = await scene.market.posts()
    assert list(posts_by_id(posts).values()) == [["fault", "accepted"]]
    assert posts[1].received_monotonic_ns - posts[0].received_monotonic_ns >= SECOND_NS
    await scene.audit()


async def test_kill_switch_during_a_425_loop_stops_every_send_within_a_second(holdfast: Holdfast) -> None:
    scene = await holdfast.protected()
    where = {"token_id": scene.market.token_id, "path": "/order", "method": "POST"}
    fault = await holdfast.admin.plant_fault("engine_restart", times=None, **where)
    await scene.market.quote("0.40")
    await scene.market.await_posts(2)
    switch = f"/api/v2/accounts/{scene.trader.account_id}/kill-switch"
    await scene.trader.api.put(switch, {"level": "all"})
    thrown_ns = time.monotonic_ns()
    await until(scene.rule.row, lambda row: "switch" in row["detail"], "the kill switch in the rule's story")
    await holdfast.admin.remove_fault(fault)
    late = [p for p in await scene.market.posts() if p.received_monotonic_ns > thrown_ns + SECOND_NS]
    assert late == []
    await scene.trader.api.put(switch, {"level": "off"})
    await scene.rule.done()
    await scene.audit()
