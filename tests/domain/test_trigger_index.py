import sys
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given

from domain.quotes import PriceRules, Quote
from domain.rules.definition import RuleDefinition
from domain.rules.index import TrailMark, TriggerIndex, Watch
from domain.rules.levels import resolve
from tests.domain.engine import load_engine
from tests.domain.rule_paths import index_agrees_with_linear_scan, paths

ENGINE = load_engine()
STOP = {"type": "stop_loss", "price": "0.40"}
TARGET = {"type": "take_profit", "price": "0.60"}
TRAIL = {"type": "trailing_stop", "percent": "10"}
D = Decimal


@given(paths)
def test_index_fires_what_a_linear_scan_fires(path):
    index_agrees_with_linear_scan(ENGINE, path)


def at(price, last=None):
    return Quote(D(price), D(price), None if last is None else D(last))


def watch(rule_id, *conditions, generation=1, token="yes", not_before_ms=None, **fields):
    definition = RuleDefinition.model_validate({"conditions": conditions, **fields})
    armed_at = datetime(2026, 1, 1, tzinfo=UTC)
    resolved = resolve(
        definition, None, armed_at=armed_at, opened_at=None, market_end=None, rules=PriceRules()
    )
    return Watch(rule_id, generation, token, resolved, not_before_ms)


@pytest.fixture
def index():
    return TriggerIndex(PriceRules())


def ids(crossings):
    return [crossing.rule_id for crossing in crossings]


def test_crossing_carries_the_evidence(index):
    index.add(watch("r", STOP, TRAIL, generation=4, confirm={"updates": 2}), 0)
    index.on_quote("yes", at("0.5"), 100)
    index.on_quote("yes", at("0.45", "0.46"), 200)
    [crossing] = index.on_quote("yes", at("0.44", "0.45"), 700, venue_timestamp_ms=9, wall_ms=5_000_700)
    assert (crossing.rule_id, crossing.generation, crossing.condition_index) == ("r", 4, 1)
    assert (crossing.level, crossing.price, crossing.mark) == (D("0.45"), D("0.44"), D("0.5"))
    assert (crossing.quote, crossing.confirm_count) == (at("0.44", "0.45"), 2)
    assert (crossing.beyond_since_ms, crossing.observed_at_ms) == (5_000_200, 5_000_700)
    assert crossing.venue_timestamp_ms == 9


def test_smallest_trail_of_a_group_fires_first(index):
    for percent in ("20", "5", "10"):
        index.add(watch(f"trail{percent}", {"type": "trailing_stop", "percent": percent}), 0)
    index.on_quote("yes", at("0.5"), 1)
    assert ids(index.on_quote("yes", at("0.475"), 2)) == ["trail5"]
    assert ids(index.on_quote("yes", at("0.4"), 3)) == ["trail10", "trail20"]


def test_fired_rule_is_silent_until_it_is_known_whether_the_signal_arrived(index):
    index.add(watch("r", STOP), 0)
    assert ids(index.on_quote("yes", at("0.4"), 1)) == ["r"]
    assert index.on_quote("yes", at("0.3"), 2) == []
    index.undelivered("r", 1)
    assert ids(index.on_quote("yes", at("0.3"), 3)) == ["r"]
    index.delivered("r", 1)
    assert len(index) == 0
    assert index.watched_tokens() == frozenset()


@pytest.mark.parametrize("verb", ["delivered", "undelivered"])
def test_answer_for_another_generation_changes_nothing(index, verb):
    index.add(watch("r", STOP, generation=2), 0)
    index.on_quote("yes", at("0.4"), 1)
    getattr(index, verb)("r", 1)
    assert index.generation("r") == 2
    assert index.on_quote("yes", at("0.4"), 2) == []


def test_marks_go_on_while_a_crossing_is_on_its_way(index):
    index.add(watch("r", TRAIL, TARGET), 0)
    index.on_quote("yes", at("0.6"), 1)
    index.on_quote("yes", at("0.7"), 2)
    assert index.marks("r") == [TrailMark("r", 1, 0, D("0.7"), True)]


def test_next_generation_takes_the_place_of_the_older_one(index):
    index.add(watch("r", STOP), 0)
    index.add(watch("r", TARGET, generation=2), 0)
    assert len(index) == 1
    assert index.on_quote("yes", at("0.3"), 1) == []
    assert [crossing.generation for crossing in index.on_quote("yes", at("0.6"), 2)] == [2]


def test_restored_mark_keeps_the_level_where_it_was(index):
    index.add(watch("r", TRAIL), 0, mark=TrailMark("r", 1, 0, D("0.8"), True))
    assert ids(index.on_quote("yes", at("0.72"), 1)) == ["r"]


def test_restored_mark_below_a_raised_activation_waits_for_it(index):
    condition = {**TRAIL, "activation_price": "0.9"}
    index.add(watch("r", condition), 0, mark=TrailMark("r", 1, 0, D("0.8"), True))
    assert index.on_quote("yes", at("0.5"), 1) == []
    assert index.marks("r") == [TrailMark("r", 1, 0, None, False)]


def test_changed_marks_are_given_once_also_of_rules_that_left(index):
    index.add(watch("a", TRAIL), 0)
    index.add(watch("b", {**TRAIL, "activation_price": "0.55"}), 0)
    index.on_quote("yes", at("0.5"), 1)
    assert index.take_changed_marks() == [TrailMark("a", 1, 0, D("0.5"), True)]
    assert index.take_changed_marks() == []
    index.on_quote("yes", at("0.6"), 2)
    index.remove("b")
    changed = {mark.rule_id: mark for mark in index.take_changed_marks()}
    assert changed == {name: TrailMark(name, 1, 0, D("0.6"), True) for name in "ab"}
    index.on_quote("yes", at("0.59"), 3)
    assert index.take_changed_marks() == []


def test_confirm_ms_fires_by_a_timer_without_a_further_quote(index):
    index.add(watch("r", STOP, confirm={"ms": 500}), 0)
    assert index.next_due_ms() is None
    index.on_quote("yes", at("0.4"), 100)
    assert index.next_due_ms() == 600
    assert index.due(599) == []
    [crossing] = index.due(600, wall_ms=9_600)
    assert (crossing.quote, crossing.beyond_since_ms, crossing.observed_at_ms) == (at("0.4"), 9_100, 9_600)
    assert index.next_due_ms() is None


def test_timer_of_a_broken_run_means_nothing(index):
    index.add(watch("r", STOP, confirm={"ms": 500}), 0)
    index.on_quote("yes", at("0.4"), 100)
    index.on_quote("yes", at("0.5"), 300)
    assert index.next_due_ms() is None
    index.on_quote("yes", at("0.4"), 400)
    assert index.due(600) == []
    assert ids(index.due(900)) == ["r"]


def test_timer_does_not_fire_on_a_quote_that_grew_stale(index):
    index.add(watch("r", STOP, confirm={"ms": 5000}, max_age_ms=2000), 0)
    index.on_quote("yes", at("0.4"), 0)
    assert index.due(5000) == []
    assert ids(index.on_confirmed("yes", 6000)) == ["r"]


def test_poll_that_finds_the_same_book_counts_as_one_update(index):
    index.add(watch("r", STOP, confirm={"updates": 3}), 0)
    assert index.on_quote("yes", at("0.4"), 1) == []
    assert index.on_confirmed("yes", 2) == []
    assert ids(index.on_confirmed("yes", 3)) == ["r"]


@pytest.mark.parametrize(("age_ms", "fires"), [(20_000, True), (20_001, False)])
def test_quote_older_than_max_age_does_not_fire_but_moves_marks(index, age_ms, fires):
    index.add(watch("stop", STOP), 0)
    index.add(watch("trail", TRAIL), 0)
    assert (index.on_quote("yes", at("0.4"), 30_000, age_ms=age_ms) != []) == fires
    assert index.marks("trail")[0].mark == D("0.4")


def test_stale_quote_fires_once_it_is_confirmed(index):
    index.add(watch("r", STOP), 0)
    index.on_quote("yes", at("0.4"), 30_000, age_ms=25_000)
    assert ids(index.on_confirmed("yes", 31_000)) == ["r"]


def test_rule_with_not_before_moves_its_mark_and_fires_when_the_time_has_come(index):
    index.add(watch("r", TRAIL, not_before_ms=1000), 0)
    index.on_quote("yes", at("0.5"), 1)
    assert index.on_quote("yes", at("0.45"), 2) == []
    assert index.next_due_ms() == 1000
    [crossing] = index.due(1000)
    assert (crossing.mark, crossing.quote) == (D("0.5"), at("0.45"))


def test_rule_added_under_a_standing_quote_can_be_evaluated_alone(index):
    index.add(watch("other", STOP, confirm={"updates": 2}), 0)
    index.on_quote("yes", at("0.4"), 1)
    index.add(watch("r", STOP, confirm={"updates": 1}), 2)
    assert ids(index.evaluate("r", 3)) == ["r"]
    assert index.evaluate("unknown", 3) == []
    assert ids(index.on_quote("yes", at("0.4"), 4)) == ["other"]


def test_quote_of_a_token_that_nobody_watches_is_let_go(index):
    assert index.on_quote("yes", at("0.4"), 1) == []
    assert index.on_confirmed("yes", 1) == []
    index.remove("unknown")


def test_tokens_do_not_touch_each_other(index):
    index.add(watch("r", STOP), 0)
    index.add(watch("s", STOP, token="no"), 0)
    assert ids(index.on_quote("no", at("0.4"), 1)) == ["s"]
    assert index.watched_tokens() == {"yes", "no"}
    assert "r" in index


def calls_of(action):
    """Count the calls that an action makes, in Python and in C: a cost that no busy machine changes."""
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(None)
    return calls


def crowded_index(rules):
    index = TriggerIndex(PriceRules())
    for number in range(rules):
        below, above = D(number) / (3 * rules), 1 - D(number) / (3 * rules)
        condition = [
            {"type": "stop_loss", "price": str(below)},
            {"type": "take_profit", "price": str(above)},
            {"type": "trailing_stop", "percent": str(50 + below)},
            {**TRAIL, "activation_price": str(above), "floor_price": str(below)},
        ][number % 4]
        confirm = {"updates": 1 + number % 3}
        index.add(watch(f"rule{number}", condition, confirm=confirm, bid_confirms=number % 2 == 0), 0)
    index.on_quote("yes", at("0.5"), 1)
    return index


def test_quote_that_crosses_nothing_costs_the_same_however_many_rules_stand():
    few, many = crowded_index(20), crowded_index(2_000)
    costs = {calls_of(lambda index=index: index.on_quote("yes", at("0.45"), 2)) for index in (few, many)}
    assert len(costs) == 1
