"""What the oracle of a chaos run expects of a tape."""

from decimal import Decimal

from bench.chaos.evidence import Sight, Span
from bench.chaos.oracle import Fate, Tape, fate
from bench.chaos.plan import ConditionKind, ConditionPlan, Source
from tests.bench.books import STOP, sight

TARGET = ConditionPlan(kind=ConditionKind.TARGET, level=Decimal("0.70"))
TRAIL = ConditionPlan(kind=ConditionKind.TRAIL, points=Decimal("0.10"))
UNTIL_MS = 60_000


def judged(
    condition: ConditionPlan, *sights: Sight, gaps: tuple[Span, ...] = (), source: Source = Source.DISPLAY
) -> Fate:
    return fate(((condition,),), source, 0, Tape(sights, gaps, UNTIL_MS))


def test_short_dip_that_the_feed_saw_is_expected() -> None:
    found = judged(STOP, sight(0, "0.60"), sight(5_000, "0.45"), sight(5_500, "0.60"))
    assert found == Fate(5_000, True)


def test_short_dip_inside_a_gap_may_fire_and_need_not() -> None:
    dip = (sight(0, "0.60"), sight(5_000, "0.45"), sight(5_500, "0.60"))
    assert judged(STOP, *dip, gaps=(Span(4_000, 7_000),)) == Fate(None, True)


def test_fall_that_outlasts_a_gap_is_expected_from_its_beginning() -> None:
    fall = (sight(0, "0.60"), sight(5_000, "0.45"))
    assert judged(STOP, *fall, gaps=(Span(4_000, 7_000),)) == Fate(5_000, True)


def test_fifteen_seconds_beyond_are_expected_even_if_nobody_could_see() -> None:
    fall = (sight(0, "0.60"), sight(5_000, "0.45"), sight(20_000, "0.60"))
    assert judged(STOP, *fall, gaps=(Span(4_000, 30_000),)) == Fate(5_000, True)


def test_wick_with_a_wide_spread_fires_nothing_that_looks_at_the_displayed_price() -> None:
    wick = (sight(0, "0.60"), sight(5_000, "0.05", "0.61", "0.60"), sight(5_500, "0.60"))
    assert judged(STOP, *wick) == Fate(None, False)
    assert judged(STOP, *wick, source=Source.BID) == Fate(5_000, True)


def test_empty_side_shows_the_last_trade_alone() -> None:
    assert judged(STOP, sight(0, None, "0.61", "0.45")) == Fate(0, True)
    assert judged(TARGET, sight(0, None, "0.99", "0.80")) == Fate(None, False)


def test_target_is_expected_once_the_bid_stood_there() -> None:
    assert judged(TARGET, sight(0, "0.60"), sight(5_000, "0.70")) == Fate(5_000, True)
    brief = (sight(0, "0.60"), sight(5_000, "0.70"), sight(7_000, "0.60"))
    assert judged(TARGET, *brief) == Fate(None, True)


def test_trail_follows_the_marks_that_were_seen() -> None:
    path = (sight(0, "0.60"), sight(5_000, "0.70"), sight(5_500, "0.55"), sight(6_000, "0.60"))
    assert judged(TRAIL, *path) == Fate(5_500, True)
    assert judged(TRAIL, *path, gaps=(Span(4_900, 5_800),)) == Fate(None, True)


def test_moment_is_expected_when_it_has_come() -> None:
    moment = ConditionPlan(kind=ConditionKind.AT, at_ms=9_000)
    assert judged(moment, sight(0, "0.60")) == Fate(9_000, True)
    assert judged(ConditionPlan(kind=ConditionKind.AT, at_ms=90_000), sight(0, "0.60")) == Fate(None, False)


def test_patched_rule_is_expected_when_both_versions_were_crossed() -> None:
    lower = ConditionPlan(kind=ConditionKind.STOP, level=Decimal("0.40"))
    tape = Tape((sight(0, "0.60"), sight(5_000, "0.45")), (), UNTIL_MS)
    assert fate(((STOP,), (lower,)), Source.DISPLAY, 0, tape) == Fate(None, True)
    deeper = Tape((*tape.sights, sight(9_000, "0.30")), (), UNTIL_MS)
    assert fate(((STOP,), (lower,)), Source.DISPLAY, 0, deeper) == Fate(9_000, True)


def test_quotes_before_the_rule_was_armed_count_for_nothing() -> None:
    tape = Tape((sight(0, "0.40"), sight(5_000, "0.60")), (), UNTIL_MS)
    assert fate(((STOP,),), Source.DISPLAY, 6_000, tape) == Fate(None, False)
