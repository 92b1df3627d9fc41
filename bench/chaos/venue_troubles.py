"""What the venue does wrong: answers that are lost or late, limits, silent sockets, trades that fail."""

import asyncio
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager

from pydantic import JsonValue

from bench.chaos.options import Trouble
from bench.chaos.plan import Act
from bench.chaos.scene import Scene, patiently
from bench.chaos.stage import now_ms
from simulator.client import SimulatorAdmin, SimulatorRefusedError

_ORDER: dict[str, JsonValue] = {"method": "POST", "path": "/order"}
_LOOKUPS = ("null", "404", "stale")
_ON_THE_WAY = frozenset({"MATCHED", "MINED", "RETRYING"})
NOTICED_MS = 15_000
"""Within this time after a silent socket speaks again, its books are sure to be whole."""
_FAULTS: dict[Trouble, tuple[tuple[str, dict[str, JsonValue]], ...]] = {
    Trouble.NO_ANSWER: (("drop_after", {**_ORDER, "times": 3}), ("drop_before", {**_ORDER, "times": 1})),
    Trouble.NOT_READY: (("engine_restart", {"times": None}),),
    Trouble.RATE_LIMIT: (("rate_limited", {**_ORDER, "times": 4, "retry_after_s": 1}),),
    Trouble.SERVER_ERROR: (
        ("status_after_accept", {**_ORDER, "times": 2, "status": 500}),
        ("status", {**_ORDER, "times": 2, "status": 503}),
    ),
    Trouble.POST_ONLY: (("post_only_window", {"times": None, "retry_after_s": 1}),),
}
_HOLDS_EVERY_SEND = frozenset({Trouble.NOT_READY, Trouble.POST_ONLY})
"""What is timed is the first POST that arrives. Other faults meet a few of them, or what comes after."""


async def fault(scene: Scene, act: Act) -> None:
    """A fault for a while."""
    assert act.trouble is not None
    async with _planted(scene, act, *_FAULTS[act.trouble]):
        await asyncio.sleep(act.lasts_ms / 1000)


async def lagging_lookup(scene: Scene, act: Act) -> None:
    """An order whose answer is lost, and look-ups that know nothing of it for a while."""
    flavour = _LOOKUPS[act.chance % len(_LOOKUPS)]
    lost = ("drop_after", {**_ORDER, "times": 2})
    async with _planted(scene, act, lost, ("lookup_missing", {"times": None, "flavour": flavour})):
        await asyncio.sleep(act.lasts_ms / 1000)


async def lagging_balance(scene: Scene, act: Act) -> None:
    """Credits count late for new orders."""
    async with _planted(scene, act, ("balance_lag", {"times": None, "delay_ms": act.lasts_ms})):
        await asyncio.sleep(act.lasts_ms / 1000)


@asynccontextmanager
async def _planted(scene: Scene, act: Act, *faults: tuple[str, dict[str, JsonValue]]) -> AsyncGenerator[None]:
    admin, since = scene.stage.admin, now_ms()
    planted = {
        await patiently(lambda k=kind, p=parameters: admin.plant_fault(k, **p)) for kind, parameters in faults
    }
    scene.note(f"{act.trouble} for {act.lasts_ms} ms")
    yield
    strikes = await patiently(lambda: _take_away(admin, planted))
    scene.struck(act, strikes)
    scene.note(f"{act.trouble} is over, and struck {strikes} times")
    scene.outages.faulty(since)
    if act.trouble in _HOLDS_EVERY_SEND:
        scene.outages.excused(str(act.trouble), since)


async def _take_away(admin: SimulatorAdmin, planted: Collection[str]) -> int:
    """Remove an act's faults, and return how often they struck; a simulator that died has forgotten both."""
    mine = [fault for fault in await admin.faults() if fault.fault_id in planted]
    for fault in mine:
        await admin.remove_fault(fault.fault_id)
    return sum(fault.hits for fault in mine)


async def failed_trades(scene: Scene, act: Act) -> None:
    """Trades stay MATCHED for a while; then one of the sales fails and the others are confirmed."""
    admin = scene.stage.admin
    await patiently(lambda: admin.settings(trade_mode="manual"))
    await asyncio.sleep(act.lasts_ms / 1000)
    await patiently(lambda: admin.settings(trade_mode="auto"))
    waiting = [trade for trade in await patiently(admin.trades) if trade.status in _ON_THE_WAY]
    sales = [trade.id for trade in waiting if trade.side == "SELL"]
    failed = sales[act.chance % len(sales)] if sales else None
    for trade in waiting:  # what met the manual mode does not go on by itself
        status = "FAILED" if trade.id == failed else "CONFIRMED"
        try:
            await patiently(lambda i=trade.id, s=status: admin.set_trade_status(i, s))
        except SimulatorRefusedError:
            scene.note(f"trade {trade.id} had gone on by itself")
    scene.struck(act, 0 if failed is None else 1)
    scene.note(f"a sale failed after it was matched: {failed}")


async def late_trades(scene: Scene, act: Act) -> None:
    """Confirmations take seconds."""
    admin = scene.stage.admin
    late = act.lasts_ms
    await patiently(lambda: admin.settings(trade_mined_ms=late // 2, trade_confirmed_ms=late))
    scene.note(f"trades confirm after {late} ms")
    await asyncio.sleep(late / 1000)
    await patiently(lambda: admin.settings(trade_mined_ms=50, trade_confirmed_ms=100))


async def tick_change(scene: Scene, act: Act) -> None:
    """A market's tick becomes a tenth, and what it was again."""
    admin = scene.stage.admin
    market = scene.stage.markets[act.chance % len(scene.stage.markets)].condition_id
    await patiently(lambda: admin.set_tick_size(market, "0.001"))
    scene.note("a tick is 0.001")
    await asyncio.sleep(act.lasts_ms / 1000)
    await patiently(lambda: admin.set_tick_size(market, "0.01"))


async def cut_socket(scene: Scene, _: Act) -> None:
    """Both channels are cut."""
    since = now_ms()
    for channel in ("market", "user"):
        await patiently(lambda c=channel: scene.stage.admin.sockets(c, "disconnect"))
    scene.note("sockets cut")
    scene.outages.excused("cut sockets", since, blind=True)


async def silent_socket(scene: Scene, act: Act) -> None:
    """A channel says nothing and answers PING; without the user's no exit is sent any later."""
    channel, since = ("market", "user")[act.chance % 2], now_ms()
    await patiently(lambda: scene.stage.admin.sockets(channel, "silence"))
    scene.note(f"the {channel} socket is silent for {act.lasts_ms} ms")
    await asyncio.sleep(act.lasts_ms / 1000)
    await patiently(lambda: scene.stage.admin.sockets(channel, "resume"))
    if channel == "market":
        scene.outages.excused("silent socket", since, blind=True, longer_ms=NOTICED_MS)


async def duplicated_events(scene: Scene, act: Act) -> None:
    """Frames come twice."""
    for channel in ("market", "user"):
        await patiently(lambda c=channel: scene.stage.admin.sockets(c, "duplicate", times=1 + act.chance % 9))
    scene.note("events come twice")


async def reordered_events(scene: Scene, act: Act) -> None:
    """Frames overtake each other; a feed passes over a quote that is older than what it has."""
    since = now_ms()
    for channel in ("market", "user"):
        await patiently(lambda c=channel: scene.stage.admin.sockets(c, "reorder", times=1 + act.chance % 3))
    scene.note("events come out of order")
    await asyncio.sleep(2)
    scene.outages.excused("reordered events", since, blind=True)


VENUE = {
    **dict.fromkeys(_FAULTS, fault),
    Trouble.LAGGING_LOOKUP: lagging_lookup,
    Trouble.LAGGING_BALANCE: lagging_balance,
    Trouble.FAILED_TRADES: failed_trades,
    Trouble.LATE_TRADES: late_trades,
    Trouble.TICK_CHANGE: tick_change,
    Trouble.CUT_SOCKET: cut_socket,
    Trouble.SILENT_SOCKET: silent_socket,
    Trouble.DUPLICATED_EVENTS: duplicated_events,
    Trouble.REORDERED_EVENTS: reordered_events,
}
