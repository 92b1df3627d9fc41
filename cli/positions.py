"""`holdfast positions`: what is held, and what it earned; its adjustments; its import."""

from typing import Annotated

import typer

from cli.client import api
from cli.output import (
    AccountOption,
    Json,
    LimitOption,
    field,
    print_json,
    print_table,
    shortened,
)
from cli.positions_import import import_positions

app = typer.Typer(help="What is held, and what protects it.", invoke_without_command=True)
app.command("import")(import_positions)

POSITIONS = "/api/v2/positions"
ADJUSTMENTS = "/api/v2/adjustments"
_COLUMNS = (
    ("token", shortened("token_id")),
    ("mode", field("mode")),
    ("origin", field("origin")),
    ("shares", field("shares")),
    ("entry", field("average_entry")),
    ("cost", field("cost_usd")),
    ("realized", field("realized_pnl_usd")),
    ("fees", field("fees_usd")),
    ("unconfirmed", field("unconfirmed_shares")),
    ("opened", field("opened_at")),
)
_ADJUSTED = (
    ("at", field("at")),
    ("token", shortened("token_id")),
    ("mode", field("mode")),
    ("ledger", field("ledger_shares")),
    ("venue", field("venue_shares")),
    ("side", field("side")),
    ("shares", field("shares")),
    ("price", field("price")),
)


@app.callback()
def positions(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="closed ones too")] = False,
    account: AccountOption = None,
    json_output: Json = False,
) -> None:
    """Show positions."""
    if context.invoked_subcommand is not None:
        return
    with api(account) as client:
        found = list(client.pages(POSITIONS, {"include_closed": "true" if everything else None}))
    if json_output:
        print_json(found)
    else:
        print_table("Positions", _COLUMNS, found, "No open positions.")


@app.command()
def adjustments(
    token: Annotated[str | None, typer.Option("--token", help="only this token's")] = None,
    limit: LimitOption = 50,
    account: AccountOption = None,
    json_output: Json = False,
) -> None:
    """Show how positions were adjusted to the venue's own balances, newest first."""
    with api(account) as client:
        found = list(client.pages(ADJUSTMENTS, {"token_id": token}, limit))
    if json_output:
        print_json(found)
    else:
        print_table("Adjustments", _ADJUSTED, found, "Nothing was adjusted.")
