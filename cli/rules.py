"""`holdfast rule`: create, list, show, patch, cancel and adopt rules."""

from typing import Annotated

import typer
from pydantic import JsonValue

from cli.client import CallFailed, JsonObject, api, objects, text
from cli.explain import explain, preview, replay_recorded
from cli.output import (
    AccountOption,
    Json,
    KeyOption,
    LimitOption,
    RuleArgument,
    console,
    field,
    print_facts,
    print_json,
    print_table,
    shortened,
)
from cli.rule_body import RULES, given
from cli.rule_options import LevelOptions, RuleOptions, takes
from cli.watch import watch

app = typer.Typer(help="Rules that protect positions.", no_args_is_help=True)
app.command()(explain)
app.command()(preview)
app.command("replay")(replay_recorded)
app.command()(watch)

_COLUMNS = (
    ("rule", field("id")),
    ("status", field("status")),
    ("phase", field("phase")),
    ("mode", field("mode")),
    ("token", shortened("token_id")),
    ("what it does", field("sentence")),
)


@app.command()
@takes(RuleOptions)
def create(
    options: RuleOptions, key: KeyOption = None, account: AccountOption = None, json_output: Json = False
) -> None:
    """Arm a rule: the first of its conditions that is met sells.

    Example: holdfast rule create --token 713… --stop 0.40 --target 0.75
    """
    with api(account) as client:
        rule = client.post(RULES, options.body(), key)
    _show(rule, json_output)


@app.command("list")
def list_rules(
    status: Annotated[str | None, typer.Option(help="ACTIVE, TRIGGERED, CANCELED, EXPIRED or FAILED")] = None,
    token: Annotated[str | None, typer.Option("--token", help="only this token's")] = None,
    limit: LimitOption = 50,
    account: AccountOption = None,
    json_output: Json = False,
) -> None:
    """List rules, newest first."""
    with api(account) as client:
        rules = list(client.pages(RULES, {"status": status, "token_id": token}, limit))
    if json_output:
        print_json(rules)
    else:
        print_table("Rules", _COLUMNS, rules, "No rules. Arm one with `holdfast rule create`.")


@app.command()
def show(rule_id: RuleArgument, account: AccountOption = None, json_output: Json = False) -> None:
    """Show one rule and what happened to it."""
    with api(account) as client:
        rule = client.get(f"{RULES}/{rule_id}")
        events = list(client.pages(f"{RULES}/events", {"rule_id": rule_id}, 50))
    if json_output:
        print_json({**rule, "events": [*events]})
        return
    _show(rule, False)
    print_table("Events", EVENT_COLUMNS, events, "Nothing happened to it yet.")


@app.command()
@takes(LevelOptions)
def patch(
    options: LevelOptions,
    rule_id: RuleArgument,
    version: Annotated[int | None, typer.Option(help="refuse when the rule changed since")] = None,
    account: AccountOption = None,
    json_output: Json = False,
) -> None:
    """Change a rule's levels: conditions of the same kind are replaced, the others stay."""
    changed, trail_floor = options.conditions(), options.trail_floor
    with api(account) as client:
        rule = client.get(f"{RULES}/{rule_id}")
        body = given(
            {
                "conditions": _merged(rule, changed, trail_floor) if changed or trail_floor else None,
                "action": options.action(),
                "floor": options.floor,
                "expires_at": options.expires_at,
                "allow_immediate": options.allow_immediate,
            }
        )
        body["version"] = version if version is not None else rule.get("version")
        rule = client.patch(f"{RULES}/{rule_id}", body)
    _show(rule, json_output)


@app.command()
def cancel(rule_id: RuleArgument, account: AccountOption = None, json_output: Json = False) -> None:
    """Cancel a rule; says so when it had fired already."""
    with api(account) as client:
        rule = client.delete(f"{RULES}/{rule_id}")
    _show(rule, json_output)


@app.command()
def adopt(
    rule_id: RuleArgument, key: KeyOption = None, account: AccountOption = None, json_output: Json = False
) -> None:
    """Adopt an orphaned rule: one whose workflow was ended from outside. It goes on where it stood."""
    with api(account) as client:
        rule = client.post(f"{RULES}/{rule_id}/adopt", {}, key)
    _show(rule, json_output)


def _merged(rule: JsonObject, changed: list[JsonValue], trail_floor: str | None) -> list[JsonValue]:
    """Return the rule's conditions with those of the changed kinds replaced."""
    kinds = {text(condition, "type") for condition in changed if isinstance(condition, dict)}
    present = objects(rule, "conditions")
    if trail_floor is not None and "trailing_stop" not in kinds | {text(each, "type") for each in present}:
        step = "give the trail too: --trail"
        raise CallFailed("Nothing to change", "the rule has no trail", step, code="no_change")
    kept: list[JsonValue] = []
    for condition in present:
        if text(condition, "type") in kinds:
            continue
        if trail_floor is not None and text(condition, "type") == "trailing_stop":
            condition["floor_price"] = trail_floor
        kept.append({name: value for name, value in condition.items() if value is not None})
    if not (changed or kept):
        step = "name a level: --stop, --target, --trail"
        raise CallFailed("Nothing to change", "no condition is left", step, code="no_change")
    return [*changed, *kept]


def _show(rule: JsonObject, json_output: bool) -> None:
    if json_output:
        print_json(rule)
        return
    if text(rule, "state") == "pending":
        console().print(f"Rule {text(rule, 'id')} is durable and waits for a worker.")
        return
    facts = {
        "does": text(rule, "sentence"),
        "status": text(rule, "status"),
        "phase": text(rule, "phase"),
        "mode": text(rule, "mode"),
        "token": text(rule, "token_id"),
        "outcome": text(rule, "outcome"),
        "why": text(rule, "outcome_detail") or text(rule, "detail"),
        "sold": text(rule, "sold_shares"),
        "left": text(rule, "residual_shares"),
        "order": text(rule, "order_id"),
        "version": text(rule, "version"),
    }
    print_facts(f"Rule {text(rule, 'id')}", facts)


EVENT_COLUMNS = (
    ("at", field("at")),
    ("severity", field("severity")),
    ("type", field("type")),
    ("what", field("message")),
)
