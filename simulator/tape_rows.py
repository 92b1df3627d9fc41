"""Rows of recorded tapes: reading, exact parsing, and the check that they fit a market."""

import gzip
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from simulator.markets import Market
from simulator.money import MICRO, AmountError, to_micro, to_text


class TapeError(ValueError):
    """The tape cannot be read or does not fit its market."""


class RawRow(BaseModel):
    """One line of a tape: decimals as strings, null where the source has no value."""

    model_config = ConfigDict(extra="ignore")

    ts: str
    bid: str | None = None
    ask: str | None = None
    last: str | None = None
    size: str | None = None


@dataclass(frozen=True, slots=True)
class TapeRow:
    """A row in millionths; ``at_ms`` is Unix time."""

    at_ms: int
    bid: int | None
    ask: int | None
    last: int | None
    size: int | None


def read_lines(path: Path) -> list[dict[str, str | None]]:
    """Returns the rows of a plain or gzipped file of JSON lines.

    Raises:
        TapeError: missing file, or a line that is no row.
    """
    try:
        raw = path.read_bytes()
        text = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        return [RawRow.model_validate(orjson.loads(line)).model_dump() for line in text.splitlines() if line]
    except (OSError, EOFError, orjson.JSONDecodeError, ValidationError) as error:
        raise TapeError(f"cannot read the tape: {type(error).__name__}") from error


def parse_rows(rows: Iterable[dict[str, str | None]]) -> list[TapeRow]:
    """Returns rows in millionths.

    Raises:
        TapeError: a time without zone, or a text that is no decimal.
    """
    try:
        return [_parse_row(RawRow.model_validate(row)) for row in rows]
    except (ValidationError, ValueError) as error:
        raise TapeError(f"the tape holds a malformed row: {error}") from error


def _parse_row(row: RawRow) -> TapeRow:
    at = datetime.fromisoformat(row.ts)
    if at.tzinfo is None:
        raise TapeError(f"time without zone: {row.ts}")
    values = [None if text is None else to_micro(text) for text in (row.bid, row.ask, row.last)]
    return TapeRow(round(at.timestamp() * 1000), values[0], values[1], values[2], _size(row.size))


def _size(text: str | None) -> int | None:
    """Sizes may be finer than six decimals at their source; prices never."""
    if text is None:
        return None
    try:
        return max(1, int(Decimal(text) * MICRO))
    except InvalidOperation as error:
        raise AmountError(f"{text!r} is not a decimal number") from error


def check_fits(rows: Iterable[TapeRow], market: Market) -> None:
    """Refuses a tape whose prices do not lie on the market's grid.

    Raises:
        TapeError: names the first such row and price.
    """
    for number, row in enumerate(rows):
        for name, price in (("bid", row.bid), ("ask", row.ask)):
            if price is not None and not market.fits_tick(price):
                raise TapeError(_misfit(number, name, price, market))
        if row.last is not None and not (0 <= row.last <= MICRO and row.last % market.tick == 0):
            raise TapeError(_misfit(number, "last", row.last, market))


def _misfit(number: int, name: str, price: int, market: Market) -> str:
    return f"row {number}: {name} {to_text(price)} does not fit the tick {market.tick_size} of the market"
