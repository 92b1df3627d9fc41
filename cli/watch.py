"""`holdfast rule watch`: armed rules with price, level and distance, again and again."""

import time
from collections.abc import Iterator
from typing import Annotated

import typer
from pydantic import JsonValue
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.client import ApiClient, CallFailed, JsonObject, api, member, objects, text
from cli.output import AccountOption, Json, console, print_json
from cli.rule_body import RULES

MOST_RULES = 50
_HEADINGS = ("rule", "condition", "price", "level", "points", "%", "ticks", "what")


def watch(
    rule_id: Annotated[
        str | None, typer.Argument(help="only this rule; all active ones when left out")
    ] = None,
    every: Annotated[float, typer.Option(min=0.2, help="seconds between looks")] = 2.0,
    times: Annotated[int | None, typer.Option(min=1, help="looks; until Ctrl-C when left out")] = None,
    account: AccountOption = None,
    json_output: Json = False,
) -> None:
    """Watch rules live until Ctrl-C; with --json one line for each condition and look."""
    with api(account) as client:
        try:
            if json_output:
                for rows in _looks(client, rule_id, every, times):
                    for row in rows:
                        print_json(row)
                return
            with Live(console=console(), auto_refresh=False) as live:
                for rows in _looks(client, rule_id, every, times):
                    live.update(_table(rows), refresh=True)
        except KeyboardInterrupt:
            return


def _looks(
    client: ApiClient, rule_id: str | None, every: float, times: int | None
) -> Iterator[list[JsonObject]]:
    looked = 0
    while True:
        yield [row for each in _rules(client, rule_id) for row in _rows(client, each)]
        looked += 1
        if looked == times:
            return
        time.sleep(every)


def _rules(client: ApiClient, rule_id: str | None) -> list[str]:
    if rule_id is not None:
        return [rule_id]
    return [text(rule, "id") for rule in client.pages(RULES, {"status": "ACTIVE"}, MOST_RULES)]


def _rows(client: ApiClient, rule_id: str) -> list[JsonObject]:
    """Return one flat row for each condition of a rule, or one that says why there is none now."""
    try:
        found = client.get(f"{RULES}/{rule_id}/explain")
    except CallFailed as failure:
        return [{"rule_id": rule_id, "text": str(failure)}]
    shared: JsonObject = {
        "rule_id": rule_id,
        "phase": text(found, "phase"),
        "price": member(found, "price").get("price"),
        "age_ms": member(found, "price").get("age_ms"),
    }
    return [shared | _flat(condition) for condition in objects(found, "conditions")]


def _flat(condition: JsonObject) -> JsonObject:
    distance = member(condition, "distance")
    guard: JsonValue = member(condition, "guard").get("code")
    return {
        "condition": text(condition, "condition"),
        "level": condition.get("level"),
        "points": distance.get("points"),
        "percent": distance.get("percent"),
        "ticks": distance.get("ticks"),
        "fires": condition.get("fires"),
        "guard": guard,
        "text": text(condition, "text"),
    }


def _table(rows: list[JsonObject]) -> Table:
    table = Table(*_HEADINGS, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        names = ("rule_id", "condition", "price", "level", "points", "percent", "ticks")
        style = "bold red" if row.get("fires") else "yellow" if row.get("guard") else ""
        what = text(row, "guard") or ("fires" if row.get("fires") else text(row, "phase"))
        what = what or text(row, "text")
        table.add_row(*(text(row, name) for name in names), Text(what, style=style))
    return table if rows else Table(title="No active rules.", box=None)
