"""A rule over a recorded tape, by the very index that watches live prices."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TypedDict

from domain.money import plain
from domain.quotes import PriceRules, Quote, price_rules_of
from domain.rules.crossing import Crossing
from domain.rules.definition import ConditionType, RuleDefinition
from domain.rules.index import TriggerIndex, Watch
from domain.rules.levels import resolve
from domain.rules.resolved import FiringTime, ResolvedRule, Trail
from domain.rules.tape import TapeRow
from domain.rules.watch import TrailMark

_RULE_ID = "replay"
_TOKEN_ID = "replay"  # noqa: S105 - a market's token, not a secret
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_QUOTE = Quote(None, None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arming:
    """What a rule went on from when its present generation was armed.

    Attributes:
        marks: those of the generations before.
        not_before: until then marks move and nothing fires.
    """

    marks: Sequence[TrailMark] = ()
    not_before: datetime | None = None


_FIRST_ARMING = Arming()


class QuoteText(TypedDict):
    """A quote as JSON."""

    bid: str | None
    ask: str | None
    last: str | None


class ReplayAnswer(TypedDict):
    """The JSON answer of a replay."""

    fired: bool
    index: int | None
    ts: str | None
    condition: str | None
    level: str | None
    quote: QuoteText | None
    high_water: str | None


@dataclass(frozen=True, slots=True)
class Firing:
    """What fired, and where.

    Attributes:
        index: the row (from 0) that fired, or that stood when a timer did; None before the first.
        row: that row; with a timer's own time where that fired.
    """

    index: int | None
    row: TapeRow
    condition_index: int
    condition: ConditionType
    level: Decimal | None


@dataclass(frozen=True, slots=True)
class TrailStep:
    """A change of a running trailing level.

    Attributes:
        index: the row (from 0) at which it changed.
        mark: the mark from then on; None while the level is the floor alone.
    """

    index: int
    ts: str
    condition_index: int
    mark: Decimal | None
    level: Decimal | None


@dataclass(frozen=True, slots=True)
class ReplayOutcome:
    """What a rule does on a tape.

    Attributes:
        resolved: the rule with its levels; None for a tape without rows.
        rows: rows looked at, the one that fired included.
        expired: the rule ended unfired at its `expires_at`.
        high_water: mark of the trailing condition that fired, else of the first trailing one.
        steps: each change of a trailing level, in order.
    """

    resolved: ResolvedRule | None
    rows: int
    firing: Firing | None
    expired: bool
    high_water: Decimal | None
    steps: tuple[TrailStep, ...]

    def answer(self) -> ReplayAnswer:
        """Return the outcome in the shape of `holdfast replay --json`."""
        fired = self.firing
        return ReplayAnswer(
            fired=fired is not None,
            index=None if fired is None else fired.index,
            ts=None if fired is None else fired.row.ts,
            condition=None if fired is None else fired.condition.value,
            level=None if fired is None else _text(fired.level),
            quote=None if fired is None else _quote_text(fired.row.quote),
            high_water=_text(self.high_water),
        )


def replay(definition: RuleDefinition, rows: Iterable[TapeRow]) -> ReplayOutcome:
    """Run a rule over a tape until it fires or expires.

    The rule is armed at the first row's time. Each row is a fresh quote. Time conditions fire at the first
    row, priced or skipped, at or after their moment; of several conditions at one row the first of the list
    wins.

    Raises:
        UnresolvableRule: a level or moment of the rule cannot be computed.
    """
    prices = price_rules_of(definition.venue)
    remaining = iter(rows)
    first = next(remaining, None)
    if first is None:
        resolve_at(definition, _EPOCH, prices)
        return ReplayOutcome(None, 0, None, False, None, ())
    run = _Replay(resolve_at(definition, first.at, prices))
    return run.over(_chained(first, remaining))


def replay_resolved(
    resolved: ResolvedRule, rows: Iterable[TapeRow], *, until: datetime, arming: Arming = _FIRST_ARMING
) -> ReplayOutcome:
    """Run a rule whose levels stand already over its token's tape until it fires or expires.

    As where prices are live, timers run between the rows, each at its own time: a confirmation's, the end of
    a pause, moments, the expiry.

    Args:
        resolved: the rule with its levels.
        rows: quotes in the order in which they came; the first may be one that stood already.
        until: the end of the tape, not included.
        arming: what the rule went on from.
    """
    return _Replay(resolved, arming).over(rows, until)


def resolve_at(definition: RuleDefinition, armed_at: datetime, prices: PriceRules) -> ResolvedRule:
    """Return the levels of a rule armed on a tape, where no position and no market is known.

    Raises:
        UnresolvableRule: a level or moment of the rule cannot be computed.
    """
    return resolve(definition, None, armed_at=armed_at, opened_at=None, market_end=None, rules=prices)


class _Replay:
    def __init__(self, resolved: ResolvedRule, arming: Arming = _FIRST_ARMING) -> None:
        self._resolved = resolved
        self._index = TriggerIndex(resolved.prices)
        waits_until = None if arming.not_before is None else _unix_ms(arming.not_before)
        own = [replace(mark, rule_id=_RULE_ID, generation=1) for mark in arming.marks]
        self._index.add(Watch(_RULE_ID, 1, _TOKEN_ID, resolved, waits_until), 0, mark=own)
        self._carried = {mark.condition_index: mark.mark for mark in own if mark.active}
        self._steps: list[TrailStep] = []
        self._next_time = resolved.next_time()

    def over(self, rows: Iterable[TapeRow], until: datetime | None = None) -> ReplayOutcome:
        """Show the rows one after the other; with `until`, timers run before each and after the last."""
        seen, standing = 0, None
        for index, row in enumerate(rows):
            firing = None if until is None else self._between(standing, index, row.at)
            if firing is not None:
                return self._outcome(seen, firing, False)
            seen, standing = index + 1, row
            expired = self._has_expired(row)
            firing = self._by_time(index, row) if expired else self._at(index, row)
            if firing is not None or expired:
                return self._outcome(seen, firing, expired and firing is None)
        firing = None if until is None else self._between(standing, seen, until)
        expires_at = self._resolved.expires_at
        ended = until is not None and expires_at is not None and expires_at < until
        return self._outcome(seen, firing, ended and firing is None)

    def _between(self, standing: TapeRow | None, next_index: int, until: datetime) -> Firing | None:
        """Let timers and moments run at their own times, until the next row or the expiry."""
        index, expires_at = next_index - 1 if standing else None, self._resolved.expires_at
        until_ms = _unix_ms(until)
        while (due_ms := self._next_due_ms()) is not None and due_ms < until_ms:
            at = _EPOCH + timedelta(milliseconds=due_ms)
            if expires_at is not None and at > expires_at:
                return None
            row = TapeRow(at.isoformat(), at, standing.quote if standing else _NO_QUOTE)
            firing = self._first_of(index, row, self._index.due(due_ms))
            if firing is not None:
                return firing
        return None

    def _next_due_ms(self) -> int | None:
        """Return when the next timer or moment is due, a part of a millisecond counted whole."""
        timer_ms = self._index.next_due_ms()
        if self._next_time is None:
            return timer_ms
        moment_ms = -((_EPOCH - self._next_time) // timedelta(milliseconds=1))
        return moment_ms if timer_ms is None else min(timer_ms, moment_ms)

    def _has_expired(self, row: TapeRow) -> bool:
        expires_at = self._resolved.expires_at
        return expires_at is not None and row.at >= expires_at

    def _at(self, index: int, row: TapeRow) -> Firing | None:
        crossings = self._index.on_quote(_TOKEN_ID, row.quote, _unix_ms(row.at))
        self._note_steps(index, row)
        return self._first_of(index, row, crossings)

    def _first_of(self, index: int | None, row: TapeRow, crossings: Sequence[Crossing]) -> Firing | None:
        """Return what fires first in the rule's list, of the crossings and the moments that are due."""
        by_price = [Firing(index, row, c.condition_index, c.condition, c.level) for c in crossings]
        by_time = self._by_time(index, row)
        firings = by_price if by_time is None else [*by_price, by_time]
        return min(firings, key=lambda firing: firing.condition_index, default=None)

    def _by_time(self, index: int | None, row: TapeRow) -> Firing | None:
        """Return the first time condition that is due; after the expiry only what was due before it."""
        if self._next_time is None or row.at < self._next_time:
            return None
        until = row.at if self._resolved.expires_at is None else min(row.at, self._resolved.expires_at)
        for place, condition in enumerate(self._resolved.conditions):
            if isinstance(condition, FiringTime) and condition.fires_at <= until:
                return Firing(index, row, place, condition.type, None)
        return None

    def _note_steps(self, index: int, row: TapeRow) -> None:
        for mark in self._index.take_changed_marks():
            trail = self._resolved.conditions[mark.condition_index]
            level = trail.level_at(mark.mark) if isinstance(trail, Trail) else None
            step = TrailStep(index, row.ts, mark.condition_index, mark.mark, level)
            self._steps.append(step)

    def _outcome(self, rows: int, firing: Firing | None, expired: bool) -> ReplayOutcome:
        marks = self._carried | {step.condition_index: step.mark for step in self._steps}
        fired_trail = firing.condition_index if firing is not None else None
        high_water = marks.get(fired_trail) if fired_trail in marks else None
        if high_water is None:
            high_water = next((marks[place] for place in sorted(marks)), None)
        return ReplayOutcome(self._resolved, rows, firing, expired, high_water, tuple(self._steps))


def _chained(first: TapeRow, remaining: Iterator[TapeRow]) -> Iterator[TapeRow]:
    yield first
    yield from remaining


def _unix_ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _text(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)


def _quote_text(quote: Quote) -> QuoteText:
    return QuoteText(bid=_text(quote.bid), ask=_text(quote.ask), last=_text(quote.last))
