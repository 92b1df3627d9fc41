from decimal import Decimal

import pytest

from domain.quotes import (
    Ladder,
    Level,
    PriceRules,
    PriceSource,
    Quote,
    SourcePrice,
    price_rules_of,
    source_price,
    spread,
)

RULES = PriceRules()


def quote(bid, ask, last):
    return Quote(*(None if price is None else Decimal(price) for price in (bid, ask, last)))


@pytest.mark.parametrize(
    ("source", "bid", "ask", "last", "price", "fell_back"),
    [
        ("display", "0.40", "0.50", "0.90", "0.45", False),
        ("display", "0.40", "0.5001", "0.90", "0.90", True),
        ("display", "0.45", "0.45", None, "0.45", False),
        ("display", None, "0.50", "0.90", "0.90", True),
        ("display", "0.40", None, "0.30", "0.30", True),
        ("display", None, None, "0.30", "0.30", True),
        ("mid", "0.20", "0.80", "0.90", "0.50", False),
        ("mid", "0.001", "0.002", None, "0.0015", False),
        ("bid", "0.20", None, None, "0.20", False),
        ("ask", None, "0.80", None, "0.80", False),
        ("last", None, None, "0", "0", False),
        ("last", "0.2", "0.3", "1", "1", False),
    ],
)
def test_source_names_the_price(source, bid, ask, last, price, fell_back):
    found = source_price(quote(bid, ask, last), PriceSource(source), RULES)
    assert found == SourcePrice(Decimal(price), fell_back)


@pytest.mark.parametrize(
    ("source", "bid", "ask", "last"),
    [
        ("display", "0.40", "0.60", None),
        ("display", None, None, None),
        ("display", "0.40", None, None),
        ("mid", "0.40", None, "0.40"),
        ("bid", None, "0.40", "0.40"),
        ("ask", "0.40", None, "0.40"),
        ("last", "0.40", "0.41", None),
        ("last", "0.41", "0.40", "0.40"),
        ("bid", "0.41", "0.40", "0.40"),
        ("last", "0.40", "0.41", "1.01"),
        ("bid", "0.40", "1.01", None),
        ("ask", "-0.01", "0.40", None),
        ("last", None, None, "-0.01"),
    ],
)
def test_quote_that_lacks_or_contradicts_has_no_price(source, bid, ask, last):
    assert source_price(quote(bid, ask, last), PriceSource(source), RULES) is None


def test_token_price_is_not_bounded_by_one_but_by_zero():
    rules = price_rules_of("solana")
    assert source_price(quote(None, None, "240.5"), PriceSource.LAST, rules) == SourcePrice(
        Decimal("240.5"), False
    )
    assert source_price(quote(None, None, "-1"), PriceSource.LAST, rules) is None
    assert price_rules_of("polymarket") == price_rules_of("kalshi") == PriceRules()


def test_display_spread_is_a_setting_of_the_venue():
    narrow = PriceRules(display_max_spread=Decimal("0.02"))
    assert source_price(quote("0.40", "0.45", "0.6"), PriceSource.DISPLAY, narrow) == SourcePrice(
        Decimal("0.6"), True
    )


@pytest.mark.parametrize("price", ["NaN", "Infinity", "-Infinity"])
def test_quote_of_no_finite_price_cannot_be_made(price):
    with pytest.raises(ValueError, match="finite"):
        Quote(None, Decimal(price), None)


def test_spread_needs_both_sides():
    assert spread(quote("0.40", "0.45", None)) == Decimal("0.05")
    assert spread(quote("0.45", "0.40", None)) == Decimal("-0.05")
    assert spread(quote("0.45", None, "0.4")) is None


def test_ladder_holds_ten_levels_at_most():
    level = Level(Decimal("0.5"), Decimal(10))
    assert len(Ladder((level,) * 10).levels) == 10
    with pytest.raises(ValueError, match="10 levels"):
        Ladder((level,) * 11)
