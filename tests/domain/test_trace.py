"""The tracer looks on while the index judges: near misses, extremes, running confirmations."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.quotes import PriceRules, Quote
from domain.rules.approaches import near_zone
from domain.rules.crossing import Refusal
from domain.rules.definition import ConditionType, RuleDefinition
from domain.rules.levels import resolve
from domain.rules.replay import replay
from domain.rules.tape import TapeRow
from domain.rules.trace import trace
from domain.rules.watch import TrailMark
from tests.domain.rule_paths import bodies, quotes
from tests.domain.tapes import START, locked, moment

D = Decimal
STOP = {"type": "stop_loss", "price": "0.40"}
TARGET = {"type": "take_profit", "price": "0.60"}
TRAIL = {"type": "trailing_stop", "percent": "10"}


def resolved_of(body):
    definition = RuleDefinition.model_validate(body)
    return resolve(definition, None, armed_at=START, opened_at=None, market_end=None, rules=PriceRules())


def tape_row(second, *prices):
    quote = Quote(*(None if price is None else D(price) for price in prices))
    return TapeRow(moment(second), START + timedelta(seconds=second), quote)


def traced(conditions, rows, *, tick="0.01", marks=(), not_before=None, **fields):
    rows = [tape_row(*cells) for cells in rows]
    resolved = resolved_of({"conditions": conditions, **fields})
    return trace(resolved, rows, tick=D(tick), marks=marks, not_before=not_before)


def at(second):
    return START + timedelta(seconds=second)


def test_price_that_came_near_and_went_away_is_a_near_miss_at_its_nearest():
    found = traced([STOP], locked("0.50", "0.42", "0.41", "0.415", "0.50"))

    (miss,) = found.near_misses
    assert (miss.condition, miss.price, miss.level, miss.distance) == (
        ConditionType.STOP_LOSS,
        D("0.41"),
        D("0.40"),
        D("0.01"),
    )
    assert (miss.began_at, miss.at, miss.ended_at) == (at(1), at(2), at(4))
    assert miss.held_by is None
    assert not found.crossings


def test_price_that_stays_away_is_no_near_miss():
    assert traced([STOP, TARGET], locked("0.50", "0.43", "0.56", "0.50")).near_misses == ()


def test_approach_that_goes_on_has_no_end():
    (miss,) = traced([TARGET], locked("0.50", "0.59")).near_misses

    assert miss.ended_at is None


def test_approach_that_fires_is_no_near_miss():
    found = traced([STOP], locked("0.50", "0.41", "0.40", "0.50"))

    assert [crossing.condition for crossing in found.crossings] == [ConditionType.STOP_LOSS]
    assert found.near_misses == ()


@pytest.mark.parametrize(
    ("rows", "fields", "held_by"),
    [
        ([(0, "0.38", "0.40", None)], {"max_spread": "0.01"}, Refusal.SPREAD_TOO_WIDE),
        ([(0, "0.45", "0.70", "0.39")], {}, Refusal.BID_DISAGREES),
        ([(0, "0.39", "0.39", None)], {"confirm": {"updates": 2}}, Refusal.NOT_CONFIRMED),
        ([(0, "0.39", "0.39", None)], {"confirm": {"ms": 5000}}, Refusal.NOT_CONFIRMED),
    ],
    ids=["spread", "bid", "updates", "time"],
)
def test_level_that_was_reached_under_a_guard_names_the_guard(rows, fields, held_by):
    found = traced([STOP], [*rows, (9, "0.50", "0.50", None)], **fields)

    (miss,) = found.near_misses
    assert miss.held_by is held_by
    assert miss.distance <= 0


def test_skipped_quotes_neither_end_an_approach_nor_count_as_an_extreme():
    rows = [
        (0, "0.41", "0.41", None),
        (1, "0.9", "0.8", None),
        (2, None, None, None),
        (3, "0.5", "0.5", None),
    ]
    found = traced([STOP], rows)

    (miss,) = found.near_misses
    assert (miss.began_at, miss.ended_at) == (at(0), at(3))
    assert (found.highest.price, found.lowest.price) == (D("0.5"), D("0.41"))
    assert found.rows == 4


def test_extremes_name_the_first_moment_of_their_price():
    found = traced([STOP], locked("0.50", "0.55", "0.45", "0.55", "0.45"))

    assert (found.highest.price, found.highest.at) == (D("0.55"), at(1))
    assert (found.lowest.price, found.lowest.at) == (D("0.45"), at(2))


def test_marks_of_trails_are_those_of_the_index():
    assert traced([TRAIL], locked("0.50", "0.60", "0.58")).marks == {0: D("0.60")}


def test_trail_goes_on_from_the_mark_that_it_was_armed_with():
    mark = TrailMark("some rule", 7, 0, D("0.80"), True)
    found = traced([TRAIL], locked("0.71"), marks=[mark])

    assert found.marks == {0: D("0.80")}
    (fired,) = found.crossings
    assert fired.level == D("0.72")


def test_nothing_fires_before_its_time_and_what_still_stands_beyond_fires_then():
    found = traced([STOP], locked("0.39", "0.39", "0.39"), not_before=at(2))
    assert found.crossings[0].observed_at_ms == int(at(2).timestamp() * 1000)


def test_confirmation_under_way_is_told_with_its_count():
    found = traced([STOP], locked("0.50", "0.39", "0.39"), confirm={"updates": 5})

    assert found.runs[0].count == 2


def test_only_the_latest_near_misses_are_kept_over_all_conditions():
    wave = ["0.50", "0.41", "0.50", "0.59"] * 6
    found = traced([STOP, TARGET], locked(*wave, "0.50"))

    assert len(found.near_misses) == 5
    assert [miss.at for miss in found.near_misses] == sorted(miss.at for miss in found.near_misses)
    assert found.near_misses[-1].condition is ConditionType.TAKE_PROFIT


@pytest.mark.parametrize(
    ("condition", "level", "mark", "tick", "zone"),
    [
        (STOP, "0.40", None, "0.01", "0.02"),
        (STOP, "0.40", None, "0.001", "0.02"),
        (STOP, "0.10", None, "0.01", "0.02"),
        (STOP, "0.10", None, "0.001", "0.005"),
        (TARGET, "0.96", None, "0.001", "0.002"),
        (TRAIL, "0.54", "0.60", "0.01", "0.015"),
        (TRAIL, "0.09", "0.10", "0.01", "0.01"),
    ],
)
def test_near_is_a_part_of_the_level_and_some_ticks(condition, level, mark, tick, zone):
    (resolved,) = resolved_of({"conditions": [condition]}).conditions
    mark = None if mark is None else D(mark)
    assert near_zone(resolved, D(level), mark, PriceRules(), D(tick)) == D(zone)


@given(bodies(), st.lists(quotes(), min_size=1, max_size=15))
def test_first_crossing_of_a_trace_is_what_a_replay_fires(body, path):
    rows = [tape_row(second, row["bid"], row["ask"], row["last"]) for second, row in enumerate(path)]
    definition = RuleDefinition.model_validate(body)

    fired = replay(definition, rows).firing
    found = trace(resolved_of(body), rows, tick=D("0.01"), keep=100)

    first = found.crossings[0] if found.crossings else None
    assert (first and (first.condition_index, first.level)) == (
        fired and (fired.condition_index, fired.level)
    )
