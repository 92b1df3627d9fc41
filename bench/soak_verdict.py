"""The judgement of a soak: what may move, and by how much."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.weight import Weight

MEGABYTE = 1024 * 1024
MEMORY_MB = 24.0
MEMORY_SHARE = 0.06
"""A process may end this much, or this share, above where it stood in the second quarter of the run."""
CONNECTIONS = 3
"""Pools and keep-alives breathe by this much."""
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
        unfinished: Lines that tell of handlers left unfinished.
    """

    rules: int
    minutes: float
    weights: Sequence[Weight]
    histories: Sequence[tuple[HistorySize, HistorySize]]
    fired: int
    restarted: Sequence[str]
    tape_compacted: bool
    unfinished: Sequence[str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement; `failures` says in words what is not as it must be."""

    rules: int
    minutes: float
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
    early, late = _quarters(seen.weights)
    memory = {part: _median(late, part) - _median(early, part) for part in seen.weights[0].memory_bytes}
    sockets = {part: _sockets(late, part) - _sockets(early, part) for part in seen.weights[0].connections}
    clients = _clients(late) - _clients(early)
    grown = max((after.events - before.events for before, after in seen.histories), default=0)
    failures: list[str] = []
    for part, growth in memory.items():
        if growth > max(MEMORY_MB * MEGABYTE, MEMORY_SHARE * _median(early, part)):
            failures.append(f"the memory of {part} grew by {growth / MEGABYTE:.1f} MB")
    failures += [f"{part} holds {n} more connections" for part, n in sockets.items() if n > CONNECTIONS]
    if clients > CONNECTIONS:
        failures.append(f"Postgres serves {clients} more clients")
    if grown > HISTORY_EVENTS:
        failures.append(f"the history of an idle rule grew by {grown} events")
    if seen.fired:
        failures.append(f"{seen.fired} orders were sent though no price crossed")
    failures += [f"{part} died" for part in seen.restarted]
    if not seen.tape_compacted:
        failures.append("old entries of the tape did not become candles")
    failures += [f"a handler was left unfinished: {line}" for line in seen.unfinished]
    return Verdict(
        rules=seen.rules,
        minutes=seen.minutes,
        memory_growth_mb={part: round(growth / MEGABYTE, 2) for part, growth in memory.items()},
        connection_growth=sockets,
        database_connection_growth=clients,
        history_growth_events=grown,
        tape_compacted=seen.tape_compacted,
        failures=tuple(failures),
    )


def _quarters(weights: Sequence[Weight]) -> tuple[Sequence[Weight], Sequence[Weight]]:
    quarter = len(weights) // 4
    if not quarter:
        raise ValueError("a soak needs four looks at least")
    return weights[quarter : 2 * quarter], weights[-quarter:]


def _median(weights: Sequence[Weight], part: str) -> float:
    return statistics.median(weight.memory_bytes[part] for weight in weights)


def _sockets(weights: Sequence[Weight], part: str) -> int:
    return round(statistics.median(weight.connections[part] for weight in weights))


def _clients(weights: Sequence[Weight]) -> int:
    return round(statistics.median(weight.database_connections for weight in weights))
