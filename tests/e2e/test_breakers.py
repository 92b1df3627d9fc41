"""A venue that answers nothing clear: its breaker opens, and once it is well again all is sold once."""

import asyncio
import time

import pytest

from bench.client import Json, Refused
from tests.e2e.scene import IN_THE_STACKS_LOOP, Holdfast, Trader
from tests.e2e.waiting import until

pytestmark = IN_THE_STACKS_LOOP

EXITS = 3
PROBE_S = 0.2  # a tenth of the product's
WELL_WITHIN_S = 10.0  # a fraction of it on a quiet machine


async def test_sick_venue_pauses_entries_and_lets_exits_probe_until_all_are_sold_once(
    holdfast: Holdfast,
) -> None:
    scenes = await asyncio.gather(*(holdfast.protected() for _ in range(EXITS)))
    buyer, market = await holdfast.open_trader(), await holdfast.open_market()
    await holdfast.admin.plant_fault("status", status=503, path="/order", method="POST", times=None)
    await asyncio.gather(*(scene.market.quote("0.40") for scene in scenes))
    await breaker(buyer, is_open=True)
    opened_ns = time.monotonic_ns()

    with pytest.raises(Refused) as refused:
        await buyer.order(market, "BUY", "10", "0.60")
    assert (refused.value.status, refused.value.code) == (503, "breaker_open")
    assert await market.posts("BUY") == []
    await asyncio.gather(*(scene.rule.event("order.held_back") for scene in scenes))
    assert (await breaker(buyer, is_open=True))["breakers"] == ["polymarket live"]

    late = [p for scene in scenes for p in await scene.market.posts() if p.received_monotonic_ns > opened_ns]
    probes = (time.monotonic_ns() - opened_ns) / 1e9 / PROBE_S + 1
    assert len(late) <= probes + EXITS, "what was out when the breaker opened, and one exit each time"
    await holdfast.admin.clear_faults()
    well = time.monotonic()
    await asyncio.gather(*(scene.rule.done() for scene in scenes))
    assert time.monotonic() - well <= WELL_WITHIN_S
    await breaker(buyer, is_open=False)
    for scene in scenes:
        await scene.audit()
    page = await scenes[0].trader.api.get("/api/v2/rules/events", limit=200)
    kinds = [event["type"] for event in page["items"]]
    assert (kinds.count("breaker.opened"), kinds.count("breaker.closed")) == (1, 1)


async def breaker(trader: Trader, *, is_open: bool) -> Json:
    """Waits until the product says that the breaker is open, or closed."""
    return await until(
        lambda: trader.api.get("/api/v2/rules/status"),
        lambda status: status["breaker_open"] is is_open,
        "the breaker's change",
    )
