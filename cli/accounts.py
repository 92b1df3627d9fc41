"""`holdfast account`: the units of isolation."""

from typing import Annotated

import typer

from cli.client import JsonObject, api, text
from cli.keys import account_of
from cli.output import AccountOption, Json, KeyOption, field, print_facts, print_json, print_table
from cli.rule_body import given

app = typer.Typer(help="Accounts: each owns keys, credentials, rules and positions.", no_args_is_help=True)

ACCOUNTS = "/api/v2/accounts"
_COLUMNS = (
    ("account", field("id")),
    ("name", field("name")),
    ("mode", field("mode")),
    ("enabled", field("enabled")),
    ("kill switch", field("kill_switch")),
    ("created", field("created_at")),
)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="what people call it")],
    key: KeyOption = None,
    json_output: Json = False,
) -> None:
    """Make an account; it starts in paper mode."""
    with api() as client:
        account = client.post(ACCOUNTS, {"name": name}, key)
    _show(account, json_output)


@app.command("list")
def list_accounts(json_output: Json = False) -> None:
    """List accounts."""
    with api() as client:
        accounts = list(client.pages(ACCOUNTS))
    if json_output:
        print_json(accounts)
    else:
        print_table("Accounts", _COLUMNS, accounts, "No accounts. Make one with `holdfast account create`.")


@app.command()
def mode(
    wanted: Annotated[str, typer.Argument(metavar="paper|live", help="where orders go from now on")],
    acknowledge_live: Annotated[
        bool, typer.Option("--acknowledge-live", help="yes, orders go to the real venue")
    ] = False,
    account: AccountOption = None,
    json_output: Json = False,
) -> None:
    """Choose where new rules and orders go; what exists keeps its mode."""
    body = given({"mode": wanted, "acknowledge_live": acknowledge_live})
    with api(account) as client:
        changed = client.patch(f"{ACCOUNTS}/{account_of(client)}", body)
    _show(changed, json_output)


@app.command()
def kill(
    level: Annotated[str, typer.Argument(metavar="off|entries|all", help="what is stopped")] = "all",
    account: AccountOption = None,
    json_output: Json = False,
) -> None:
    """Throw the kill switch: `entries` stops opening, `all` stops every send; cancels always pass."""
    with api(account) as client:
        changed = client.put(f"{ACCOUNTS}/{account_of(client)}/kill-switch", {"level": level})
    _show(changed, json_output)


def _show(account: JsonObject, json_output: bool) -> None:
    if json_output:
        print_json(account)
        return
    facts = {
        name.replace("_", " "): text(account, name) for name in ("name", "mode", "enabled", "kill_switch")
    }
    print_facts(f"Account {text(account, 'id')}", facts)
