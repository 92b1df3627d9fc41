"""Rules on one token that share price source and guards, so that one look at a quote judges them all."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import NamedTuple

from domain.money import EXACT
from domain.rules.armed import Entry, Run, Sighting
from domain.rules.definition import ConditionType
from domain.rules.resolved import (
    PriceLevel,
    ResolvedRule,
    Trail,
    below,
    reach_of,
    spread_allows_firing,
    spread_moves_marks,
)
from domain.rules.sorted_levels import SortedLevels
from domain.rules.timers import Timers
from domain.rules.trails import MarkChanges, Trails
from domain.rules.watch import TrailMark

UNREACHABLY_LOW = Decimal(-1)
UNREACHABLY_HIGH = Decimal("Infinity")


class LaneSettings(NamedTuple):
    """What rules of one lane have in common. A silent lane moves marks and fires nothing."""

    updates: int
    confirm_ms: int
    max_spread: Decimal | None
    max_age_ms: int
    bid_confirms: bool
    mark_max_spread: Decimal | None
    targets_need_bid: bool
    silent: bool

    @classmethod
    def of(cls, resolved: ResolvedRule, *, silent: bool) -> "LaneSettings":
        """Return the settings of the lane that a rule belongs to."""
        trails = any(isinstance(condition, Trail) for condition in resolved.conditions)
        return cls(
            resolved.confirm.updates,
            resolved.confirm.ms,
            resolved.max_spread,
            resolved.max_age_ms,
            resolved.bid_confirms,
            resolved.mark_max_spread if trails else None,
            resolved.targets_need_bid,
            silent,
        )


class Lane:
    """The conditions of one lane in the order of their levels.

    A price strictly between `low` and `high`, not above `mark_low`, changes nothing here.
    """

    __slots__ = (
        "_activations",
        "_changes",
        "_runs",
        "_settings",
        "_stops",
        "_targets",
        "_timers",
        "_trails_by_percent",
        "_trails_by_points",
        "has_loose_bounds",
        "high",
        "low",
        "mark_low",
        "rules",
    )

    def __init__(self, settings: LaneSettings, timers: Timers, changes: MarkChanges) -> None:
        self._settings = settings
        self._timers = timers
        self._changes = changes
        self._stops: SortedLevels[Entry] = SortedLevels()
        self._targets: SortedLevels[Entry] = SortedLevels()
        self._activations: SortedLevels[Entry] = SortedLevels()
        self._trails_by_percent = Trails(below, changes)
        self._trails_by_points = Trails(EXACT.subtract, changes)
        self._runs: dict[Entry, Run] = {}
        self.rules = 0
        self.bound()

    def put(self, entries: Iterable[Entry], marks: dict[int, TrailMark]) -> None:
        """Watch the entries of a rule; trails go on from their marks, runs of sightings from their counts.

        Like `take_out` this leaves the bounds as they are: many rules may move before `bound` is called once.
        """
        self.rules += 1
        self.has_loose_bounds = True
        for entry in entries:
            condition = entry.condition
            if isinstance(condition, Trail):
                self._put_trail(entry, condition, marks.get(entry.index))
            elif not self._settings.silent:
                self._levels_of(condition).add(condition.level, entry)
            if entry.run is not None:
                self._runs[entry] = entry.run

    def take_out(self, entries: Iterable[Entry]) -> None:
        """Stop watching the entries of a rule."""
        self.rules -= 1
        self.has_loose_bounds = True
        for entry in entries:
            condition = entry.condition
            if isinstance(condition, Trail):
                self._take_trail(entry, condition)
            elif not self._settings.silent:
                self._levels_of(condition).remove(condition.level, entry)
            self._runs.pop(entry, None)

    def see(self, sighting: Sighting) -> list[Entry]:
        """Move marks first, then return the entries that fire; those of one rule may be several."""
        price = sighting.seen.price
        if price > self.mark_low or price >= self.high:
            self._move_marks(price, sighting.spread)
        fired = [] if self._skips_firing(sighting) else self._fired(sighting)
        self.bound()
        return fired

    def within(self, low: Decimal, high: Decimal) -> Iterator[Entry]:
        """Yield stops and trails with levels from `low` on, and targets with levels up to `high`."""
        if self._settings.silent:
            return
        yield from self._stops.at_or_above(low)
        for trails in (self._trails_by_percent, self._trails_by_points):
            yield from trails.reached(low)
        yield from self._targets.at_or_below(high)

    def bound(self) -> None:
        """Renew the bounds between which a price changes nothing."""
        trails = (self._trails_by_percent, self._trails_by_points)
        down = [self._stops.highest, *(trail.highest_level for trail in trails)]
        up = [self._targets.lowest, self._activations.lowest]
        marks = [trail.lowest_mark for trail in trails]
        self.has_loose_bounds = False
        self.low = max((level for level in down if level is not None), default=UNREACHABLY_LOW)
        self.high = min((level for level in up if level is not None), default=UNREACHABLY_HIGH)
        self.mark_low = min((mark for mark in marks if mark is not None), default=UNREACHABLY_HIGH)
        if self._settings.silent:
            self.low = UNREACHABLY_LOW
        elif self._runs:
            # A run has to hear of every quote, also of the one that ends it.
            self.low = UNREACHABLY_HIGH

    def _levels_of(self, condition: PriceLevel) -> SortedLevels[Entry]:
        return self._stops if condition.type is ConditionType.STOP_LOSS else self._targets

    def _trails_of(self, trail: Trail) -> tuple[Trails, Decimal]:
        if trail.percent is not None:
            return self._trails_by_percent, trail.percent
        return self._trails_by_points, trail.points or Decimal(0)

    def _put_trail(self, entry: Entry, trail: Trail, known: TrailMark | None) -> None:
        if trail.floor is not None and not self._settings.silent:
            self._stops.add(trail.floor, entry)
        mark = known.mark if known is not None and known.active else None
        if trail.activation is not None and (mark is None or mark < trail.activation):
            self._activations.add(trail.activation, entry)
            return
        trails, distance = self._trails_of(trail)
        trails.add(distance, entry, mark)

    def _take_trail(self, entry: Entry, trail: Trail) -> None:
        if trail.floor is not None and not self._settings.silent:
            self._stops.remove(trail.floor, entry)
        if entry.group is not None:
            trails, distance = self._trails_of(trail)
            trails.remove(distance, entry)
        elif trail.activation is not None:
            self._activations.remove(trail.activation, entry)

    def _move_marks(self, price: Decimal, spread: Decimal | None) -> None:
        if not spread_moves_marks(spread, self._settings.mark_max_spread):
            return
        self._trails_by_percent.raise_marks(price)
        self._trails_by_points.raise_marks(price)
        for entry in list(self._activations.at_or_below(price)):
            self._activate(entry, price)

    def _activate(self, entry: Entry, price: Decimal) -> None:
        trail = entry.condition
        if isinstance(trail, Trail) and trail.activation is not None:
            self._activations.remove(trail.activation, entry)
            trails, distance = self._trails_of(trail)
            trails.add(distance, entry, price)
            self._changes.entries[entry] = None

    def _skips_firing(self, sighting: Sighting) -> bool:
        settings = self._settings
        return (
            settings.silent
            or sighting.now_ms - sighting.fresh_ms > settings.max_age_ms
            or not spread_allows_firing(sighting.spread, settings.max_spread)
        )

    def _fired(self, sighting: Sighting) -> list[Entry]:
        beyond = self._beyond(sighting)
        if self._settings.updates == 1 and not self._settings.confirm_ms:
            for entry in beyond:
                entry.run = Run(sighting.now_ms, 1, sighting)
            return beyond
        return self._confirmed(beyond, sighting)

    def _beyond(self, sighting: Sighting) -> list[Entry]:
        settings = self._settings
        reach = reach_of(
            sighting.quote,
            sighting.seen,
            settings.bid_confirms,
            targets_need_bid=settings.targets_need_bid,
        )
        # A trail can stand here twice, by its floor and by its mark: the dict keeps it once.
        beyond = dict.fromkeys(self._stops.at_or_above(reach.down))
        beyond.update(dict.fromkeys(self._trails_by_percent.reached(reach.down)))
        beyond.update(dict.fromkeys(self._trails_by_points.reached(reach.down)))
        if reach.up is not None:
            beyond.update(dict.fromkeys(self._targets.at_or_below(reach.up)))
        return list(beyond)

    def _confirmed(self, beyond: list[Entry], sighting: Sighting) -> list[Entry]:
        """Count the sighting for every run that it goes on with, end the others, return what is confirmed."""
        broken, self._runs = self._runs, {}
        for entry in beyond:
            run = broken.pop(entry, None)
            if run is None:
                run = entry.run = Run(sighting.now_ms, 0, sighting)
                if self._settings.confirm_ms:
                    self._timers.at(sighting.now_ms + self._settings.confirm_ms, entry, run)
            run.count += 1
            run.latest = sighting
            self._runs[entry] = run
        for entry in broken:
            entry.run = None
        return [entry for entry, run in self._runs.items() if self.is_confirmed(run, sighting.now_ms)]

    def is_confirmed(self, run: Run, now_ms: int) -> bool:
        """Say whether a run was often and long enough beyond its level, by a quote that is still fresh."""
        settings = self._settings
        return (
            run.count >= settings.updates
            and now_ms - run.since_ms >= settings.confirm_ms
            and now_ms - run.latest.fresh_ms <= settings.max_age_ms
        )
