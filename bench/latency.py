"""`python -m bench.latency`: from a price frame at the socket to the order's POST, against Temporal's floor.

Product: the simulator hands a frame to its sockets → the POST of the exit arrives at the simulator.
Floor: a client signals a bare workflow → the body of its eager activity begins.
Both are taken in turn in one run, on the same server and settings, beside each number of armed rules that
never fire. Cold: the same with rules that the workers no longer hold in their caches. Temporal's file is in
WAL with `synchronous=normal`.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import runtime.logging
from bench.figures import Series, series
from bench.floor import Floor, floor_client
from bench.market import AT_ONCE, Protected, Trader
from bench.program import carry_through, data_folder
from bench.side_by_side import side_by_side
from bench.stack import SYNCHRONOUS, measured, running
from bench.waiting import BenchFailed, until
from runtime.embedded.local_stack import LocalStack
from simulator.client import LedgerEntry, SimulatorAdmin

NAME = "latency"
WARM_UP = 10
POST_LIMIT_S = 30.0
COLD_CACHE = 8
"""Workflows that a worker keeps in the cold run: far fewer than there are samples."""
ARMED_AT_ONCE = 16

Samples = Mapping[int, int]
"""How many samples are taken of each (product and floor), by the number of rules armed beside."""


@dataclass(frozen=True, slots=True)
class Report:
    """What one run found beside one number of armed rules."""

    frame_to_post_ms: Series
    floor_signal_to_eager_ms: Series
    ratio_p50: float
    ratio_p99: float
    armed: int
    temporal_synchronous: str
    cold: bool = False


class Product:
    """Measures frame → POST."""

    def __init__(self, trader: Trader, admin: SimulatorAdmin) -> None:
        """Take an account and the simulator."""
        self._trader = trader
        self._admin = admin

    async def sample_ms(self, protected: Protected) -> float:
        """Cross one stop; return the milliseconds from the frame at the socket to the POST's arrival.

        Raises:
            BenchFailed: The frame went to no socket, or no POST came.
        """
        state = await self._admin.step_tape(protected.tape_id)
        sent = state.frames[0].sent_monotonic_ns
        if sent is None:
            raise BenchFailed("the frame was never handed to a socket")
        what = f"the POST of rule {protected.rule_id}"
        sells = await until(
            lambda: self._sells(protected.token_id), bool, what, limit_s=POST_LIMIT_S, pause_s=0.02
        )
        await self._trader.done(protected.rule_id)
        return (sells[0].received_monotonic_ns - sent) / 1e6

    async def _sells(self, token_id: str) -> list[LedgerEntry]:
        return [entry for entry in await self._admin.ledger(token_id=token_id) if entry.side == "SELL"]


async def measure(samples: Samples, folder: Path, console: Console) -> list[Report]:
    """Measure beside each number of armed rules, on one stack of its own.

    Raises:
        BenchFailed: The run could not be carried through.
    """
    async with running(measured(folder / "warm")) as stack:
        return await measure_levels(stack, samples, console, SYNCHRONOUS)


async def measure_cold(n: int, folder: Path, console: Console) -> Report:
    """Measure rules that were evicted from the workers' caches, on one stack of its own.

    Raises:
        BenchFailed: The run could not be carried through.
    """
    small = {"HOLDFAST_TUNING_MAX_CACHED_WORKFLOWS": str(COLD_CACHE)}
    async with running(measured(folder / "cold", small)) as stack:
        (report,) = await measure_levels(stack, {0: n}, console, SYNCHRONOUS, cold=True)
        return report


async def measure_on(
    stack: LocalStack, n: int, armed: int, console: Console, *, durability: str = SYNCHRONOUS
) -> Report:
    """Run the whole measurement on a stack that runs; `durability` says how its Temporal writes."""
    (report,) = await measure_levels(stack, {armed: n}, console, durability)
    return report


async def measure_levels(
    stack: LocalStack, samples: Samples, console: Console, durability: str, *, cold: bool = False
) -> list[Report]:
    """Measure on a stack that runs, with more and more rules armed beside.

    Args:
        stack: The stack.
        samples: What is taken beside which number of rules that never fire.
        console: Where progress goes.
        durability: How the stack's Temporal writes.
        cold: Whether the stack's workers keep next to nothing in their caches.
    """
    reports: list[Report] = []
    key = stack.admin_key.get_secret_value()
    async with (
        floor_client(stack) as client,
        SimulatorAdmin(stack.simulator_admin_url) as admin,
        Trader(stack.api_url, key, admin) as trader,
    ):
        await trader.open_account("bench")
        idle, floor = IdleRules(trader), Floor(client)
        await floor.start()
        for level, n in sorted(samples.items()):
            with Progress(console=console, transient=True) as progress:
                await idle.arm(level, _ticker(progress, f"idle rules up to {level}", level - idle.count))
                count = n + WARM_UP
                ready = await _protect(trader, count, _ticker(progress, "positions", count))
                ticker = _ticker(progress, f"samples beside {level}", count)
                product, bare = await _interleave(Product(trader, admin), floor, ready, ticker)
            reports.append(_report(product, bare, level, durability, cold))
        await floor.end()
    return reports


def _report(product: list[float], floor: list[float], armed: int, durability: str, cold: bool) -> Report:
    taken, bare = series(product), series(floor)
    return Report(
        frame_to_post_ms=taken,
        floor_signal_to_eager_ms=bare,
        ratio_p50=round(taken.p50_ms / bare.p50_ms, 3),
        ratio_p99=round(taken.p99_ms / bare.p99_ms, 3),
        armed=armed,
        temporal_synchronous=durability,
        cold=cold,
    )


class IdleRules:
    """Rules that never fire, on a token of their own."""

    def __init__(self, trader: Trader) -> None:
        """Take the account that holds them."""
        self._trader = trader
        self._token: str | None = None
        self.count = 0

    async def arm(self, up_to: int, tick: Callable[[], None]) -> None:
        """Arm as many as are missing to a number."""
        if self.count >= up_to:
            return
        if self._token is None:
            self._token = await self._trader.open_market("idle rules")
            await self._trader.buy(self._token, "10")
        token = self._token

        async def one(number: int) -> None:
            await self._trader.arm(token, f"0.{10 + number % 30:02d}")
            tick()

        await side_by_side((one(number) for number in range(self.count, up_to)), ARMED_AT_ONCE)
        self.count = up_to


async def _protect(trader: Trader, count: int, tick: Callable[[], None]) -> list[Protected]:
    async def one(number: int) -> Protected:
        made = await trader.protect(f"sample {number}")
        tick()
        return made

    return await side_by_side((one(number) for number in range(count)), AT_ONCE)


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


def show(figures: Report, console: Console) -> None:
    """Print the figures as a table."""
    state = "cold" if figures.cold else "warm"
    table = Table(title=f"Price frame to order POST, {state}, beside {figures.armed} armed")
    for name in ("what", "p50 ms", "p90 ms", "p99 ms", "max ms", "n"):
        table.add_column(name)
    rows = (
        ("frame → POST", figures.frame_to_post_ms),
        ("signal → eager activity", figures.floor_signal_to_eager_ms),
    )
    for words, row in rows:
        table.add_row(words, *map(str, (row.p50_ms, row.p90_ms, row.p99_ms, row.max_ms, row.n)))
    console.print(table)
    console.print(f"ratio p50 {figures.ratio_p50}, p99 {figures.ratio_p99}, armed {figures.armed}")


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m bench.latency", description=__doc__)
    made.add_argument("--n", type=int, default=300, help="samples of each")
    words = "rules armed beside, that never fire; several numbers are taken one after another"
    made.add_argument("--armed", type=int, nargs="+", default=[1000], help=words)
    made.add_argument("--cold", type=int, default=0, metavar="N", help="samples of evicted rules as well")
    made.add_argument("--data-dir", type=Path, default=None, help="keep the stacks' data and logs here")
    made.add_argument("--json", action="store_true", help="print one JSON array")
    return made


async def measure_all(samples: Samples, cold: int, folder: Path, console: Console) -> list[Report]:
    """Measure warm rules beside each number of armed ones, then `cold` evicted ones (none for 0)."""
    reports = await measure(samples, folder, console) if samples else []
    return reports + ([await measure_cold(cold, folder, console)] if cold else [])


def main() -> None:
    """Measure and print."""
    given = parser().parse_args()
    runtime.logging.configure(level=40)
    console = Console(stderr=True)
    with data_folder(given.data_dir, NAME, console) as folder:
        levels, n = list[int](given.armed), int(given.n)
        work = measure_all(dict.fromkeys(levels, n), given.cold, folder, console)
        reports = carry_through(work, NAME, console)
    if given.json:
        print(json.dumps([asdict(report) for report in reports]))
    else:
        for report in reports:
            show(report, Console())


if __name__ == "__main__":
    main()
