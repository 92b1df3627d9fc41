"""`python -m bench.suite`: the benchmarks one after another.

The quick form takes some minutes and prints tables. `--full` takes the figures that are published (latency
beside 0, 1,000 and 10,000 armed rules, n = 1,000, the middle of three runs; everything else in its own full
form) and writes them as a page with plots; it takes hours, and wants a machine that does nothing else.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

import runtime.logging
from bench import burst, create, index, latency
from bench.figures import middle
from bench.index_scenes import Mix
from bench.machine import this_machine
from bench.page import page
from bench.peers import comparison
from bench.plots import draw
from bench.program import carry_through, data_folder
from bench.results import Results

NAME = "bench"
PAGE = Path("docs/benchmarks.md")
RUNS = 3

Say = Callable[[str], None]


async def quick(folder: Path, console: Console, say: Say) -> Results:
    """Take the quick form.

    Raises:
        BenchFailed: A benchmark could not be carried through.
    """
    began, machine = time.monotonic(), this_machine()
    say("latency")
    taken = await latency.measure_all(300, (1_000,), 0, folder / "latency", console)
    say("index")
    indexed = await asyncio.to_thread(index.run, (1, 100_000), list(Mix), 50_000, 3, _quiet)
    say("burst")
    burst_report = await burst.measure(200, 10, 1, folder / "burst", _quiet)
    say("create")
    created = await create.measure((1, 16), 60, 1, (200,), folder / "create", _quiet)
    return Results(
        machine=machine,
        seconds=round(time.monotonic() - began),
        runs=1,
        latency=tuple(taken),
        index=indexed,
        burst=burst_report,
        create=created,
        peers=None,
    )


async def full(folder: Path, console: Console, say: Say) -> Results:
    """Take the figures that are published.

    Raises:
        BenchFailed: A benchmark could not be carried through.
    """
    began, machine = time.monotonic(), this_machine()
    runs: list[list[latency.Report]] = []
    for number in range(RUNS):
        say(f"latency, run {number + 1} of {RUNS}")
        runs.append(
            await latency.measure_all(1_000, (0, 1_000, 10_000), 300, folder / f"latency-{number}", console)
        )
    say("index")
    sizes, mixes = index.SIZES, list(Mix)
    indexed = await asyncio.to_thread(index.run, sizes, mixes, index.QUOTES, index.ROUNDS, _quiet)
    say("burst")
    burst_report = await burst.measure(1_000, 20, RUNS, folder / "burst", _quiet)
    say("create")
    created = await create.measure(create.CLIENTS, 200, RUNS, create.STEPS, folder / "create", _quiet)
    say("peers")
    others = await comparison.compare(
        comparison.STOPS, 40, comparison.VENVS, folder / "peers", console, _quiet
    )
    return Results(
        machine=machine,
        seconds=round(time.monotonic() - began),
        runs=RUNS,
        latency=tuple(middle_runs(runs)),
        index=indexed,
        burst=burst_report,
        create=created,
        peers=others,
    )


def middle_runs(runs: Sequence[Sequence[latency.Report]]) -> list[latency.Report]:
    """Return, of each place in the runs, the report whose ratio at the median is the middle one."""
    return [middle([(report.ratio_p50, report) for report in place]) for place in zip(*runs, strict=True)]


def _quiet(_: str) -> None:
    return


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
    made.add_argument("--page", type=Path, default=PAGE, help="the page; its plots go beside it")
    made.add_argument("--data-dir", type=Path, default=None, help="keep the stacks' data and logs here")
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return made


def main() -> None:
    """Measure and print; in full write the page."""
    given = parser().parse_args()
    runtime.logging.configure(level=40)
    console = Console(stderr=True)

    def say(words: str) -> None:
        console.print(f"{NAME}: {words}", markup=False)

    with data_folder(given.data_dir, NAME, console) as folder:
        work = full(folder, console, say) if given.full else quick(folder, console, say)
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
