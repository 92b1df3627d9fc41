"""`holdfast status`: whether prices are watched, and how fresh they are."""

from cli.client import JsonObject, api, member, objects, text
from cli.output import AccountOption, Column, Json, field, print_facts, print_json, print_table


def status(account: AccountOption = None, json_output: Json = False) -> None:
    """Show the state of the Trade Manager."""
    with api(account) as client:
        state = client.get("/api/v2/rules/status")
    if json_output:
        print_json(state)
        return
    facts = {
        "running": _yes(state.get("running")),
        "prices from": "sockets" if state.get("websocket") else "polling",
        "breakers": _breakers(state),
        "active rules": text(state, "active_rules"),
        "blocked rules": text(state, "blocked_rules"),
        "orphaned rules": _orphaned(state),
        "tokens watched": text(state, "tokens_watched"),
        "tokens polled": text(state, "tokens_polled"),
        "newest quote": _age(text(state, "newest_quote_age_ms")),
        "gaps, last day": _gaps(member(state, "gaps")),
    }
    print_facts("Trade Manager", facts)
    print_table("Feeds", _FEEDS, objects(state, "feeds"), "No feed gave a sign of life lately.")


def _breakers(state: JsonObject) -> str:
    """Return the open breakers, else those that count failures already, else that all is well."""
    told = [
        f"{text(each, 'venue')} {text(each, 'mode')} ({text(each, 'of')}) {_breaker(each)}"
        for each in objects(state, "breaker_states")
        if each.get("open") or each.get("failures")
    ]
    return "; ".join(told) or "closed"


def _breaker(state: JsonObject) -> str:
    if state.get("open"):
        return f"open since {text(state, 'opened_at')}"
    return f"closed, {text(state, 'failures')} failures in a row"


def _orphaned(state: JsonObject) -> str:
    count = text(state, "orphaned_rules")
    return count if count == "0" else f"{count}: holdfast rule list, then holdfast rule adopt RULE"


def _gaps(gaps: JsonObject) -> str:
    """Return how often and how long nobody saw, and the latest time."""
    latest = member(gaps, "latest")
    if not latest:
        return "none"
    when = f"{text(latest, 'started_at')} to {text(latest, 'ended_at')}, {text(latest, 'reason')}"
    return f"{text(gaps, 'count')}, {text(gaps, 'seconds')} s in all; the latest {when}"


def _age(milliseconds: str) -> str:
    return f"{milliseconds} ms ago" if milliseconds else "none yet"


def _source(feed: JsonObject) -> str:
    if feed.get("polling"):
        return "polling"
    return "sockets" if feed.get("websocket") else "sockets, lost"


def _yes(value: object) -> str:
    return "yes" if value is True else "no"


_FEEDS: tuple[Column, ...] = (
    ("venue", field("venue")),
    ("shard", lambda feed: f"{text(feed, 'shard')} of {text(feed, 'shards')}"),
    ("feed", lambda feed: "standby" if feed.get("standby") else "first"),
    ("writes tape", lambda feed: _yes(feed.get("writes_tape"))),
    ("prices from", _source),
    ("tokens", field("tokens")),
    ("rules", field("rules")),
    ("newest quote", lambda feed: _age(text(feed, "newest_quote_age_ms"))),
)
