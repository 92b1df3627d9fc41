"""`holdfast rule explain|preview|replay`: why a rule fires or does not, and what it would send."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from pydantic import JsonValue
from rich.text import Text

from cli.client import JsonObject, api, member, objects, text
from cli.output import (
    AccountOption,
    Json,
    RuleArgument,
    console,
    field,
    print_facts,
    print_json,
    print_table,
)
from cli.rule_body import RULES, given
from cli.rule_options import RuleOptions, takes

SinceOption = Annotated[
    str | None, typer.Option("--since", help="2026-12-31T23:00:00Z; from arming when left out")
]
UntilOption = Annotated[str | None, typer.Option("--until", help="2026-12-31T23:00:00Z; now when left out")]


def explain(rule_id: RuleArgument, account: AccountOption = None, json_output: Json = False) -> None:
    """Explain a rule: how far its levels are, what holds it back, what it would send now."""
    with api(account) as client:
        found = client.get(f"{RULES}/{rule_id}/explain")
    if json_output:
        print_json(found)
        return
    history = member(found, "history")
    facts = {
        "does": text(found, "sentence"),
        "status": text(found, "status"),
        "phase": text(found, "phase"),
        "fired": _fired(found),
        **_price_facts(found),
        "highest": _extreme(history, "highest"),
        "lowest": _extreme(history, "lowest"),
        "looked at": f"{text(history, 'rows')} quotes since {text(history, 'since')}{_missing(history)}",
    }
    print_facts(f"Rule {text(found, 'id')}", facts)
    _print_conditions(found)
    misses = objects(history, "near_misses")
    if misses:
        print_table("Near misses", (("at", field("at")), ("what", field("text"))), misses, "")


@takes(RuleOptions)
def preview(options: RuleOptions, account: AccountOption = None, json_output: Json = False) -> None:
    """Show what a rule would do before it is armed, with warnings; takes what `rule create` takes."""
    with api(account) as client:
        found = client.post(f"{RULES}/preview", options.body())
    if json_output:
        print_json(found)
    else:
        _show_preview(found)


def replay_recorded(
    rule_id: RuleArgument,
    since: SinceOption = None,
    until: UntilOption = None,
    account: AccountOption = None,
    json_output: Json = False,
) -> None:
    """Run a rule over the recorded tape of its token: what would have fired, and when."""
    with api(account) as client:
        found = client.post(f"{RULES}/{rule_id}/replay", given({"since": since, "until": until}))
    if json_output:
        print_json(found)
        return
    fired = member(found, "fired")
    ending = "expired unfired" if found.get("expired") else "did not fire"
    if fired:
        ending = f"{text(fired, 'condition')} at {text(fired, 'level') or 'its moment'}, {text(fired, 'at')}"
    facts = {
        "does": text(found, "sentence"),
        "fired": ending,
        "highest": text(found, "high_water"),
        "looked at": f"{text(found, 'rows')} quotes{_span(found)}{_missing(found)}",
    }
    print_facts(f"Rule {rule_id} over its recorded tape", facts)
    steps = objects(found, "steps")[-20:]
    columns = (("at", field("at")), ("highest", field("mark")), ("level", field("level")))
    if steps:
        print_table("Trailing level, latest changes", columns, steps, "")


def _span(found: JsonObject) -> str:
    return f", {text(found, 'since')} to {text(found, 'until')}"


def _show_preview(found: JsonObject) -> None:
    facts = {
        "does": text(found, "sentence"),
        "entry": text(found, "entry_price"),
        "held": text(found, "held_shares"),
        **_price_facts(found),
    }
    print_facts("Preview: nothing was changed", facts)
    _print_conditions(found)
    for warning in objects(found, "warnings"):
        console().print(Text(f"warning: {text(warning, 'text')}", style="yellow"))
    for refusal in objects(found, "refusals"):
        words = f"would be refused: {text(refusal, 'field')}: {text(refusal, 'reason')}"
        console().print(Text(words, style="red"))


def _price_facts(found: JsonObject) -> dict[str, str]:
    price = member(found, "price")
    age = "read now" if price.get("from_book") else f"{text(price, 'age_ms')} ms old, from the tape"
    hindrances = found.get("hindrances")
    said: list[JsonValue] = hindrances if isinstance(hindrances, list) else []
    shown = f"{text(price, 'price')} ({text(found, 'price_source')}, {age})" if text(price, "price") else ""
    return {
        "price": shown or "none that the rule could look at",
        "stands in the way": " ".join(map(str, said)),
    }


def _print_conditions(found: JsonObject) -> None:
    for condition in objects(found, "conditions"):
        console().print(Text(f"{text(condition, 'index')}. {text(condition, 'text')}"))
        console().print(Text(f"   {text(member(condition, 'would_send'), 'text')}", style="dim"))


def _fired(found: JsonObject) -> str:
    fired = member(found, "fired")
    if not fired:
        return ""
    at = datetime.fromtimestamp(int(text(fired, "observed_at_ms")) / 1000, UTC).isoformat(
        timespec="milliseconds"
    )
    reached = f" by {text(fired, 'price')}" if text(fired, "price") else ""
    level = f" at {text(fired, 'level')}" if text(fired, "level") else ""
    return f"{text(fired, 'condition')}{level}{reached}, {at}"


def _extreme(history: JsonObject, name: str) -> str:
    extreme = member(history, name)
    return f"{text(extreme, 'price')} at {text(extreme, 'at')}" if extreme else ""


def _missing(history: JsonObject) -> str:
    return "" if history.get("complete") else ", older ones are missing"
