"""How long exits that stood crossed waited for their POST: after kills, beside faults of the venue, alone."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bench.chaos.evidence import Disturbance, RuleEvidence, Sent, Span

ACCEPTED = "accepted"
"""The outcome of a POST by which the venue registered an order."""


class Circumstance(StrEnum):
    """What an exit met between its crossing and its POST; the values are keys of the report."""

    KILLED = "after_kills"
    FELT = "shortly_after_kills"
    """Crossed when all that was killed was healthy again, but perhaps not yet at work."""
    APART = "apart"
    UNDISTURBED = "undisturbed"
    EARLY = "early"
    """Sent before the tape crossed its level: by the price of a trade, such as that of another exit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """How one exit that stood crossed came to its first POST.

    Attributes:
        rule_id, order_id: The rule and its exit.
        crossed_ms, sent_ms: When its level was crossed for certain, and when its first POST arrived that
            did not follow a sale by the price of a trade.
        kills: What struck the product meanwhile, or so shortly before that it was not back.
        apart: What the product could not help meanwhile: faults of the venue, an open breaker, a switch.
        waited_s: From the crossing to the POST, nothing taken out.
        apart_s: How much of the time that took; it is in none of the following figures.
        seconds: To the POST from the later of crossing and first kill; without a kill, from the crossing.
        before_s: From the crossing to the first kill, 0 where there was none.
        after_last_s: From the later of the crossing and the last kill to the POST.
        after_each_s: The same for each of `kills`, in their order.
    """

    rule_id: str
    order_id: str
    crossed_ms: int
    sent_ms: int
    kills: tuple[Disturbance, ...]
    apart: tuple[Disturbance, ...]
    waited_s: float
    apart_s: float
    seconds: float
    before_s: float
    after_last_s: float
    after_each_s: tuple[float, ...] = ()

    @property
    def circumstance(self) -> Circumstance:
        """Say in which column of the report this exit belongs."""
        if self.sent_ms < self.crossed_ms:
            return Circumstance.EARLY
        waited = Span(self.crossed_ms, self.sent_ms)
        if any(kill.span.touches(waited) for kill in self.kills):
            return Circumstance.KILLED
        if self.kills:
            return Circumstance.FELT
        return Circumstance.APART if self.apart else Circumstance.UNDISTURBED

    @property
    def longest_s(self) -> float:
        """The longer of its two waits, the one before a kill and the one after it, which a budget bounds."""
        return max(self.seconds, self.before_s)

    def is_late(self, budget_s: float) -> bool:
        """Say whether it waited too long, after the kill or already before it."""
        return self.longest_s > budget_s


def recoveries(
    disturbances: Sequence[Disturbance],
    rules: Iterable[RuleEvidence],
    crossed_at_ms: Mapping[str, int],
    sends: Mapping[str, Sequence[Sent]],
) -> Iterator[Recovery]:
    """Yield every exit that was crossed for certain and sent.

    A second kill does not restart the clock: after each kill, whoever stands crossed has to be sent. Time in
    which the venue was at fault or a breaker open is taken out, and the clock goes on at its end.

    Args:
        disturbances: All of the run; one that aims at another rule or account does not count.
        rules: All that were armed.
        crossed_at_ms: When the level of a rule was crossed for certain.
        sends: The POSTs of each rule's exits, in their order.
    """
    for rule in rules:
        crossed_ms, sent = crossed_at_ms.get(rule.rule_id), sends.get(rule.rule_id)
        if crossed_ms is not None and sent:
            yield _recovery(rule, crossed_ms, _first(sent, crossed_ms), disturbances)


def apart_share(disturbances: Iterable[Disturbance], run: Span) -> float:
    """Return the share of a run for which something held everybody's sends back, 0 to 1."""
    spans = (d.span for d in disturbances if d.apart and d.rule_id is None and d.account_id is None)
    length_ms = run.to_ms - run.from_ms
    return _covered_ms(spans, run) / length_ms if length_ms > 0 else 0.0


def _first(sent: Sequence[Sent], crossed_ms: int) -> Sent:
    """Return the POST that ended the wait.

    What the venue took before the certain crossing sold by the price of a trade; another order after the
    crossing shows that it did not sell everything, and that order's wait is the one that counts.
    """
    taken = {s.venue_order_id for s in sent if s.at_ms < crossed_ms and s.outcome == ACCEPTED}
    later = (s for s in sent if s.at_ms >= crossed_ms and s.venue_order_id not in taken)
    return next(later, sent[0])


def _recovery(
    rule: RuleEvidence, crossed_ms: int, sent: Sent, disturbances: Sequence[Disturbance]
) -> Recovery:
    begun_ms = min(crossed_ms, sent.at_ms)  # one that was sent early waited for nothing
    met = [d for d in disturbances if _concerns(d, rule) and _met(d, begun_ms, sent.at_ms)]
    kills = tuple(d for d in met if not d.apart)
    apart = tuple(d for d in met if d.apart)
    struck = [max(begun_ms, kill.span.from_ms) for kill in kills] or [begun_ms]

    def waited_s(from_ms: int, to_ms: int) -> float:
        return (to_ms - from_ms - _covered_ms((d.span for d in apart), Span(from_ms, to_ms))) / 1000

    whole_s = (sent.at_ms - begun_ms) / 1000
    return Recovery(
        rule_id=rule.rule_id,
        order_id=sent.order_id,
        crossed_ms=crossed_ms,
        sent_ms=sent.at_ms,
        kills=kills,
        apart=apart,
        waited_s=whole_s,
        apart_s=whole_s - waited_s(begun_ms, sent.at_ms),
        seconds=waited_s(min(struck), sent.at_ms),
        before_s=waited_s(begun_ms, min(struck)),
        after_last_s=waited_s(max(struck), sent.at_ms),
        after_each_s=tuple(
            waited_s(min(max(begun_ms, kill.span.from_ms), sent.at_ms), sent.at_ms) for kill in kills
        ),
    )


@dataclass(frozen=True, slots=True)
class AfterKill:
    """What a kill, or another blow, cost the exits that stood crossed under it, or just after it.

    Attributes:
        kill: It.
        exits: How many there were.
        latest_s: From the later of its beginning and the crossing to the latest of their POSTs, without what
            stood apart.
    """

    kill: Disturbance
    exits: int
    latest_s: float


def after_kills(found: Iterable[Recovery]) -> list[AfterKill]:
    """Return each kill that an exit met, in the order of time."""
    waits: dict[Disturbance, list[float]] = {}
    for recovery in found:
        for kill, seconds in zip(recovery.kills, recovery.after_each_s, strict=True):
            waits.setdefault(kill, []).append(seconds)
    ordered = sorted(waits.items(), key=lambda item: item[0].span.from_ms)
    return [AfterKill(kill, len(seconds), max(seconds)) for kill, seconds in ordered]


def _concerns(disturbance: Disturbance, rule: RuleEvidence) -> bool:
    """Say whether a disturbance aims at everybody, or at this rule or its account."""
    return disturbance.rule_id in (None, rule.rule_id) and disturbance.account_id in (None, rule.account_id)


def _met(disturbance: Disturbance, crossed_ms: int, sent_ms: int) -> bool:
    """Say whether a disturbance lay between a crossing and its POST, or was still felt at the crossing."""
    return disturbance.span.from_ms <= sent_ms and crossed_ms <= disturbance.felt_until_ms


def _covered_ms(spans: Iterable[Span], within: Span) -> int:
    """Return how much of a stretch lies in at least one of some spans, milliseconds."""
    covered, reached_ms = 0, within.from_ms
    for span in sorted(spans, key=lambda span: span.from_ms):
        from_ms, to_ms = max(span.from_ms, reached_ms), min(span.to_ms, within.to_ms)
        if to_ms > from_ms:
            covered += to_ms - from_ms
            reached_ms = to_ms
    return covered
