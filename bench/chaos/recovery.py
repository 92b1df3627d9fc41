"""How long exits that stood crossed waited for their POST after a kill."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.chaos.evidence import Disturbance, Evidence


@dataclass(frozen=True, slots=True)
class Recovery:
    """An exit that stood crossed while something was down: when it was sent after that."""

    rule_id: str
    what: str
    seconds: float


def recoveries(
    evidence: Evidence, crossed_at_ms: Mapping[str, int], posts: Mapping[str, Sequence[int]]
) -> Iterator[Recovery]:
    """Yield, for each exit that stood crossed during a disturbance, how long its first POST took from there.

    The time runs from the later of the crossing and the last disturbance before the POST: a kill counts from
    its own moment; what the product cannot help (a venue's fault, a thrown switch) from its end.
    """
    for rule_id, crossed in crossed_at_ms.items():
        sent = posts.get(rule_id)
        if not sent or sent[0] < crossed:
            continue
        met = [d for d in evidence.disturbances if _met(d, crossed, sent[0])]
        if met:
            since, what = max((min(d.counts_from, sent[0]), d.what) for d in met)
            yield Recovery(rule_id, what, (sent[0] - max(crossed, since)) / 1000)


def _met(disturbance: Disturbance, crossed_ms: int, sent_ms: int) -> bool:
    """Say whether a disturbance lay between a crossing and its POST, or was on when the price crossed."""
    return disturbance.span.from_ms <= sent_ms and crossed_ms <= disturbance.span.to_ms
