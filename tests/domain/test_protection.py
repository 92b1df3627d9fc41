"""The protection that is proposed for a position: never one that fires at once, always on the tick."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import is_on_tick
from domain.orders import MarketState
from domain.protection import Exposed, Protection, Unprotectable, propose
from domain.quotes import PriceRules, Quote
from domain.rules.definition import Confirm, StopLoss, TrailingStop
from domain.rules.index import TriggerIndex
from domain.rules.levels import resolve
from domain.rules.watch import Watch
from tests.domain.builders import make_instrument

D = Decimal
RULES = PriceRules()
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def exposed(bid="0.49", ask="0.51", *, entry="0.50", shares="10", last="0.50", **changes):
    quote = Quote(*(None if price is None else D(price) for price in (bid, ask, last)))
    made = Exposed(
        instrument=make_instrument(),
        shares=D(shares),
        average_entry=None if entry is None else D(entry),
        quote=quote,
        rules=RULES,
    )
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("position", "level"),
    [
        pytest.param(exposed(), "0.40", id="below the entry"),
        pytest.param(exposed("0.29", "0.31"), "0.24", id="in loss: below the present price"),
        pytest.param(exposed(entry=None), "0.40", id="entry unknown: below the present price"),
        pytest.param(exposed(stop_percent=D(7)), "0.46", id="floored to the tick"),
        pytest.param(exposed("0.01", "0.02", entry=None), "0.01", id="never below one tick"),
    ],
)
def test_a_stop_lies_below_the_lower_of_entry_and_price(position, level):
    found = propose(position)
    assert found.definition.conditions == (StopLoss(price=D(level)),)
    assert found.level == D(level)


def test_a_position_well_in_profit_trails_with_its_first_level_as_floor():
    found = propose(exposed("0.59", "0.61"))
    assert found.definition.conditions == (TrailingStop(percent=D(20), floor_price=D("0.48")),)


def test_a_bid_that_disagrees_with_the_last_trade_lifts_no_level_above_the_price():
    found = propose(exposed("0.50", None, entry="0.50", last="0.10"))
    assert (found.price, found.level) == (D("0.10"), D("0.08"))


@pytest.mark.parametrize(
    ("position", "why"),
    [
        (exposed(shares="0.009"), Unprotectable.DUST),
        (exposed(shares="-3"), Unprotectable.DUST),
        (exposed(None, None, last=None), Unprotectable.NO_PRICE),
        (exposed("0.01", "0.01", entry=None), Unprotectable.NO_ROOM),
        (exposed(instrument=make_instrument(state=MarketState.RESOLVED)), Unprotectable.MARKET_FINAL),
    ],
)
def test_nothing_is_proposed_for_what_cannot_be_protected(position, why):
    assert propose(position) is why


def test_proceeds_are_those_of_the_sellable_shares_at_the_level_after_the_fee():
    instrument = replace(make_instrument(), fee_rate=D("0.04"))
    found = propose(exposed(shares="10.009", instrument=instrument))
    assert found.proceeds_usd == D("4") - D("0.096")


CENTS = st.integers(1, 999).map(lambda mills: D(mills) / 1000)


@given(
    st.none() | CENTS,
    st.none() | CENTS,
    st.none() | CENTS,
    st.none() | CENTS,
    st.sampled_from(["0.1", "0.01", "0.001"]),
    st.integers(1, 99).map(D),
)
def test_a_proposal_is_on_the_tick_and_does_not_fire_at_the_quote_it_was_made_at(
    bid, ask, last, entry, tick, percent
):
    """Whatever the book and the entry are, the engine of the live path fires nothing."""
    position = exposed(quote=Quote(bid, ask, last), average_entry=entry, stop_percent=percent)
    found = propose(replace(position, instrument=make_instrument(tick)))
    if not isinstance(found, Protection):
        return
    assert is_on_tick(found.level, D(tick))
    assert D(0) < found.level < found.price
    resolved = resolve(
        found.definition, entry, armed_at=NOW, opened_at=None, market_end=None, rules=RULES
    ).model_copy(update={"confirm": Confirm()})
    index = TriggerIndex(RULES)
    index.add(Watch("rule", 1, "token", resolved), 0)
    assert index.on_quote("token", position.quote, 0, wall_ms=0) == []
