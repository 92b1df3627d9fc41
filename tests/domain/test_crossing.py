from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from pydantic import TypeAdapter

from domain.quotes import PriceRules, Quote
from domain.rules.crossing import SATISFIED, Crossing, Refusal, judge, reached_by
from domain.rules.definition import ConditionType, RuleDefinition
from domain.rules.levels import resolve

D = Decimal
STOP = {"type": "stop_loss", "price": "0.40"}
TARGET = {"type": "take_profit", "price": "0.60"}
TRAIL = {"type": "trailing_stop", "percent": "10", "activation_price": "0.5"}
HOLD = {"type": "max_hold", "seconds": 60}


def resolved(*conditions, **fields):
    definition = RuleDefinition.model_validate(
        {"conditions": conditions or (STOP, TARGET, TRAIL, HOLD), **fields}
    )
    armed_at = datetime(2026, 1, 1, tzinfo=UTC)
    return resolve(definition, None, armed_at=armed_at, opened_at=None, market_end=None, rules=PriceRules())


def crossing(index=0, kind="stop_loss", bid="0.39", ask="0.41", last=None, **fields):
    prices = (None if price is None else D(price) for price in (bid, ask, last))
    evidence = {
        "rule_id": "r",
        "generation": 3,
        "condition_index": index,
        "condition": ConditionType(kind),
        "level": D("0.4"),
        "quote": Quote(*prices),
        "price": D("0.4"),
        "mark": None,
        "confirm_count": 1,
        "beyond_since_ms": 1000,
        "observed_at_ms": 1000,
        "venue_timestamp_ms": None,
    }
    return Crossing(**(evidence | fields))


@pytest.mark.parametrize(
    "evidence",
    [
        crossing(),
        crossing(bid="0.01", ask="0.02"),
        crossing(1, "take_profit", bid="0.6", ask="0.6"),
        crossing(2, "trailing_stop", bid="0.45", ask="0.45", mark=D("0.5")),
        crossing(bid=None, ask=None, last="0.3"),
        crossing(generation=1),
        crossing(observed_at_ms=10**12, beyond_since_ms=1),
    ],
    ids=["at level", "far below", "target", "trail", "no bid", "older generation", "long ago"],
)
def test_crossing_that_reaches_its_level_is_satisfied(evidence):
    assert judge(evidence, resolved()) == SATISFIED


@pytest.mark.parametrize(
    ("evidence", "refusal"),
    [
        (crossing(ask="0.4101"), Refusal.NOT_REACHED),
        (crossing(1, "take_profit", bid="0.59", ask="0.59"), Refusal.NOT_REACHED),
        (crossing(2, "trailing_stop", bid="0.451", ask="0.451", mark=D("0.5")), Refusal.NOT_REACHED),
        (crossing(2, "trailing_stop", bid="0.1", ask="0.1", mark=D("0.49")), Refusal.NO_LEVEL),
        (crossing(2, "trailing_stop", bid="0.1", ask="0.1"), Refusal.NO_LEVEL),
        (crossing(bid="0.41", ask="0.40"), Refusal.SKIPPED_QUOTE),
        (crossing(bid=None), Refusal.SKIPPED_QUOTE),
        (crossing(last="1.2"), Refusal.SKIPPED_QUOTE),
        (crossing(bid="0.45", ask="0.9", last="0.3"), Refusal.BID_DISAGREES),
        (crossing(1, "take_profit", bid=None, ask="0.9", last="0.7"), Refusal.BID_DISAGREES),
        (crossing(3, "max_hold"), Refusal.NO_SUCH_CONDITION),
        (crossing(1), Refusal.NO_SUCH_CONDITION),
        (crossing(4), Refusal.NO_SUCH_CONDITION),
        (crossing(-1), Refusal.NO_SUCH_CONDITION),
    ],
)
def test_crossing_that_does_not_reach_its_level_is_refused_with_the_reason(evidence, refusal):
    verdict = judge(evidence, resolved())
    assert not verdict.satisfied
    assert verdict.refusal is refusal


@pytest.mark.parametrize(
    ("guards", "evidence", "refusal"),
    [
        ({"max_spread": "0.02"}, crossing(), None),
        ({"max_spread": "0.01"}, crossing(), Refusal.SPREAD_TOO_WIDE),
        ({"max_spread": "0.5"}, crossing(bid=None, ask=None, last="0.1"), Refusal.SPREAD_TOO_WIDE),
        ({"bid_confirms": False}, crossing(bid="0.45", ask="0.9", last="0.3"), None),
        ({"price_source": "ask"}, crossing(), Refusal.NOT_REACHED),
        ({"price_source": "bid"}, crossing(ask="0.99"), None),
        ({"confirm": {"updates": 2}}, crossing(), Refusal.NOT_CONFIRMED),
        ({"confirm": {"updates": 2}}, crossing(confirm_count=2), None),
        ({"confirm": {"ms": 500}}, crossing(beyond_since_ms=501), Refusal.NOT_CONFIRMED),
        ({"confirm": {"ms": 500}}, crossing(beyond_since_ms=500), None),
        ({"confirm": {"ms": 500}}, crossing(beyond_since_ms=None), Refusal.NOT_CONFIRMED),
    ],
)
def test_guards_are_judged_again(guards, evidence, refusal):
    assert judge(evidence, resolved(STOP, **guards)).refusal is refusal


@pytest.mark.parametrize(
    ("bid", "refusal"), [("0.59", Refusal.BID_DISAGREES), (None, Refusal.BID_DISAGREES), ("0.60", None)]
)
def test_target_that_nobody_paid_needs_the_bid_at_its_level(bid, refusal):
    unpaid = resolved(TARGET, price_source="ask").model_copy(update={"targets_need_bid": True})
    assert judge(crossing(0, "take_profit", bid=bid, ask="0.61"), unpaid).refusal is refusal


def test_stop_beside_a_target_that_nobody_paid_fires_by_its_price():
    unpaid = resolved(STOP).model_copy(update={"targets_need_bid": True})
    assert judge(crossing(bid="0.39", ask="0.41"), unpaid).satisfied


def test_level_that_was_changed_meanwhile_decides():
    evidence = crossing(bid="0.39", ask="0.39")
    assert judge(evidence, resolved({"type": "stop_loss", "price": "0.39"})).satisfied
    assert judge(evidence, resolved({"type": "stop_loss", "price": "0.38"})).refusal is Refusal.NOT_REACHED


def test_level_named_by_the_crossing_is_not_believed():
    evidence = replace(crossing(bid="0.5", ask="0.5"), level=D("0.9"), price=D("0.1"))
    assert judge(evidence, resolved()).refusal is Refusal.NOT_REACHED


@pytest.mark.parametrize(
    ("price", "guards", "index"),
    [
        ("0.5", {}, None),
        ("0.4", {}, 0),
        ("0.6", {}, 1),
        ("0.4", {"confirm": {"updates": 9, "ms": 9}}, 0),
        ("0.4", {"price_source": "last"}, None),
    ],
)
def test_rule_about_to_be_armed_knows_whether_it_would_fire_at_once(price, guards, index):
    assert reached_by(Quote(D(price), D(price), None), resolved(**guards)) == index


def test_trail_about_to_be_armed_fires_at_once_by_its_floor_alone():
    rule = resolved({**TRAIL, "activation_price": None, "floor_price": "0.45"})
    assert reached_by(Quote(D("0.45"), D("0.45"), None), rule) == 0
    assert reached_by(Quote(D("0.46"), D("0.46"), None), rule) is None


def test_crossing_survives_json():
    adapter = TypeAdapter(Crossing)
    evidence = crossing(2, "trailing_stop", mark=D("0.5"), venue_timestamp_ms=7)
    assert adapter.validate_json(adapter.dump_json(evidence)) == evidence
