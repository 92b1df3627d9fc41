"""What grew while a stack ran for long: memory and connections of each part, by its settled quarters."""

import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from bench.weight import Weight

MEGABYTE = 1024 * 1024
MEMORY_MB = 24.0
MEMORY_SHARE = 0.06
"""A process may end this much, or this share, above where it stood in the second quarter of the run."""
CONNECTIONS = 3
"""Pools and keep-alives breathe by this much."""


@dataclass(frozen=True, slots=True)
class Growth:
    """From the second quarter of a run to its last: medians of memory, the fewest connections of each.

    Exits come in crowds and pools breathe with them; what a leak holds is held at the calmest look, too.

    Attributes:
        memory_mb: Memory of each part in the second quarter and in the last.
        memory_growth_mb: The difference, by part: whoever grew is named.
        connection_growth: Established sockets, by part.
        database_connection_growth: Clients of Postgres.
        failures: In words, what is more than breathing.
    """

    memory_mb: Mapping[str, tuple[float, float]]
    memory_growth_mb: Mapping[str, float]
    connection_growth: Mapping[str, int]
    database_connection_growth: int
    failures: tuple[str, ...]


def growth(
    weights: Sequence[Weight], *, remembers: Collection[str] = (), pools: Mapping[str, int] | None = None
) -> Growth:
    """Return what grew over the looks at a stack.

    Args:
        weights: The looks, in order.
        remembers: Parts that keep what they saw on purpose: their memory is told, not judged.
        pools: Connections that a part may keep after a crowd, though it had not needed them before.

    Raises:
        ValueError: Fewer than four looks were taken.
    """
    early, late = _quarters(weights)
    memory = {part: (_median(early, part), _median(late, part)) for part in weights[0].memory_bytes}
    sockets = {part: _sockets(late, part) - _sockets(early, part) for part in weights[0].connections}
    clients = _clients(late) - _clients(early)
    failures = [
        f"the memory of {part} grew by {(now - before) / MEGABYTE:.1f} MB"
        for part, (before, now) in memory.items()
        if part not in remembers and now - before > max(MEMORY_MB * MEGABYTE, MEMORY_SHARE * before)
    ]
    kept = pools or {}
    failures += [
        f"{part} holds {n} more connections"
        for part, n in sockets.items()
        if n > CONNECTIONS + kept.get(part, 0)
    ]
    if clients > CONNECTIONS:
        failures.append(f"Postgres serves {clients} more clients")
    return Growth(
        memory_mb={part: (_megabytes(before), _megabytes(now)) for part, (before, now) in memory.items()},
        memory_growth_mb={part: _megabytes(now - before) for part, (before, now) in memory.items()},
        connection_growth=sockets,
        database_connection_growth=clients,
        failures=tuple(failures),
    )


def _quarters(weights: Sequence[Weight]) -> tuple[Sequence[Weight], Sequence[Weight]]:
    quarter = len(weights) // 4
    if not quarter:
        raise ValueError("growth needs four looks at least")
    return weights[quarter : 2 * quarter], weights[-quarter:]


def _megabytes(size: float) -> float:
    return round(size / MEGABYTE, 2)


def _median(weights: Sequence[Weight], part: str) -> float:
    return statistics.median(weight.memory_bytes[part] for weight in weights)


def _sockets(weights: Sequence[Weight], part: str) -> int:
    return min(weight.connections[part] for weight in weights)


def _clients(weights: Sequence[Weight]) -> int:
    return min(weight.database_connections for weight in weights)
