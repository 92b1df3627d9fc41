"""When the product's own breakers were open: exits go out one at a time then, which is no slow recovery."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bench.chaos.evidence import Disturbance, Span


@dataclass(frozen=True, slots=True)
class BreakerChange:
    """A breaker opened or closed; an empty account is the venue's own breaker."""

    account_id: str
    at_ms: int
    opened: bool


def open_breakers(
    changes: Iterable[BreakerChange], until_ms: int, returning_ms: int
) -> Iterator[Disturbance]:
    """Yield each time for which a breaker was open.

    Args:
        changes: Openings and closings of all breakers.
        until_ms: When they were read: one that is open still was open until then.
        returning_ms: How long after its closing what it held back may be on its way.
    """
    opened_ms: dict[str, int] = {}
    for change in sorted(changes, key=lambda change: change.at_ms):
        if change.opened:
            opened_ms.setdefault(change.account_id, change.at_ms)
        elif change.account_id in opened_ms:
            yield _open(change.account_id, Span(opened_ms.pop(change.account_id), change.at_ms), returning_ms)
    for account_id, since in opened_ms.items():
        yield _open(account_id, Span(since, until_ms), returning_ms)


def _open(account_id: str, span: Span, returning_ms: int) -> Disturbance:
    what = f"breaker of {account_id or 'the venue'} open"
    felt_until_ms = span.to_ms + returning_ms
    return Disturbance(span, what, felt_until_ms, apart=True, account_id=account_id or None)
