"""Figures of a series of measurements."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Series:
    """Median and tail of measured milliseconds."""

    n: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


def series(samples_ms: Sequence[float]) -> Series:
    """Return the figures of samples in milliseconds.

    Raises:
        ValueError: no samples.
    """
    if not samples_ms:
        raise ValueError("a series needs samples")
    ordered = sorted(samples_ms)
    return Series(
        n=len(ordered),
        p50_ms=percentile(ordered, 50),
        p90_ms=percentile(ordered, 90),
        p99_ms=percentile(ordered, 99),
        max_ms=round(ordered[-1], 3),
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile of sorted values."""
    rank = max(1, math.ceil(len(ordered) * percent / 100))
    return round(ordered[rank - 1], 3)


def middle(rated: Sequence[tuple[float, T]]) -> T:
    """Return the thing whose rating is the median; of an even number the lower one of the two.

    Raises:
        ValueError: nothing was rated.
    """
    if not rated:
        raise ValueError("a median needs values")
    return sorted(rated, key=lambda pair: pair[0])[(len(rated) - 1) // 2][1]
