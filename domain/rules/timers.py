"""Timers of the trigger index: pure, run by whoever asks what is due."""

from collections.abc import Iterator
from heapq import heappop, heappush

from domain.rules.armed import Armed, Entry, Run


class Timers:
    """Moments at which something must be looked at again though no quote comes."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Entry | Armed, Run | None]] = []
        self._count = 0

    def at(self, due_ms: int, subject: Entry | Armed, run: Run | None = None) -> None:
        """Set a timer for a run of an entry, or for a rule whose `not_before` comes."""
        self._count += 1
        heappush(self._heap, (due_ms, self._count, subject, run))

    def next_ms(self) -> int | None:
        """Return the earliest moment that still has a meaning."""
        while self._heap and not _is_live(self._heap[0][2], self._heap[0][3]):
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take_due(self, now_ms: int) -> Iterator[Entry | Armed]:
        """Yield what is due, earliest first; its timer is gone then."""
        while (due_ms := self.next_ms()) is not None and due_ms <= now_ms:
            yield heappop(self._heap)[2]


def _is_live(subject: Entry | Armed, run: Run | None) -> bool:
    return subject.waiting if isinstance(subject, Armed) else subject.run is run
