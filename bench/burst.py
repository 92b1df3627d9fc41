"""`python -m bench.burst`: many rules crossed by one gap; how long until the last order is posted?

Product: the first frame of the gap is handed to a socket → the last exit's POST arrives at the simulator,
which checks and matches each of them. Floor: as many bare workflows are signalled at once, and each runs one
eager activity that posts; the exchange refuses it at the door, so what a real order costs the exchange counts
against the product. Both have two workers and are taken in turn. Fairness: an account with a single rule
beside one with all the others, on one token: its rank among the POSTs.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from temporalio.client import Client

import runtime.logging
from bench.floor import BurstFloor, floor_client
from bench.market import Trader
from bench.program import Say, prefixed, with_a_folder
from bench.side_by_side import side_by_side
from bench.stack import measured, running
from bench.waiting import until
from runtime.embedded.stack import EmbeddedStack
from simulator.client import LedgerEntry, SimulatorAdmin

NAME = "burst"
CORE_WORKERS = 2
PART = "5"
"""Shares that each rule sells: the least that a market takes."""
MARKETS = 10
ARMED_AT_ONCE = 16
POSTS_LIMIT_S = 600.0
LOOK_EVERY_S = 0.5
"""The times are the exchange's own; looking for them takes from the machine that is measured."""


@dataclass(frozen=True, slots=True)
class Fairness:
    """Where a lonely rule was served among many rules of another account."""

    rules: int
    rank_of_single: int
    last_post_s: float


@dataclass(frozen=True, slots=True)
class Report:
    """What one run found; times are medians of the rounds."""

    rules: int
    accounts: int
    rounds: int
    last_post_s: float
    posts_per_s: float
    floor_last_post_s: float
    floor_posts_per_s: float
    ratio_throughput: float
    ratios: tuple[float, ...]
    fairness: Fairness


class Crowd:
    """Accounts, and rules over their positions that one gap crosses."""

    def __init__(self, admin: SimulatorAdmin, traders: Sequence[Trader], markets: int) -> None:
        """Take accounts that are open."""
        self._admin = admin
        self._traders = traders
        self._markets = markets
        self.tokens: list[str] = []

    async def arm(self, counts: Sequence[int], say: Say) -> None:
        """Open markets, let each trader buy, and arm as many rules for each as its count says."""
        self.tokens = [await self._traders[0].open_market(f"gap {n}") for n in range(self._markets)]
        places = [
            (trader, self._shares_of(count)) for trader, count in zip(self._traders, counts, strict=True)
        ]
        say("positions")
        await side_by_side(
            (
                trader.buy(token, str(int(PART) * rules))
                for trader, shares in places
                for token, rules in zip(self.tokens, shares, strict=True)
                if rules
            ),
            ARMED_AT_ONCE,
        )
        armed, total = 0, sum(counts)

        async def arm(trader: Trader, token: str) -> None:
            nonlocal armed
            await trader.arm(token, amount=PART)
            armed += 1
            say(f"rules: {armed} of {total}")

        jobs = (
            arm(trader, token)
            for trader, shares in places
            for token, rules in zip(self.tokens, shares, strict=True)
            for _ in range(rules)
        )
        await side_by_side(jobs, ARMED_AT_ONCE)

    def _shares_of(self, count: int) -> list[int]:
        """Spread a number of rules over the markets."""
        return [count // self._markets + (n < count % self._markets) for n in range(self._markets)]

    async def cross(self, rules: int) -> tuple[float, list[LedgerEntry]]:
        """Let all markets fall; return the seconds until the last POST, and the first POST of each order.

        Raises:
            BenchFailed: Not every rule posted.
        """
        last = max((entry.seq for entry in await self._admin.ledger()), default=0)
        tapes = [await self._traders[0].load_crossing(token) for token in self.tokens]
        played = await side_by_side((self._admin.step_tape(tape) for tape in tapes), len(tapes))
        sent = min(f.sent_monotonic_ns for state in played for f in state.frames if f.sent_monotonic_ns)
        posts = await until(
            lambda: self._first_posts(last),
            lambda found: len(found) >= rules,
            f"{rules} POSTs",
            limit_s=POSTS_LIMIT_S,
            pause_s=LOOK_EVERY_S,
        )
        return (posts[rules - 1].received_monotonic_ns - sent) / 1e9, posts

    async def _first_posts(self, after: int) -> list[LedgerEntry]:
        first: dict[str, LedgerEntry] = {}
        while page := await self._admin.ledger(after=after):
            for entry in page:
                if entry.side == "SELL" and entry.order_id is not None:
                    first.setdefault(entry.order_id, entry)
            after = page[-1].seq
        return sorted(first.values(), key=lambda entry: entry.received_monotonic_ns)


async def measure(rules: int, accounts: int, rounds: int, folder: Path, say: Say) -> Report:
    """Run the whole measurement on a stack of its own.

    Raises:
        BenchFailed: The run could not be carried through.
    """
    async with (
        running(measured(folder)) as stack,
        SimulatorAdmin(stack.simulator_admin_url) as admin,
        floor_client(stack, CORE_WORKERS) as client,
    ):
        traders = [
            Trader(stack.api_url, stack.admin_key.get_secret_value(), admin) for _ in range(accounts + 2)
        ]
        try:
            for number, trader in enumerate(traders):
                say(f"accounts: {number} of {len(traders)}")
                await trader.open_account(f"burst {number}")
            return await _measure(stack, admin, traders, client, rules, rounds, say)
        finally:
            for trader in traders:
                await trader.aclose()


async def _measure(
    stack: EmbeddedStack,
    admin: SimulatorAdmin,
    traders: Sequence[Trader],
    client: Client,
    rules: int,
    rounds: int,
    say: Say,
) -> Report:
    *many, big, single = traders
    product: list[float] = []
    bare: list[float] = []
    for number in range(rounds):
        told = prefixed(say, f"round {number + 1} of {rounds}: ")
        product.append(await _product_s(admin, many, rules, told))
        told("floor")
        bare.append(await _floor_s(client, rules))
    fairness = await _fairness(admin, big, single, rules, prefixed(say, "fairness: "))
    ratios = tuple(round(floor / taken, 3) for taken, floor in zip(product, bare, strict=True))
    taken, floor = statistics.median(product), statistics.median(bare)
    return Report(
        rules=rules,
        accounts=len(many),
        rounds=rounds,
        last_post_s=round(taken, 3),
        posts_per_s=round(rules / taken, 1),
        floor_last_post_s=round(floor, 3),
        floor_posts_per_s=round(rules / floor, 1),
        ratio_throughput=statistics.median(ratios),
        ratios=ratios,
        fairness=fairness,
    )


async def _product_s(admin: SimulatorAdmin, traders: Sequence[Trader], rules: int, say: Say) -> float:
    crowd = Crowd(admin, traders, MARKETS)
    counts = [rules // len(traders) + (n < rules % len(traders)) for n in range(len(traders))]
    await crowd.arm(counts, say)
    say("the gap")
    seconds, _ = await crowd.cross(rules)
    return seconds


async def _floor_s(client: Client, count: int) -> float:
    floor = BurstFloor(client, count)
    await floor.start()
    return await floor.seconds()


async def _fairness(admin: SimulatorAdmin, big: Trader, single: Trader, rules: int, say: Say) -> Fairness:
    crowd = Crowd(admin, (big, single), 1)
    await crowd.arm((rules - 1, 1), say)
    say("the gap")
    seconds, posts = await crowd.cross(rules)
    rank = next(
        n for n, post in enumerate(posts, 1) if (post.address or "").lower() == single.address.lower()
    )
    return Fairness(rules=rules, rank_of_single=rank, last_post_s=round(seconds, 3))


def show(report: Report, console: Console) -> None:
    """Print the figures as a table."""
    table = Table(title=f"{report.rules} rules of {report.accounts} accounts crossed by one gap")
    for name in ("what", "last POST, s", "POSTs/s"):
        table.add_column(name)
    table.add_row("product", str(report.last_post_s), str(report.posts_per_s))
    table.add_row(
        "signal → eager activity that posts", str(report.floor_last_post_s), str(report.floor_posts_per_s)
    )
    console.print(table)
    rounds = ", ".join(map(str, report.ratios))
    console.print(f"throughput ratio {report.ratio_throughput} (rounds: {rounds})")
    fair = report.fairness
    console.print(f"fairness: a single rule was served {fair.rank_of_single}. of {fair.rules}")


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m bench.burst", description=__doc__)
    made.add_argument("--rules", type=int, default=1000, help="rules that the gap crosses")
    made.add_argument("--accounts", type=int, default=20, help="accounts that they belong to")
    made.add_argument("--rounds", type=int, default=3, help="rounds of both, taken in turn")
    made.add_argument("--data-dir", type=Path, default=None, help="keep the stack's data and logs here")
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return made


def main() -> None:
    """Measure and print."""
    given = parser().parse_args()
    runtime.logging.configure(level=40)
    report = with_a_folder(
        NAME,
        given.data_dir,
        lambda folder, say: measure(given.rules, given.accounts, given.rounds, folder, say),
    )
    if given.json:
        print(json.dumps(asdict(report)))
    else:
        show(report, Console())


if __name__ == "__main__":
    main()
