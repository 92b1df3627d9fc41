"""`holdfast events`: the append-only log of rules and orders."""

import time
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.text import Text

from cli.client import PAGE, ApiClient, JsonObject, Query, api, objects, text
from cli.output import AccountOption, Json, console, print_json

EVENTS = "/api/v2/events"
_STYLES = {"warning": "yellow", "alarm": "bold red"}
_SECONDS = len("2026-11-21T12:00:00")


def events(
    rule: Annotated[str | None, typer.Option("--rule", help="only this rule's")] = None,
    order: Annotated[str | None, typer.Option("--order", help="only this order's")] = None,
    kind: Annotated[
        str | None, typer.Option("--type", help="only this type: rule.held_back, rule.evaluated (samples)")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="how many of the newest")] = 50,
    follow: Annotated[bool, typer.Option("--follow", help="go on until Ctrl-C")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="seconds between looks with --follow")] = 1.0,
    account: AccountOption = None,
    json_output: Json = False,
) -> None:
    """Show what happened, oldest of the newest first; with --json and --follow one object a line."""
    query = {"rule_id": rule, "order_id": order, "type": kind}
    with api(account) as client:
        newest = list(client.pages(EVENTS, query, limit))[::-1]
        if not follow:
            _show(newest, json_output)
            return
        for event in newest:
            _line(event, json_output)
        try:
            _follow(client, query, text(newest[-1], "id") if newest else "0", every, json_output)
        except KeyboardInterrupt:
            return


def _follow(client: ApiClient, query: Query, after: str, every: float, json_output: bool) -> None:
    while True:
        time.sleep(every)
        for event in following(client, query, after):
            _line(event, json_output)
            after = text(event, "id")


def following(client: ApiClient, query: Query, after: str) -> Iterator[JsonObject]:
    """Yield the events after one, oldest first, until there are no more. Raises CallFailed."""
    while events := objects(client.get(EVENTS, {**query, "after": after, "limit": PAGE}), "items"):
        yield from events
        after = text(events[-1], "id")


def _show(events: list[JsonObject], json_output: bool) -> None:
    if json_output:
        print_json(events)
        return
    for event in events:
        _line(event, json_output)
    if not events:
        console().print("Nothing happened yet.")


def _line(event: JsonObject, json_output: bool) -> None:
    if json_output:
        print_json(event)
        return
    severity, subject = text(event, "severity"), text(event, "rule_id") or text(event, "order_id")
    line = Text.assemble(
        f"{text(event, 'at')[:_SECONDS]}Z  ",
        (f"{severity:<7}", _STYLES.get(severity, "")),
        f"  {text(event, 'type')}: {text(event, 'message')}  ",
        (subject, "dim"),
    )
    console().print(line, soft_wrap=True)  # one event is one line, whoever reads it
