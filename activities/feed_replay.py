"""The tape shown again to a board, each row at its own time, with the timers that ran between the rows."""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from activities.feed_board import Moment, QuoteBoard, unix_ms
from domain.ids import TokenId
from domain.messages import WatchRow
from domain.rules.crossing import Crossing
from domain.rules.watch import TrailMark
from storage.repositories.tape import TapeEntry

# What the loop does between two heartbeats, at most: a feed that stands still begins anew.
ROWS_IN_ONE_GO = 1_000
RULES_IN_ONE_GO = 200

Span = tuple[int, int | None]
"""From and to in Unix milliseconds, the end excluded; without an end it lasts."""


class Outlet(Protocol):
    """Where a replay gets the time from, and where what it fires goes to."""

    def now(self) -> Moment:
        """Return the present."""
        ...

    def deliver(self, crossings: Sequence[Crossing]) -> None:
        """Hand crossings out."""
        ...


class TapeReplay:
    """Replays rows to a board that is empty at first.

    Nothing fires by time alone while no feed saw: such a timer waits for the end of the gap, since rows from
    there on say whether the price still stood beyond its level.
    """

    def __init__(self, board: QuoteBoard, outlet: Outlet, unseen: Sequence[Span]) -> None:
        """Take the board and the gaps of the tape, oldest first."""
        self._board = board
        self._outlet = outlet
        self._unseen = unseen
        self._now = outlet.now()
        self._waiting: deque[WatchRow] = deque()
        self._armed: Mapping[str, datetime] = {}
        self._carried: dict[str, list[TrailMark]] = {}
        self.fired: set[str] = set()

    async def run(
        self,
        rows: Sequence[WatchRow],
        armed: Mapping[str, datetime],
        carried: Sequence[TrailMark],
        standing: Sequence[TapeEntry],
        pages: AsyncIterable[Sequence[TapeEntry]],
    ) -> int:
        """Watch each rule from its own arming on, show it the tape since, and let timers run up to now.

        Args:
            rows: the watches.
            armed: when each rule was armed.
            carried: the marks with which rules were armed.
            standing: the change that stood on each token when its first rule was armed, oldest first.
            pages: the tape since, in its order.

        Returns:
            How many rows of the tape were shown.
        """
        self._armed, shown = armed, 0
        self._waiting = deque(sorted(rows, key=lambda row: armed[row.rule_id]))
        for mark in carried:
            self._carried.setdefault(mark.rule_id, []).append(mark)
        for entry in standing:
            await self._arm_until(self._wall_ms(entry))
            self._show(entry)
        async for page in pages:
            for start in range(0, len(page), ROWS_IN_ONE_GO):
                await asyncio.sleep(0)  # heartbeats go on
                for entry in page[start : start + ROWS_IN_ONE_GO]:
                    if self._waiting:
                        await self._arm_until(self._wall_ms(entry))
                    self._show(entry)
            shown += len(page)
        await self._arm_until(self._now.wall_ms)
        self._run_timers(self._now.wall_ms)
        return shown

    async def _arm_until(self, wall_ms: int) -> None:
        """Watch the rules that were armed by a time, each judged by what stood on its token then."""
        armed = 0
        while self._waiting:
            row = self._waiting[0]
            armed_ms = min(unix_ms(self._armed[row.rule_id]), self._now.wall_ms)
            if armed_ms > wall_ms:
                return
            self._waiting.popleft()
            self._run_timers(armed_ms)
            at = self._at(armed_ms)
            self._board.add(row, self._carried.get(row.rule_id, ()), at)
            if self._when_seen(armed_ms) == armed_ms:  # else what stood was not seen to stand still
                self._fire(self._board.evaluate(row, at))
            armed += 1
            if armed % RULES_IN_ONE_GO == 0:
                await asyncio.sleep(0)

    def _wall_ms(self, entry: TapeEntry) -> int:
        return min(unix_ms(entry.ts), self._now.wall_ms)

    def _show(self, entry: TapeEntry) -> None:
        wall_ms = self._wall_ms(entry)
        self._run_timers(wall_ms)
        token_id = TokenId(entry.token_id)
        if self._board.is_change(token_id, entry.quote):  # a hand-over between feeds may have told it twice
            self._fire(self._board.take(token_id, entry.quote, self._at(wall_ms)))

    def _run_timers(self, until_ms: int) -> None:
        """Let the timers before a time run, one moment after the other."""
        while (due_ms := self._board.next_due_ms()) is not None:
            seen_ms = self._when_seen(due_ms - self._now.mono_ms + self._now.wall_ms)
            if seen_ms is None or seen_ms >= until_ms:
                return
            self._fire(self._board.due(self._at(seen_ms)))

    def _fire(self, crossings: Sequence[Crossing]) -> None:
        self.fired.update(crossing.rule_id for crossing in crossings)
        self._outlet.deliver(crossings)

    def _when_seen(self, wall_ms: int) -> int | None:
        """Return a time, or the end of the gap that it lies in; None for a gap that lasts."""
        for start, end in self._unseen:
            if start <= wall_ms and end is None:
                return None
            if end is not None and start <= wall_ms < end:
                wall_ms = end
        return wall_ms

    def _at(self, wall_ms: int) -> Moment:
        return Moment(self._now.mono_ms + wall_ms - self._now.wall_ms, wall_ms)
