"""`holdfast positions import`: a proposed protection for each bare position, armed by one confirmation."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as field_of
from typing import Annotated

import typer
from pydantic import JsonValue

from cli.client import WITHOUT_ANSWER, ApiClient, CallFailed, JsonObject, api, text
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
_UNSURE = "no answer came: it may be armed"
_UNTRIED = "was not tried any more"
_AGAIN = (
    "see with `holdfast doctor` why, then run the same import again: what is armed by then is left out, and"
    " nothing is armed twice"
)


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
        done = arm(client, wanted) if wanted and _agreed(yes, json_output, wanted) else Import()
    if json_output:
        print_json({"proposals": [*wanted], "skipped": [*skipped], **done.document()})
    else:
        _show(done)
    if not done.is_whole:
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


@dataclass(frozen=True, slots=True)
class Import:
    """What became of proposals.

    Attributes:
        armed: the rules that stand now.
        failed: those that were refused, with the reason.
        unsure: the one whose answer did not come: it may be armed.
        untried: those behind it.
    """

    armed: list[JsonObject] = field_of(default_factory=list[JsonObject])
    failed: list[JsonObject] = field_of(default_factory=list[JsonObject])
    unsure: list[JsonObject] = field_of(default_factory=list[JsonObject])
    untried: list[JsonObject] = field_of(default_factory=list[JsonObject])

    @property
    def is_whole(self) -> bool:
        """Whether every proposal is armed."""
        return not (self.failed or self.unsure or self.untried)

    def document(self) -> JsonObject:
        """Return all of it as JSON."""
        return {
            "armed": [*self.armed],
            "failed": [*self.failed],
            "unsure": [*self.unsure],
            "untried": [*self.untried],
            "next_step": self.next_step,
        }

    @property
    def next_step(self) -> str | None:
        """What to do about a connection that was lost; None when it held."""
        return _AGAIN if self.unsure else None


def arm(client: ApiClient, wanted: Sequence[JsonObject]) -> Import:
    """Arm each proposal; one that is refused stops none of the others, a lost connection all that follow."""
    done = Import()
    for place, proposal in enumerate(wanted):
        body: JsonValue = proposal["rule"]
        if not isinstance(body, dict):
            continue
        try:
            done.armed.append(client.post(RULES, body, text(proposal, "idempotency_key")))
        except CallFailed as failure:
            if failure.code in WITHOUT_ANSWER:
                done.unsure.append(_line(proposal, failure.code, _UNSURE))
                done.untried.extend(_line(left, failure.code, _UNTRIED) for left in wanted[place + 1 :])
                return done
            done.failed.append(_line(proposal, failure.code, _reason(failure)))
    return done


def _line(proposal: JsonObject, code: str, reason: str) -> JsonObject:
    return {"token_id": text(proposal, "token_id"), "code": code, "reason": reason}


def _reason(failure: CallFailed) -> str:
    if failure.code == "idempotency_conflict":
        return "an import before this one is arming it; look with `holdfast rule list`"
    return f"{failure} ({failure.next_step})"


def _show(done: Import) -> None:
    if done.armed:
        print_table("Armed", _ARMED, done.armed, "")
    if not done.is_whole:
        print_table("Not armed", _FAILED, [*done.failed, *done.unsure, *done.untried], "")
    if done.next_step:
        console().print(f"The connection to the API was lost. Next: {done.next_step}")
