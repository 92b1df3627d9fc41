"""From options such as `--stop 10%` to the body of the API's rules."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import typer
from pydantic import JsonValue, TypeAdapter, ValidationError

from cli.client import CallFailed, JsonObject

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+)([smhd]?)\Z")
_BODY = TypeAdapter(JsonObject)

RULES = "/api/v2/rules"


def level(value: str) -> JsonObject:
    """Return `{"price"|"percent"|"points": number}` for 0.40, 10% or 0.05pt."""
    bare = value.strip()
    if bare.endswith("%"):
        return {"percent": bare[:-1].strip()}
    if bare.endswith("pt"):
        return {"points": bare[:-2].strip()}
    return {"price": bare}


def seconds(value: str) -> int:
    """Return a duration such as 30m or 4h in seconds.

    Raises:
        typer.BadParameter: It is no duration.
    """
    match = _DURATION.match(value.strip())
    if match is None:
        raise typer.BadParameter("write a duration as 90s, 30m, 4h or 2d")
    return int(match[1]) * _SECONDS[match[2]]


def trail(distance: str, start: str | None, floor: str | None) -> JsonObject:
    """Return a trailing condition.

    Raises:
        typer.BadParameter: The distance is neither percent nor points.
    """
    away = level(distance)
    if "price" in away:
        raise typer.BadParameter("write the trail's distance as 5% or 0.03pt")
    condition: JsonObject = {"type": "trailing_stop", **away}
    if start is not None:
        condition |= {f"activation_{name}": value for name, value in level(start).items()}
    if floor is not None:
        condition["floor_price"] = floor
    return condition


def conditions(
    *,
    stop: list[str] | None,
    target: list[str] | None,
    trailing: JsonObject | None,
    max_hold: str | None,
    before_end: str | None,
    at: str | None,
) -> list[JsonValue]:
    """Return the conditions that the options name, in the order in which they win."""
    found: list[JsonValue] = [{"type": "stop_loss", **level(value)} for value in stop or []]
    found += [{"type": "take_profit", **level(value)} for value in target or []]
    if trailing is not None:
        found.append(trailing)
    if max_hold is not None:
        found.append({"type": "max_hold", "seconds": seconds(max_hold)})
    if before_end is not None:
        found.append({"type": "before_market_end", "seconds": seconds(before_end)})
    if at is not None:
        found.append({"type": "at", "time": at})
    return found


def action(amount: str | None) -> JsonObject:
    """Return the action: all shares, or a number of them."""
    return {"type": "SELL_ALL"} if amount is None else {"type": "SELL_PARTIAL", "amount": amount}


def given(options: Mapping[str, JsonValue]) -> JsonObject:
    """Return the options that were given: neither None nor False nor an empty list."""
    return {
        name: value
        for name, value in options.items()
        if value is not None and value is not False and value != []
    }


def body_of_file(path: Path) -> JsonObject:
    """Return the JSON object of a rule file.

    Raises:
        CallFailed: The file cannot be read, or holds no JSON object.
    """
    step = "the file holds the body of POST /api/v2/rules as one JSON object"
    try:
        return _BODY.validate_python(json.loads(path.read_bytes()))
    except OSError as error:
        raise CallFailed(
            "The rule file cannot be read", f"{path}: {error.strerror}", step, code="file"
        ) from None
    except (ValueError, ValidationError):
        raise CallFailed(
            "The rule file is not usable", f"{path} holds no JSON object", step, code="file"
        ) from None
