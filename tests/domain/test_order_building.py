from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidInput
from domain.exits import build_order, gtd_expiration_s
from domain.orders import (
    ORDER_TRANSITIONS,
    OrderState,
    Purpose,
    Side,
    TimeInForce,
    VenueOrderStatus,
    can_become,
    later_status,
)
from tests.domain.builders import D, make_instrument, make_order

BUY, SELL = Side.BUY, Side.SELL
FAK, FOK, GTC, GTD = TimeInForce.FAK, TimeInForce.FOK, TimeInForce.GTC, TimeInForce.GTD
NOW_S = 1_767_225_600
TICKS = ["0.1", "0.01", "0.005", "0.0025", "0.001", "0.0001"]


def micros(text):
    return int(D(text) * 10**6)


# -- the venue's own client loses a cent on each of these -------------------------------------------


@pytest.mark.parametrize(
    ("side", "shares", "price", "usd"),
    [
        (BUY, "16.90", "0.30", "5.07"),
        (SELL, "66.60", "0.30", "19.98"),
        (BUY, "19.99", "0.29", "5.7971"),
        (BUY, "0.29", "0.57", "0.1653"),
    ],
)
def test_limit_order_keeps_every_share(side, shares, price, usd):
    instrument = make_instrument(min_shares="0.01")
    attempt = build_order(
        make_order(side=side, shares=D(shares), limit_price=D(price), instrument=instrument)
    )
    given_and_taken = (micros(usd), micros(shares)) if side is BUY else (micros(shares), micros(usd))
    assert (attempt.maker_amount, attempt.taker_amount) == given_and_taken
    assert (attempt.shares, attempt.limit_price) == (D(shares), D(price))


@pytest.mark.parametrize(
    ("budget", "price", "tick", "shares"),
    [
        ("5", "0.29", "0.01", "17.2413"),
        ("5", "0.57", "0.01", "8.7719"),
        ("2.03", "0.58", "0.01", "3.5"),
        ("9.98", "0.985", "0.001", "10.1319"),
    ],
)
def test_market_purchase_spends_its_budget_at_its_price(budget, price, tick, shares):
    attempt = build_order(
        make_order(
            time_in_force=FOK,
            shares=None,
            budget_usd=D(budget),
            limit_price=D(price),
            instrument=make_instrument(tick),
        )
    )
    assert (attempt.maker_amount, attempt.taker_amount) == (micros(budget), micros(shares))
    assert (attempt.shares, attempt.limit_price) == (D(shares), D(price))


# -- what is built ----------------------------------------------------------------------------------


def test_resting_budget_buys_whole_steps_at_exactly_the_limit():
    attempt = build_order(make_order(shares=None, budget_usd=D("5"), limit_price=D("0.29")))
    assert attempt.shares == D("17.24")
    assert attempt.maker_amount == micros("4.9996")


def test_purchase_of_shares_at_once_is_exact_to_the_cent():
    attempt = build_order(make_order(time_in_force=FAK, shares=D("12.5"), limit_price=D("0.44")))
    assert (attempt.maker_amount, attempt.taker_amount) == (micros("5.5"), micros("12.5"))


def test_sale_at_once_asks_for_at_most_four_decimals():
    attempt = build_order(
        make_order(
            side=SELL,
            purpose=Purpose.EXIT,
            time_in_force=FAK,
            shares=D("3.33"),
            limit_price=D("0.985"),
            instrument=make_instrument("0.001"),
        )
    )
    assert (attempt.maker_amount, attempt.taker_amount) == (micros("3.33"), micros("3.28"))


def test_gtd_order_carries_its_end_and_post_only():
    ends = datetime(2026, 1, 1, 1, tzinfo=UTC)
    attempt = build_order(make_order(time_in_force=GTD, post_only=True, expiration_s=gtd_expiration_s(ends)))
    assert attempt.expiration_s == NOW_S + 3600 + 60  # the venue ends it a minute early
    assert attempt.post_only


# -- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "field", "changes"),
    [
        ("off the tick", "limit_price", {"limit_price": D("0.405")}),
        ("zero", "limit_price", {"limit_price": D(0)}),
        ("one", "limit_price", {"limit_price": D(1)}),
        ("above one", "limit_price", {"limit_price": D("1.2")}),
        ("not a number", "limit_price", {"limit_price": D("NaN")}),
        ("too many decimals", "shares", {"shares": D("10.001")}),
        ("none", "shares", {"shares": D(0)}),
        ("negative", "shares", {"shares": D(-5)}),
        ("infinite", "shares", {"shares": D("Infinity")}),
        ("absurd", "shares", {"shares": D("1e30")}),
        ("below the resting minimum", "shares", {"shares": D("4.99")}),
        ("neither size", "shares", {"shares": None}),
        ("both sizes", "shares", {"budget_usd": D(5)}),
        ("a sale with a budget", "budget_usd", {"side": SELL, "shares": None, "budget_usd": D(5)}),
        ("a budget of nothing", "budget_usd", {"shares": None, "budget_usd": D(0)}),
        (
            "a budget with fractions of a cent",
            "budget_usd",
            {"time_in_force": FAK, "shares": None, "budget_usd": D("5.001")},
        ),
        ("a budget below $1", "budget_usd", {"time_in_force": FAK, "shares": None, "budget_usd": D("0.99")}),
        ("not whole cents", "shares", {"time_in_force": FAK, "shares": D("10.01")}),
        ("five decimals", "shares", {"time_in_force": FAK, "shares": D("10.00001")}),
        ("a purchase below $1", "shares", {"time_in_force": FAK, "shares": D(2)}),
        (
            "a sale at once of 3 decimals",
            "shares",
            {"side": SELL, "time_in_force": FAK, "shares": D("1.001")},
        ),
        (
            "a sale at once of nothing",
            "shares",
            {
                "side": SELL,
                "time_in_force": FAK,
                "shares": D("0.01"),
                "limit_price": D("0.009"),
                "instrument": make_instrument("0.001"),
            },
        ),
        ("post-only at once", "post_only", {"time_in_force": FOK, "post_only": True}),
        ("an end without GTD", "expires_at", {"expiration_s": NOW_S + 3600}),
        ("GTD without an end", "expires_at", {"time_in_force": GTD}),
        ("GTD that ends too soon", "expires_at", {"time_in_force": GTD, "expiration_s": NOW_S + 179}),
    ],
)
def test_order_is_refused_with_its_field(case, field, changes):
    with pytest.raises(InvalidInput) as refused:
        build_order(make_order(**changes))
    assert refused.value.field == field, case


def test_gtd_end_exactly_three_minutes_ahead_is_taken():
    assert build_order(make_order(time_in_force=GTD, expiration_s=NOW_S + 180)).expiration_s == NOW_S + 180


def test_token_venues_have_no_upper_price():
    instrument = make_instrument(venue="solana", min_shares="0.01")
    assert build_order(make_order(limit_price=D("123.45"), instrument=instrument)).limit_price == D("123.45")


# -- every tick -------------------------------------------------------------------------------------


def is_sound(request):
    """Whether a request must not be refused; sizes of purchases at once are hit or miss (whole cents)."""
    resting = request.time_in_force in (GTC, GTD)
    if request.side is BUY and request.budget_usd is not None:
        return request.budget_usd >= (5 if resting else 1)
    if request.side is BUY:
        return resting and request.shares >= 5
    if request.budget_usd is not None:
        return False
    return request.shares >= 5 if resting else request.shares * request.limit_price >= D("0.0001")


@given(
    tick=st.sampled_from(TICKS).map(Decimal),
    place=st.floats(0, 1, exclude_max=True),
    size=st.integers(1, 10**8).map(lambda n: Decimal(n).scaleb(-2)),
    side=st.sampled_from(Side),
    time_in_force=st.sampled_from(TimeInForce),
    by_budget=st.booleans(),
)
def test_built_order_is_within_the_venues_rules_or_refused(tick, place, size, side, time_in_force, by_budget):
    price = (1 + int(place * int(1 / tick - 1))) * tick
    request = make_order(
        side=side,
        time_in_force=time_in_force,
        shares=None if by_budget else size,
        budget_usd=size if by_budget else None,
        limit_price=price,
        instrument=make_instrument(str(tick)),
        expiration_s=NOW_S + 600 if time_in_force is GTD else 0,
    )
    try:
        attempt = build_order(request)
    except InvalidInput:
        assert not is_sound(request)
        return
    shares, usd = attempt.taker_amount, attempt.maker_amount
    if side is SELL:
        shares, usd = usd, shares
    assert attempt.shares * 10**6 == shares
    if time_in_force in (GTC, GTD):
        assert shares % 10_000 == 0
        assert usd == price * shares
        assert not by_budget or usd <= size * 10**6
    else:
        assert attempt.maker_amount % 10_000 == 0
        assert attempt.taker_amount % 100 == 0
        assert not by_budget or usd == size * 10**6
        # the limit on the grid is what the amounts imply, but for the last decimal of what is taken
        last = 100 if side is SELL else 100 * price
        assert abs(usd - price * shares) < last


# -- states -----------------------------------------------------------------------------------------


def test_a_finished_order_never_changes():
    for state in OrderState:
        if state.is_terminal:
            assert [other for other in OrderState if can_become(state, other)] == [state]


def test_every_open_order_can_reach_every_end():
    ends = {state for state in OrderState if state.is_terminal}
    for state in ORDER_TRANSITIONS:
        if not state.is_terminal:
            assert all(can_become(state, end) for end in ends)
            assert can_become(state, state)


def test_no_order_becomes_pending_again():
    assert not any(OrderState.PENDING in following for following in ORDER_TRANSITIONS.values())


def test_a_late_report_does_not_bring_a_finished_order_back():
    live, matched = VenueOrderStatus.LIVE, VenueOrderStatus.MATCHED
    assert later_status(None, live) is live
    assert later_status(live, matched) is matched
    assert later_status(matched, live) is matched
