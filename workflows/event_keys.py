"""Keys by which an event is told once, though the task that tells it may be done again and again.

A worker that dies before its task is history leaves rows that the task's repetition writes once more, at
another time and so under another version. Its events are the same by their kind, by how many of that kind
came before, and by their words: what another history says differently is another event.
"""

from collections import Counter
from collections.abc import Iterable

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.ids import event_key


def of_this_workflow(told: Iterable[tuple[str, int]] = ()) -> "EventKeys":
    """Return the keys of the workflow that runs; a reset one is the same, and so is a new run of it."""
    # A run's id begins with the time of its start, and ends at random.
    return EventKeys(workflow.info().first_execution_run_id[-12:], told)


class EventKeys:
    """The keys of one subject's events, over all runs of its workflow."""

    def __init__(self, chain: str, told: Iterable[tuple[str, int]] = ()) -> None:
        """Take what all runs of the workflow have in common, and how many events of each kind they told.

        A workflow that adopts what another one left tells its own story.
        """
        self._chain = chain
        self._told: Counter[str] = Counter(dict(told))

    def take(self, subject: str, kind: str, message: str) -> str:
        """Return the key of the next event of a kind."""
        self._told[kind] += 1
        return event_key(subject, kind, self._chain, self._told[kind], message)

    def carried(self) -> tuple[tuple[str, int], ...]:
        """Return what the next run takes up."""
        return tuple(sorted(self._told.items()))
