"""The judgement of a soak: what may move, and by how much."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.growth import growth
from bench.weight import Weight

HISTORY_EVENTS = 0


@dataclass(frozen=True, slots=True)
class HistorySize:
    """How long a rule's history is."""

    rule_id: str
    events: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What a soak saw.

    Attributes:
        rules: Rules that stood.
        minutes: How long prices moved.
        weights: Looks at the stack, in order.
        histories: Histories of idle rules before and after.
        fired: Orders to sell that the exchange heard of.
        restarted: Parts that died on the way.
        tape_compacted: Whether old entries of the tape became candles.
        unanswered: In words, changes and cancellations at one moment that found no answer or no end.
        unfinished: Lines that tell of handlers left unfinished.
    """

    rules: int
    minutes: float
    weights: Sequence[Weight]
    histories: Sequence[tuple[HistorySize, HistorySize]]
    fired: int
    restarted: Sequence[str]
    tape_compacted: bool
    unanswered: Sequence[str]
    unfinished: Sequence[str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement; `failures` says in words what is not as it must be."""

    rules: int
    minutes: float
    memory_mb: Mapping[str, tuple[float, float]]
    memory_growth_mb: Mapping[str, float]
    connection_growth: Mapping[str, int]
    database_connection_growth: int
    history_growth_events: int
    tape_compacted: bool
    failures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether all is as it must be."""
        return not self.failures


def judge(seen: Observed) -> Verdict:
    """Judge a soak by its settled part: from the second quarter of the run to its last.

    Raises:
        ValueError: Fewer than four looks were taken.
    """
    seen_growth = growth(seen.weights)
    grown = max((after.events - before.events for before, after in seen.histories), default=0)
    failures = list(seen_growth.failures)
    if grown > HISTORY_EVENTS:
        failures.append(f"the history of an idle rule grew by {grown} events")
    if seen.fired:
        failures.append(f"{seen.fired} orders were sent though no price crossed")
    failures += [f"{part} died" for part in seen.restarted]
    if not seen.tape_compacted:
        failures.append("old entries of the tape did not become candles")
    failures += seen.unanswered
    failures += [f"a handler was left unfinished: {line}" for line in seen.unfinished]
    return Verdict(
        rules=seen.rules,
        minutes=seen.minutes,
        memory_mb=seen_growth.memory_mb,
        memory_growth_mb=seen_growth.memory_growth_mb,
        connection_growth=seen_growth.connection_growth,
        database_connection_growth=seen_growth.database_connection_growth,
        history_growth_events=grown,
        tape_compacted=seen.tape_compacted,
        failures=tuple(failures),
    )
