"""How the CLI shows things: Rich tables for people, one JSON document for programs."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated

import typer
from pydantic import JsonValue
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.client import JsonObject, text

Json = Annotated[bool, typer.Option("--json", help="answer with JSON")]
AccountOption = Annotated[
    str | None, typer.Option("--account", help="account to act for, instead of HOLDFAST_ACCOUNT")
]
KeyOption = Annotated[
    str | None,
    typer.Option("--idempotency-key", help="the same key is carried out once; made up when left out"),
]
LimitOption = Annotated[int, typer.Option("--limit", min=1, help="how many, the newest")]
RuleArgument = Annotated[str, typer.Argument(help="id of the rule")]
OrderArgument = Annotated[str, typer.Argument(help="id of the order")]
Column = tuple[str, Callable[[JsonObject], str]]

_STATUS_STYLES = {
    "ACTIVE": "green",
    "TRIGGERED": "yellow",
    "FAILED": "red",
    "EXPIRED": "dim",
    "CANCELED": "dim",
    "alarm": "bold red",
    "warning": "yellow",
    "live": "bold red",
    "blocked": "red",
    "orphaned": "bold red",
    "filled": "green",
    "failed": "red",
}
_SHORT_ID = 12


def console() -> Console:
    """Return the console of this call; made anew so that it follows redirected output."""
    return Console(file=sys.stdout, highlight=False)


def print_json(document: JsonValue | Sequence[JsonObject]) -> None:
    """Write one JSON document and a line end."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")


def field(name: str) -> Callable[[JsonObject], str]:
    """Return a column's reader of a member as text."""
    return lambda row: text(row, name)


def print_table(title: str, columns: Sequence[Column], rows: Iterable[JsonObject], empty: str) -> None:
    """Draw a table, or say what an empty one means."""
    lines = [[read(row) for _, read in columns] for row in rows]
    if not lines:
        console().print(empty)
        return
    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for heading, _ in columns:
        table.add_column(heading, overflow="fold")
    for line in lines:
        table.add_row(*(Text(cell, style=_STATUS_STYLES.get(cell, "")) for cell in line))
    console().print(table)


def print_facts(title: str, facts: Mapping[str, str]) -> None:
    """Draw names and values, leaving out what is empty."""
    table = Table(title=title, title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        if value:
            table.add_row(name, Text(value, style=_STATUS_STYLES.get(value, "")))
    console().print(table)


def shortened(name: str) -> Callable[[JsonObject], str]:
    """Return a column's reader that shortens long ids of a venue in the middle."""

    def read(row: JsonObject) -> str:
        whole = text(row, name)
        if len(whole) <= 2 * _SHORT_ID:
            return whole
        return f"{whole[:_SHORT_ID]}…{whole[-6:]}"

    return read
