"""What a log line is about: ids that hold for a whole activity, worked out only when a line is written."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from structlog.typing import EventDict, WrappedLogger

Ids = Callable[[], Mapping[str, str | int]]

_ids: ContextVar[Ids | None] = ContextVar("log_ids", default=None)


@contextmanager
def speaking_of(ids: Ids) -> Generator[None]:
    """Add ids to every line of this task, and of those it starts, while the context lasts."""
    token = _ids.set(ids)
    try:
        yield
    finally:
        _ids.reset(token)


def add_ids(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add the ids that hold here; what the event itself says wins."""
    ids = _ids.get()
    return event if ids is None else {**ids(), **event}
