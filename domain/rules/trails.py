"""Trailing conditions in groups that share a mark.

A new high merges all groups below it into one, so a rising price costs no more than it merges, and in each
group only the smallest trail has to be compared: the others lie below it.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal

from domain.rules.armed import Entry
from domain.rules.sorted_levels import SortedLevels
from domain.rules.watch import TrailMark

# Where groups without a mark are kept: below every price, so that the first usable quote raises them.
_UNMARKED = Decimal(-1)


class MarkGroup:
    """Trails with one and the same mark, in the order of their distance from it."""

    __slots__ = ("mark", "members", "size", "top")

    def __init__(self, mark: Decimal | None) -> None:
        self.mark = mark
        self.members: SortedLevels[Entry] = SortedLevels()
        self.size = 0
        self.top: Decimal | None = None


class MarkChanges:
    """Which marks moved since they were last taken; trails that left keep their last word here."""

    def __init__(self) -> None:
        self.groups: dict[MarkGroup, None] = {}
        self.entries: dict[Entry, None] = {}
        self._left: list[TrailMark] = []

    def leave(self, entry: Entry) -> None:
        """Keep the unsaved mark of a trail that leaves its group."""
        if entry.group in self.groups or entry in self.entries:
            self.entries.pop(entry, None)
            self._left.append(entry.trail_mark())

    def take(self) -> list[TrailMark]:
        """Return the changed marks, at most the latest of each trail last, and forget them."""
        taken = self._left
        for group in self.groups:
            taken.extend(entry.trail_mark() for _, entry in group.members.ascending())
        taken.extend(entry.trail_mark() for entry in self.entries if entry.group not in self.groups)
        self._left, self.groups, self.entries = [], {}, {}
        return taken


class Trails:
    """Active trails whose levels follow from mark and distance by one formula (percent or points)."""

    def __init__(self, level_at: Callable[[Decimal, Decimal], Decimal], changes: MarkChanges) -> None:
        self._level_at = level_at
        self._changes = changes
        self._groups: SortedLevels[MarkGroup] = SortedLevels()
        self._tops: SortedLevels[MarkGroup] = SortedLevels()

    @property
    def lowest_mark(self) -> Decimal | None:
        """The mark above which a price moves something; below every price while a trail has no mark."""
        return self._groups.lowest

    @property
    def highest_level(self) -> Decimal | None:
        """The highest level of all trails."""
        return self._tops.highest

    def add(self, distance: Decimal, entry: Entry, mark: Decimal | None) -> None:
        """Put an active trail among those that share its mark."""
        key = _UNMARKED if mark is None else mark
        group = self._groups.first_at(key)
        if group is None:
            group = MarkGroup(mark)
            self._groups.add(key, group)
        group.members.add(distance, entry)
        group.size += 1
        entry.group = group
        self._retop(group)

    def remove(self, distance: Decimal, entry: Entry) -> None:
        """Take a trail out."""
        group = entry.group
        if group is None:
            return
        self._changes.leave(entry)
        group.members.remove(distance, entry)
        group.size -= 1
        entry.group = None
        self._retop(group)
        if not group.size:
            self._groups.remove(_UNMARKED if group.mark is None else group.mark, group)
            self._changes.groups.pop(group, None)

    def raise_marks(self, price: Decimal) -> None:
        """Raise every mark below `price` to it."""
        raised = list(self._groups.below(price))
        if not raised:
            return
        at_price = self._groups.first_at(price)
        merged = [*raised, at_price] if at_price is not None else raised
        survivor = max(merged, key=lambda group: group.size)
        for group in merged:
            self._groups.remove(_UNMARKED if group.mark is None else group.mark, group)
            self._untop(group)
            if group is not survivor:
                self._merge(survivor, group)
        survivor.mark = price
        self._groups.add(price, survivor)
        self._retop(survivor)
        self._changes.groups[survivor] = None

    def reached(self, price: Decimal) -> Iterator[Entry]:
        """Yield the trails whose level stands at `price` or above; in a group the smallest trail first."""
        for group in self._tops.at_or_above(price):
            for distance, entry in group.members.ascending():
                if group.mark is None or self._level_at(group.mark, distance) < price:
                    break
                yield entry

    def _merge(self, survivor: MarkGroup, group: MarkGroup) -> None:
        for _, entry in group.members.ascending():
            entry.group = survivor
        survivor.members.absorb(group.members)
        survivor.size += group.size
        self._changes.groups.pop(group, None)

    def _retop(self, group: MarkGroup) -> None:
        """Keep the group's highest level, which is that of its smallest trail, in its place."""
        smallest = group.members.lowest
        top = None if smallest is None or group.mark is None else self._level_at(group.mark, smallest)
        if top != group.top:
            self._untop(group)
            if top is not None:
                self._tops.add(top, group)
                group.top = top

    def _untop(self, group: MarkGroup) -> None:
        if group.top is not None:
            self._tops.remove(group.top, group)
            group.top = None
