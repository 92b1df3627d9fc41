"""One row of a recorded tape: a moment and the quote that stood from then on."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import cast

from domain.money import parse_decimal
from domain.quotes import Quote

_MOST_BRACKETS = 100


class MalformedRow(ValueError):
    """A line of a tape that cannot be read, with its number from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


@dataclass(frozen=True, slots=True)
class TapeRow:
    """A quote and when it came; `ts` is the tape's own text of the moment."""

    ts: str
    at: datetime
    quote: Quote


def read_rows(lines: Iterable[str]) -> Iterator[TapeRow]:
    """Yield the rows of a tape: one JSON object a line with `ts`, `bid`, `ask`, `last`.

    Prices are decimals as text, or null. Blank lines are no rows; other fields are left alone.

    Raises:
        MalformedRow: a line is not such an object.
    """
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield _row(line)
            except ValueError as error:
                raise MalformedRow(number, str(error)) from None


def _row(line: str) -> TapeRow:
    # The interpreter's own guard against deep nesting depends on a limit that others may raise.
    if line.count("[") + line.count("{") > _MOST_BRACKETS:
        raise ValueError("not a row: nested too deeply")
    try:
        # Numbers stay text until they become Decimal, so none of them is ever a float.
        parsed: object = json.loads(line, parse_float=str, parse_int=str, parse_constant=str)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg} at column {error.colno})") from None
    if not isinstance(parsed, dict):
        raise ValueError("not a JSON object")
    fields = cast("Mapping[str, object]", parsed)  # JSON objects have text keys
    ts = fields.get("ts")
    if not isinstance(ts, str):
        raise ValueError("ts: missing")
    return TapeRow(ts, _moment(ts), Quote(*(_price(fields, name) for name in ("bid", "ask", "last"))))


def _moment(ts: str) -> datetime:
    try:
        moment = datetime.fromisoformat(ts)
    except ValueError:
        raise ValueError(f"ts: {ts!r} is not an ISO 8601 time") from None
    if moment.tzinfo is None:
        raise ValueError(f"ts: {ts!r} has no zone")
    return moment


def _price(fields: Mapping[str, object], name: str) -> Decimal | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"{name}: must be a decimal as text, or null")
    try:
        return parse_decimal(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
