"""What the demo plays: a tape, the market it needs, the position to protect and the rule over it."""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain
from pathlib import Path

from pydantic import JsonValue

from cli.errors import CommandFailed
from domain.money import ceil_to_tick, floor_to_tick, is_on_tick, plain
from domain.quotes import PriceSource, Quote
from domain.rules.tape import MalformedRow, TapeRow, read_rows

_GZIP_MAGIC = b"\x1f\x8b"
TICKS = (Decimal("0.01"), Decimal("0.001"), Decimal("0.0001"))
LOT = 100  # a hundred shares cost whole cents at every tick
SMALLEST_COST_USD = Decimal(10)
WIDEST_SHOWN_SPREAD = Decimal("0.10")


@dataclass(frozen=True, slots=True)
class Scene:
    """A tape and what is done with it. Prices in USD per share."""

    name: str
    rows: tuple[TapeRow, ...]
    tick: Decimal
    entry_price: Decimal
    shares: Decimal

    def _guards(self) -> dict[str, JsonValue]:
        """Return what the rule looks at: bids, into which it sells; prints alone where there are no bids."""
        if self.rows[0].quote.bid is not None:
            return {"price_source": PriceSource.BID.value}
        return {"price_source": PriceSource.LAST.value, "mark_max_spread": None}

    def speed_for(self, seconds: int) -> str:
        """Return the speed at which the tape takes about this long, never slower than it was recorded."""
        length_s = int((self.rows[-1].at - self.rows[0].at).total_seconds())
        return str(max(1, length_s // seconds))

    def raw_rows(self) -> list[dict[str, JsonValue]]:
        """Return the rows as the simulator takes them."""
        return [
            {"ts": row.ts, "bid": _text(quote.bid), "ask": _text(quote.ask), "last": _text(quote.last)}
            for row, quote in ((row, row.quote) for row in self.rows)
        ]

    def rule_body(self, token_id: str, market_id: str, entry_price: Decimal) -> dict[str, JsonValue]:
        """Return stop, target and trailing stop around an entry price, as the body of POST /api/v2/rules."""
        room = 1 - entry_price
        stop = floor_to_tick(entry_price * Decimal("0.85"), self.tick)
        target = ceil_to_tick(entry_price + room / 2, self.tick)
        return {
            "token_id": token_id,
            "market_id": market_id,
            "entry_price": plain(entry_price),
            "conditions": [
                {"type": "stop_loss", "price": plain(max(stop, self.tick))},
                {"type": "take_profit", "price": plain(min(target, 1 - self.tick))},
                {
                    "type": "trailing_stop",
                    "percent": "10",
                    "activation_price": plain(min(entry_price + room / 10, 1 - self.tick)),
                },
            ],
            **self._guards(),
            "allow_immediate": True,
        }


def scene_of(path: Path | None) -> Scene:
    """Return the scene of a tape file, or the built-in one.

    Raises:
        CommandFailed: the file is no tape, or not one of a prediction market.
    """
    rows = built_in_rows() if path is None else _read(path)
    name = "built-in tape" if path is None else path.name
    if not rows:
        raise CommandFailed(f"{name} has no rows", "give another file with --tape")
    tick = _tick_of(rows, name)
    entry = entry_price_of(rows[0].quote, tick, name)
    lots = max(1, -(-SMALLEST_COST_USD // (entry * LOT)))
    return Scene(name=name, rows=rows, tick=tick, entry_price=entry, shares=Decimal(LOT) * lots)


def built_in_rows() -> tuple[TapeRow, ...]:
    """Return a short story: a rise, a wick that must not fire, a fall through the trailing level."""
    rise = [Decimal("0.50") + Decimal(n) / 100 for n in range(15)]
    fall = [Decimal("0.64") - Decimal(n) / 100 for n in range(20)]
    began = datetime(2026, 1, 1, tzinfo=UTC)
    rows: list[TapeRow] = []
    for number, bid in enumerate(chain(rise, [Decimal("0.64")] * 3, fall)):
        at = began + timedelta(milliseconds=500 * number)
        quote = Quote(bid, bid + Decimal("0.01"), None)
        rows.append(TapeRow(at.isoformat(timespec="milliseconds").replace("+00:00", "Z"), at, quote))
    return tuple(rows)


def entry_price_of(quote: Quote, tick: Decimal, name: str) -> Decimal:
    """Return what the demo pays at the tape's first row: the ask when it is close, else the last trade."""
    bid, ask, last = quote.bid, quote.ask, quote.last
    if bid is not None and ask is not None and Decimal(0) <= ask - bid <= WIDEST_SHOWN_SPREAD:
        wanted = ask
    else:
        wanted = next((price for price in (last, bid, ask) if price is not None), None)
    if wanted is None:
        raise CommandFailed(f"the first row of {name} has no price", "give another file with --tape")
    return min(max(wanted, tick), 1 - tick)


def _read(path: Path) -> tuple[TapeRow, ...]:
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == _GZIP_MAGIC else raw).decode()
        return tuple(read_rows(text.splitlines()))
    except (OSError, EOFError, UnicodeDecodeError, MalformedRow) as error:
        raise CommandFailed(f"{path}: {error}", "give a file of JSON lines with --tape") from None


def _prices(rows: tuple[TapeRow, ...]) -> Iterator[Decimal]:
    for row in rows:
        yield from (p for p in (row.quote.bid, row.quote.ask, row.quote.last) if p is not None)


def _tick_of(rows: tuple[TapeRow, ...], name: str) -> Decimal:
    """Return the coarsest tick on which every price of the tape lies."""
    prices = set(_prices(rows))
    if any(price > 1 for price in prices):
        raise CommandFailed(f"{name} is no tape of a prediction market: a price is above 1")
    for tick in TICKS:
        if all(is_on_tick(price, tick) for price in prices):
            return tick
    raise CommandFailed(f"{name} has prices finer than the finest tick, {TICKS[-1]}")


def _text(price: Decimal | None) -> str | None:
    return None if price is None else plain(price)
