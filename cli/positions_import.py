"""`holdfast positions import`: a proposed protection for each bare position, armed by one confirmation."""

import sys
from typing import Annotated

import typer
from pydantic import JsonValue

from cli.client import ApiClient, CallFailed, JsonObject, api, text
from cli.output import AccountOption, Json, console, field, print_json, print_table, shortened

PROPOSALS = "/api/v2/positions/proposals"
RULES = "/api/v2/rules"
_PROPOSED = (
    ("token", shortened("token_id")),
    ("outcome", field("outcome")),
    ("origin", field("origin")),
    ("mode", field("mode")),
    ("shares", field("shares")),
    ("entry", field("average_entry")),
    ("price now", field("price")),
    ("level", field("level")),
    ("USD at level", field("proceeds_usd")),
    ("what it does", field("sentence")),
)
_SKIPPED = (("token", shortened("token_id")), ("shares", field("shares")), ("why", field("skipped")))
_ARMED = (
    ("rule", field("id")),
    ("status", field("status")),
    ("token", shortened("token_id")),
    ("what it does", field("sentence")),
)
_FAILED = (("token", shortened("token_id")), ("why", field("reason")))


def import_positions(
    stop_percent: Annotated[
        str | None, typer.Option("--stop-percent", help="distance of the level in percent; 20 if left out")
    ] = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="only this token; may be repeated")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="arm without asking")] = False,
    account: AccountOption = None,
    json_output: Json = False,
) -> None:
    """Propose a protection for each position that has none, and arm all of them after one confirmation.

    With --json nothing is asked: --yes arms, without it the proposals alone are shown.
    """
    with api(account) as client:
        found = _proposals(client, stop_percent, only)
        wanted = [proposal for proposal in found if isinstance(proposal.get("rule"), dict)]
        skipped = [proposal for proposal in found if proposal not in wanted]
        if not json_output:
            print_table("Proposed protections", _PROPOSED, wanted, "Nothing to protect.")
            if skipped:
                print_table("Left as they are", _SKIPPED, skipped, "")
        armed, failed = _arm(client, wanted) if wanted and _agreed(yes, json_output, wanted) else ([], [])
    if json_output:
        print_json({"proposals": [*wanted], "skipped": [*skipped], "armed": [*armed], "failed": [*failed]})
    else:
        _show(armed, failed)
    if failed:
        raise typer.Exit(1)


def _proposals(client: ApiClient, stop_percent: str | None, only: list[str] | None) -> list[JsonObject]:
    answer = client.get(PROPOSALS, {"stop_percent": stop_percent})
    items = answer.get("items")
    found = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    unknown = [token for token in only or [] if token not in {text(item, "token_id") for item in found}]
    if unknown:
        step = "holdfast positions; a token that a rule protects is not proposed"
        raise CallFailed("Nothing to import", f"no bare position in {unknown[0]}", step, code="not_found")
    return [item for item in found if not only or text(item, "token_id") in only]


def _agreed(yes: bool, json_output: bool, wanted: list[JsonObject]) -> bool:
    if yes or json_output:
        return yes
    if not sys.stdin.isatty():
        console().print("Nothing was armed: there is nobody to ask. --yes arms without asking.")
        return False
    rules = "this rule" if len(wanted) == 1 else f"these {len(wanted)} rules"
    return typer.confirm(f"Arm {rules}?")


def _arm(client: ApiClient, wanted: list[JsonObject]) -> tuple[list[JsonObject], list[JsonObject]]:
    """Arm each; one that is refused stops none of the others."""
    armed: list[JsonObject] = []
    failed: list[JsonObject] = []
    for proposal in wanted:
        body: JsonValue = proposal["rule"]
        if not isinstance(body, dict):
            continue
        try:
            armed.append(client.post(RULES, body, text(proposal, "idempotency_key")))
        except CallFailed as failure:
            reason = f"{failure} ({failure.next_step})"
            if failure.code == "idempotency_conflict":
                reason = "an import before this one is arming it; look with `holdfast rule list`"
            failed.append({"token_id": text(proposal, "token_id"), "code": failure.code, "reason": reason})
    return armed, failed


def _show(armed: list[JsonObject], failed: list[JsonObject]) -> None:
    if armed:
        print_table("Armed", _ARMED, armed, "")
    if failed:
        print_table("Not armed", _FAILED, failed, "")
