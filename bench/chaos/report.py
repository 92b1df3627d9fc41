"""A report as JSON and as a table."""

import json
from collections.abc import Iterator, Mapping, Sequence

from pydantic import JsonValue
from rich.console import Console
from rich.table import Table

from bench.chaos.audit import Fault, Report
from bench.chaos.recovery_report import recovery_figures, recovery_lines

SHOWN_FINDINGS = 40


def as_json(report: Report, budget_s: float, strikes: Mapping[str, int]) -> str:
    """Return the figures as one JSON object; exits that took longer than the budget are listed in it.

    Args:
        report: What was found.
        budget_s: Of recovery.
        strikes: How often the faults of each trouble of the venue met something.
    """
    figures: dict[str, JsonValue] = {
        "exits_expected": report.exits_expected,
        "orders_at_venue": report.orders_at_venue,
        **{fault.value: report.count(fault) for fault in Fault},
        "recovery_s_max": round(report.recovery_s_max, 3),
        "seed": report.seed,
        "fault_strikes": dict(sorted(strikes.items())),
        "recovery": recovery_figures(report, budget_s),
    }
    return json.dumps(figures)


def show(
    report: Report,
    budget_s: float,
    deeds: Sequence[str],
    strikes: Mapping[str, int],
    replay: str,
    console: Console,
) -> None:
    """Print figures, findings, every exit over the budget of recovery and how to run the same plan again."""
    table = Table(title=f"Chaos, seed {report.seed}")
    table.add_column("what")
    table.add_column("count", justify="right")
    table.add_row("rules armed", str(report.rules))
    table.add_row("exits expected", str(report.exits_expected))
    table.add_row("orders at the venue", str(report.orders_at_venue))
    for fault in Fault:
        count = report.count(fault)
        table.add_row(fault.value.replace("_", " "), f"[red]{count}[/red]" if count else "0")
    table.add_row("longest recovery, s", f"{report.recovery_s_max:.1f}")
    table.add_row("deeds", str(len(deeds)))
    console.print(table)
    for finding in report.findings[:SHOWN_FINDINGS]:
        console.print(f"{finding.fault}: {finding.subject}: {finding.words}", markup=False)
    if len(report.findings) > SHOWN_FINDINGS:
        console.print(f"… and {len(report.findings) - SHOWN_FINDINGS} more")
    for line in _strikes(strikes):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for line in recovery_lines(report, budget_s):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(f"again: {replay}", markup=False)


def _strikes(strikes: Mapping[str, int]) -> Iterator[str]:
    """Yield what the venue's faults met; one that met nothing tested nothing."""
    met = ", ".join(f"{name} {times}" for name, times in sorted(strikes.items()) if times)
    if met:
        yield f"faults of the venue met requests: {met}"
    missed = ", ".join(sorted(name for name, times in strikes.items() if not times))
    if missed:
        yield f"met nothing, and so tested nothing: {missed}"
