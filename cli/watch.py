"""`holdfast rule watch`: armed rules with price, level and distance, again and again."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import typer
from pydantic import JsonValue
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.client import PAGE, ApiClient, CallFailed, JsonObject, api, member, objects, text
from cli.output import AccountOption, Json, console, print_json
from cli.rule_body import RULES

_HEADINGS = ("rule", "condition", "price", "level", "points", "%", "ticks", "what")


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look saw: a row for each condition, and how many rules it left out."""

    rows: list[JsonObject]
    left_out: int

    def note(self) -> str:
        """Return what is missing in words, nothing where nothing is."""
        if not self.left_out:
            return ""
        return f"{self.left_out} more active rules are not looked at: name one, or give a higher --limit"


def watch(
    rule_id: Annotated[
        str | None, typer.Argument(help="only this rule; all active ones when left out")
    ] = None,
    every: Annotated[float, typer.Option(min=0.2, help="seconds between looks")] = 2.0,
    times: Annotated[int | None, typer.Option(min=1, help="looks; until Ctrl-C when left out")] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=PAGE, help="most rules, the newest; each costs a request every look")
    ] = 50,
    account: AccountOption = None,
    json_output: Json = False,
) -> None:
    """Watch rules live until Ctrl-C; with --json one line for each condition and look."""
    with api(account) as client:
        looks = _looks(client, rule_id, limit=limit, every=every, times=times)
        try:
            if json_output:
                _write(looks)
                return
            _draw(looks)
        except KeyboardInterrupt:
            return


def _draw(looks: Iterator[_Look]) -> None:
    """Draw each look over the one before, or below it where the output is no terminal."""
    shown = console()
    if not shown.is_terminal:
        for look in looks:
            shown.print(_picture(look))
        return
    with Live(console=shown, auto_refresh=False) as live:
        for look in looks:
            live.update(_picture(look), refresh=True)


def _picture(look: _Look) -> Table | Text:
    return _table(look) if look.rows else Text("No active rules.")


def _write(looks: Iterator[_Look]) -> None:
    """Write the rows as lines; what is left out goes to standard error, each time that it changes."""
    told = ""
    for look in looks:
        if look.note() != told:
            told = look.note()
            sys.stderr.write(f"{told or 'all active rules are looked at'}\n")
        for row in look.rows:
            print_json(row)


def _looks(
    client: ApiClient, rule_id: str | None, *, limit: int, every: float, times: int | None
) -> Iterator[_Look]:
    looked = 0
    while True:
        rules, left_out = ([rule_id], 0) if rule_id is not None else _active(client, limit)
        yield _Look([row for each in rules for row in _rows(client, each)], left_out)
        looked += 1
        if looked == times:
            return
        time.sleep(every)


def _active(client: ApiClient, limit: int) -> tuple[list[str], int]:
    """Return the newest active rules, and how many there are beyond them."""
    page = client.get(RULES, {"status": "ACTIVE", "limit": limit})
    found = [text(rule, "id") for rule in objects(page, "items")]
    return found, max(0, int(text(page, "total") or 0) - len(found))


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


def _table(look: _Look) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, caption=look.note() or None)
    for heading in _HEADINGS:
        table.add_column(heading, overflow="fold")
    for row in look.rows:
        names = ("rule_id", "condition", "price", "level", "points", "percent", "ticks")
        style = "bold red" if row.get("fires") else "yellow" if row.get("guard") else ""
        what = text(row, "guard") or ("fires" if row.get("fires") else text(row, "phase"))
        what = what or text(row, "text")
        table.add_row(*(text(row, name) for name in names), Text(what, style=style))
    return table
