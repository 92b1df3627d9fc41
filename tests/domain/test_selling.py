"""What an exit asks for: the book's ladder for its size, and the price below which a target never sells."""

from datetime import UTC, datetime

import pytest

from domain.quotes import MAX_LADDER_LEVELS, Level, PriceRules, Quote, ladder_for
from domain.rules.crossing import Crossing
from domain.rules.definition import ConditionType, RuleDefinition
from domain.rules.levels import resolve
from domain.rules.selling import lowest_price_fired
from tests.domain.builders import D

BIDS = tuple(Level(D(price) / 100, D(10)) for price in range(50, 38, -1))


def rule(*conditions):
    return resolve(
        RuleDefinition.model_validate({"conditions": conditions}),
        None,
        armed_at=datetime(2026, 11, 21, tzinfo=UTC),
        opened_at=None,
        market_end=None,
        rules=PriceRules(),
    )


def fired(condition, index=0, level="0.60"):
    return Crossing(
        rule_id="rul_1",
        generation=1,
        condition_index=index,
        condition=condition,
        level=D(level),
        quote=Quote(D("0.61"), D("0.62"), None),
        price=D("0.61"),
        mark=None,
        confirm_count=1,
        beyond_since_ms=None,
        observed_at_ms=0,
        venue_timestamp_ms=None,
    )


@pytest.mark.parametrize(
    ("shares", "levels"), [("1", 1), ("10", 1), ("10.01", 2), ("35", 4), ("9999", MAX_LADDER_LEVELS)]
)
def test_ladder_holds_the_levels_that_cover_the_size_at_most_ten(shares, levels):
    assert ladder_for(BIDS, D(shares)).levels == BIDS[:levels]


def test_ladder_of_an_unknown_size_holds_all_that_fits():
    assert ladder_for(BIDS, D(0)).levels == BIDS[:MAX_LADDER_LEVELS]


def test_fired_target_keeps_to_its_level_as_it_stands_now():
    resolved = rule({"type": "take_profit", "price": "0.55"})

    assert lowest_price_fired(fired(ConditionType.TAKE_PROFIT), resolved) == D("0.55")


def test_fired_target_that_was_patched_away_keeps_to_the_level_of_its_crossing():
    resolved = rule({"type": "max_hold", "seconds": 60})

    assert lowest_price_fired(fired(ConditionType.TAKE_PROFIT), resolved) == D("0.60")
    assert lowest_price_fired(fired(ConditionType.TAKE_PROFIT, index=3), resolved) == D("0.60")


def test_stops_and_rules_that_have_not_fired_sell_at_any_price():
    resolved = rule({"type": "stop_loss", "price": "0.40"})

    assert lowest_price_fired(fired(ConditionType.STOP_LOSS), resolved) is None
    assert lowest_price_fired(None, resolved) is None
