"""`holdfast key`: API keys of an account."""

from typing import Annotated

import typer

from cli.client import ApiClient, CallFailed, JsonObject, api, text
from cli.output import AccountOption, Json, KeyOption, console, field, print_json, print_table

app = typer.Typer(help="API keys; each is shown once.", no_args_is_help=True)


def _scopes(row: JsonObject) -> str:
    scopes = row.get("scopes")
    return " ".join(str(scope) for scope in scopes) if isinstance(scopes, list) else ""


_COLUMNS = (
    ("key", field("id")),
    ("name", field("name")),
    ("starts with", field("prefix")),
    ("scopes", _scopes),
    ("created", field("created_at")),
    ("revoked", field("revoked_at")),
)


@app.command()
def create(
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="read, trade, approve or admin; may be repeated")
    ] = None,
    name: Annotated[str, typer.Option(help="what it is for")] = "",
    key: KeyOption = None,
    account: AccountOption = None,
    json_output: Json = False,
) -> None:
    """Make a key and print it, this once."""
    with api(account) as client:
        made = client.post(_path(client), {"name": name, "scopes": [*(scope or ["read", "trade"])]}, key)
    if json_output:
        print_json(made)
        return
    secret = text(made, "key")
    if not secret:
        console().print(f"Key {text(made, 'id')} was made by this idempotency key before: not shown again.")
        return
    console().print(f"Key {text(made, 'id')}, shown this once:")
    console().print(secret, soft_wrap=True)


@app.command("list")
def list_keys(account: AccountOption = None, json_output: Json = False) -> None:
    """List keys, without their secrets."""
    with api(account) as client:
        keys = list(client.pages(_path(client)))
    if json_output:
        print_json(keys)
    else:
        print_table("API keys", _COLUMNS, keys, "No keys.")


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="id of the key, as `key list` shows it")],
    account: AccountOption = None,
    json_output: Json = False,
) -> None:
    """Revoke a key; it is refused from the next request on."""
    with api(account) as client:
        revoked = client.delete(f"{_path(client)}/{key_id}")
    if json_output:
        print_json(revoked)
    else:
        console().print(f"Key {key_id} is revoked.")


def _path(client: ApiClient) -> str:
    return f"/api/v2/accounts/{account_of(client)}/keys"


def account_of(client: ApiClient) -> str:
    """Return the account that is meant: the named one, else the only one that the key may see.

    Raises:
        CallFailed: There is none, or more than one.
    """
    if client.account:
        return client.account
    accounts = list(client.pages("/api/v2/accounts", limit=2))
    if len(accounts) == 1:
        return text(accounts[0], "id")
    detail = "there is none yet" if not accounts else "this key may act for several"
    step = "holdfast account create NAME" if not accounts else "give --account, or set HOLDFAST_ACCOUNT"
    raise CallFailed("Which account?", detail, step, code="account_required")
