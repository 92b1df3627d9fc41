"""A rule over recorded quotes, with a look at every step: near misses, extremes, running confirmations.

The index that watches live prices does the judging; what stands here only looks on, so that the live path
pays nothing for it.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from domain.quotes import source_price
from domain.rules.approaches import Approach, ApproachWatch
from domain.rules.armed import Run
from domain.rules.crossing import Crossing
from domain.rules.index import TriggerIndex
from domain.rules.resolved import FiringTime, ResolvedRule, Trail
from domain.rules.tape import TapeRow
from domain.rules.watch import TrailMark, Watch

NEAR_MISSES_KEPT = 5
_RULE_ID = "trace"
_TOKEN_ID = "trace"  # noqa: S105 - a market's token, not a secret
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Extreme:
    """A source price and when it was first seen."""

    price: Decimal
    at: datetime


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
            index: ApproachWatch(index, condition, keep)
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
                condition.see(row.quote, row.at, seen.price, self._resolved, self._tick)

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
