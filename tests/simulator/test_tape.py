import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from simulator.app import Running
from simulator.client import SimulatorAdmin, SimulatorRefusedError
from simulator.tape import FINISHED_KEPT, pause_s
from simulator.tape_rows import parse_rows
from tests.simulator.socket_client import ClientBook, market_feed
from tests.simulator.trader import Trader

TAPES = {
    "polymarket-nhl-2026-06-07-token92414594.jsonl": "0.01",
    "polymarket-nhl-2026-06-07-token94018512.jsonl": "0.001",
    "polymarket-519068-daily.jsonl": "0.001",
    "polymarket-511753-daily.jsonl": "0.0001",
    "kalshi-kxhighny-25dec12-b34.5.jsonl.gz": "0.01",
    "kalshi-kxhighny-25dec08-b39.5.jsonl.gz": "0.01",
    "kalshi-kxhighny-26jan01-b34.5.jsonl.gz": "0.01",
    "kalshi-kxatpmatch-25nov08djomus-djo.jsonl.gz": "0.01",
    "kalshi-kxaleaguegame-25nov08wphauc-auc.jsonl": "0.01",
    "kalshi-kxbtcd-25nov0911-t103749.99.jsonl": "0.01",
}
HEAD = 700
"""Rows played of each tape: the long ones repeat themselves."""


def read_tape(path: Path) -> list[dict[str, Any]]:
    raw = path.read_bytes()
    text = gzip.decompress(raw) if path.suffix == ".gz" else raw
    return [json.loads(line) for line in text.splitlines()]


def top_of(row: dict[str, Any]) -> tuple[Decimal | None, ...]:
    return tuple(None if row[name] is None else Decimal(row[name]) for name in ("bid", "ask", "last"))


def row(second: int, bid: str | None, ask: str | None, last: str | None = None) -> dict[str, str | None]:
    size = None if last is None else "5"
    return {
        "ts": f"2026-01-01T00:00:{second:02d}.000Z",
        "bid": bid,
        "ask": ask,
        "last": last,
        "size": size,
    }


@pytest.mark.parametrize("name", TAPES)
@pytest.mark.parametrize("outcome", [0, 1])
async def test_book_built_from_frames_equals_every_row(
    running: Running, admin: SimulatorAdmin, fixtures: Path, name: str, outcome: int
) -> None:
    path = fixtures / "tapes" / name
    rows = read_tape(path)[-HEAD:] if outcome else read_tape(path)[:HEAD]
    market = await admin.create_market(name, tick_size=TAPES[name])
    token, mirror = market.token_ids[outcome], market.token_ids[1 - outcome]
    start = max(0, len(read_tape(path)) - HEAD) if outcome else 0
    tape = await admin.load_tape(token, path=str(path), start_row=start)
    async with market_feed(running.ws_url, [token]) as feed:
        await feed.frame()
        state = await admin.step_tape(tape, len(rows))
        assert state.done is (len(rows) + start == state.rows)
        book, other = ClientBook(token), ClientBook(mirror)
        for expected, sent in zip(rows, state.frames, strict=True):
            events = await feed.frame()
            for event in events:
                book.apply(event)
                other.apply(event)
            assert book.top == top_of(expected), sent
            assert {int(event["timestamp"]) for event in events} == {sent.timestamp_ms}
            assert other.top[:2] == (_mirror(book.top[1]), _mirror(book.top[0]))
        assert await feed.quiet(), "one frame for each row"
    stamps = [frame.timestamp_ms for frame in state.frames]
    assert stamps == sorted(set(stamps))
    assert [frame.row for frame in state.frames] == list(range(start, start + len(rows)))


def _mirror(price: Decimal | None) -> Decimal | None:
    return None if price is None else 1 - price


async def test_house_stands_behind_the_best_and_is_refilled_by_the_next_row(
    trader: Trader, admin: SimulatorAdmin, token: str
) -> None:
    rows = [row(0, "0.50", "0.52"), row(1, "0.50", "0.53")]
    tape = await admin.load_tape(token, rows=rows, depth="20", levels=2, level_step="0.02")
    await admin.step_tape(tape)
    book = (await trader.call("GET", f"/book?token_id={token}")).body
    assert [level["price"] for level in book["bids"]] == ["0.46", "0.48", "0.5"]
    assert (await trader.sell(token, "0.48", "25", "FAK")).body["takingAmount"] == "12.4"
    await admin.step_tape(tape)
    book = (await trader.call("GET", f"/book?token_id={token}")).body
    assert book["bids"][-1] == {"price": "0.5", "size": "20"}
    assert book["asks"][-1] == {"price": "0.53", "size": "20"}


async def test_own_print_is_taken_back_by_the_next_row(
    running: Running, trader: Trader, admin: SimulatorAdmin, token: str
) -> None:
    rows = [row(0, "0.50", "0.52", "0.51"), row(1, "0.50", "0.53", "0.51"), row(2, "0.5", "0.53", None)]
    tape = await admin.load_tape(token, rows=rows)
    async with market_feed(running.ws_url, [token]) as feed:
        book = ClientBook(token)
        await admin.step_tape(tape)
        await trader.sell(token, "0.50", "10", "FAK")
        for event in await feed.until_pong():
            book.apply(event)
        assert book.top == (Decimal("0.5"), Decimal("0.52"), Decimal("0.5"))
        for expected in rows[1:]:
            await admin.step_tape(tape)
            for event in await feed.until_pong():
                book.apply(event)
            assert book.top == top_of(expected)


async def test_row_that_crosses_a_resting_order_fills_it_within_its_one_frame(
    running: Running, trader: Trader, admin: SimulatorAdmin, token: str
) -> None:
    await trader.sell(token, "0.60", "10")
    tape = await admin.load_tape(token, rows=[row(0, "0.65", "0.66", "0.65")])
    async with market_feed(running.ws_url, [token]) as feed:
        dump = await feed.frame()
        await admin.step_tape(tape)
        events = await feed.frame()
        assert await feed.quiet()
    book = ClientBook(token)
    for event in dump + events:
        book.apply(event)
    assert book.top == (Decimal("0.65"), Decimal("0.66"), Decimal("0.65"))
    assert [event["price"] for event in events if event["event_type"] == "last_trade_price"] == [
        "0.6",
        "0.65",
    ]
    assert (await admin.orders(trader.address))[0].status == "MATCHED"


async def test_crossed_row_is_sent_as_it_is(running: Running, admin: SimulatorAdmin, token: str) -> None:
    tape = await admin.load_tape(token, rows=[row(0, "0.55", "0.50"), row(1, "0.49", "0.50")])
    async with market_feed(running.ws_url, [token]) as feed:
        book = ClientBook(token)
        await feed.frame()
        for expected in ("0.55", "0.49"):
            await admin.step_tape(tape)
            for event in await feed.frame():
                book.apply(event)
            assert book.top[:2] == (Decimal(expected), Decimal("0.5"))
    assert await admin.trades() == [], "the house does not trade with itself"


async def test_tape_at_full_speed_ends_by_itself_and_maps_frames_to_rows(
    running: Running, admin: SimulatorAdmin, token: str
) -> None:
    rows = [row(second, "0.50", f"0.{52 + second % 3}") for second in range(40)]
    async with market_feed(running.ws_url, [token]) as feed:
        await feed.frame()
        tape = await admin.load_tape(token, rows=rows, speed="max")
        stamps = [int((await feed.frame())[0]["timestamp"]) for _ in rows]
        state = await admin.tape(tape, after_row=29)
    assert [frame.timestamp_ms for frame in state.frames] == stamps[30:]
    assert (state.row, state.rows, state.done) == (39, 40, True)
    assert all(frame.sent_monotonic_ns for frame in state.frames)


async def test_tape_that_is_long_finished_is_still_told_frame_by_frame(
    admin: SimulatorAdmin, token: str
) -> None:
    first = await admin.load_tape(token, rows=[row(second, "0.50", "0.52") for second in range(3)])
    await admin.step_tape(first, 3)
    told = await admin.tape(first)
    for _ in range(FINISHED_KEPT + 1):
        newer = await admin.load_tape(token, rows=[row(0, "0.50", "0.52")])
        await admin.step_tape(newer)
    assert await admin.tape(first) == told


@pytest.mark.parametrize(
    ("speed", "seconds"),
    [("1", 59.0), ("0.5", 118.0), ("10", 1.0), ("100", 0.59)],
)
def test_pause_follows_the_speed_and_is_capped_when_fast(speed: str, seconds: float) -> None:
    rows = parse_rows([row(0, "0.50", "0.51"), row(59, "0.50", "0.51")])
    assert pause_s(rows[0], rows[1], Decimal(speed)) == pytest.approx(seconds)


async def test_stopped_tape_plays_no_further(admin: SimulatorAdmin, token: str) -> None:
    tape = await admin.load_tape(token, rows=[row(0, "0.50", "0.51"), row(59, "0.51", "0.52")], speed="1")
    while (await admin.tape(tape)).row < 0:
        pass
    await admin.stop_tape(tape)
    state = await admin.tape(tape)
    assert (state.row, state.done) == (0, False)


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([row(0, "0.505", "0.52")], "row 0: bid 0.505 does not fit the tick 0.01 of the market"),
        ([row(0, "0.50", "1")], "row 0: ask 1 does not fit the tick 0.01 of the market"),
        ([row(0, "0.50", "0.52", "0.5155")], "row 0: last 0.5155 does not fit the tick 0.01"),
        ([{**row(0, "0.50", "0.52"), "ts": "2026-01-01T00:00:00"}], "time without zone"),
        ([{**row(0, "0.50", "0.52"), "bid": "abc"}], "malformed row"),
    ],
)
async def test_tape_that_does_not_fit_is_refused(
    admin: SimulatorAdmin, token: str, rows: list[dict[str, str | None]], text: str
) -> None:
    with pytest.raises(SimulatorRefusedError) as refused:
        await admin.load_tape(token, rows=rows)
    assert refused.value.status_code == 422
    assert text in refused.value.text


async def test_missing_tape_file_is_refused(admin: SimulatorAdmin, token: str, tmp_path: Path) -> None:
    with pytest.raises(SimulatorRefusedError, match="cannot read the tape"):
        await admin.load_tape(token, path=str(tmp_path / "nothing.jsonl"))
