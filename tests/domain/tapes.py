"""Short tapes for tests: rows as (second, bid, ask, last)."""

import json
from datetime import UTC, datetime, timedelta

from domain.rules.definition import RuleDefinition
from domain.rules.replay import replay
from domain.rules.tape import read_rows

START = datetime(2026, 1, 1, tzinfo=UTC)


def moment(second):
    return (START + timedelta(seconds=second)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def row(second, bid, ask, last):
    return {"ts": moment(second), "bid": bid, "ask": ask, "last": last, "size": None}


def answer_of(body, rows):
    lines = [json.dumps(row) for row in rows]
    return replay(RuleDefinition.model_validate(body), read_rows(lines)).answer()


def fired(conditions, rows, **fields):
    """Return (row, condition, level) of what fires on rows of (second, bid, ask, last), None for nothing."""
    answer = answer_of({"conditions": conditions, **fields}, [row(*cells) for cells in rows])
    return (answer["index"], answer["condition"], answer["level"]) if answer["fired"] else None


def locked(*prices):
    """Return rows one second apart at which bid and ask stand at one price."""
    return [(second, price, price, None) for second, price in enumerate(prices)]
