"""Crossings that were delivered while their watch stays armed: whether the rule has them nobody can say.

A rule that consumes a crossing disarms its watch, or arms it as the next generation, within moments. When
neither happens Temporal may have lost the signal that it had accepted (its file was rolled back), or the rule
has it and cannot write. So the same crossing is signalled once more: a rule drops a copy of one that it has.
"""

from collections.abc import Callable
from dataclasses import dataclass

from domain.messages import WatchRow
from domain.rules.crossing import Crossing

FIRST_PAUSE_MS = 5_000
# Each copy is an event in the history of a rule that has it already and waits, for Postgres or for a worker.
PAUSE_CAP_MS = 60_000

RowOf = Callable[[str], WatchRow | None]


@dataclass(slots=True)
class _Sent:
    """The crossing delivered last for a rule; it is doubted from `due_ms` on (None while a copy travels)."""

    crossing: Crossing
    pause_ms: int
    due_ms: int | None


class Unanswered:
    """Crossings that wait for their watch to change. Pure: those to be signalled again are returned."""

    def __init__(self, row_of: RowOf) -> None:
        """Take where a rule's watch is found, None for one that is not armed."""
        self._row_of = row_of
        self._sent: dict[str, _Sent] = {}

    def delivered(self, crossing: Crossing, now_ms: int) -> None:
        """Take in that a crossing, or a copy of it, was accepted.

        Args:
            crossing: as it was sent.
            now_ms: local monotonic time.
        """
        if not self._is_armed(crossing):
            self._sent.pop(crossing.rule_id, None)
            return
        before = self._sent.get(crossing.rule_id)
        pause_ms = FIRST_PAUSE_MS
        if before is not None and before.crossing == crossing:
            pause_ms = min(before.pause_ms * 2, PAUSE_CAP_MS)
        self._sent[crossing.rule_id] = _Sent(crossing, pause_ms, now_ms + pause_ms)

    def due(self, now_ms: int) -> list[Crossing]:
        """Return the crossings to signal again, each once until its copy is accepted; forget the answered."""
        again: list[Crossing] = []
        for sent in list(self._sent.values()):
            if sent.due_ms is not None and sent.due_ms > now_ms:
                continue
            if not self._is_armed(sent.crossing):
                del self._sent[sent.crossing.rule_id]
            elif sent.due_ms is not None:
                sent.due_ms = None
                again.append(sent.crossing)
        return again

    def _is_armed(self, crossing: Crossing) -> bool:
        row = self._row_of(crossing.rule_id)
        return row is not None and row.generation == crossing.generation
