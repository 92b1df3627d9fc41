"""`holdfast credentials set`: hand a wallet's key to the server, from a prompt or a file descriptor."""

import os
import sys
from typing import Annotated

import typer
from rich.console import Console

from cli.client import CallFailed, JsonObject, api, text
from cli.keys import account_of
from cli.output import AccountOption, Json, print_facts, print_json
from cli.rule_body import given

app = typer.Typer(help="Venue credentials; stored sealed, never shown.", no_args_is_help=True)

_MAX_KEY_BYTES = 4096


@app.callback()
def _group() -> None:
    """Venue credentials; stored sealed, never shown."""


@app.command("set")
def set_credentials(
    venue: Annotated[str, typer.Option(help="venue of the wallet")] = "polymarket",
    signature_type: Annotated[
        int,
        typer.Option(min=0, max=3, help="0 own wallet, 1 proxy (email login), 2 Safe, 3 deposit wallet"),
    ] = 0,
    funder: Annotated[
        str | None, typer.Option(help="address that holds the funds; the wallet's own when left out")
    ] = None,
    fd: Annotated[
        int | None, typer.Option("--fd", min=0, help="read the private key from this file descriptor")
    ] = None,
    account: AccountOption = None,
    json_output: Json = False,
) -> None:
    """Store the wallet's private key; the server derives the API credentials at the venue.

    The key comes from a hidden prompt or --fd N, never from the command line, where others could read it.
    """
    private_key = _read_fd(fd) if fd is not None else _prompt()
    body: JsonObject = given(
        {"private_key": private_key, "venue": venue, "signature_type": signature_type, "funder": funder}
    )
    with api(account) as client:
        stored = client.put(f"/api/v2/accounts/{account_of(client)}/credentials", body)
    if json_output:
        print_json(stored)
        return
    facts = {
        name.replace("_", " "): text(stored, name) for name in ("venue", "signer", "funder", "wallet_id")
    }
    print_facts("Credentials stored", facts)


def _read_fd(fd: int) -> str:
    try:
        with os.fdopen(fd, "rb", closefd=False) as source:
            return source.read(_MAX_KEY_BYTES).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        step = "for example: holdfast credentials set --fd 3 3< key.txt"
        raise CallFailed(
            "The key cannot be read", f"descriptor {fd} gives no text", step, code="file"
        ) from None


def _prompt() -> str:
    if not sys.stdin.isatty():
        detail = "there is no terminal to ask on"
        step = "pass it on a descriptor: holdfast credentials set --fd 3 3< key.txt"
        raise CallFailed("No private key", detail, step, code="no_terminal")
    # On standard error, so that --json leaves standard output to the answer.
    return Console(stderr=True).input("Private key (not shown): ", password=True).strip()
