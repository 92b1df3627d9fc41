"""Each sentence of "exact meaning of conditions" as a table."""

import pytest

from tests.domain.tapes import answer_of, fired, locked, moment, row

STOP = {"type": "stop_loss", "price": "0.40"}
TARGET = {"type": "take_profit", "price": "0.60"}


def trail(**fields):
    return {"type": "trailing_stop", "percent": "10", **fields}


@pytest.mark.parametrize(
    ("source", "quote", "expected"),
    [
        ("bid", ("0.40", "0.50", "0.50"), True),
        ("bid", ("0.41", "0.50", "0.10"), False),
        ("ask", ("0.10", "0.40", "0.50"), True),
        ("ask", ("0.10", "0.41", "0.10"), False),
        ("mid", ("0.30", "0.50", "0.90"), True),
        ("mid", ("0.30", "0.52", "0.10"), False),
        ("last", ("0.60", "0.70", "0.40"), True),
        ("last", ("0.30", "0.31", "0.41"), False),
        ("display", ("0.35", "0.45", "0.90"), True),
        ("display", ("0.35", "0.46", "0.90"), False),
        ("display", ("0.35", "0.46", "0.40"), True),
        ("display", (None, None, "0.40"), True),
    ],
)
def test_stop_looks_at_the_price_its_source_names(source, quote, expected):
    found = fired([STOP], [(0, *quote)], price_source=source)
    assert found == ((0, "stop_loss", "0.4") if expected else None)


@pytest.mark.parametrize(
    "quote",
    [
        ("0.30", "0.29", "0.30"),
        (None, "0.30", None),
        ("0.30", None, None),
        ("0.10", "0.50", None),
        ("0.30", "0.31", "1.50"),
        ("-0.30", "-0.29", "0.3"),
        (None, None, None),
    ],
    ids=["crossed", "no bid", "no ask", "wide without last", "above one", "below zero", "empty"],
)
class TestSkippedQuote:
    def test_does_not_fire(self, quote):
        assert fired([STOP], [(0, *quote)]) is None

    def test_neither_counts_for_nor_breaks_a_confirmation(self, quote):
        rows = [(0, "0.4", "0.4", None), (1, *quote), (2, "0.4", "0.4", None)]
        assert fired([STOP], rows, confirm={"updates": 2}) == (2, "stop_loss", "0.4")

    def test_does_not_move_a_mark(self, quote):
        rows = [(0, "0.2", "0.2", None), (1, *quote), (2, "0.2", "0.2", None)]
        body = {"conditions": [trail()], "mark_max_spread": None}
        assert answer_of(body, [row(*cells) for cells in rows])["high_water"] == "0.2"


@pytest.mark.parametrize(
    ("condition", "prices", "expected"),
    [
        (STOP, ["0.41", "0.4001"], None),
        (STOP, ["0.41", "0.40"], (1, "stop_loss", "0.4")),
        (STOP, ["0.41", "0.1"], (1, "stop_loss", "0.4")),
        (TARGET, ["0.5", "0.5999"], None),
        (TARGET, ["0.5", "0.6"], (1, "take_profit", "0.6")),
        (TARGET, ["0.5", "0.9"], (1, "take_profit", "0.6")),
        ({"type": "stop_loss", "percent": "10"}, ["0.4771", "0.477"], (1, "stop_loss", "0.477")),
        ({"type": "take_profit", "percent": "10"}, ["0.5829", "0.583"], (1, "take_profit", "0.583")),
        ({"type": "stop_loss", "points": "0.1"}, ["0.431", "0.43"], (1, "stop_loss", "0.43")),
        ({"type": "take_profit", "points": "0.1"}, ["0.629", "0.63"], (1, "take_profit", "0.63")),
        ({"type": "stop_loss", "price": "0.4075"}, ["0.408", "0.4075"], (1, "stop_loss", "0.4075")),
    ],
)
def test_stop_fires_at_or_below_and_target_at_or_above_its_level(condition, prices, expected):
    assert fired([condition], locked(*prices), entry_price="0.53") == expected


@pytest.mark.parametrize(
    ("condition", "prices", "expected"),
    [
        (trail(), ["0.5", "0.4501", "0.45"], (2, "trailing_stop", "0.45")),
        (trail(), ["0.5", "0.6", "0.55", "0.54"], (3, "trailing_stop", "0.54")),
        (trail(), ["0.5", "0.6", "0.5401", "0.7", "0.64", "0.63"], (5, "trailing_stop", "0.63")),
        ({"type": "trailing_stop", "points": "0.1"}, ["0.5", "0.41", "0.4"], (2, "trailing_stop", "0.4")),
        (trail(activation_price="0.6"), ["0.5", "0.3", "0.599", "0.5"], None),
        (trail(activation_price="0.6"), ["0.5", "0.6", "0.5401", "0.54"], (3, "trailing_stop", "0.54")),
        (trail(activation_percent="20"), ["0.5", "0.59", "0.5", "0.6", "0.54"], (4, "trailing_stop", "0.54")),
        (trail(floor_price="0.47"), ["0.5", "0.4701", "0.47"], (2, "trailing_stop", "0.47")),
        (trail(floor_price="0.47"), ["0.6", "0.55", "0.54"], (2, "trailing_stop", "0.54")),
        (trail(floor_price="0.47", activation_price="0.8"), ["0.5", "0.47"], (1, "trailing_stop", "0.47")),
        (trail(floor_price="0.47"), ["0.4"], (0, "trailing_stop", "0.47")),
        ({"type": "trailing_stop", "points": "0.5"}, ["0.4", "0.001", "0"], None),
    ],
)
def test_trail_fires_below_the_highest_price_since_activation(condition, prices, expected):
    assert fired([condition], locked(*prices), entry_price="0.5") == expected


@pytest.mark.parametrize(
    ("limit", "high", "moves"),
    [
        ("0.10", ("0.75", "0.85", None), True),
        ("0.10", ("0.75", "0.86", "0.8"), False),
        ("0.10", (None, "0.8", "0.8"), False),
        ("0.10", (None, None, "0.8"), False),
        ("0.02", ("0.75", "0.85", None), False),
        (None, ("0.6", "0.9", "0.8"), True),
        (None, (None, None, "0.8"), True),
    ],
)
def test_mark_moves_and_trail_activates_only_on_a_tight_two_sided_quote(limit, high, moves):
    rows = [(0, "0.5", "0.5", None), (1, *high), (2, "0.6", "0.6", None)]
    for condition in (trail(), trail(activation_price="0.7")):
        assert (fired([condition], rows, mark_max_spread=limit) is not None) == moves


def test_high_water_includes_the_quote_that_fires_another_condition():
    body = {"conditions": [trail(), TARGET]}
    answer = answer_of(body, [row(*cells) for cells in locked("0.5", "0.7")])
    assert (answer["condition"], answer["high_water"]) == ("take_profit", "0.7")


@pytest.mark.parametrize(
    ("condition", "quote", "bid_confirms", "expected"),
    [
        (STOP, ("0.41", "0.90", "0.30"), True, False),
        (STOP, ("0.40", "0.90", "0.30"), True, True),
        (STOP, (None, "0.90", "0.30"), True, True),
        (STOP, ("0.41", "0.90", "0.30"), False, True),
        (TARGET, ("0.59", "0.90", "0.70"), True, False),
        (TARGET, ("0.60", "0.90", "0.70"), True, True),
        (TARGET, (None, "0.90", "0.70"), True, False),
        (TARGET, (None, "0.90", "0.70"), False, True),
        (TARGET, ("0.58", "0.62", "0.1"), True, True),
        (trail(floor_price="0.4"), ("0.41", "0.90", "0.30"), True, False),
        (trail(floor_price="0.4"), ("0.40", "0.90", "0.30"), True, True),
    ],
)
def test_bid_has_to_agree_while_display_has_fallen_back(condition, quote, bid_confirms, expected):
    assert (fired([condition], [(0, *quote)], bid_confirms=bid_confirms) is not None) == expected


def test_bid_need_not_agree_with_a_last_price_that_was_asked_for():
    assert fired([STOP], [(0, "0.8", "0.9", "0.3")], price_source="last") is not None


@pytest.mark.parametrize(
    ("conditions", "fields", "expected"),
    [
        ([{"type": "max_hold", "seconds": 10}], {}, (2, "max_hold", None)),
        ([{"type": "max_hold", "seconds": 9}], {}, (1, "max_hold", None)),
        ([{"type": "at", "time": moment(5)}], {}, (1, "at", None)),
        ([{"type": "at", "time": "2025-01-01T00:00:00+05:00"}], {}, (0, "at", None)),
        (
            [{"type": "before_market_end", "seconds": 50}],
            {"market_end": moment(60)},
            (2, "before_market_end", None),
        ),
        ([{"type": "max_hold", "seconds": 100}], {}, None),
        ([STOP, {"type": "max_hold", "seconds": 10}], {}, (2, "max_hold", None)),
        ([{"type": "max_hold", "seconds": 20}, STOP], {}, (3, "max_hold", None)),
        ([STOP, {"type": "max_hold", "seconds": 20}], {}, (3, "stop_loss", "0.4")),
        ([{"type": "max_hold", "seconds": 9}], {"expires_at": moment(9)}, (1, "max_hold", None)),
        ([{"type": "max_hold", "seconds": 9}], {"expires_at": moment(8)}, None),
        ([{"type": "max_hold", "seconds": 6}], {"expires_at": moment(8)}, (1, "max_hold", None)),
        ([STOP], {"expires_at": moment(20)}, None),
        ([STOP], {"expires_at": moment(21)}, (3, "stop_loss", "0.4")),
    ],
)
def test_time_condition_fires_at_the_first_row_at_or_after_its_moment(conditions, fields, expected):
    rows = [
        (0, "0.5", "0.5", None),
        (9, None, None, None),
        (10, "0.5", "0.4", None),
        (20, "0.3", "0.3", None),
    ]
    assert fired(conditions, rows, **fields) == expected


def test_first_condition_of_the_list_wins_when_several_fire_at_once():
    high, higher = {"type": "stop_loss", "price": "0.45"}, {"type": "stop_loss", "price": "0.42"}
    assert fired([STOP, high, higher], locked("0.5", "0.3")) == (1, "stop_loss", "0.4")
    assert fired([high, STOP, higher], locked("0.5", "0.3")) == (1, "stop_loss", "0.45")


@pytest.mark.parametrize(
    ("confirm", "rows", "expected"),
    [
        ({"updates": 3}, locked("0.4", "0.4", "0.4"), 2),
        ({"updates": 2}, locked("0.4", "0.41", "0.4", "0.39"), 3),
        ({"ms": 2000}, locked("0.4", "0.4", "0.4"), 2),
        ({"ms": 2001}, locked("0.4", "0.4", "0.4"), None),
        ({"ms": 2000}, locked("0.4", "0.41", "0.4", "0.4", "0.4"), 4),
        ({"ms": 1500}, [(0, "0.4", "0.4", None), (5, "0.5", "0.5", None)], None),
        ({"ms": 1500}, [(0, "0.4", "0.4", None), (5, "0.4", "0.3", None), (6, "0.4", "0.4", None)], 2),
        ({"updates": 2, "ms": 5000}, [*locked("0.4", "0.4"), (5, "0.3", "0.3", None)], 2),
        ({"updates": 3, "ms": 1000}, locked("0.4", "0.4", "0.4"), 2),
    ],
)
def test_confirmation_asks_for_consecutive_quotes_and_unbroken_time(confirm, rows, expected):
    found = fired([STOP], rows, confirm=confirm)
    assert (None if found is None else found[0]) == expected


def test_each_condition_is_confirmed_by_itself():
    stops = [{"type": "stop_loss", "price": "0.30"}, STOP]
    assert fired(stops, locked("0.4", "0.3", "0.3"), confirm={"updates": 2}) == (1, "stop_loss", "0.4")


@pytest.mark.parametrize(
    ("quote", "expected"),
    [
        (("0.35", "0.40", None), True),
        (("0.35", "0.41", None), False),
        (("0.10", "0.40", "0.3"), False),
        ((None, None, "0.3"), False),
    ],
)
def test_quote_wider_than_max_spread_is_skipped_for_firing(quote, expected):
    assert (fired([STOP], [(0, *quote)], max_spread="0.05") is not None) == expected


def test_wide_quote_moves_the_mark_that_it_cannot_fire():
    rows = [(0, "0.5", "0.5", None), (1, "0.66", "0.74", None), (2, "0.63", "0.63", None)]
    assert fired([trail()], rows, max_spread="0.05") == (2, "trailing_stop", "0.63")


def test_wide_quote_neither_counts_for_nor_breaks_a_confirmation():
    rows = [(0, "0.4", "0.4", None), (1, "0.5", "0.6", None), (2, "0.4", "0.4", None)]
    assert fired([STOP], rows, max_spread="0.05", confirm={"updates": 2}) == (2, "stop_loss", "0.4")


def test_rows_of_a_tape_are_always_fresh():
    rows = [(0, "0.5", "0.5", None), (86_400, "0.4", "0.4", None)]
    assert fired([STOP], rows, max_age_ms=1) == (1, "stop_loss", "0.4")
