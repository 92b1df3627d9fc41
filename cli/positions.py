"""`holdfast positions`: what is held, and what it earned."""

from typing import Annotated

import typer

from cli.client import api
from cli.output import AccountOption, Json, field, print_json, print_table, shortened

POSITIONS = "/api/v2/positions"
_COLUMNS = (
    ("token", shortened("token_id")),
    ("mode", field("mode")),
    ("shares", field("shares")),
    ("entry", field("average_entry")),
    ("cost", field("cost_usd")),
    ("realized", field("realized_pnl_usd")),
    ("fees", field("fees_usd")),
    ("unconfirmed", field("unconfirmed_shares")),
    ("opened", field("opened_at")),
)


def positions(
    everything: Annotated[bool, typer.Option("--all", help="closed ones too")] = False,
    account: AccountOption = None,
    json_output: Json = False,
) -> None:
    """Show positions."""
    with api(account) as client:
        found = list(client.pages(POSITIONS, {"include_closed": "true" if everything else None}))
    if json_output:
        print_json(found)
    else:
        print_table("Positions", _COLUMNS, found, "No open positions.")
