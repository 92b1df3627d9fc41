"""The tape's batch: each change of the top of a book, written once a second."""

from datetime import datetime

from domain.quotes import Quote
from storage.repositories.tape import Tape, TapeEntry

# An outage of the database must not fill the memory: beyond this the oldest rows are dropped and counted.
MOST_ROWS = 200_000


class TapeBatch:
    """Rows that wait to be written."""

    def __init__(self, venue: str, tape: Tape) -> None:
        """Take the place to write to."""
        self._venue = venue
        self._tape = tape
        self._rows: list[TapeEntry] = []
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, token_id: str, at: datetime, quote: Quote) -> None:
        """Take a change of the top of a book."""
        self._rows.append(TapeEntry(venue=self._venue, token_id=token_id, ts=at, quote=quote))
        if len(self._rows) > MOST_ROWS:
            excess = len(self._rows) - MOST_ROWS
            del self._rows[:excess]
            self.dropped += excess

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
