"""What a feed writes once a second: each change of the top of a book, and the marks that moved."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.quotes import Quote
from domain.rules.watch import TrailMark
from storage.repositories.tape import Tape, TapeEntry
from storage.repositories.watches import Watches

# An outage of the database must not fill the memory: beyond this the oldest rows are dropped and counted.
MOST_ROWS = 200_000


@dataclass(frozen=True, slots=True)
class Dropped:
    """Rows that the tape will never have: how many, and when the first and the last of them were seen."""

    rows: int
    first: datetime
    last: datetime


class TapeBatch:
    """Rows that wait to be written."""

    def __init__(self, venue: str, tape: Tape) -> None:
        """Take the place to write to."""
        self._venue = venue
        self._tape = tape
        self._rows: list[TapeEntry] = []
        self._dropped: Dropped | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, token_id: str, at: datetime, quote: Quote) -> None:
        """Take a change of the top of a book."""
        self._rows.append(TapeEntry(venue=self._venue, token_id=token_id, ts=at, quote=quote))
        if len(self._rows) > MOST_ROWS:
            self._drop(len(self._rows) - MOST_ROWS)

    def lag_ms(self, now: datetime) -> int:
        """Return how long the oldest row waits; 0 when none does."""
        return int((now - self._rows[0].ts) / timedelta(milliseconds=1)) if self._rows else 0

    def take_dropped(self) -> Dropped | None:
        """Return what was dropped since the last call, None when nothing was."""
        dropped, self._dropped = self._dropped, None
        return dropped

    async def flush(self) -> None:
        """Write what waits; on a failure it goes on waiting.

        Raises:
            StorageUnavailable: Postgres is away.
        """
        rows, self._rows = self._rows, []
        if not rows:
            return
        try:
            await self._tape.append(rows)
        except BaseException:
            self._rows = rows + self._rows
            raise

    def _drop(self, count: int) -> None:
        gone, before = self._rows[:count], self._dropped
        del self._rows[:count]
        self._dropped = Dropped(
            count if before is None else before.rows + count,
            gone[0].ts if before is None else before.first,
            gone[-1].ts,
        )


class MarkBatch:
    """Marks that wait to be written, the latest of each trailing condition."""

    def __init__(self, watches: Watches) -> None:
        """Take the place to write to."""
        self._watches = watches
        self._marks: dict[tuple[str, int], TrailMark] = {}

    def add(self, marks: Iterable[TrailMark]) -> None:
        """Take marks that moved."""
        self._marks.update({(mark.rule_id, mark.condition_index): mark for mark in marks})

    async def flush(self) -> None:
        """Write what waits; on a failure it goes on waiting.

        Raises:
            StorageUnavailable: Postgres is away.
        """
        marks, self._marks = self._marks, {}
        try:
            await self._watches.save_marks(marks.values())
        except BaseException:
            self._marks = {**marks, **self._marks}
            raise
