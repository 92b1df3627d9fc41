"""A watched rule as the index holds it: one entry for each condition that a price can reach."""

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from domain.quotes import Quote, SourcePrice
from domain.rules.resolved import FiringTime, PriceLevel, Trail
from domain.rules.watch import TrailMark, Watch

if TYPE_CHECKING:
    from domain.rules.trails import MarkGroup


class Sighting(NamedTuple):
    """A sound quote seen through one price source.

    Attributes:
        spread: ask − bid, None while a side is missing.
        now_ms: local monotonic time of the evaluation.
        fresh_ms: local monotonic time at which the quote was last confirmed.
    """

    quote: Quote
    seen: SourcePrice
    spread: Decimal | None
    now_ms: int
    fresh_ms: int
    venue_timestamp_ms: int | None


@dataclass(slots=True)
class Run:
    """Consecutive sightings beyond a level: the first one's time, how many, and the latest."""

    since_ms: int
    count: int
    latest: Sighting


class Entry:
    """One price condition of a watched rule."""

    __slots__ = ("armed", "condition", "group", "index", "run")

    def __init__(self, armed: "Armed", index: int, condition: PriceLevel | Trail) -> None:
        self.armed = armed
        self.index = index
        self.condition = condition
        self.group: MarkGroup | None = None
        self.run: Run | None = None

    @property
    def mark(self) -> Decimal | None:
        """The highest price since activation, None for a fixed level or before the first usable quote."""
        return None if self.group is None else self.group.mark

    @property
    def level(self) -> Decimal | None:
        """The level as it stands now."""
        if isinstance(self.condition, PriceLevel):
            return self.condition.level
        return self.condition.level_at(self.mark)

    def trail_mark(self) -> TrailMark:
        """Return what must be remembered of this trail."""
        watch = self.armed.watch
        return TrailMark(watch.rule_id, watch.generation, self.index, self.mark, self.group is not None)


class Armed:
    """A watched rule.

    Attributes:
        in_flight: a crossing of it is on its way to the rule, so it must not fire again.
        waiting: its `not_before` lies ahead.
        since_ms: local monotonic time from which on it is watched.
    """

    __slots__ = ("entries", "in_flight", "since_ms", "waiting", "watch")

    def __init__(self, watch: Watch, since_ms: int) -> None:
        self.watch = watch
        self.since_ms = since_ms
        self.in_flight = False
        self.waiting = False
        self.entries = tuple(
            Entry(self, index, condition)
            for index, condition in enumerate(watch.resolved.conditions)
            if not isinstance(condition, FiringTime)
        )

    def marks(self) -> list[TrailMark]:
        """Return what must be remembered of its trails."""
        return [entry.trail_mark() for entry in self.entries if isinstance(entry.condition, Trail)]
