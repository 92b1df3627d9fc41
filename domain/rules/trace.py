"""A rule over recorded quotes, with a look at every step: near misses, extremes, running confirmations.

The index that watches live prices does the judging; what stands here only looks on, so that the live path
pays nothing for it.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from domain.money import EXACT
from domain.quotes import PriceRules, Quote, source_price
from domain.rules.armed import Run
from domain.rules.crossing import Crossing, Refusal, refusal_of
from domain.rules.definition import ConditionType
from domain.rules.index import TriggerIndex
from domain.rules.resolved import FiringTime, PriceLevel, ResolvedRule, Trail
from domain.rules.tape import TapeRow
from domain.rules.watch import TrailMark, Watch

NEAR_MISSES_KEPT = 5
_RULE_ID = "trace"
_TOKEN_ID = "trace"  # noqa: S105 - a market's token, not a secret
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEAR = Decimal("0.05")
_NEAR_TRAIL = Decimal("0.25")
_NEAR_TICKS = Decimal(2)
_ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Extreme:
    """A source price and when it was first seen."""

    price: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class Approach:
    """A price came near a level, or beyond it, and the rule did not fire.

    Attributes:
        began_at: the first quote within the near zone.
        ended_at: the first quote outside of it again; None while it goes on.
        at: the quote that came nearest (or went furthest beyond).
        distance: price units to the level at that quote; zero or less when the level was reached.
        held_by: the guard that kept a reached level from firing; None where it was not reached.
    """

    condition_index: int
    condition: ConditionType
    began_at: datetime
    ended_at: datetime | None
    at: datetime
    price: Decimal
    level: Decimal
    distance: Decimal
    quote: Quote
    held_by: Refusal | None


@dataclass(frozen=True, slots=True)
class Trace:
    """What a rule did on recorded quotes.

    Attributes:
        rows: quotes looked at.
        crossings: what fired; the rule was armed again each time.
        near_misses: approaches that came to nothing, oldest first, those that go on last.
        marks: the highest source price of each trailing condition, by its place in the rule's list.
        runs: confirmations under way at the last quote.
        latest: the last quote and its time.
    """

    rows: int
    crossings: tuple[Crossing, ...]
    near_misses: tuple[Approach, ...]
    highest: Extreme | None
    lowest: Extreme | None
    marks: dict[int, Decimal | None]
    runs: dict[int, Run]
    latest: TapeRow | None


def trace(
    resolved: ResolvedRule,
    rows: Iterable[TapeRow],
    *,
    tick: Decimal,
    not_before: datetime | None = None,
    marks: Sequence[TrailMark] = (),
    keep: int = NEAR_MISSES_KEPT,
) -> Trace:
    """Run a rule over recorded quotes, each taken as fresh.

    Args:
        resolved: the rule with its levels.
        rows: quotes in the order in which they came.
        tick: the market's price step, for how near is near.
        not_before: until then marks move and nothing fires.
        marks: marks that the rule went on from when it was armed.
        keep: how many near misses to remember, the latest ones.
    """
    tracer = _Tracer(resolved, tick, not_before, marks, keep)
    for row in rows:
        tracer.see(row)
    return tracer.result()


def distance_to(condition: ConditionType, level: Decimal, price: Decimal) -> Decimal:
    """Return how far a price has to move to reach a level; zero or less once it is reached."""
    if condition is ConditionType.TAKE_PROFIT:
        return EXACT.subtract(level, price)
    return EXACT.subtract(price, level)


def level_of(condition: PriceLevel | Trail, mark: Decimal | None) -> Decimal | None:
    """Return a condition's level as it stands with a mark; None while a trail has none."""
    return condition.level if isinstance(condition, PriceLevel) else condition.level_at(mark)


def near_zone(
    condition: PriceLevel | Trail, level: Decimal, mark: Decimal | None, prices: PriceRules, tick: Decimal
) -> Decimal:
    """Return how far from a level a price is near it, in price units.

    Five percent of the level (of its distance to 1 where that is smaller and prices end there), at least two
    ticks; for a trail at most a quarter of its distance, at least one tick.
    """
    room = min(level, EXACT.subtract(_ONE, level)) if prices.bounded else level
    zone = max(EXACT.multiply(room, _NEAR), EXACT.multiply(tick, _NEAR_TICKS))
    if isinstance(condition, PriceLevel) or mark is None:
        return zone
    trailing = EXACT.subtract(mark, level)
    return max(min(zone, EXACT.multiply(trailing, _NEAR_TRAIL)), tick)


class _Conditions:
    """One price condition: its approach under way and those that came to nothing."""

    def __init__(self, index: int, condition: PriceLevel | Trail, keep: int) -> None:
        self.index = index
        self.condition = condition
        self.mark: Decimal | None = None
        self.current: Approach | None = None
        self.missed: deque[Approach] = deque(maxlen=keep)

    def fired(self) -> None:
        """The approach under way came to something."""
        self.current = None

    def see(self, row: TapeRow, price: Decimal, resolved: ResolvedRule, tick: Decimal) -> None:
        """Take a quote that fired nothing here."""
        level = level_of(self.condition, self.mark)
        if level is None:
            return
        distance = distance_to(self.condition.type, level, price)
        if distance > near_zone(self.condition, level, self.mark, resolved.prices, tick):
            self._leave(row.at)
        elif self.current is None or distance < self.current.distance:
            self._approach(row, price, level, distance, resolved)

    def _leave(self, at: datetime) -> None:
        if self.current is not None:
            self.missed.append(replace(self.current, ended_at=at))
            self.current = None

    def _approach(
        self, row: TapeRow, price: Decimal, level: Decimal, distance: Decimal, resolved: ResolvedRule
    ) -> None:
        held_by = None
        if distance <= 0:
            # A quote that satisfies every guard and fired nothing was still being confirmed (or waited for).
            held_by = refusal_of(self.condition, resolved, row.quote, self.mark) or Refusal.NOT_CONFIRMED
        self.current = Approach(
            condition_index=self.index,
            condition=self.condition.type,
            began_at=row.at if self.current is None else self.current.began_at,
            ended_at=None,
            at=row.at,
            price=price,
            level=level,
            distance=distance,
            quote=row.quote,
            held_by=held_by,
        )


class _Tracer:
    def __init__(
        self,
        resolved: ResolvedRule,
        tick: Decimal,
        not_before: datetime | None,
        marks: Sequence[TrailMark],
        keep: int,
    ) -> None:
        self._resolved = resolved
        self._tick = tick
        self._keep = keep
        self._waits_until = None if not_before is None else unix_ms(not_before)
        self._index = TriggerIndex(resolved.prices)
        own = [replace(mark, rule_id=_RULE_ID, generation=1) for mark in marks]
        self._index.add(Watch(_RULE_ID, 1, _TOKEN_ID, resolved, self._waits_until), 0, mark=own)
        self._conditions = {
            index: _Conditions(index, condition, keep)
            for index, condition in enumerate(resolved.conditions)
            if not isinstance(condition, FiringTime)
        }
        self._note_marks(self._index.marks(_RULE_ID))
        self._crossings: deque[Crossing] = deque(maxlen=keep)
        self._highest: Extreme | None = None
        self._lowest: Extreme | None = None
        self._latest: TapeRow | None = None
        self._rows = 0

    def see(self, row: TapeRow) -> None:
        """Show one quote to the index and look at what it did."""
        self._rows += 1
        self._latest = row
        now = unix_ms(row.at)
        crossings = self._awaken(now) + self._index.on_quote(_TOKEN_ID, row.quote, now)
        self._note_marks(self._index.take_changed_marks())
        for crossing in crossings:
            self._crossings.append(crossing)
            self._index.undelivered(_RULE_ID, 1)
        seen = source_price(row.quote, self._resolved.price_source, self._resolved.prices)
        if seen is None:
            return
        self._note_extremes(seen.price, row.at)
        fired = {crossing.condition_index for crossing in crossings}
        for condition in self._conditions.values():
            if condition.index in fired:
                condition.fired()
            else:
                condition.see(row, seen.price, self._resolved, self._tick)

    def result(self) -> Trace:
        """Return what was seen so far."""
        conditions = self._conditions.values()
        ended = [approach for condition in conditions for approach in condition.missed]
        ended.sort(key=lambda approach: approach.at)
        under_way = [condition.current for condition in conditions if condition.current is not None]
        return Trace(
            rows=self._rows,
            crossings=tuple(self._crossings),
            near_misses=tuple([*ended, *under_way][-self._keep :]),
            highest=self._highest,
            lowest=self._lowest,
            marks={c.index: c.mark for c in conditions if isinstance(c.condition, Trail)},
            runs=self._index.runs(_RULE_ID),
            latest=self._latest,
        )

    def _awaken(self, now_ms: int) -> list[Crossing]:
        """Let the rule fire from its `not_before` on, as a timer does in the live path."""
        if self._waits_until is None or now_ms < self._waits_until:
            return []
        waited_until, self._waits_until = self._waits_until, None
        return self._index.due(waited_until)

    def _note_marks(self, marks: Iterable[TrailMark]) -> None:
        for mark in marks:
            self._conditions[mark.condition_index].mark = mark.mark

    def _note_extremes(self, price: Decimal, at: datetime) -> None:
        if self._highest is None or price > self._highest.price:
            self._highest = Extreme(price, at)
        if self._lowest is None or price < self._lowest.price:
            self._lowest = Extreme(price, at)


def unix_ms(moment: datetime) -> int:
    """Return an aware time in unix milliseconds."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)
