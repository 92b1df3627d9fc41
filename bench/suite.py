"""`python -m bench.suite`: the benchmarks one after another.

The quick form takes some minutes and prints tables. `--full` takes the figures that are published (latency
beside 10,000 armed rules with n = 1,000 and beside fewer with 200, the middle of three runs; everything else
in its own full form) and writes them as a page with plots; it takes more than an hour, and wants a machine
that does nothing else. With `--data-dir` a run that was stopped goes on where it was.
"""

import argparse
import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from pydantic import TypeAdapter
from rich.console import Console

import runtime.logging
from bench import burst, create, index, latency
from bench.figures import middle
from bench.index_scenes import Mix
from bench.kept import Kept
from bench.machine import Machine, this_machine
from bench.page import page
from bench.peers import comparison
from bench.plots import draw
from bench.program import Say, carry_through, data_folder
from bench.results import Results

NAME = "bench"
PAGE = Path("docs/benchmarks.md")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much of everything is taken.

    Attributes:
        runs: Runs of latency, of which the middle one counts.
        samples: Samples of latency by the number of rules armed beside.
        cold: Samples of latency of evicted rules.
        indexed: Numbers of rules in the trigger index.
        quotes: Quotes of each of its rounds.
        burst: Rules that one gap crosses.
        accounts: Accounts that they belong to.
        clients: Numbers of clients that create rules.
        per_round: Rules that they create in a round.
        idle: Numbers of idle rules at which the stack is weighed.
        rounds: Rounds of everything but latency.
        reactions: Samples of other systems' reactions; 0 leaves other systems out.
    """

    runs: int
    samples: latency.Samples
    cold: int
    indexed: tuple[int, ...]
    quotes: int
    burst: int
    accounts: int
    clients: tuple[int, ...]
    per_round: int
    idle: tuple[int, ...]
    rounds: int
    reactions: int


QUICK = Sizes(
    runs=1,
    samples={1_000: 300},
    cold=0,
    indexed=(1, 100_000),
    quotes=50_000,
    burst=200,
    accounts=10,
    clients=(1, 16),
    per_round=60,
    idle=(200,),
    rounds=1,
    reactions=0,
)
FULL = Sizes(
    runs=3,
    samples={0: 200, 1_000: 200, 10_000: 1_000},
    cold=200,
    indexed=index.SIZES,
    quotes=index.QUOTES,
    burst=1_000,
    accounts=20,
    clients=create.CLIENTS,
    per_round=200,
    idle=create.STEPS,
    rounds=3,
    reactions=40,
)


_MACHINE, _LATENCY = TypeAdapter(Machine), TypeAdapter(list[latency.Report])
_INDEX, _BURST, _CREATE = TypeAdapter(index.Report), TypeAdapter(burst.Report), TypeAdapter(create.Report)
_PEERS = TypeAdapter(comparison.Report)


async def take(sizes: Sizes, folder: Path, console: Console, say: Say) -> Results:
    """Run the benchmarks one after another; what the folder has of them already is not taken again.

    Raises:
        BenchFailed: One of them could not be carried through.
    """
    # The number of runs is no size: a run more needs none of the others again.
    kept = Kept(folder, repr(replace(sizes, runs=1)), say)
    machine = await kept.part("machine", _MACHINE, _present_machine)
    with console.status("") as status:

        def tell(name: str) -> Say:
            say(name)
            return lambda words: status.update(f"{name}: {words}")

        indexed = await kept.part("index", _INDEX, lambda _: _index(sizes, tell("index")))
        burst_report = await kept.part(
            "burst",
            _BURST,
            lambda place: burst.measure(sizes.burst, sizes.accounts, sizes.rounds, place, tell("burst")),
        )
        created = await kept.part(
            "create",
            _CREATE,
            lambda place: create.measure(
                sizes.clients, sizes.per_round, sizes.rounds, sizes.idle, place, tell("create")
            ),
        )
        others = None
        if sizes.reactions:
            others = await kept.part(
                "peers", _PEERS, lambda place: _others(sizes, place, console, tell("peers"))
            )
    runs = [
        await kept.part(f"latency-{number}", _LATENCY, partial(_latency, sizes, number, console, say))
        for number in range(1, sizes.runs + 1)
    ]
    return Results(
        machine=machine,
        seconds=round(kept.seconds),
        runs=sizes.runs,
        latency=tuple(middle_runs(runs)),
        index=indexed,
        burst=burst_report,
        create=created,
        peers=others,
    )


async def _present_machine(_: Path) -> Machine:
    return this_machine()


async def _index(sizes: Sizes, tell: Say) -> index.Report:
    rounds = max(3, sizes.rounds)
    return await asyncio.to_thread(index.run, sizes.indexed, list(Mix), sizes.quotes, rounds, tell)


async def _latency(sizes: Sizes, run: int, console: Console, say: Say, place: Path) -> list[latency.Report]:
    say(f"latency, run {run} of {sizes.runs}")
    return await latency.measure_all(sizes.samples, sizes.cold, place, console)


async def _others(sizes: Sizes, folder: Path, console: Console, say: Say) -> comparison.Report:
    return await comparison.compare(comparison.STOPS, sizes.reactions, comparison.VENVS, folder, console, say)


def middle_runs(runs: Sequence[Sequence[latency.Report]]) -> list[latency.Report]:
    """Return, of each place in the runs, the report whose ratio at the median is the middle one."""
    return [middle([(report.ratio_p50, report) for report in place]) for place in zip(*runs, strict=True)]


def show(results: Results, console: Console) -> None:
    """Print all tables."""
    for report in results.latency:
        latency.show(report, console)
    index.show(results.index, console)
    burst.show(results.burst, console)
    create.show(results.create, console)
    if results.peers is not None:
        comparison.show(results.peers, console)
    console.print(
        f"{results.seconds // 60} min {results.seconds % 60} s, load before it {results.machine.load}"
    )


def publish(results: Results, path: Path) -> None:
    """Write the page, and its plots beside it."""
    plots = draw(results, path.parent / path.stem)
    path.write_text(page(results, [f"{path.stem}/{plot.name}" for plot in plots]))


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m bench.suite", description=__doc__)
    made.add_argument("--full", action="store_true", help="take the published figures, and write the page")
    made.add_argument(
        "--runs", type=int, default=None, help="runs of latency, of which the middle one counts"
    )
    made.add_argument("--samples", type=int, default=None, help="samples of latency beside each number")
    made.add_argument("--page", type=Path, default=PAGE, help="the page; its plots go beside it")
    made.add_argument(
        "--data-dir", type=Path, default=None, help="keep data and logs here; go on from what is there"
    )
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return made


def asked_for(sizes: Sizes, *, runs: int | None, samples: int | None) -> Sizes:
    """Return sizes with other numbers of runs and samples, where they are asked for."""
    changed = sizes if runs is None else replace(sizes, runs=runs)
    if samples is None:
        return changed
    return replace(changed, samples=dict.fromkeys(sizes.samples, samples))


def main() -> None:
    """Measure and print; in full write the page."""
    given = parser().parse_args()
    runtime.logging.configure(level=40)
    console = Console(stderr=True)

    def say(words: str) -> None:
        console.print(f"{NAME}: {words}", markup=False)

    with data_folder(given.data_dir, NAME, console) as folder:
        sizes = asked_for(FULL if given.full else QUICK, runs=given.runs, samples=given.samples)
        work = take(sizes, folder, console, say)
        results = carry_through(work, NAME, console)
    if given.full:
        publish(results, given.page)
        say(f"written to {given.page}")
    if given.json:
        print(json.dumps(asdict(results)))
    else:
        show(results, Console())


if __name__ == "__main__":
    main()
