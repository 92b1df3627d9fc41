"""What a feed writes once a second: each change of the top of a book, and the marks that moved."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.quotes import Quote
from domain.rules.watch import TrailMark
from storage.repositories.tape import TapeEntry
from storage.repositories.watches import Watches

# An outage of the database must not fill the memory: beyond this the oldest rows are dropped and counted.
MOST_ROWS = 200_000
MARKS_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Dropped:
    """Rows that the tape will never have: how many, and when the first and the last of them were seen."""

    rows: int
    first: datetime
    last: datetime


class TapeBatch:
    """Rows that wait to be written."""

    def __init__(self, venue: str) -> None:
        """Begin with none."""
        self._venue = venue
        self._rows: list[TapeEntry] = []
        self._dropped: Dropped | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, token_id: str, at: datetime, quote: Quote) -> None:
        """Take a change of the top of a book."""
        self._rows.append(TapeEntry(venue=self._venue, token_id=token_id, ts=at, quote=quote))
        self._limit()

    def lag_ms(self, now: datetime) -> int:
        """Return how long the oldest row waits; 0 when none does."""
        return int((now - self._rows[0].ts) / timedelta(milliseconds=1)) if self._rows else 0

    def take(self) -> list[TapeEntry]:
        """Return what waits, in the order in which it was seen; it waits no more."""
        rows, self._rows = self._rows, []
        return rows

    def put_back(self, rows: list[TapeEntry]) -> None:
        """Let rows wait again that could not be written, before those that came since."""
        self._rows = rows + self._rows
        self._limit()

    def forget(self, before: datetime) -> None:
        """Drop what another feed has written: all that was seen before a time."""
        self._rows = [row for row in self._rows if row.ts >= before]
        if self._dropped is not None and self._dropped.last < before:
            self._dropped = None

    def take_dropped(self) -> Dropped | None:
        """Return what was dropped since the last call, None when nothing was."""
        dropped, self._dropped = self._dropped, None
        return dropped

    def _limit(self) -> None:
        if len(self._rows) > MOST_ROWS:
            self._drop(len(self._rows) - MOST_ROWS)

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
        self._marks: dict[tuple[str, int], tuple[datetime, TrailMark]] = {}

    def add(self, marks: Iterable[TrailMark], at: datetime) -> None:
        """Take marks that moved, and when that was seen."""
        self._marks.update({(mark.rule_id, mark.condition_index): (at, mark) for mark in marks})

    def forget(self, before: datetime) -> None:
        """Drop what another feed has written: marks that moved before a time."""
        self._marks = {key: (at, mark) for key, (at, mark) in self._marks.items() if at >= before}

    async def flush(self) -> None:
        """Write what waits; on a failure it goes on waiting.

        Raises:
            StorageUnavailable: Postgres is away.
        """
        marks, self._marks = self._marks, {}
        try:
            waiting = [mark for _, mark in marks.values()]
            for start in range(0, len(waiting), MARKS_AT_ONCE):
                await self._watches.save_marks(waiting[start : start + MARKS_AT_ONCE])
        except BaseException:
            self._marks = {**marks, **self._marks}
            raise
