"""Which exits had to come about: a naive reading of the venue's tape that shares no code with the product.

An exit is expected when its condition holds on the tape while the feed could see, or for 15 seconds whether
it could or not. A target sells at its level or above, so it is expected when the bid stood there as long.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from bench.chaos.evidence import Sight, Span
from bench.chaos.plan import ConditionKind, ConditionPlan, Source

SUSTAINED_MS = 15_000
STAYS_MS = 5_000
"""A target that was reached for less may find the bid gone again: it stays armed then."""
SHOWN_SPREAD = Decimal("0.10")


@dataclass(frozen=True, slots=True)
class Fate:
    """What has to, and what may become of a rule.

    Attributes:
        crossed_at_ms: Since when an expected exit stood crossed; None when none is expected.
        may_fire: Whether any reading of the tape lets it fire.
    """

    crossed_at_ms: int | None
    may_fire: bool


@dataclass(frozen=True, slots=True)
class Tape:
    """The quotes of one token and when the feed was blind.

    Attributes:
        prints: Trades at the venue: each may have been the last price that a wide book showed.
    """

    sights: Sequence[Sight]
    gaps: Sequence[Span]
    until_ms: int
    prints: Sequence[tuple[int, Decimal]] = ()


def fate(
    versions: Sequence[Sequence[ConditionPlan]],
    source: Source,
    armed_at_ms: int,
    tape: Tape,
    patched_at_ms: int | None = None,
) -> Fate:
    """Return a rule's fate; a rule that was changed must fire when every version of it has to.

    Args:
        versions: Its condition lists, the last as it stands.
        source: Which price it looks at.
        armed_at_ms: When it was armed.
        tape: What its token showed.
        patched_at_ms: From when on the former versions let nothing fire any more; None: they still may.
    """
    crossed: list[int | None] = []
    may = False
    formerly = tape if patched_at_ms is None else _until(tape, patched_at_ms)
    for conditions in versions:
        certain = [_crossed_at(condition, source, armed_at_ms, tape) for condition in conditions]
        crossed.append(min((at for at in certain if at is not None), default=None))
        seen = tape if conditions is versions[-1] else formerly
        may = may or any(_may_fire(condition, source, armed_at_ms, seen) for condition in conditions)
    moments = [at for at in crossed if at is not None]
    return Fate(max(moments) if len(moments) == len(versions) else None, may)


def _until(tape: Tape, at_ms: int) -> Tape:
    """Return what a tape had shown by a moment."""
    sights = [sight for sight in tape.sights if sight.at_ms <= at_ms]
    prints = [printed for printed in tape.prints if printed[0] <= at_ms]
    return Tape(sights, tape.gaps, min(tape.until_ms, at_ms), prints)


def _crossed_at(condition: ConditionPlan, source: Source, armed_at_ms: int, tape: Tape) -> int | None:
    if condition.kind is ConditionKind.AT:
        return condition.at_ms if (condition.at_ms or 0) < tape.until_ms - SUSTAINED_MS else None
    standing = list(_standing(tape, armed_at_ms))
    seen = [_is_seen(span, tape.gaps) for _, span in standing]
    beyond = _beyond(condition, source, [sight for sight, _ in standing], seen)
    if condition.kind is ConditionKind.TARGET:
        level = condition.level or Decimal(0)
        beyond = [
            b and s.bid is not None and s.bid >= level for b, (s, _) in zip(beyond, standing, strict=True)
        ]
        return _first_certain(standing, beyond, seen, least_ms=STAYS_MS)
    return _first_certain(standing, beyond, seen, least_ms=0)


def _first_certain(
    standing: Sequence[tuple[Sight, Span]], beyond: Sequence[bool], seen: Sequence[bool], *, least_ms: int
) -> int | None:
    """Return the start of the first stretch beyond the level that was seen, or stood long enough."""
    began: int | None = None
    seen_since: int | None = None
    for (_, span), is_beyond, was_seen in zip(standing, beyond, seen, strict=True):
        if not is_beyond:
            began = seen_since = None
            continue
        began = span.from_ms if began is None else began
        if was_seen and seen_since is None:
            seen_since = span.from_ms
        long_enough = seen_since is not None and span.to_ms - seen_since >= least_ms
        if long_enough or span.to_ms - began >= SUSTAINED_MS:
            return began
    return None


def _may_fire(condition: ConditionPlan, source: Source, armed_at_ms: int, tape: Tape) -> bool:
    if condition.kind is ConditionKind.AT:
        return condition.at_ms is not None and condition.at_ms <= tape.until_ms
    sights = list(_with_prints(tape, armed_at_ms))
    return any(_beyond(condition, source, sights, [True] * len(sights)))


def _beyond(
    condition: ConditionPlan, source: Source, sights: Sequence[Sight], marks: Sequence[bool]
) -> list[bool]:
    """Say of each quote whether it lies beyond the level; a trail's mark moves where `marks` says so."""
    reaches = _reach(condition)
    mark: Decimal | None = None
    found: list[bool] = []
    for sight, moves in zip(sights, marks, strict=True):
        price, is_last = _price(sight, source)
        if price is None:
            found.append(False)
            continue
        if moves and _spread(sight) is not None and (_spread(sight) or Decimal(0)) <= SHOWN_SPREAD:
            mark = price if mark is None else max(mark, price)
        found.append(reaches(price, sight.bid, is_last, mark))
    return found


_Reaches = Callable[[Decimal, Decimal | None, bool, Decimal | None], bool]


def _reach(condition: ConditionPlan) -> _Reaches:
    def target(price: Decimal, bid: Decimal | None, is_last: bool, _mark: Decimal | None) -> bool:
        agreed = not is_last or (bid is not None and bid >= level)
        return price >= level and agreed

    def stop(price: Decimal, bid: Decimal | None, is_last: bool, mark: Decimal | None) -> bool:
        line = level if points is None else None if mark is None else mark - points
        if line is None:
            return False
        return price <= line and (not is_last or bid is None or bid <= line)

    level, points = condition.level or Decimal(0), condition.points
    return target if condition.kind is ConditionKind.TARGET else stop


def _price(sight: Sight, source: Source) -> tuple[Decimal | None, bool]:
    """Return the price that a rule looks at, and whether it is the last trade for want of a middle."""
    if source is Source.BID:
        return sight.bid, False
    spread = _spread(sight)
    if spread is not None and spread <= SHOWN_SPREAD and sight.bid is not None and sight.ask is not None:
        return (sight.bid + sight.ask) / 2, False
    return sight.last, True


def _spread(sight: Sight) -> Decimal | None:
    return None if sight.bid is None or sight.ask is None else sight.ask - sight.bid


def _standing(tape: Tape, armed_at_ms: int) -> Iterator[tuple[Sight, Span]]:
    """Yield each quote with the time for which it stood while the rule was armed."""
    ends: Iterable[int] = [*(sight.at_ms for sight in tape.sights[1:]), tape.until_ms]
    for sight, end_ms in zip(tape.sights, ends, strict=True):
        if end_ms > armed_at_ms:
            yield sight, Span(max(sight.at_ms, armed_at_ms), end_ms)


def _is_seen(span: Span, gaps: Sequence[Span]) -> bool:
    """Say whether some moment of a span lies outside every gap."""
    at = span.from_ms
    for gap in sorted(gaps, key=lambda gap: gap.from_ms):
        if gap.from_ms > at:
            return True
        at = max(at, gap.to_ms)
        if at >= span.to_ms:
            return False
    return True


def _with_prints(tape: Tape, armed_at_ms: int) -> Iterator[Sight]:
    """Yield every quote, and again with each price that was traded while it stood."""
    for sight, span in _standing(tape, armed_at_ms):
        yield sight
        for at_ms, price in tape.prints:
            if span.holds(at_ms):
                yield Sight(at_ms, sight.bid, sight.ask, price)
