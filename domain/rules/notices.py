"""Near misses as lines of the event log: merged for each rule, so that a noisy market cannot fill the log."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from pydantic import TypeAdapter

from domain.money import plain
from domain.quotes import Quote
from domain.rules.approaches import Approach
from domain.rules.crossing import Refusal
from domain.rules.definition import ConditionType
from domain.rules.noticing import Miss

LONGEST_PAUSE = timedelta(hours=1)
MOST_WAITING = 10_000
"""Conditions whose near misses wait to be written; beyond it only these are counted on."""


class Observation(StrEnum):
    """Types of events that only tell what was seen. They alone are removed from the log after a while."""

    NEAR_MISS = "rule.near_miss"
    HELD_BACK = "rule.held_back"
    EVALUATED = "rule.evaluated"


NEAR_MISSES = (Observation.NEAR_MISS, Observation.HELD_BACK)


class _Subject(NamedTuple):
    rule_id: str
    generation: int
    condition_index: int
    held_by: Refusal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Approaches of one condition that ended alike, in one line.

    Attributes:
        count: how many began; 0 where the only one was told of before, and has ended now.
        first: when the first of them began.
        last: when the last one ended; of one that goes on, its nearest quote.
        nearest: the one that came nearest, or went furthest beyond.
        goes_on: the last one has not ended yet.
    """

    rule_id: str
    generation: int
    count: int
    first: datetime
    last: datetime
    nearest: Approach
    goes_on: bool

    @property
    def type(self) -> Observation:
        """What kind of event it is."""
        return Observation.NEAR_MISS if self.nearest.held_by is None else Observation.HELD_BACK

    @property
    def key(self) -> str:
        """Its own name among the rule's events."""
        nearest = self.nearest
        subject = f"{self.generation}/{nearest.condition_index}/{nearest.held_by or 'near'}"
        return f"{self.rule_id}/{self.type}/{subject}/{self.last.isoformat()}"


@dataclass(slots=True)
class _Pause:
    until: datetime
    length: timedelta


class MissLog:
    """Near misses that wait to be written: at once the first time, then merged, at growing intervals."""

    def __init__(self, pause: timedelta) -> None:
        """Take the shortest time between two lines of one condition; it doubles while the noise lasts."""
        self._pause = pause
        self._waiting: dict[_Subject, Notice] = {}
        self._pauses: dict[_Subject, _Pause] = {}
        self._dropped = 0

    def add(self, miss: Miss) -> None:
        """Take a near miss; those of a condition that wait already become one notice with it."""
        notice = notice_of(miss)
        subject = _subject_of(notice)
        waiting = self._waiting.get(subject)
        if waiting is not None:
            self._waiting[subject] = _joined(waiting, notice)
        elif len(self._waiting) < MOST_WAITING:
            self._waiting[subject] = notice
        else:
            self._dropped += 1

    def take_due(self, now: datetime, most: int) -> list[Notice]:
        """Return notices that may be written now, at most so many, and begin their pauses."""
        found = [subject for subject in self._waiting if self._is_due(subject, now)][:most]
        for subject in found:
            pause = self._next_pause(subject)
            self._pauses[subject] = _Pause(now + pause, pause)
        self._pauses = {
            subject: pause
            for subject, pause in self._pauses.items()
            if subject in self._waiting or now <= pause.until + pause.length
        }
        return [self._waiting.pop(subject) for subject in found]

    def take_all(self) -> list[Notice]:
        """Return all that waits, due or not: the end has come."""
        taken, self._waiting = self._waiting, {}
        return list(taken.values())

    def take_dropped(self) -> int:
        """Return how many near misses found no place since the last call."""
        dropped, self._dropped = self._dropped, 0
        return dropped

    def rule_ids(self) -> set[str]:
        """Return the rules with notices that wait."""
        return {subject.rule_id for subject in self._waiting}

    def put_back(self, notices: Iterable[Notice]) -> None:
        """Take back what could not be written: it is due again at once."""
        for notice in notices:
            subject = _subject_of(notice)
            later = self._waiting.get(subject)
            self._waiting[subject] = notice if later is None else _joined(notice, later)
            self._pauses.pop(subject, None)

    def _is_due(self, subject: _Subject, now: datetime) -> bool:
        pause = self._pauses.get(subject)
        return pause is None or now >= pause.until

    def _next_pause(self, subject: _Subject) -> timedelta:
        before = self._pauses.get(subject)
        if before is None or self._waiting[subject].first > before.until:
            return self._pause  # it was quiet for the whole of the last one
        return min(before.length * 2, LONGEST_PAUSE)


def notice_of(miss: Miss) -> Notice:
    """Return a near miss as a notice of its own."""
    approach = miss.approach
    return Notice(
        rule_id=miss.rule_id,
        generation=miss.generation,
        count=0 if miss.again else 1,
        first=approach.began_at,
        last=approach.ended_at or approach.at,
        nearest=approach,
        goes_on=approach.ended_at is None,
    )


def _subject_of(notice: Notice) -> _Subject:
    nearest = notice.nearest
    return _Subject(notice.rule_id, notice.generation, nearest.condition_index, nearest.held_by)


def _joined(earlier: Notice, later: Notice) -> Notice:
    return Notice(
        rule_id=later.rule_id,
        generation=later.generation,
        count=earlier.count + later.count,
        first=min(earlier.first, later.first),
        last=max(earlier.last, later.last),
        nearest=min(earlier.nearest, later.nearest, key=lambda approach: approach.distance),
        goes_on=later.goes_on,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedMiss:
    """A notice as the event log holds it; prices in USD per share."""

    generation: int
    condition_index: int
    condition: ConditionType
    held_by: Refusal | None = None
    count: int
    first: datetime
    last: datetime
    goes_on: bool
    at: datetime
    price: Decimal
    level: Decimal
    distance: Decimal
    bid: Decimal | None = None
    ask: Decimal | None = None
    last_trade: Decimal | None = None

    @property
    def approach(self) -> Approach:
        """The nearest of its approaches, over the time of all of them."""
        return Approach(
            condition_index=self.condition_index,
            condition=self.condition,
            began_at=self.first,
            ended_at=None if self.goes_on else self.last,
            at=self.at,
            price=self.price,
            level=self.level,
            distance=self.distance,
            quote=Quote(self.bid, self.ask, self.last_trade),
            held_by=self.held_by,
        )


_LOGGED = TypeAdapter(LoggedMiss)


def last_misses(
    traced: Sequence[Approach], logged: Iterable[LoggedMiss], keep: int
) -> list[tuple[Approach, int]]:
    """Return the latest near misses and how many approaches each stands for, oldest first.

    Args:
        traced: what the recorded tape shows, one by one.
        logged: what the event log tells, the latest line first. It knows guards that no tape shows, and
            reaches further back; what lies within a traced approach's time is that approach.
        keep: how many at most.
    """
    lines: dict[tuple[int, int, Refusal | None, datetime], LoggedMiss] = {}
    for line in logged:  # of a line for what went on and one for its end, the later one counts
        lines.setdefault((line.generation, line.condition_index, line.held_by, line.first), line)
    found = [(approach, 1) for approach in traced]
    found += [
        (line.approach, max(line.count, 1))
        for line in lines.values()
        if not any(_overlaps(line, approach) for approach in traced)
    ]
    return sorted(found, key=lambda miss: miss[0].at)[-keep:]


def _overlaps(line: LoggedMiss, approach: Approach) -> bool:
    began_before = approach.began_at <= line.last
    ended_after = approach.ended_at is None or approach.ended_at >= line.first
    return line.condition_index == approach.condition_index and began_before and ended_after


def data_of(notice: Notice) -> dict[str, str]:
    """Return what the event log keeps of a notice."""
    nearest = notice.nearest
    logged = LoggedMiss(
        generation=notice.generation,
        condition_index=nearest.condition_index,
        condition=nearest.condition,
        held_by=nearest.held_by,
        count=notice.count,
        first=notice.first,
        last=notice.last,
        goes_on=notice.goes_on,
        at=nearest.at,
        price=nearest.price,
        level=nearest.level,
        distance=nearest.distance,
        bid=nearest.quote.bid,
        ask=nearest.quote.ask,
        last_trade=nearest.quote.last,
    )
    written: dict[str, object] = _LOGGED.dump_python(logged, exclude_none=True)
    return {name: _text(value) for name, value in written.items()}


def logged_miss(data: Mapping[str, str]) -> LoggedMiss:
    """Return the near miss that an event's data holds.

    Raises:
        pydantic.ValidationError: It is no near miss's data.
    """
    return _LOGGED.validate_strings(dict(data))


def _text(value: object) -> str:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, datetime) else str(value)
