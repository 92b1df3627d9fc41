"""The page of published figures, as Markdown."""

from collections.abc import Iterable, Sequence

from bench import burst, create, index, latency
from bench.machine import Machine
from bench.peers import comparison
from bench.results import Results

HEAD = """# Benchmarks

Written by `make bench-full`; do not edit. Each figure is taken beside its floor in the same run, on the same
server and settings, in turn: ratios hold on other machines, milliseconds do not. Temporal's SQLite file is in
WAL with `synchronous=normal`, Postgres without `fsync`: a killed process loses nothing, a power cut may.

| program | what |
|---|---|
| `python -m bench.latency` | frame at the socket → POST of the order, against bare signal → eager activity |
| `python -m bench.index` | quotes and frames a second through the trigger index, bytes a rule |
| `python -m bench.burst` | one gap crosses many rules: until the last POST; fairness between accounts |
| `python -m bench.create` | rules through the API, against bare update-with-start; what an idle rule costs |
| `python -m bench.peers` | nautilus_trader's order emulator, freqtrade's loop |
| `python -m bench.failover` | the feed dies as a price crosses: until the POST, with a standby or not |
| `python -m bench.soak` | many idle rules under moving prices: nothing may grow |
| `python -m bench.day` | 24 hours of prices under `holdfast up`, rules end and begin: nothing may grow |
| `python -m bench.chaos` | kills, faults, people: nothing lost, nothing twice, and how late each exit was |

All take `--help` and `--json`. `make bench` is the quick form, `make soak` and `make chaos` the long runs.
"""
PENDING = """
**Figures are pending**: they have to be taken on a machine that does nothing else meanwhile.
"""


def page(results: Results | None, plots: Sequence[str] = ()) -> str:
    """Return the page; without results it says that they are pending.

    Args:
        results: What was measured.
        plots: Addresses of the plots, relative to the page.
    """
    if results is None:
        return HEAD + PENDING
    parts = [
        HEAD,
        _machine(results.machine, results.seconds),
        _latency(results.latency, results.runs),
        _index(results.index),
        _burst(results.burst),
        _create(results.create),
    ]
    if results.peers is not None:
        parts.append(_peers(results.peers))
    parts += [f"\n![{address}]({address})\n" for address in plots]
    return "".join(parts)


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n" + "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else str(value)


def _machine(machine: Machine, seconds: int) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    rows = (
        ("processor", f"{machine.processor}, {machine.cores} cores"),
        ("memory", f"{machine.memory_gb} GB"),
        ("system", f"{machine.system}, Python {machine.python}"),
        ("Temporal", machine.temporal),
        ("packages", versions),
        ("load before the run", machine.load),
        ("took", f"{seconds // 60} min"),
    )
    return "\n## Machine\n" + _table(("what", ""), rows)


def _latency(reports: Sequence[latency.Report], runs: int) -> str:
    rows = [
        (
            "cold" if report.cold else "warm",
            report.armed,
            report.frame_to_post_ms.p50_ms,
            report.frame_to_post_ms.p90_ms,
            report.frame_to_post_ms.p99_ms,
            report.floor_signal_to_eager_ms.p50_ms,
            report.floor_signal_to_eager_ms.p99_ms,
            f"**{report.ratio_p50}**",
            report.ratio_p99,
            report.frame_to_post_ms.n,
        )
        for report in reports
    ]
    header = (
        "rule",
        "armed",
        "p50 ms",
        "p90",
        "p99",
        "floor p50",
        "floor p99",
        "ratio p50",
        "ratio p99",
        "n",
    )
    words = f"Of {runs} runs the one with the middle ratio." if runs > 1 else "One run."
    return f"\n## From a price frame to the order's POST\n\n{words}\n" + _table(header, rows)


def _index(report: index.Report) -> str:
    rows = [
        (
            row.mix.replace("_", " "),
            row.rules,
            row.tokens,
            row.quotes_per_s,
            row.ratio_to_one_rule,
            row.frames_per_s,
            row.bytes_per_rule,
        )
        for row in report.rows
    ]
    header = ("rules are", "rules", "tokens", "quotes/s", "to one rule's", "frames/s", "bytes/rule")
    words = f"One core; medians of {report.rounds} rounds of {report.quotes_a_round:,} quotes."
    return f"\n## The trigger index\n\n{words}\n" + _table(header, rows)


def _burst(report: burst.Report) -> str:
    rows = (
        ("product", report.last_post_s, report.posts_per_s),
        ("signal → eager activity that posts", report.floor_last_post_s, report.floor_posts_per_s),
    )
    fair = report.fairness
    return (
        f"\n## A gap that crosses {report.rules:,} rules of {report.accounts} accounts\n"
        + _table(("what", "last POST, s", "POSTs/s"), rows)
        + f"\nThroughput is **{report.ratio_throughput}** of the floor's ({report.rounds} rounds). A single "
        f"rule beside {fair.rules - 1:,} of another account was served {fair.rank_of_single}. of "
        f"{fair.rules:,}.\n"
    )


def _create(report: create.Report) -> str:
    created = [
        (
            row.clients,
            row.rules_per_s,
            row.create_ms.p50_ms,
            row.create_ms.p99_ms,
            row.floor_ms.p50_ms,
            row.http_ms.p50_ms,
            f"**{row.ratio_p50}**",
            row.ratio_p50_without_http,
            row.too_many,
        )
        for row in report.creations
    ]
    header = ("clients", "rules/s", "p50 ms", "p99", "floor p50", "HTTP p50", "ratio", "without HTTP", "429")
    idle = [
        (
            row.rules,
            row.postgres_bytes,
            row.temporal_bytes,
            row.server_bytes,
            row.worker_bytes,
            row.cpu_percent,
            row.empty_cpu_percent,
        )
        for row in report.idle
    ]
    costs = (
        "idle rules",
        "Postgres B/rule",
        "Temporal B/rule",
        "both",
        "workers' memory B/rule",
        "CPU of the whole stack, % of a core",
        "with one rule",
    )
    return "\n## Creating rules\n" + _table(header, created) + _table(costs, idle)


def _peers(report: comparison.Report) -> str:
    text = "\n## Others\n"
    if report.quotes:
        rows = [(row.stops, row.theirs_per_s, row.ours_per_s, row.ratio) for row in report.quotes]
        header = (
            "held stops",
            f"nautilus_trader {report.nautilus_version}, quotes/s",
            "our index",
            "ratio",
        )
        text += _table(header, rows)
    if report.reaction is not None:
        taken = report.reaction
        text += (
            f"\nfreqtrade {report.freqtrade_version} looks every {taken.throttle_s:g} s by default: "
            f"{taken.theirs_ms.p50_ms} ms from a crossing to its look (p99 {taken.theirs_ms.p99_ms}); "
            f"our POST is at the venue after {taken.ours_ms.p50_ms} ms (p99 {taken.ours_ms.p99_ms}).\n"
        )
    for words in report.faster_elsewhere:
        text += f"\nFaster elsewhere: {words}.\n"
    for words in report.unmeasured:
        text += f"\nNot measured: {words}\n"
    return text
