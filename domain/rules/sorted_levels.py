"""Things that stand at exact levels, kept in the order of their levels."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from decimal import Decimal
from typing import Generic, TypeVar

T = TypeVar("T")

_FEW = 8


class SortedLevels(Generic[T]):
    """A multimap from level to things. Looking up costs the logarithm of the levels, plus what is found."""

    __slots__ = ("_at", "_levels")

    def __init__(self) -> None:
        self._levels: list[Decimal] = []
        # A dict without values is a set that keeps the order of insertion, so firing order is reproducible.
        self._at: dict[Decimal, dict[T, None]] = {}

    def __bool__(self) -> bool:
        return bool(self._levels)

    @property
    def lowest(self) -> Decimal | None:
        """The lowest level at which anything stands."""
        return self._levels[0] if self._levels else None

    @property
    def highest(self) -> Decimal | None:
        """The highest level at which anything stands."""
        return self._levels[-1] if self._levels else None

    def add(self, level: Decimal, thing: T) -> None:
        """Let a thing stand at a level."""
        standing = self._at.get(level)
        if standing is None:
            self._at[level] = {thing: None}
            insort(self._levels, level)
        else:
            standing[thing] = None

    def remove(self, level: Decimal, thing: T) -> None:
        """Take away a thing that stands at a level.

        Raises:
            KeyError: it does not stand there.
        """
        standing = self._at[level]
        del standing[thing]
        if not standing:
            del self._at[level]
            del self._levels[bisect_left(self._levels, level)]

    def first_at(self, level: Decimal) -> T | None:
        """Return the thing that has stood longest at exactly this level."""
        return next(iter(self._at.get(level, ())), None)

    def at_or_above(self, level: Decimal) -> Iterator[T]:
        """Yield what stands at this level or above, highest level first."""
        for place in range(len(self._levels) - 1, bisect_left(self._levels, level) - 1, -1):
            yield from self._at[self._levels[place]]

    def at_or_below(self, level: Decimal) -> Iterator[T]:
        """Yield what stands at this level or below, lowest level first."""
        for place in range(bisect_right(self._levels, level)):
            yield from self._at[self._levels[place]]

    def below(self, level: Decimal) -> Iterator[T]:
        """Yield what stands below this level, lowest level first."""
        for place in range(bisect_left(self._levels, level)):
            yield from self._at[self._levels[place]]

    def ascending(self) -> Iterator[tuple[Decimal, T]]:
        """Yield every level with what stands there, lowest level first."""
        for level in self._levels:
            for thing in self._at[level]:
                yield level, thing

    def absorb(self, other: "SortedLevels[T]") -> None:
        """Take over everything from another one, which must not be used afterwards."""
        new: list[Decimal] = []
        for level, things in other._at.items():
            standing = self._at.get(level)
            if standing is None:
                self._at[level] = things
                new.append(level)
            else:
                standing.update(things)
        if len(new) * _FEW < len(self._levels):
            for level in new:
                insort(self._levels, level)
        else:
            self._levels.extend(new)
            self._levels.sort()
