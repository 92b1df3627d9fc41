"""`python -m bench.index`: how many quotes a second the trigger index judges, and what a rule in it weighs.

Each number of rules stands in a process of its own. Its quotes are timed in rounds, in turn with those of a
single rule, so that the ratio tells what the others cost. `frames` is the whole way of a frame: JSON text →
local book → quote → index. One core; nothing but the feed's own code.
"""

import argparse
import gc
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass

import psutil
from rich.console import Console
from rich.table import Table

from bench.index_scenes import Mix, Shown, bait, filled_index, frames, quotes, start_book, tokens_for
from domain.rules.index import TriggerIndex
from venues.polymarket.market_frames import FrameCounters, FrameReader, LocalBooks

SIZES = (1, 1_000, 100_000, 1_000_000)
QUOTES = 200_000
SEED = 1
DIP_EVERY = 100
ROUNDS = 7


@dataclass(frozen=True, slots=True)
class Row:
    """What so many rules of one mix cost.

    Attributes:
        quotes_per_s: Median of the rounds, quotes straight into the index.
        ratio_to_one_rule: Median of each round's rate over that of one rule in the same round.
        frames_per_s: The same quotes as JSON frames; None where it was not taken.
        bytes_per_rule: Growth of the process by the rules, over their number; None for few of them.
        crossings: How many rules fired in a round.
    """

    mix: str
    rules: int
    tokens: int
    quotes_per_s: int
    ratio_to_one_rule: float
    frames_per_s: int | None
    bytes_per_rule: int | None
    crossings: int


@dataclass(frozen=True, slots=True)
class Report:
    """What one run found."""

    quotes_a_round: int
    rounds: int
    rows: tuple[Row, ...]


class Reader:
    """Shows quotes to an index, and puts back what fires: in a product a rule leaves and is armed again."""

    def __init__(self, index: TriggerIndex) -> None:
        """Take a filled index."""
        self._index = index
        self.crossings = 0

    def rate(self, shown: Sequence[Shown]) -> float:
        """Return the quotes judged in a second."""
        self.crossings = 0
        on_quote, began = self._index.on_quote, time.perf_counter()
        for number, one in enumerate(shown):
            for crossing in on_quote(one.token_id, one.quote, number):
                self._rearm(crossing.rule_id, crossing.generation, one)
        return len(shown) / (time.perf_counter() - began)

    def _rearm(self, rule_id: str, generation: int, shown: Shown) -> None:
        self.crossings += 1
        self._index.delivered(rule_id, generation)
        number = int(rule_id.rpartition("_")[2], 16)
        self._index.add(bait(number, shown.token_id, generation + 1), 0)

    def frame_rate(self, texts: Sequence[bytes], reader: FrameReader) -> float:
        """Return the frames read and judged in a second."""
        on_quote, began = self._index.on_quote, time.perf_counter()
        for number, text in enumerate(texts):
            for event in reader.read(text, number):
                if event.token_id is not None and event.quote is not None:
                    on_quote(event.token_id, event.quote, number)
        return len(texts) / (time.perf_counter() - began)


def measure(mix: Mix, rules: int, count: int, rounds: int) -> Row:
    """Fill an index and time it beside one with a single rule."""
    one = Reader(filled_index(mix, 1, SEED))
    grown, index = _growth(lambda: filled_index(mix, rules, SEED))
    many, tokens = Reader(index), tokens_for(rules)
    alone = quotes(mix, tokens_for(1), count, SEED, DIP_EVERY)
    spread = quotes(mix, tokens, count, SEED, DIP_EVERY)
    pairs = [(one.rate(alone), many.rate(spread)) for _ in range(rounds)]
    return Row(
        mix=mix.value,
        rules=rules,
        tokens=len(tokens),
        quotes_per_s=round(statistics.median(rate for _, rate in pairs)),
        ratio_to_one_rule=round(statistics.median(rate / base for base, rate in pairs), 3),
        frames_per_s=_frames(index, rules, count // 4, rounds) if mix is Mix.NONE_CROSSING else None,
        bytes_per_rule=grown // rules if rules >= 1_000 else None,
        crossings=many.crossings,
    )


def _growth(make: Callable[[], TriggerIndex]) -> tuple[int, TriggerIndex]:
    gc.collect()
    process = psutil.Process()
    before = process.memory_info().rss
    made = make()
    gc.collect()
    return process.memory_info().rss - before, made


def _frames(index: TriggerIndex, rules: int, count: int, rounds: int) -> int:
    tokens = tokens_for(rules)
    books = LocalBooks()
    for token in tokens:
        books.watch(token)
        books.replace(start_book(token))
    reader, judge = FrameReader(books, FrameCounters()), Reader(index)
    rates: list[float] = []
    for number in range(rounds):
        texts = list(frames(tokens, count, 1_000 + number * count, SEED))
        rates.append(judge.frame_rate(texts, reader))
    return round(statistics.median(rates))


def run(
    sizes: Sequence[int], mixes: Sequence[Mix], count: int, rounds: int, say: Callable[[str], None]
) -> Report:
    """Measure each size and mix in a process of its own, one after another."""
    context = multiprocessing.get_context("spawn")
    rows: list[Row] = []
    for mix in mixes:
        for rules in sizes:
            say(f"{mix.value.replace('_', ' ')}, {rules:,} rules")
            with ProcessPoolExecutor(1, mp_context=context) as apart:
                rows.append(apart.submit(measure, mix, rules, count, rounds).result())
    return Report(count, rounds, tuple(rows))


def show(report: Report, console: Console) -> None:
    """Print the figures as a table."""
    table = Table(title="Trigger index, one core")
    for name in (
        "mix",
        "rules",
        "tokens",
        "quotes/s",
        "of one rule's",
        "frames/s",
        "bytes/rule",
        "crossings",
    ):
        table.add_column(name, justify="left" if name == "mix" else "right")
    for row in report.rows:
        table.add_row(
            row.mix.replace("_", " "),
            f"{row.rules:,}",
            f"{row.tokens:,}",
            f"{row.quotes_per_s:,}",
            f"{row.ratio_to_one_rule:.2f}",
            "" if row.frames_per_s is None else f"{row.frames_per_s:,}",
            "" if row.bytes_per_rule is None else f"{row.bytes_per_rule:,}",
            f"{row.crossings:,}",
        )
    console.print(table)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(
        prog="python -m bench.index",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="numbers of rules")
    made.add_argument(
        "--mixes", type=Mix, nargs="+", choices=list(Mix), default=list(Mix), help="what stands in it"
    )
    made.add_argument("--quotes", type=int, default=QUOTES, help="quotes of a round")
    made.add_argument("--rounds", type=int, default=ROUNDS, help="rounds, of which the median counts")
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return made


def main() -> None:
    """Measure and print."""
    given = parser().parse_args()
    with Console(stderr=True).status("") as status:
        report = run(given.sizes, given.mixes, given.quotes, given.rounds, status.update)
    if given.json:
        print(json.dumps(asdict(report)))
    else:
        show(report, Console())


if __name__ == "__main__":
    main()
