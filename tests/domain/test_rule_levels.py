from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from domain.quotes import PriceRules
from domain.rules.definition import RuleDefinition
from domain.rules.levels import ResolvedRule, UnresolvableRule, describe, levels, resolve
from domain.rules.resolved import FiringTime, PriceLevel, Trail

ARMED = datetime(2026, 1, 1, 12, tzinfo=UTC)
D = Decimal


def resolved(*conditions, entry=None, opened_at=None, market_end=None, rules=None, **fields):
    definition = RuleDefinition.model_validate({"conditions": list(conditions), **fields})
    return resolve(
        definition,
        None if entry is None else D(entry),
        armed_at=ARMED,
        opened_at=opened_at,
        market_end=market_end,
        rules=rules or PriceRules(),
    )


@pytest.mark.parametrize(
    ("condition", "level"),
    [
        ({"type": "stop_loss", "price": "0.4"}, "0.4"),
        ({"type": "stop_loss", "percent": "10"}, "0.477"),
        ({"type": "stop_loss", "points": "0.125"}, "0.405"),
        ({"type": "take_profit", "price": "0.4"}, "0.4"),
        ({"type": "take_profit", "percent": "10"}, "0.583"),
        ({"type": "take_profit", "points": "0.125"}, "0.655"),
        ({"type": "take_profit", "percent": "33.333"}, "0.7066649"),
        ({"type": "stop_loss", "price": "0"}, "0"),
        ({"type": "take_profit", "price": "1"}, "1"),
    ],
)
def test_level_is_exact_and_need_not_lie_on_a_tick(condition, level):
    [found] = resolved(condition, entry="0.53").conditions
    assert found == PriceLevel(type=condition["type"], level=D(level))


def test_given_entry_price_wins_over_the_definitions_own():
    stop = {"type": "stop_loss", "percent": "10"}
    assert resolved(stop, entry="0.5", entry_price="0.8").conditions[0].level == D("0.45")
    assert resolved(stop, entry_price="0.8").conditions[0].level == D("0.72")


def test_long_entry_price_is_not_rounded():
    entry = "0.3333333333333333333333333333"
    [stop] = resolved({"type": "stop_loss", "percent": "7.77"}, entry=entry).conditions
    assert Fraction(stop.level) == Fraction(entry) * Fraction(9223, 10_000)


@pytest.mark.parametrize(
    ("condition", "field", "reason"),
    [
        ({"type": "stop_loss", "percent": "10"}, "conditions.0.percent", "entry price"),
        ({"type": "take_profit", "points": "0.1"}, "conditions.0.points", "entry price"),
        (
            {"type": "trailing_stop", "percent": "5", "activation_percent": "10"},
            "conditions.0.activation_percent",
            "entry price",
        ),
        ({"type": "before_market_end", "seconds": 60}, "conditions.0.seconds", "market"),
    ],
)
def test_rule_that_needs_what_is_not_known_is_refused(condition, field, reason):
    with pytest.raises(UnresolvableRule, match=reason) as caught:
        resolved(condition)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("condition", "field"),
    [
        ({"type": "stop_loss", "price": "1.01"}, "conditions.0.price"),
        ({"type": "take_profit", "percent": "100"}, "conditions.0.percent"),
        ({"type": "take_profit", "points": "0.6"}, "conditions.0.points"),
        ({"type": "stop_loss", "points": "0.6"}, "conditions.0.points"),
        (
            {"type": "trailing_stop", "percent": "5", "activation_price": "1.5"},
            "conditions.0.activation_price",
        ),
        (
            {"type": "trailing_stop", "percent": "5", "activation_percent": "90"},
            "conditions.0.activation_percent",
        ),
        ({"type": "trailing_stop", "percent": "5", "floor_price": "2"}, "conditions.0.floor_price"),
        ({"type": "trailing_stop", "points": "2"}, "conditions.0.points"),
    ],
)
def test_level_outside_what_a_prediction_market_shows_is_refused(condition, field):
    with pytest.raises(UnresolvableRule) as caught:
        resolved(condition, entry="0.55")
    assert caught.value.field == field


def test_lowest_price_to_sell_at_lies_within_the_bounds_too():
    with pytest.raises(UnresolvableRule, match="above 1"):
        resolved({"type": "stop_loss", "price": "0.4"}, floor="1.2")


def test_token_venue_has_levels_above_one_but_none_below_zero():
    tokens = PriceRules(bounded=False)
    assert (
        resolved({"type": "take_profit", "percent": "150"}, entry="80", rules=tokens).conditions[0].level
        == 200
    )
    with pytest.raises(UnresolvableRule, match="below 0"):
        resolved({"type": "stop_loss", "points": "90"}, entry="80", rules=tokens)


@pytest.mark.parametrize(
    ("trail", "mark", "level"),
    [
        (Trail(percent=D(10)), "0.5", "0.45"),
        (Trail(points=D("0.1")), "0.5", "0.4"),
        (Trail(percent=D(10)), None, None),
        (Trail(percent=D(10), floor=D("0.47")), "0.5", "0.47"),
        (Trail(percent=D(10), floor=D("0.47")), "0.6", "0.54"),
        (Trail(percent=D(10), floor=D("0.47")), None, "0.47"),
        (Trail(percent=D(10), activation=D("0.6")), "0.59", None),
        (Trail(percent=D(10), activation=D("0.6")), "0.6", "0.54"),
    ],
)
def test_trailing_level_follows_the_mark_down_to_the_floor(trail, mark, level):
    assert trail.level_at(None if mark is None else D(mark)) == (None if level is None else D(level))


def test_activation_percent_counts_from_the_entry():
    [trail] = resolved(
        {"type": "trailing_stop", "percent": "5", "activation_percent": "20"}, entry="0.5"
    ).conditions
    assert trail == Trail(percent=D(5), activation=D("0.6"))


def test_moments_count_from_opening_arming_and_market_end():
    end = ARMED + timedelta(hours=5)
    hold, before, at = (
        {"type": "max_hold", "seconds": 60},
        {"type": "before_market_end", "seconds": 600},
        {"type": "at", "time": "2026-01-01T14:00:00+01:00"},
    )
    rule = resolved(hold, before, at, market_end=end)
    assert [c.fires_at - ARMED for c in rule.conditions] == [
        timedelta(minutes=1),
        timedelta(hours=4, minutes=50),
        timedelta(hours=1),
    ]
    assert rule.next_time() == ARMED + timedelta(minutes=1)
    opened = resolved(hold, opened_at=ARMED - timedelta(hours=1)).conditions[0]
    assert opened == FiringTime(type="max_hold", fires_at=ARMED - timedelta(minutes=59))


def test_market_end_of_the_definition_serves_when_none_is_known():
    definition = RuleDefinition.model_validate(
        {"conditions": [{"type": "before_market_end", "seconds": 60}], "market_end": "2026-01-02T00:00:00Z"}
    )
    rule = resolve(definition, None, armed_at=ARMED, opened_at=None, market_end=None, rules=PriceRules())
    assert rule.conditions[0].fires_at == datetime(2026, 1, 1, 23, 59, tzinfo=UTC)


def everything():
    return resolved(
        {"type": "stop_loss", "price": "0.4"},
        {"type": "take_profit", "percent": "20"},
        {"type": "trailing_stop", "percent": "5", "activation_price": "0.6", "floor_price": "0.45"},
        {"type": "trailing_stop", "points": "0.075"},
        {"type": "max_hold", "seconds": 3600},
        entry="0.5",
        confirm={"updates": 2, "ms": 500},
        max_spread="0.05",
        floor="0.2",
        expires_at="2026-02-01T00:00:00Z",
    )


def test_sentence_states_every_level_and_guard():
    assert describe(everything()) == (
        "Sells all shares when the display price falls to 0.40 or below; "
        "or when the display price rises to 0.60 or above; "
        "or when the display price falls 5 % or more below its highest since it reached 0.60, "
        "or to 0.45 or below in any case; "
        "or when the display price falls 0.075 or more below its highest since arming; "
        "or at 2026-01-01T13:00:00+00:00 (longest holding time). "
        "The price must stand beyond the level for 2 updates in a row and 500 ms without a break. "
        "Quotes with a spread wider than 0.05 do not fire it. "
        "Never sells below 0.20. "
        "Ends unfired at 2026-02-01T00:00:00+00:00."
    )


def test_sentence_names_a_part_of_the_shares_and_the_source():
    rule = resolved(
        {"type": "stop_loss", "price": "0.4"},
        action={"type": "SELL_PARTIAL", "amount": 12.50},
        price_source="bid",
    )
    assert describe(rule) == "Sells 12.5 shares when the bid price falls to 0.40 or below."


def test_levels_are_data_with_decimals_as_text():
    lines = levels(everything())
    assert [(line["condition"], line["level"]) for line in lines] == [
        ("stop_loss", "0.4"),
        ("take_profit", "0.6"),
        ("trailing_stop", "0.45"),
        ("trailing_stop", None),
        ("max_hold", None),
    ]
    assert lines[2]["percent"] == "5"
    assert lines[2]["activation_price"] == "0.6"
    assert lines[4]["time"] == "2026-01-01T13:00:00+00:00"


def test_resolved_rule_survives_json():
    rule = everything()
    assert ResolvedRule.model_validate_json(rule.model_dump_json()) == rule
