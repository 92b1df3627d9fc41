from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import (
    ceil_decimals,
    ceil_to_tick,
    floor_decimals,
    floor_to_tick,
    from_micros,
    is_on_tick,
    parse_decimal,
    plain,
    to_micros,
)

D = Decimal


@pytest.mark.parametrize(
    ("value", "micros"),
    [("0", 0), ("1", 10**6), ("0.000001", 1), ("12.340000000", 12_340_000), ("-0.5", -500_000)],
)
def test_amount_becomes_exact_micros(value, micros):
    assert to_micros(D(value)) == micros
    assert from_micros(micros) == D(value)


@pytest.mark.parametrize("value", ["0.0000001", "1.1234567", "NaN", "Infinity", "1E-30"])
def test_amount_without_exact_micros_is_refused(value):
    with pytest.raises(ValueError, match=r"decimals|amount"):
        to_micros(D(value))


def test_huge_amount_keeps_every_digit():
    assert to_micros(D("123456789012345678901234567890.123456")) == 123456789012345678901234567890123456


@pytest.mark.parametrize(
    ("price", "tick", "floor", "ceil"),
    [
        ("0.537", "0.01", "0.53", "0.54"),
        ("0.53", "0.01", "0.53", "0.53"),
        ("0.1", "0.03", "0.09", "0.12"),
        ("0", "0.001", "0", "0"),
        ("-0.015", "0.01", "-0.02", "-0.01"),
        ("0.999999999999999999999999999999", "0.0001", "0.9999", "1"),
    ],
)
def test_price_is_rounded_to_its_tick(price, tick, floor, ceil):
    assert floor_to_tick(D(price), D(tick)) == D(floor)
    assert ceil_to_tick(D(price), D(tick)) == D(ceil)
    assert is_on_tick(D(price), D(tick)) == (floor == ceil)


@pytest.mark.parametrize("tick", ["0", "-0.01", "NaN"])
def test_tick_that_is_not_positive_is_refused(tick):
    with pytest.raises(ValueError, match="positive"):
        floor_to_tick(D("0.5"), D(tick))


@pytest.mark.parametrize(
    ("value", "places", "floor", "ceil"),
    [
        ("1.239", 2, "1.23", "1.24"),
        ("-1.239", 2, "-1.24", "-1.23"),
        ("7", 0, "7", "7"),
        ("0.0000019", 6, "0.000001", "0.000002"),
    ],
)
def test_decimals_are_cut_in_the_named_direction(value, places, floor, ceil):
    assert floor_decimals(D(value), places) == D(floor)
    assert ceil_decimals(D(value), places) == D(ceil)


def test_negative_number_of_places_is_refused():
    with pytest.raises(ValueError, match="places"):
        floor_decimals(D(1), -1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0.40", "0.4"),
        ("1E+3", "1000"),
        ("1E-7", "0.0000001"),
        ("0", "0"),
        ("-0.0", "0"),
        ("100", "100"),
        ("-2.50", "-2.5"),
    ],
)
def test_plain_text_has_no_exponent_and_no_trailing_zeros(value, text):
    assert plain(D(value)) == text


@pytest.mark.parametrize(
    ("value", "number"), [("0.40", "0.40"), (0.1, "0.1"), (7, "7"), (" 2.5 ", "2.5"), (1e-7, "0.0000001")]
)
def test_number_is_read_exactly(value, number):
    assert parse_decimal(value) == D(number)


@pytest.mark.parametrize(
    "value",
    ["", "abc", "1_000", "NaN", "Infinity", "-inf", float("nan"), "1e1000000", "1e-1000000", "9" * 41],
)
def test_what_is_no_price_is_refused(value):
    with pytest.raises(ValueError, match=r"number|finite|digits"):
        parse_decimal(value)


@given(st.decimals(min_value=0, max_value=1, places=8), st.integers(1, 1000).map(lambda n: D(n) / 10_000))
def test_tick_below_and_above_enclose_the_price(price, tick):
    low, high = floor_to_tick(price, tick), ceil_to_tick(price, tick)
    assert low <= price <= high
    assert high - low in (0, tick)
    assert low % tick == 0
    assert high % tick == 0


@given(st.integers(-(10**30), 10**30))
def test_micros_survive_the_round_trip(micros):
    assert to_micros(from_micros(micros)) == micros
