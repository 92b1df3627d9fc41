"""`python -m bench.latency`: from a price frame at the socket to the order's POST, against Temporal's floor.

Product: the simulator hands a frame to its sockets → the POST of the exit arrives at the simulator.
Floor: a client signals a bare workflow → the body of its eager activity begins.
Both are taken in turn in one run, on the same server and settings. Temporal's file is in WAL with
`synchronous=normal`.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from temporalio.client import Client

import runtime.logging
from bench.figures import Series, series
from bench.floor_worker import QUEUE, WORKFLOW, BenchFloor
from bench.market import Protected, Trader
from bench.waiting import BenchFailed
from runtime.embedded.local_stack import LocalStack
from runtime.embedded.ports import Ports
from runtime.embedded.stack import EmbeddedStack, StackOptions
from runtime.temporal import connect
from simulator.client import SimulatorAdmin

AT_ONCE = 8
WARM_UP = 10
POST_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Report:
    """What one run found."""

    frame_to_post_ms: Series
    floor_signal_to_eager_ms: Series
    ratio_p50: float
    ratio_p99: float
    armed: int
    temporal_synchronous: str


class Floor:
    """Measures signal → eager activity."""

    def __init__(self, client: Client) -> None:
        """Take a client of the same server."""
        self._client = client
        self._count = 0

    async def start(self) -> None:
        """Start the bare workflow."""
        self._handle = await self._client.start_workflow(WORKFLOW, id="bench-floor", task_queue=QUEUE)

    async def sample_ms(self) -> float:
        """Signal once and return the milliseconds until the activity's body began."""
        self._count += 1
        began = time.monotonic_ns()
        await self._handle.signal(BenchFloor.go)
        answered: int = await self._handle.execute_update(  # pyright: ignore[reportUnknownMemberType]  # partly untyped in the SDK
            "answered", self._count, result_type=int
        )
        return (answered - began) / 1e6

    async def end(self) -> None:
        """End the workflow."""
        await self._handle.signal(BenchFloor.end)


class Product:
    """Measures frame → POST."""

    def __init__(self, trader: Trader, admin: SimulatorAdmin) -> None:
        """Take an account and the simulator."""
        self._trader = trader
        self._admin = admin

    async def sample_ms(self, protected: Protected) -> float:
        """Cross one stop; return the milliseconds from the frame at the socket to the POST's arrival."""
        state = await self._admin.step_tape(protected.tape_id)
        sent = state.frames[0].sent_monotonic_ns
        deadline = time.monotonic() + POST_LIMIT_S
        while True:
            entries = await self._admin.ledger(token_id=protected.token_id)
            sells = [entry for entry in entries if entry.side == "SELL"]
            if sells:
                break
            if time.monotonic() > deadline:
                raise BenchFailed(f"no POST for rule {protected.rule_id}")
            await asyncio.sleep(0.02)
        await self._trader.done(protected.rule_id)
        if sent is None:
            raise BenchFailed("the frame was never handed to a socket")
        return (sells[0].received_monotonic_ns - sent) / 1e6


async def measure(n: int, armed: int, console: Console) -> Report:
    """Run the whole measurement on a stack of its own and return its figures."""
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        os.chmod(folder, 0o711)  # Postgres may run as another user
        options = StackOptions(
            Path(folder) / "data", synchronous="normal", fsync=False, ports=Ports(), ui=False
        )
        async with EmbeddedStack(options) as stack:
            return await measure_on(stack, n, armed, console)


async def measure_on(
    stack: LocalStack, n: int, armed: int, console: Console, *, durability: str = "normal"
) -> Report:
    """Run the whole measurement on a stack that runs; `durability` says how its Temporal writes."""
    async with _floor_worker(stack), SimulatorAdmin(stack.simulator_admin_url) as admin:
        return await _measure(stack, admin, n, armed, console, durability)


async def _measure(
    stack: LocalStack, admin: SimulatorAdmin, n: int, armed: int, console: Console, durability: str
) -> Report:
    trader = Trader(stack.api_url, stack.admin_key.get_secret_value(), admin)
    await trader.open_account("bench")
    floor = Floor(await connect(stack.settings().temporal))
    await floor.start()
    with Progress(console=console, transient=True) as progress:
        await _arm_idle(trader, armed, _ticker(progress, "idle rules", armed))
        ready = await _protect(trader, n + WARM_UP, _ticker(progress, "positions", n + WARM_UP))
        product, bare = await _interleave(
            Product(trader, admin), floor, ready, _ticker(progress, "samples", n)
        )
    await floor.end()
    await trader.aclose()
    return report(series(product), series(bare), armed, durability)


def report(product: Series, floor: Series, armed: int, durability: str) -> Report:
    """Return the figures and their ratios."""
    return Report(
        frame_to_post_ms=product,
        floor_signal_to_eager_ms=floor,
        ratio_p50=round(product.p50_ms / floor.p50_ms, 3),
        ratio_p99=round(product.p99_ms / floor.p99_ms, 3),
        armed=armed,
        temporal_synchronous=durability,
    )


async def _arm_idle(trader: Trader, armed: int, tick: Callable[[], None]) -> None:
    """Arm rules that never fire, on a token of their own."""
    if not armed:
        return
    token = await trader.open_market("idle rules")
    await trader.buy(token, "10")

    async def arm(number: int) -> None:
        await trader.arm(token, f"0.{10 + number % 30:02d}")
        tick()

    await _few_at_a_time(armed, arm)


async def _protect(trader: Trader, count: int, tick: Callable[[], None]) -> list[Protected]:
    made: list[Protected] = []

    async def protect(number: int) -> None:
        made.append(await trader.protect(f"sample {number}"))
        tick()

    await _few_at_a_time(count, protect)
    return made


async def _few_at_a_time(count: int, make: Callable[[int], Awaitable[None]]) -> None:
    places = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with places:
            await make(number)

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(one(number))


async def _interleave(
    product: Product, floor: Floor, ready: list[Protected], tick: Callable[[], None]
) -> tuple[list[float], list[float]]:
    """Take both in turn; the first few of each warm up and are left out."""
    taken: list[float] = []
    bare: list[float] = []
    for protected in ready:
        taken.append(await product.sample_ms(protected))
        bare.append(await floor.sample_ms())
        tick()
    return taken[WARM_UP:], bare[WARM_UP:]


def _ticker(progress: Progress, words: str, total: int) -> Callable[[], None]:
    task = progress.add_task(words, total=total)
    return lambda: progress.advance(task)


@asynccontextmanager
async def _floor_worker(stack: LocalStack) -> AsyncGenerator[None]:
    """Run the floor's worker in a process of its own, as the product's workers are."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.floor_worker",
        env={**os.environ, "HOLDFAST_ENV_FILE": str(stack.data_dir.env_file), "PYTHONUNBUFFERED": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    if process.stdout is None or not await process.stdout.readline():
        raise BenchFailed("the floor's worker did not start")
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.latency", description=__doc__)
    parser.add_argument("--n", type=int, default=300, help="samples of each")
    parser.add_argument("--armed", type=int, default=1000, help="rules armed beside, that never fire")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    runtime.logging.configure(level=40)
    console = Console(stderr=True)
    figures = asyncio.run(measure(given.n, given.armed, console))
    if given.json:
        print(json.dumps(asdict(figures)))
    else:
        show(figures, Console())


def show(figures: Report, console: Console) -> None:
    """Print the figures as a table."""
    table = Table(title="Price frame to order POST, against a bare signal → eager activity")
    for name in ("what", "p50 ms", "p90 ms", "p99 ms", "max ms", "n"):
        table.add_column(name)
    rows = (("frame → POST", figures.frame_to_post_ms), ("floor", figures.floor_signal_to_eager_ms))
    for words, row in rows:
        table.add_row(words, *map(str, (row.p50_ms, row.p90_ms, row.p99_ms, row.max_ms, row.n)))
    console.print(table)
    console.print(f"ratio p50 {figures.ratio_p50}, p99 {figures.ratio_p99}, armed {figures.armed}")


if __name__ == "__main__":
    main()
