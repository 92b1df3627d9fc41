"""`holdfast orders` and `holdfast order create|show|cancel`."""

from typing import Annotated

import typer

from cli.client import JsonObject, api, text
from cli.output import (
    AccountOption,
    Json,
    KeyOption,
    LimitOption,
    OrderArgument,
    console,
    field,
    print_facts,
    print_json,
    print_table,
    shortened,
)
from cli.rule_body import given

app = typer.Typer(help="Orders of your own; an exit's order belongs to its rule.", no_args_is_help=True)

ORDERS = "/api/v2/orders"
_COLUMNS = (
    ("order", field("id")),
    ("state", field("state")),
    ("mode", field("mode")),
    ("side", field("side")),
    ("token", shortened("token_id")),
    ("shares", field("shares")),
    ("limit", field("limit_price")),
    ("filled", field("filled_shares")),
    ("rule", shortened("rule_id")),
)


def orders(
    state: Annotated[str | None, typer.Option(help="only in this state, such as resting")] = None,
    token: Annotated[str | None, typer.Option("--token", help="only this token's")] = None,
    limit: LimitOption = 50,
    account: AccountOption = None,
    json_output: Json = False,
) -> None:
    """List orders, newest first."""
    with api(account) as client:
        found = list(client.pages(ORDERS, {"state": state, "token_id": token}, limit))
    if json_output:
        print_json(found)
    else:
        print_table("Orders", _COLUMNS, found, "No orders.")


@app.command()
def create(
    token: Annotated[str, typer.Option("--token", help="token id")],
    side: Annotated[str, typer.Option("--side", help="buy or sell")],
    price: Annotated[str, typer.Option("--price", help="limit price, on the market's tick")],
    shares: Annotated[str | None, typer.Option("--shares", help="shares to sell or to buy")] = None,
    budget: Annotated[str | None, typer.Option("--budget", help="USD to spend, for buying")] = None,
    time_in_force: Annotated[str, typer.Option("--tif", help="FAK, FOK, GTC or GTD")] = "FAK",
    post_only: Annotated[bool, typer.Option("--post-only", help="never take")] = False,
    expires_at: Annotated[str | None, typer.Option(help="for GTD: 2026-12-31T23:00:00Z")] = None,
    key: KeyOption = None,
    account: AccountOption = None,
    json_output: Json = False,
) -> None:
    """Place an order of your own."""
    body = given(
        {
            "token_id": token,
            "side": side.upper(),
            "price": price,
            "shares": shares,
            "budget_usd": budget,
            "time_in_force": time_in_force.upper(),
            "post_only": post_only,
            "expires_at": expires_at,
        }
    )
    with api(account) as client:
        order = client.post(ORDERS, body, key)
    _show(order, json_output)


@app.command()
def show(order_id: OrderArgument, account: AccountOption = None, json_output: Json = False) -> None:
    """Show one order."""
    with api(account) as client:
        order = client.get(f"{ORDERS}/{order_id}")
    _show(order, json_output)


@app.command()
def cancel(order_id: OrderArgument, account: AccountOption = None, json_output: Json = False) -> None:
    """Cancel an order of your own."""
    with api(account) as client:
        order = client.delete(f"{ORDERS}/{order_id}")
    _show(order, json_output)


def _show(order: JsonObject, json_output: bool) -> None:
    if json_output:
        print_json(order)
        return
    if order.get("side") is None:
        console().print(f"Order {text(order, 'id')} is durable and waits for a worker.")
        return
    facts = {
        name.replace("_", " "): text(order, name)
        for name in (
            "state",
            "mode",
            "side",
            "token_id",
            "shares",
            "limit_price",
            "filled_shares",
            "proceeds_usd",
            "fee_usd",
            "rule_id",
            "detail",
        )
    }
    print_facts(f"Order {text(order, 'id')}", facts)
