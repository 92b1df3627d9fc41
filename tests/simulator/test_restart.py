"""A killed simulator comes back as it was."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from simulator.client import SimulatorAdmin
from tests.simulator.trader import KEY, Trader

ROOT = Path(__file__).parents[2]


@dataclass
class Process:
    child: asyncio.subprocess.Process
    url: str
    admin_url: str

    async def kill(self) -> None:
        self.child.kill()
        await self.child.wait()


@asynccontextmanager
async def simulator_process(state: Path, *arguments: str) -> AsyncIterator[Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "simulator",
        "--state",
        str(state),
        *arguments,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    ports = json.loads(await child.stdout.readline())
    assert ports == json.loads((state / "ports.json").read_text())
    try:
        yield Process(child, ports["url"], ports["admin_url"])
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
        child._transport.close()


async def snapshot(admin: SimulatorAdmin, address: str) -> tuple[object, ...]:
    return (
        await admin.markets(),
        await admin.wallet(address),
        await admin.orders(),
        await admin.trades(),
        [entry.model_copy(update={"answered": True}) for entry in await admin.ledger()],
        await admin.settings(),
    )


async def test_everything_survives_a_kill(tmp_path: Path, http: httpx2.AsyncClient) -> None:
    rows = [
        {"ts": f"2026-01-01T00:00:0{n}.000Z", "bid": f"0.4{n}", "ask": "0.60", "last": None, "size": None}
        for n in range(5)
    ]
    async with (
        simulator_process(tmp_path) as first,
        SimulatorAdmin(first.admin_url) as admin,
    ):
        market = await admin.create_market("Will it last?", fee_rate="0.05")
        token = market.token_ids[0]
        trader = await Trader(first.url, KEY, http).log_in()
        await admin.set_wallet(trader.address, collateral="100", tokens={token: "50"})
        await admin.settings(trade_mode="manual")
        tape = await admin.load_tape(token, rows=rows)
        played = await admin.step_tape(tape, 3)
        resting = trader.limit(token, "SELL", "0.55", "10")
        await trader.post(resting)
        await trader.sell(token, "0.42", "20", "FAK")
        await trader.buy(token, "0.50", "1")
        before = await snapshot(admin, trader.address)
        posts = len(await admin.ledger())
        book = (await trader.call("GET", f"/book?token_id={token}")).body
        await first.kill()

    async with (
        simulator_process(tmp_path, "--durability", "off") as second,
        SimulatorAdmin(second.admin_url) as admin,
    ):
        again = Trader(second.url, KEY, http)
        again.client.set_api_creds(trader.creds)
        assert await snapshot(admin, again.address) == before
        assert (await again.call("GET", f"/book?token_id={token}")).body == book
        assert (await again.post(resting)).error.endswith("is invalid. Duplicated.")
        state = await admin.tape(tape)
        assert [(f.row, f.timestamp_ms) for f in state.frames] == [
            (f.row, f.timestamp_ms) for f in played.frames
        ]
        state = await admin.step_tape(tape, 5)
        assert ([frame.row for frame in state.frames], state.done) == ([3, 4], True)
        assert state.frames[0].timestamp_ms > played.frames[-1].timestamp_ms
        (trade,) = await admin.trades()
        await admin.set_trade_status(trade.id, "MINED")
        assert (await again.call("DELETE", "/cancel-all")).body["canceled"] != []
        assert (await admin.ledger())[-1].seq == posts + 1


async def test_unsettled_trades_go_on_after_a_restart(tmp_path: Path, http: httpx2.AsyncClient) -> None:
    async with simulator_process(tmp_path) as first, SimulatorAdmin(first.admin_url) as admin:
        token = (await admin.create_market("?")).token_ids[0]
        trader = await Trader(first.url, KEY, http).log_in()
        await admin.set_wallet(trader.address, collateral="100")
        await admin.settings(trade_mined_ms=600_000, trade_confirmed_ms=600_001)
        await admin.set_book(token, asks=[("0.50", "100")])
        await trader.buy(token, "0.50", "10")
        await admin.settings(trade_mined_ms=0, trade_confirmed_ms=0)
        await first.kill()
    async with simulator_process(tmp_path) as second, SimulatorAdmin(second.admin_url) as admin:
        async with asyncio.timeout(30):
            while (await admin.trades())[0].status != "CONFIRMED":
                pass


async def test_sigterm_ends_it_at_once_with_code_zero(tmp_path: Path) -> None:
    async with simulator_process(tmp_path) as process:
        process.child.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.child.wait(), 10) == 0
