import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from pydantic import ValidationError

from domain.quotes import PriceSource
from domain.rules.definition import Evaluator, RuleDefinition, StopLoss, TrailingStop, field_path

STOP = {"type": "stop_loss", "price": "0.40"}


def define(**fields):
    return RuleDefinition.model_validate({"conditions": [STOP], **fields})


def faults(**fields):
    with pytest.raises(ValidationError) as caught:
        define(**fields)
    return [(field_path(fault["loc"]), fault["type"]) for fault in caught.value.errors()]


def test_body_with_everything_is_read_from_json():
    body = {
        "venue": "polymarket",
        "market_id": "0xm",
        "token_id": "123",
        "entry_price": 0.53,
        "conditions": [
            STOP,
            {"type": "stop_loss", "percent": "10"},
            {"type": "take_profit", "points": 0.1},
            {"type": "trailing_stop", "percent": "5", "activation_price": "0.60", "floor_price": "0.45"},
            {"type": "max_hold", "seconds": 3600},
            {"type": "before_market_end", "seconds": 60},
            {"type": "at", "time": "2026-05-01T12:00:00+02:00"},
        ],
        "action": {"type": "SELL_PARTIAL", "amount": 12.5},
        "price_source": "bid",
        "confirm": {"updates": 3, "ms": 500},
        "max_spread": "0.05",
        "max_age_ms": 5000,
        "bid_confirms": False,
        "mark_max_spread": None,
        "floor": "0.20",
        "expires_at": "2026-06-01T00:00:00Z",
        "allow_immediate": True,
        "expect_position": True,
        "follow_token": True,
        "evaluator": "agent",
        "market_end": "2026-05-30T00:00:00Z",
    }
    rule = RuleDefinition.model_validate_json(json.dumps(body))
    assert rule.entry_price == Decimal("0.53")
    assert rule.conditions[2].points == Decimal("0.1")
    assert rule.conditions[3] == TrailingStop(percent="5", activation_price="0.60", floor_price="0.45")
    assert rule.conditions[6].time == datetime(2026, 5, 1, 10, tzinfo=UTC)
    assert rule.action.amount == Decimal("12.5")
    assert rule.evaluator is Evaluator.AGENT
    assert RuleDefinition.model_validate_json(rule.model_dump_json()) == rule


def test_defaults_are_those_of_the_specification():
    rule = define()
    assert (rule.venue, rule.price_source, rule.max_age_ms) == ("polymarket", PriceSource.DISPLAY, 20_000)
    assert (rule.confirm.updates, rule.confirm.ms) == (1, 0)
    assert (rule.bid_confirms, rule.mark_max_spread, rule.max_spread) == (True, Decimal("0.10"), None)
    assert (rule.evaluator, rule.action.type) == (Evaluator.AUTO, "SELL_ALL")


@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "-Infinity", "abc", "", "1e400", float("nan"), True, [], {}]
)
def test_level_that_is_no_number_is_refused_at_its_field(value):
    [(field, kind)] = faults(conditions=[{"type": "stop_loss", "price": value}])
    assert field == "conditions.0.price"
    assert kind in {"decimal_parsing", "decimal_type"}


def test_json_infinity_is_refused():
    with pytest.raises(ValidationError):
        RuleDefinition.model_validate_json('{"conditions": [{"type": "stop_loss", "price": Infinity}]}')


@pytest.mark.parametrize(
    ("condition", "field", "kind"),
    [
        ({"type": "stop_loss"}, "conditions.0.price", "one_level"),
        ({"type": "stop_loss", "price": None}, "conditions.0.price", "one_level"),
        ({"type": "stop_loss", "price": "0.4", "percent": "10"}, "conditions.0.percent", "one_level"),
        ({"type": "take_profit", "percent": "10", "points": "0.1"}, "conditions.0.points", "one_level"),
        ({"type": "stop_loss", "price": "-0.1"}, "conditions.0.price", "greater_than_equal"),
        ({"type": "stop_loss", "percent": "100"}, "conditions.0.percent", "less_than"),
        ({"type": "stop_loss", "percent": "0"}, "conditions.0.percent", "greater_than"),
        ({"type": "take_profit", "points": "0"}, "conditions.0.points", "greater_than"),
        ({"type": "stop_loss", "percent": "0.49"}, "conditions.0.percent", "small_percent"),
        ({"type": "take_profit", "percent": "0.1"}, "conditions.0.percent", "small_percent"),
        ({"type": "trailing_stop"}, "conditions.0.percent", "one_distance"),
        ({"type": "trailing_stop", "percent": "5", "points": "0.1"}, "conditions.0.points", "one_distance"),
        ({"type": "trailing_stop", "percent": "0.2"}, "conditions.0.percent", "small_percent"),
        ({"type": "trailing_stop", "percent": "100"}, "conditions.0.percent", "less_than"),
        (
            {"type": "trailing_stop", "points": "0.1", "activation_price": "0.6", "activation_percent": "10"},
            "conditions.0.activation_percent",
            "one_activation",
        ),
        (
            {"type": "trailing_stop", "points": "0.1", "activation_percent": "0.2"},
            "conditions.0.activation_percent",
            "small_percent",
        ),
        ({"type": "max_hold", "seconds": 0}, "conditions.0.seconds", "greater_than"),
        ({"type": "max_hold", "seconds": 10**12}, "conditions.0.seconds", "less_than_equal"),
        ({"type": "before_market_end"}, "conditions.0.seconds", "missing"),
        ({"type": "at", "time": "2026-05-01T12:00:00"}, "conditions.0.time", "timezone_aware"),
        ({"type": "at", "time": "soon"}, "conditions.0.time", "datetime_from_date_parsing"),
        ({"type": "stop_loss", "price": "0.4", "prize": 1}, "conditions.0.prize", "extra_forbidden"),
        ({"type": "magic"}, "conditions.0", "union_tag_invalid"),
        ({"price": "0.4"}, "conditions.0", "union_tag_not_found"),
    ],
)
def test_condition_is_refused_with_field_and_kind(condition, field, kind):
    assert faults(conditions=[condition]) == [(field, kind)]


@pytest.mark.parametrize(
    ("fields", "field", "kind"),
    [
        ({"conditions": []}, "conditions", "no_condition"),
        (
            {"conditions": [STOP, {"type": "stop_loss", "price": "0.4"}]},
            "conditions.1",
            "duplicate_condition",
        ),
        ({"conditions": [{**STOP, "price": f"0.{n}"} for n in range(1, 10)]}, "conditions", "too_long"),
        ({"expires_at": "2026-05-01T12:00:00"}, "expires_at", "timezone_aware"),
        ({"entry_price": "0"}, "entry_price", "greater_than"),
        ({"action": {"type": "SELL_PARTIAL"}}, "action.amount", "missing"),
        ({"action": {"type": "SELL_PARTIAL", "amount": 0}}, "action.amount", "greater_than"),
        ({"action": {"type": "BUY"}}, "action", "union_tag_invalid"),
        ({"confirm": {"updates": 0}}, "confirm.updates", "greater_than_equal"),
        ({"confirm": {"ms": -1}}, "confirm.ms", "greater_than_equal"),
        ({"max_spread": "-1"}, "max_spread", "greater_than_equal"),
        ({"max_age_ms": 0}, "max_age_ms", "greater_than"),
        ({"price_source": "vwap"}, "price_source", "enum"),
        ({"unknown": 1}, "unknown", "extra_forbidden"),
    ],
)
def test_rule_is_refused_with_field_and_kind(fields, field, kind):
    assert faults(**fields) == [(field, kind)]


def test_small_percent_is_allowed_when_it_is_meant():
    rule = define(conditions=[{"type": "stop_loss", "percent": 0.2}], allow_small_percent=True)
    assert rule.conditions == (StopLoss(percent="0.2"),)


def test_half_a_percent_is_not_small():
    assert define(conditions=[{"type": "stop_loss", "percent": "0.5"}]).conditions[0].percent == Decimal(
        "0.5"
    )


def test_error_text_does_not_echo_the_input():
    with pytest.raises(ValidationError) as caught:
        define(conditions=[{"type": "stop_loss", "price": "secret-text"}])
    assert "secret-text" not in str(caught.value)
