"""`python -m bench.peers`: the same stop held by others, and where they are faster.

nautilus_trader's order emulator: what a quote costs beside so many held stops of one instrument, against our
trigger index with as many on one token. freqtrade: how late its loop looks at a crossing, at the throttle it
comes with, against our whole way from frame to POST. Each peer is installed into a virtual environment of its
own (some hundred megabytes, once); one that does not install here is reported as not measured.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

import runtime.logging
from bench.figures import Series, series
from bench.index import Reader
from bench.index_scenes import Mix, filled_index, quotes, tokens_for
from bench.latency import measure
from bench.peers.installed import FREQTRADE, NAUTILUS, NotMeasured, run_peer
from bench.program import Say, carry_through, data_folder

NAME = "peers"
STOPS = (1, 1_000, 10_000)
VENVS = Path.home() / ".cache" / "holdfast" / "peers"
ROUNDS = 7
QUOTES = 100_000


class _Emulator(BaseModel):
    version: str
    quotes_per_s: dict[int, int]


class _Loop(BaseModel):
    version: str
    throttle_s: float
    reactions_ms: list[float]


@dataclass(frozen=True, slots=True)
class Quotes:
    """Quotes a second beside so many held stops of one token; a ratio below 1 means that they are faster."""

    stops: int
    ours_per_s: int
    theirs_per_s: int
    ratio: float


@dataclass(frozen=True, slots=True)
class Reaction:
    """From a crossing to the reaction."""

    throttle_s: float
    theirs_ms: Series
    ours_ms: Series


@dataclass(frozen=True, slots=True)
class Report:
    """What one run found; None where a peer could not be measured, `unmeasured` says why."""

    nautilus_version: str | None
    quotes: tuple[Quotes, ...]
    freqtrade_version: str | None
    reaction: Reaction | None
    unmeasured: tuple[str, ...]

    @property
    def faster_elsewhere(self) -> tuple[str, ...]:
        """In words, everything in which a peer is faster."""
        return tuple(
            f"nautilus_trader is {1 / row.ratio:.1f} times as fast with {row.stops:,} held stops"
            for row in self.quotes
            if row.ratio < 1
        )


async def compare(
    stops: Sequence[int], n: int, venvs: Path, folder: Path, console: Console, say: Say
) -> Report:
    """Measure peers and ourselves, one after another.

    Raises:
        BenchFailed: Our own side could not be carried through.
    """
    unmeasured: list[str] = []
    emulator: _Emulator | None = None
    loop: _Loop | None = None
    try:
        say("nautilus_trader")
        told = await run_peer(NAUTILUS, venvs, *map(str, stops))
        emulator = _Emulator.model_validate_json(told)
    except NotMeasured as reason:
        unmeasured.append(f"nautilus_trader: {reason}")
    try:
        say("freqtrade")
        loop = _Loop.model_validate_json(await run_peer(FREQTRADE, venvs, str(n)))
    except NotMeasured as reason:
        unmeasured.append(f"freqtrade: {reason}")
    say("ours")
    reaction: Reaction | None = None
    if loop is not None:
        (ours,) = await measure({0: n}, folder, console)
        reaction = Reaction(loop.throttle_s, series(loop.reactions_ms), ours.frame_to_post_ms)
    return Report(
        nautilus_version=None if emulator is None else emulator.version,
        quotes=()
        if emulator is None
        else tuple(_quotes(n, rate) for n, rate in emulator.quotes_per_s.items()),
        freqtrade_version=None if loop is None else loop.version,
        reaction=reaction,
        unmeasured=tuple(unmeasured),
    )


def _quotes(stops: int, theirs: int) -> Quotes:
    """Time our index with all stops on one token, as the emulator holds them on one instrument."""
    tokens = tokens_for(1)
    reader = Reader(filled_index(Mix.NONE_CROSSING, stops, seed=1, tokens=tokens))
    shown = quotes(Mix.NONE_CROSSING, tokens, QUOTES, 1, 1)
    ours = round(statistics.median(reader.rate(shown) for _ in range(ROUNDS)))
    return Quotes(stops, ours, theirs, round(ours / theirs, 3))


def show(report: Report, console: Console) -> None:
    """Print the figures as tables, and where others are faster."""
    if report.quotes:
        table = Table(title=f"Quotes a second, nothing crossing; nautilus_trader {report.nautilus_version}")
        for name in ("held stops", "its order emulator", "our trigger index", "ratio"):
            table.add_column(name, justify="right")
        for row in report.quotes:
            table.add_row(f"{row.stops:,}", f"{row.theirs_per_s:,}", f"{row.ours_per_s:,}", str(row.ratio))
        console.print(table)
    if report.reaction is not None:
        table = Table(title=f"From a crossing to the reaction; freqtrade {report.freqtrade_version}")
        for name in ("what", "p50 ms", "p99 ms"):
            table.add_column(name)
        for words, taken in (
            (f"freqtrade's loop looks, every {report.reaction.throttle_s:g} s", report.reaction.theirs_ms),
            ("our POST is at the venue", report.reaction.ours_ms),
        ):
            table.add_row(words, str(taken.p50_ms), str(taken.p99_ms))
        console.print(table)
    for words in (*report.faster_elsewhere, *(f"not measured: {why}" for why in report.unmeasured)):
        console.print(words, markup=False)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    made.add_argument("--stops", type=int, nargs="+", default=list(STOPS), help="numbers of held stops")
    made.add_argument("--n", type=int, default=40, help="samples of reactions, five seconds each")
    made.add_argument("--venvs", type=Path, default=VENVS, help="where the peers are installed")
    made.add_argument("--data-dir", type=Path, default=None, help="keep our stack's data and logs here")
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return made


def main() -> None:
    """Measure and print."""
    given = parser().parse_args()
    runtime.logging.configure(level=40)
    console = Console(stderr=True)

    def say(words: str) -> None:
        console.print(f"{NAME}: {words}", markup=False)

    with data_folder(given.data_dir, NAME, console) as folder:
        work = compare(given.stops, given.n, given.venvs, folder, console, say)
        report = carry_through(work, NAME, console)
    if given.json:
        print(json.dumps({**asdict(report), "faster_elsewhere": report.faster_elsewhere}))
    else:
        show(report, Console())
