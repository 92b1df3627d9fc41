"""When the product's own breakers were open by the venue's fault: exits go out one at a time then."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bench.chaos.evidence import Disturbance, Span

PROBE_MS = 5_000
"""So long after a fault a probe has shown that the venue is well; what stays open then is no excuse."""


@dataclass(frozen=True, slots=True)
class BreakerChange:
    """A breaker opened or closed; an empty account is the venue's own breaker."""

    account_id: str
    at_ms: int
    opened: bool


def open_breakers(
    changes: Iterable[BreakerChange], faults: Sequence[Span], until_ms: int, returning_ms: int
) -> Iterator[Disturbance]:
    """Yield each time for which a breaker was open while the venue was at fault, or a probe later.

    Args:
        changes: Openings and closings of all breakers.
        faults: When the venue was at fault.
        until_ms: When they were read: one that is open still was open until then.
        returning_ms: How long after its closing what it held back may be on its way.
    """
    excusing = [Span(fault.from_ms, fault.to_ms + PROBE_MS) for fault in faults]
    for account_id, span in _opened(changes, until_ms):
        for fault in excusing:
            if fault.touches(span):
                yield _open(
                    account_id,
                    Span(max(span.from_ms, fault.from_ms), min(span.to_ms, fault.to_ms)),
                    returning_ms,
                )


def _opened(changes: Iterable[BreakerChange], until_ms: int) -> Iterator[tuple[str, Span]]:
    opened_ms: dict[str, int] = {}
    for change in sorted(changes, key=lambda change: change.at_ms):
        if change.opened:
            opened_ms.setdefault(change.account_id, change.at_ms)
        elif change.account_id in opened_ms:
            yield change.account_id, Span(opened_ms.pop(change.account_id), change.at_ms)
    for account_id, since in opened_ms.items():
        yield account_id, Span(since, until_ms)


def _open(account_id: str, span: Span, returning_ms: int) -> Disturbance:
    what = f"breaker of {account_id or 'the venue'} open"
    felt_until_ms = span.to_ms + returning_ms
    return Disturbance(span, what, felt_until_ms, apart=True, account_id=account_id or None)
