"""The tape shown again to a board, each row at its own time, with the timers that ran between the rows."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime

from activities.feed_board import Moment, QuoteBoard, unix_ms
from activities.feed_intake import QuoteIntake
from domain.ids import TokenId
from domain.messages import WatchRow
from storage.repositories.tape import TapeEntry

ROWS_IN_ONE_GO = 1_000

Span = tuple[int, int | None]
"""From and to in Unix milliseconds, the end excluded; without an end it lasts."""


class TapeReplay:
    """Replays rows to a board that is empty at first.

    Nothing fires by time alone while no feed saw: such a timer waits for the end of the gap, since rows from
    there on say whether the price still stood beyond its level.
    """

    def __init__(self, board: QuoteBoard, intake: QuoteIntake, unseen: Sequence[Span]) -> None:
        """Take the board and the gaps of the tape, oldest first."""
        self._board = board
        self._intake = intake
        self._unseen = unseen
        self._now = intake.now()
        self.fired: set[str] = set()

    async def run(
        self, rows: Sequence[WatchRow], armed: Mapping[str, datetime], entries: Sequence[TapeEntry]
    ) -> None:
        """Watch each rule from its own arming on, show it the tape since, and let timers run up to now.

        Args:
            rows: the watches.
            armed: when each rule was armed.
            entries: the tape, in its order.
        """
        waiting = deque(sorted(rows, key=lambda row: armed[row.rule_id]))
        for count, entry in enumerate(entries):
            if not count % ROWS_IN_ONE_GO:
                await asyncio.sleep(0)  # heartbeats go on
            while waiting and armed[waiting[0].rule_id] <= entry.ts:
                row = waiting.popleft()
                self._board.add(row, (), self._at(unix_ms(armed[row.rule_id])))
            self._show(entry)
        for row in waiting:
            self._board.add(row, (), self._now)
        self._run_timers(self._now.wall_ms)

    def _show(self, entry: TapeEntry) -> None:
        wall_ms = min(unix_ms(entry.ts), self._now.wall_ms)
        self._run_timers(wall_ms)
        crossings = self._board.take(TokenId(entry.token_id), entry.quote, self._at(wall_ms))
        self.fired.update(crossing.rule_id for crossing in crossings)
        self._intake.deliver(crossings)

    def _run_timers(self, until_ms: int) -> None:
        """Let the timers before a time run, one moment after the other."""
        while (due_ms := self._board.next_due_ms()) is not None:
            seen_ms = self._when_seen(due_ms - self._now.mono_ms + self._now.wall_ms)
            if seen_ms is None or seen_ms >= until_ms:
                return
            crossings = self._board.due(self._at(seen_ms))
            self.fired.update(crossing.rule_id for crossing in crossings)
            self._intake.deliver(crossings)

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
