"""`python -m bench.failover`: how long an order takes when the feed is killed as the price crosses.

The worker of the first feed is killed with SIGKILL, and the very next thing is the crossing price. Measured
is the time from that price to the POST at the exchange, with a standby and without, at the durations of
production: without one it is the time to miss the feed, to start a process and to read the tape.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

import runtime.logging
from bench.figures import Series, series
from bench.followers import await_followed
from bench.market import BELOW, DEPTH, Trader
from bench.program import carry_through, data_folder
from bench.stack import measured, running
from bench.waiting import until
from runtime.embedded.stack import ALL_PARTS, EmbeddedStack, Part
from simulator.client import LedgerEntry, SimulatorAdmin

NAME = "bench.failover"
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Measured:
    """One way to run the feeds, and what it took in each round."""

    name: str
    to_post: Series


def main() -> None:
    """Measure both ways and print the figures."""
    parser = argparse.ArgumentParser(prog=f"python -m {NAME}", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="kills of each way")
    parser.add_argument("--data-dir", type=Path, default=None, help="keep the stacks' data and logs here")
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    given = parser.parse_args()
    runtime.logging.configure(level=40)
    console = Console(stderr=True)
    with data_folder(given.data_dir, NAME, console) as folder:
        found = carry_through(_both(folder, given.rounds), NAME, console)
    if given.json:
        print(json.dumps([asdict(way) for way in found]))
    else:
        _print(found, Console())


async def _both(folder: Path, rounds: int) -> list[Measured]:
    return [
        Measured("without a standby", await _way(folder / "alone", rounds, standby=False)),
        Measured("with a standby", await _way(folder / "standby", rounds, standby=True)),
    ]


async def _way(folder: Path, rounds: int, *, standby: bool) -> Series:
    options = measured(folder, {"HOLDFAST_FEED_STANDBY": str(standby).lower()})
    if standby:
        options = replace(options, parts=ALL_PARTS | {Part.WORKER_FEED_STANDBY})
    async with running(options) as stack, SimulatorAdmin(stack.simulator_admin_url) as admin:
        key = stack.admin_key.get_secret_value()
        async with Trader(stack.api_url, key, admin) as trader:
            await trader.open_account("failover")
            return series([await _round(stack, admin, trader, feeds=1 + standby) for _ in range(rounds)])


async def _round(stack: EmbeddedStack, admin: SimulatorAdmin, trader: Trader, *, feeds: int) -> float:
    """Kill the first feed as the price crosses; return the milliseconds from price to POST."""
    token = await trader.open_market("Will it fail over?")
    await trader.buy(token)
    rule = await trader.arm(token)
    await await_followed(admin, [token], feeds)
    generation = stack.supervisor.generation(Part.WORKER_FEED)
    stack.kill(Part.WORKER_FEED)
    bid, ask = BELOW
    crossed_ns = time.monotonic_ns()
    await admin.set_book(token, [(bid, DEPTH)], [(ask, DEPTH)])
    posts = await until(lambda: _posts(admin, token), bool, "the exit's POST", pause_s=0.01)
    await trader.done(rule)
    await stack.wait_healthy(Part.WORKER_FEED, 180, after=generation)
    return (posts[0].received_monotonic_ns - crossed_ns) / _MILLION


async def _posts(admin: SimulatorAdmin, token: str) -> Sequence[LedgerEntry]:
    return [entry for entry in await admin.ledger(token_id=token) if entry.side == "SELL"]


def _print(found: Sequence[Measured], console: Console) -> None:
    table = Table(
        "price to POST, ms", "rounds", "p50", "p90", "max", title="The feed is killed as a price crosses"
    )
    for way in found:
        figures = (way.to_post.p50_ms, way.to_post.p90_ms, way.to_post.max_ms)
        table.add_row(way.name, str(way.to_post.n), *(f"{figure:,.0f}" for figure in figures))
    console.print(table)


if __name__ == "__main__":
    main()
