"""`holdfast status`: whether prices are watched, and how fresh they are."""

from cli.client import api, text
from cli.output import AccountOption, Json, print_facts, print_json


def status(account: AccountOption = None, json_output: Json = False) -> None:
    """Show the state of the Trade Manager."""
    with api(account) as client:
        state = client.get("/api/v2/rules/status")
    if json_output:
        print_json(state)
        return
    age = text(state, "newest_quote_age_ms")
    facts = {
        "running": _yes(state.get("running")),
        "prices from": "sockets" if state.get("websocket") else "polling",
        "breaker": "open: " + text(state, "breakers") if state.get("breaker_open") else "closed",
        "active rules": text(state, "active_rules"),
        "tokens watched": text(state, "tokens_watched"),
        "tokens polled": text(state, "tokens_polled"),
        "newest quote": f"{age} ms ago" if age else "none yet",
    }
    print_facts("Trade Manager", facts)


def _yes(value: object) -> str:
    return "yes" if value is True else "no"
