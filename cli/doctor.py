"""`holdfast doctor`: checks every part and names the command that mends it."""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.up import PORT_OPTIONS
from runtime.doctor import Finding, Outcome, examine
from runtime.doctor_probes import installation_checks
from runtime.settings import load

_COLOURS = {Outcome.OK: "green", Outcome.WARN: "yellow", Outcome.FAIL: "bold red"}


def doctor(
    json_output: Annotated[bool, typer.Option("--json", help="Print findings as one JSON object.")] = False,
) -> None:
    """Check every part: program, ports, clock, database, Temporal, venue, accounts. Exit 1 when one fails."""
    findings = asyncio.run(examine(installation_checks(load(), PORT_OPTIONS)))
    failed = any(finding.outcome is Outcome.FAIL for finding in findings)
    if json_output:
        report = {"ok": not failed, "checks": [asdict(finding) for finding in findings]}
        sys.stdout.write(json.dumps(report) + "\n")
    else:
        show(findings, Console())
    if failed:
        raise typer.Exit(1)


def show(findings: Sequence[Finding], console: Console) -> None:
    """Prints the findings as a table, each trouble with what mends it."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for finding in findings:
        mend = f"\n[dim]mend:[/] {finding.fix}" if finding.fix else ""
        colour = _COLOURS[finding.outcome]
        table.add_row(f"[{colour}]{finding.outcome}[/]", finding.name, finding.detail + mend)
    console.print(table)
