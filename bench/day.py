"""`python -m bench.day`: a day of prices under `holdfast up`, played fast; rules fire, end and begin anew.

A seeded tape of 24 hours (calm walks, excursions, wicks, empty sides, prints, gaps) runs over a few hundred
rules of all kinds. Whatever ends is armed anew, so that rules end, histories close and the tape is compacted.
Memory and connections of every process are looked at all the time: from the second quarter of the run to the
last nothing may grow, but for the local exchange, which keeps every frame and order on purpose. Exit status 1
when anything is not as it must be. Retention of closed histories (30 days) and of the tape by age are not
sped up: a planted old tape stands in for the days before.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from random import Random

import asyncpg
from rich.console import Console
from rich.table import Table

import runtime.logging
from bench.day_books import day_books
from bench.day_rules import DayRules
from bench.day_tape import TokenDay
from bench.day_verdict import DayBooks, ended_wrong, shares_differ
from bench.endurance import is_compacted, look_often, plant_old_tape, show_memory, unfinished
from bench.growth import Growth, growth
from bench.histories import KEEP_HELP, keep_histories
from bench.market import DEPTH, Trader
from bench.program import EXIT_DIFFERENT, Say, with_a_folder
from bench.up import Up, holdfast_up
from bench.waiting import missed, until
from bench.weight import Weight
from runtime.embedded.stack import Part
from runtime.temporal import connect
from simulator.client import SimulatorAdmin
from venues.polymarket.config import PolymarketConfig

NAME = "day"
DAY_S = 24 * 3600
ACCOUNTS = 4
BUSY_TOKENS, QUIET_TOKENS = 4, 8
BUSY_BEAT_S, QUIET_BEAT_S = 1.0, 20.0
FRAMES_PER_S = 40.0
"""At most so many changes of one book in a real second: a faster day has fewer, its exchange keeps up."""
POOL_OF_A_SESSION = PolymarketConfig().connections
"""A crowd may fill one account's pool for the first time late in the day; two minutes of quiet empty it."""
SEGMENT_S = 20.0
LAST_EXIT_S = 60.0
REFUSED_SHARE = 0.25
"""No excursion lasts for this share of a day: a rule that is refused for longer is not armed again."""
LARGEST_TABLES = 12
_TABLES = """
    SELECT relname, pg_total_relation_size(oid)::bigint AS bytes FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a day came to.

    Attributes:
        seed, minutes, rules: Of the run.
        ended: Rules that ended, by kind and status.
        refused: Rules that were not armed at once because of this, and later were.
        growth: Memory and connections from the second quarter to the last.
        postgres_bytes, temporal_bytes: In use at the first look and at the last.
        table_bytes: The largest tables with their indexes, before and after.
        failures: In words, what is not as it must be.
    """

    seed: int
    minutes: float
    rules: int
    ended: Mapping[str, int]
    refused: Mapping[str, int]
    growth: Growth
    postgres_bytes: tuple[int, int]
    temporal_bytes: tuple[int, int]
    table_bytes: Mapping[str, tuple[int, int]]
    failures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether all is as it must be."""
        return not self.failures


async def day(
    rules: int, minutes: float, seed: int, folder: Path, say: Say, keep: Path | None = None
) -> Verdict:
    """Run a day on a `holdfast up` of its own.

    Args:
        rules: How many stand at any time.
        minutes: How long the day takes.
        seed: Decides prices and rules.
        folder: Where the stack's data and logs are kept.
        say: Receives the step that goes on.
        keep: Where histories of its workflows are written; None writes none.

    Raises:
        BenchFailed: The run could not be carried through.
    """
    length_s = minutes * 60
    async with AsyncExitStack() as held:
        up = await held.enter_async_context(holdfast_up(folder))
        admin = await held.enter_async_context(SimulatorAdmin(up.simulator_admin_url))
        await plant_old_tape(up.database_url)
        traders = [
            await held.enter_async_context(Trader(up.api_url, up.admin_key, admin)) for _ in range(ACCOUNTS)
        ]
        for number, trader in enumerate(traders):
            await trader.open_account(f"day {number}")
        tokens = [await traders[0].open_market(f"day {n}") for n in range(BUSY_TOKENS + QUIET_TOKENS)]
        standing = DayRules(up.database_url, length_s, Random(f"{seed}:rules"))
        await standing.set_up(traders, tokens, rules, say)
        before, pids = await _tables(up), up.pids()
        going_on = asyncio.create_task(_live(admin, standing, tokens, seed, DAY_S / length_s))
        try:
            weights = await look_often(up.scales(), length_s, going_on, say)
        finally:
            going_on.cancel()
            await asyncio.gather(going_on, return_exceptions=True)
        read = partial(day_books, up.database_url, admin, traders, standing.kinds)
        verdict = await _judged(up, standing, read, (seed, minutes, rules), weights, before, pids, say)
        if keep is not None:
            await keep_histories(await connect(up.settings.temporal), keep)
        return verdict


async def _live(
    admin: SimulatorAdmin, standing: DayRules, tokens: Sequence[str], seed: int, speed: float
) -> None:
    """Let the prices of the day pass and keep rules armed under them, for ever."""
    async with asyncio.TaskGroup() as group:
        group.create_task(standing.keep_armed())
        group.create_task(_pass_prices(admin, tokens, seed, speed))


async def _pass_prices(admin: SimulatorAdmin, tokens: Sequence[str], seed: int, speed: float) -> None:
    days = [
        TokenDay(
            Random(f"{seed}:{number}"),
            max(BUSY_BEAT_S if number < BUSY_TOKENS else QUIET_BEAT_S, speed / FRAMES_PER_S),
        )
        for number in range(len(tokens))
    ]
    while True:
        began = time.monotonic()
        for token, prices in zip(tokens, days, strict=True):
            rows = prices.rows(SEGMENT_S * speed)
            await admin.load_tape(token, rows=rows, speed=str(speed), depth=DEPTH, levels=2)
        await asyncio.sleep(max(0.0, SEGMENT_S - (time.monotonic() - began)))


async def _judged(
    up: Up,
    standing: DayRules,
    read_books: Callable[[], Awaitable[DayBooks]],
    asked: tuple[int, float, int],
    weights: Sequence[Weight],
    before: Mapping[str, int],
    pids: Mapping[str, int | None],
    say: Say,
) -> Verdict:
    seed, minutes, rules = asked
    refused = standing.waiting_since(REFUSED_SHARE * minutes * 60)  # from here on nobody arms
    say("the last exits")
    unsettled = until(
        standing.unsettled, lambda left: not left, "the end of the last exits", limit_s=LAST_EXIT_S
    )
    failures = list(await missed(unsettled))
    await standing.count_ended()
    books = await _balanced(read_books)
    failures += [*shares_differ(books), *ended_wrong(books, refused)]
    say("the tape's compaction")
    compacted = await is_compacted(up.database_url)
    grown = growth(
        weights,
        remembers={Part.SIMULATOR},
        pools={Part.WORKER_IO: POOL_OF_A_SESSION, Part.SIMULATOR: POOL_OF_A_SESSION},
    )
    failures += [*grown.failures, *(f"{part} died" for part in died_since(pids, up.pids()))]
    failures += [] if compacted else ["old entries of the tape did not become candles"]
    lines = await asyncio.to_thread(unfinished, up.data_dir.logs)
    failures += [f"a handler was left unfinished: {line}" for line in lines]
    after = await _tables(up)
    largest = sorted(after, key=lambda name: -after[name])[:LARGEST_TABLES]
    return Verdict(
        seed=seed,
        minutes=minutes,
        rules=rules,
        ended=dict(sorted(standing.ended.items())),
        refused=dict(standing.refused),
        growth=grown,
        postgres_bytes=(weights[0].postgres_bytes, weights[-1].postgres_bytes),
        temporal_bytes=(weights[0].temporal_bytes, weights[-1].temporal_bytes),
        table_bytes={name: (before.get(name, 0), after[name]) for name in largest},
        failures=tuple(failures),
    )


async def _balanced(read: Callable[[], Awaitable[DayBooks]]) -> DayBooks:
    """Return the books once their shares agree; after a while those that do not."""
    deadline = time.monotonic() + LAST_EXIT_S
    while True:
        books = await read()
        if not shares_differ(books) or time.monotonic() > deadline:
            return books
        await asyncio.sleep(1)


def died_since(before: Mapping[str, int | None], now: Mapping[str, int | None]) -> list[str]:
    """Return the parts that are no longer the process that they were, those that are gone among them."""
    return [part for part, pid in before.items() if now.get(part) != pid]


async def _tables(up: Up) -> dict[str, int]:
    connection = await asyncpg.connect(up.database_url, ssl=False)
    try:
        return {str(row["relname"]): int(str(row["bytes"])) for row in await connection.fetch(_TABLES)}
    finally:
        await connection.close()


def show(verdict: Verdict, console: Console) -> None:
    """Print what was seen, and what is not as it must be."""
    console.print(f"seed {verdict.seed}: a day in {verdict.minutes:g} minutes over {verdict.rules} rules")
    show_memory(verdict.growth.memory_mb, console)
    ends = Table(title="Rules that ended", title_justify="left")
    ends.add_column("kind: status")
    ends.add_column("rules", justify="right")
    for name, count in verdict.ended.items():
        ends.add_row(name, str(count))
    console.print(ends)
    sizes = Table(title="Bytes in use", title_justify="left")
    for name in ("where", "before", "after"):
        sizes.add_column(name, justify="right")
    stores = {"Postgres": verdict.postgres_bytes, "Temporal": verdict.temporal_bytes}
    for name, (then, now) in {**stores, **verdict.table_bytes}.items():
        sizes.add_row(name, f"{then:,}", f"{now:,}")
    console.print(sizes)
    for code, count in verdict.refused.items():
        console.print(f"  not armed at once, {code}: {count} times", highlight=False, markup=False)
    for words in verdict.failures:
        console.print(words, style="red", markup=False)
    console.print("passed" if verdict.passed else "failed")


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m bench.day", description=__doc__)
    made.add_argument("--rules", type=int, default=300, help="rules that stand at any time")
    made.add_argument("--minutes", type=float, default=20, help="how long the day takes")
    made.add_argument("--seed", type=int, default=1, help="decides prices and rules")
    made.add_argument("--data-dir", type=Path, default=None, help="keep the stack's data and logs here")
    made.add_argument("--keep-histories", type=Path, default=None, help=KEEP_HELP)
    made.add_argument("--json", action="store_true", help="print the verdict as one JSON object")
    return made


def main() -> None:
    """Run, print the verdict, exit with 1 when anything is not as it must be."""
    given = parser().parse_args()
    runtime.logging.configure(level=50)
    verdict = with_a_folder(
        NAME,
        given.data_dir,
        lambda folder, say: day(given.rules, given.minutes, given.seed, folder, say, given.keep_histories),
    )
    if given.json:
        print(json.dumps({**asdict(verdict), "passed": verdict.passed}))
    else:
        show(verdict, Console())
    sys.exit(0 if verdict.passed else EXIT_DIFFERENT)


if __name__ == "__main__":
    main()
