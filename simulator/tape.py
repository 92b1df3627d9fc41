"""Recorded tapes: the house follows bid, ask and last row by row, one text frame for each row."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from simulator.book import HiddenLevel, Levels
from simulator.events import FrameStamp
from simulator.exchange import Exchange, HouseUpdate
from simulator.journal import Kind
from simulator.markets import Market
from simulator.money import to_micro, to_text
from simulator.publication import Print
from simulator.sockets import Hub
from simulator.tape_rows import TapeError, TapeRow, check_fits, parse_rows, read_lines

FINISHED_KEPT = 100
"""Finished tapes in memory; older ones are read from the journal when somebody asks for them."""
LONGEST_WAIT_S = 1.0
"""Cap on a single pause when a tape runs faster than it was recorded."""


@dataclass(slots=True)
class TapeRecord:
    """What is asked of a tape; the journal keeps it, rows included when they came inline."""

    tape_id: str
    token_id: str
    path: str | None
    rows: list[dict[str, str | None]] | None
    speed: str | None
    """Number as text, ``max``, or None for a tape that is stepped by hand."""
    depth: str
    levels: int
    level_step: str
    fill_at_last: bool
    start_row: int
    stopped: bool = False


@dataclass(slots=True)
class SentFrame:
    """The frame of a row: its timestamp leads from a crossing back to the row."""

    tape_id: str
    row: int
    timestamp_ms: int
    sent_monotonic_ns: int | None = None


@dataclass(slots=True)
class Tape:
    """A loaded tape and how far it has been played."""

    record: TapeRecord
    market: Market
    rows: Sequence[TapeRow]
    next_row: int
    frames: list[SentFrame] = field(default_factory=list[SentFrame])
    stamps: list[FrameStamp] = field(default_factory=list[FrameStamp])
    task: asyncio.Task[None] | None = None

    @property
    def done(self) -> bool:
        """Whether every row was played."""
        return self.next_row >= len(self.rows)

    @property
    def running(self) -> bool:
        """Whether it plays by itself at the moment."""
        return self.task is not None and not self.task.done()

    @property
    def finished(self) -> bool:
        """Whether nothing of it will be played any more."""
        return (self.done or self.record.stopped) and not self.running


class TapePlayer:
    """Plays tapes into the house's quotes."""

    def __init__(self, exchange: Exchange, hub: Hub) -> None:
        self._exchange = exchange
        self._hub = hub
        self._tapes: dict[str, Tape] = {}

    def get(self, tape_id: str) -> Tape | None:
        """Returns a tape."""
        return self._tapes.get(tape_id) or self._revived(tape_id)

    def load(self, record: TapeRecord) -> Tape:
        """Registers a tape and starts it unless it is stepped by hand.

        Raises:
            TapeError: unreadable, or prices off the market's tick grid.
        """
        market = self._exchange.state.market_of_token.get(record.token_id)
        if market is None:
            raise TapeError("unknown token")
        rows = parse_rows(read_lines(Path(record.path)) if record.path else record.rows or [])
        check_fits(rows, market)
        meta = self._exchange.state.meta
        meta.tape_number += 1
        record.tape_id = f"tape-{meta.tape_number}"
        tape = Tape(record, market, rows, record.start_row)
        self._tapes[record.tape_id] = tape
        with self._exchange.transaction():
            self._exchange.state.save_meta()
            self._exchange.state.journal.put(Kind.TAPE, record.tape_id, record)
        self._start(tape)
        self._forget_finished()
        return tape

    def resume(self) -> None:
        """Loads the tapes of an earlier life and plays on from where each stood."""
        journal = self._exchange.state.journal
        frames: dict[str, list[SentFrame]] = {}
        for frame in journal.load(Kind.FRAME, SentFrame):
            frames.setdefault(frame.tape_id, []).append(frame)
        for record in journal.load(Kind.TAPE, TapeRecord):
            tape = self._tape_of(record, frames.get(record.tape_id, []))
            if not tape.finished:
                self._tapes[record.tape_id] = tape
                self._start(tape)

    def _tape_of(self, record: TapeRecord, sent: list[SentFrame]) -> Tape:
        """Returns a tape as the journal has it."""
        rows = parse_rows(read_lines(Path(record.path)) if record.path else record.rows or [])
        next_row = sent[-1].row + 1 if sent else record.start_row
        stamps = [FrameStamp(frame.sent_monotonic_ns) for frame in sent]
        market = self._exchange.state.market_of_token[record.token_id]
        return Tape(record, market, rows, next_row, sent, stamps)

    def _revived(self, tape_id: str) -> Tape | None:
        """Returns a finished tape that is no longer in memory."""
        journal = self._exchange.state.journal
        for record in journal.load_one(Kind.TAPE, tape_id, TapeRecord):
            return self._tape_of(record, list(journal.load_under(Kind.FRAME, f"{tape_id}:", SentFrame)))
        return None

    def _forget_finished(self) -> None:
        """Leaves to the journal what is finished, but for the newest: a long run must not fill the memory."""
        finished = [tape for tape in self._tapes.values() if tape.finished]
        with self._exchange.transaction():
            for tape in finished[:-FINISHED_KEPT]:
                self._collect_stamps(tape)
                self._save_frames(tape, tape.frames)
                del self._tapes[tape.record.tape_id]

    async def step(self, tape: Tape, count: int) -> list[SentFrame]:
        """Plays rows by hand; returns their frames once these were handed to the sockets."""
        first = len(tape.frames)
        for _ in range(count):
            if tape.done:
                break
            self.play_row(tape)
        await self._hub.drained()
        self._collect_stamps(tape)
        return tape.frames[first:]

    def sent_frames(self, tape: Tape, after_row: int) -> list[SentFrame]:
        """Returns the frames of rows above ``after_row``."""
        self._collect_stamps(tape)
        return [frame for frame in tape.frames if frame.row > after_row]

    async def stop(self, tape: Tape) -> None:
        """Ends a tape; the house keeps the quotes of the last row played."""
        tape.record.stopped = True
        with self._exchange.transaction():
            self._exchange.state.journal.put(Kind.TAPE, tape.record.tape_id, tape.record)
        await _cancelled(tape.task)

    async def close(self) -> None:
        """Halts every tape without stopping it: the next life plays on."""
        for tape in self._tapes.values():
            await _cancelled(tape.task)

    def play_row(self, tape: Tape) -> None:
        """Moves the house to the next row and sends its one frame."""
        row, index = tape.rows[tape.next_row], tape.market.index_of(tape.record.token_id)
        exchange, market = self._exchange, tape.market
        with exchange.transaction():
            prints = exchange.set_house(market, index, quotes_of(row, tape.record, market))
            with_book = self._set_last(tape, row, index, prints)
            changes = exchange.publisher.changes(market)
            restated = with_book or not (changes or prints)
            timestamp_ms, stamp = exchange.publisher.frame(market, changes, prints, with_book=restated)
            self._collect_stamps(tape)
            tape.frames.append(SentFrame(tape.record.tape_id, tape.next_row, timestamp_ms))
            tape.stamps.append(stamp)
            self._save_frames(tape, tape.frames[-2:])
            tape.next_row += 1

    def _set_last(self, tape: Tape, row: TapeRow, index: int, prints: list[Print]) -> bool:
        """Adds the row's print; tells whether only a whole book can take the last price back."""
        market = tape.market
        if row.last is None:
            stale = bool(market.last_prices[index]) or bool(prints)
            market.last_prices[index] = ""
            return stale
        told = market.last_prices[index] == to_text(row.last) and not prints
        if row.size is not None or not told:
            side = "BUY" if row.ask is not None and row.last >= row.ask else "SELL"
            prints.append(Print(index, row.last, row.size or market.minimum_size, side))
        return False

    def _start(self, tape: Tape) -> None:
        if tape.record.speed is not None and not tape.record.stopped and not tape.done:
            tape.task = asyncio.get_running_loop().create_task(self._play(tape))

    async def _play(self, tape: Tape) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not tape.done:
            self.play_row(tape)
            if tape.done:
                break
            if tape.record.speed == "max":
                await self._hub.drained()
                await asyncio.sleep(0)
                continue
            played, following = tape.rows[tape.next_row - 1], tape.rows[tape.next_row]
            due += pause_s(played, following, Decimal(tape.record.speed or "1"))
            await asyncio.sleep(max(0.0, due - loop.time()))
        await self._hub.drained()
        self._collect_stamps(tape)

    def _collect_stamps(self, tape: Tape) -> None:
        for frame, stamp in zip(reversed(tape.frames), reversed(tape.stamps), strict=True):
            if frame.sent_monotonic_ns is not None:
                break
            frame.sent_monotonic_ns = stamp.sent_monotonic_ns

    def _save_frames(self, tape: Tape, frames: Iterable[SentFrame]) -> None:
        for frame in frames:
            key = f"{tape.record.tape_id}:{frame.row:09d}"
            self._exchange.state.journal.put(Kind.FRAME, key, frame)


def quotes_of(row: TapeRow, record: TapeRecord, market: Market) -> HouseUpdate:
    """Returns the house's levels for a row: the best, and ``levels`` more behind it."""
    depth, step = to_micro(record.depth), to_micro(record.level_step)
    hidden = None
    if record.fill_at_last and row.last is not None and market.fits_tick(row.last):
        hidden = HiddenLevel(row.last, depth)
    return HouseUpdate(
        bids=_ladder(row.bid, -step, record.levels, depth, market),
        asks=_ladder(row.ask, step, record.levels, depth, market),
        hidden_bid=hidden if row.bid is None else None,
        hidden_ask=hidden if row.ask is None else None,
    )


def _ladder(best: int | None, step: int, behind: int, depth: int, market: Market) -> Levels:
    if best is None:
        return {}
    prices = (best + step * number for number in range(behind + 1))
    return {price: depth for price in prices if market.fits_tick(price)}


def pause_s(played: TapeRow, following: TapeRow, speed: Decimal) -> float:
    """Returns the wait between two rows: tape time divided by speed, capped when faster than life."""
    gap_ms = following.at_ms - played.at_ms
    wait = float(Decimal(max(0, gap_ms)) / 1000 / speed)
    return min(wait, LONGEST_WAIT_S) if speed > 1 else wait


async def _cancelled(task: asyncio.Task[None] | None) -> None:
    if task is not None and not task.done():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
