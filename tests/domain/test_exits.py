from dataclasses import replace
from decimal import localcontext

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from domain import amounts, exits
from domain.exits import NoOrder, NoOrderReason, build_exit
from domain.ids import OrderId, attempt_salt
from domain.orders import MarketState, Purpose, Side, TimeInForce
from tests.domain.altered import altered
from tests.domain.builders import D, make_exit, make_instrument, make_ladder

TICKS = ["0.1", "0.01", "0.005", "0.0025", "0.001", "0.0001"]


def no_order(reason, shares):
    return NoOrder(reason=reason, shares=D(shares))


# -- worst price ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "changes", "limit"),
    [
        ("covering level less slippage", {}, "0.35"),
        ("second level covers", {"ladder": make_ladder(("0.40", "4"), ("0.38", "6"), ("0.3", "9"))}, "0.33"),
        ("book too thin: its last level", {"ladder": make_ladder(("0.40", "4"), ("0.38", "5"))}, "0.33"),
        ("first level covers exactly", {"ladder": make_ladder(("0.40", "10"), ("0.2", "9"))}, "0.35"),
        ("floored to the tick", {"slippage_points": D("0.033")}, "0.36"),
        ("no slippage", {"slippage_points": D(0)}, "0.40"),
        ("raised to the floor", {"floor": D("0.37")}, "0.37"),
        ("raised to a floor between ticks", {"floor": D("0.3671")}, "0.37"),
        ("raised to the target's level", {"lowest": D("0.395")}, "0.40"),
        ("the higher of floor and level", {"floor": D("0.38"), "lowest": D("0.36")}, "0.38"),
        ("never below one tick", {"ladder": make_ladder(("0.03", "99"))}, "0.01"),
        ("empty book: reference less slippage", {"ladder": make_ladder()}, "0.36"),
        ("empty book: not below the floor", {"ladder": make_ladder(), "floor": D("0.5")}, "0.50"),
        ("nothing known: one tick", {"ladder": make_ladder(), "reference_price": None}, "0.01"),
        ("worthless reference: one tick", {"ladder": make_ladder(), "reference_price": D(0)}, "0.01"),
        (
            "never above one tick below 1",
            {"ladder": make_ladder(("1", "99")), "slippage_points": D(0)},
            "0.99",
        ),
    ],
)
def test_worst_price(case, changes, limit):
    assert build_exit(make_exit(**changes)).limit_price == D(limit), case


def test_exit_is_a_killable_sale_with_exact_amounts_and_its_own_salt():
    request = make_exit(wanted_shares=D("16.904"), available_shares=D(20))
    attempt = build_exit(request)
    assert (attempt.side, attempt.purpose, attempt.time_in_force) == (
        Side.SELL,
        Purpose.EXIT,
        TimeInForce.FAK,
    )
    assert (attempt.shares, attempt.maker_amount, attempt.taker_amount) == (D("16.9"), 16_900_000, 5_915_000)
    assert attempt.salt == attempt_salt(OrderId("ord_1"), 1)
    assert (attempt.expiration_s, attempt.post_only) == (0, False)


def test_same_request_gives_the_same_attempt_whatever_the_thread_rounds():
    request = make_exit(wanted_shares=D("1234567.891234"), available_shares=D("1234567.881234"))
    attempt = build_exit(request)
    with localcontext() as context:
        context.prec = 3
        again = build_exit(request)
    assert repr(again) == repr(attempt)
    assert build_exit(replace(request, attempt=2)).salt != attempt.salt


def test_size_is_what_is_available_when_more_is_wanted():
    assert build_exit(make_exit(available_shares=D("3.337"))).shares == D("3.33")


# -- no order ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "changes", "expected"),
    [
        ("nothing wanted", {"wanted_shares": D(0)}, no_order(NoOrderReason.NOTHING_HELD, 0)),
        ("a deficit", {"wanted_shares": D(-4)}, no_order(NoOrderReason.NOTHING_HELD, 0)),
        ("below the step", {"wanted_shares": D("0.009999")}, no_order(NoOrderReason.DUST, "0.009999")),
        ("others hold all", {"available_shares": D(0)}, no_order(NoOrderReason.RESERVED, 10)),
        ("others hold too much", {"available_shares": D("0.001")}, no_order(NoOrderReason.RESERVED, 10)),
        ("floor above the book", {"floor": D("0.41")}, no_order(NoOrderReason.BELOW_FLOOR, 10)),
        ("floor a hair above the book", {"floor": D("0.4001")}, no_order(NoOrderReason.BELOW_FLOOR, 10)),
        ("target above the book", {"lowest": D("0.6")}, no_order(NoOrderReason.BELOW_FLOOR, 10)),
        ("floor that no tick reaches", {"floor": D("0.995")}, no_order(NoOrderReason.BELOW_FLOOR, 10)),
        (
            "market resolved",
            {"instrument": make_instrument(state=MarketState.RESOLVED)},
            no_order(NoOrderReason.MARKET_FINAL, 10),
        ),
        (
            "worth less than the smallest amount",
            {"wanted_shares": D("0.01"), "ladder": make_ladder(("0.005", "9"))},
            no_order(NoOrderReason.DUST, "0.01"),
        ),
        (
            "worth less than the venue takes",
            {"wanted_shares": D("2.4"), "min_notional_usd": D(1)},
            no_order(NoOrderReason.DUST, "2.4"),
        ),
        (
            "the free part is worth less than the venue takes",
            {"available_shares": D("2.4"), "min_notional_usd": D(1)},
            no_order(NoOrderReason.RESERVED, 10),
        ),
        (
            "all of it is worth less than the venue takes",
            {"wanted_shares": D("2.4"), "available_shares": D(1), "min_notional_usd": D(1)},
            no_order(NoOrderReason.DUST, "2.4"),
        ),
    ],
)
def test_no_order(case, changes, expected):
    assert build_exit(make_exit(**changes)) == expected, case


def test_floor_at_the_best_bid_still_sells():
    assert build_exit(make_exit(floor=D("0.40"))).limit_price == D("0.40")


@pytest.mark.parametrize("state", [state for state in MarketState if not state.is_final])
def test_a_market_that_may_trade_again_does_not_end_an_exit(state):
    assert build_exit(make_exit(instrument=make_instrument(state=state))).shares == 10


def test_remainder_below_the_resting_minimum_is_sold_at_once():
    attempt = build_exit(make_exit(wanted_shares=D("0.02")))
    assert (attempt.maker_amount, attempt.taker_amount) == (20_000, 7_000)


def test_tiny_sale_on_a_fine_tick_does_not_give_the_floor_away():
    request = make_exit(
        instrument=make_instrument("0.0001"),
        wanted_shares=D("0.07"),
        ladder=make_ladder(("0.4600", "99")),
        floor=D("0.4567"),
    )
    attempt = build_exit(request)
    assert attempt.taker_amount == 32_000
    assert attempt.limit_price == D("0.4572")


# -- every tick -------------------------------------------------------------------------------------


@st.composite
def requests(draw):
    tick = D(draw(st.sampled_from(TICKS)))
    steps = int(1 / tick)
    price = st.one_of(st.integers(1, steps - 1), st.integers(1, steps)).map(lambda n: n * tick)
    off_grid = st.integers(1, 99_999).map(lambda n: D(n).scaleb(-5))
    size = st.one_of(
        st.integers(1, 30).map(lambda n: D(n).scaleb(-2)),
        st.integers(0, 300).map(lambda n: D(n).scaleb(-2)),
        st.integers(0, 10**9).map(lambda n: D(n).scaleb(-6)),
    )
    bids = sorted(draw(st.lists(price, max_size=4, unique=True)), reverse=True)
    guard = st.one_of(st.none(), price, off_grid)
    if bids:
        guard = st.one_of(guard, st.sampled_from(bids))  # at a price that the book pays
    wanted = draw(size)
    return make_exit(
        instrument=make_instrument(str(tick)),
        wanted_shares=wanted,
        available_shares=draw(st.just(wanted) | size),
        ladder=make_ladder(*[(bid, draw(size) + D("0.01")) for bid in bids]),
        reference_price=draw(st.none() | off_grid),
        slippage_points=draw(st.sampled_from([D(0), D("0.001"), D("0.02"), D("0.3")])),
        floor=draw(guard),
        lowest=draw(guard),
        min_notional_usd=draw(st.sampled_from([D(0), D(0), D(1)])),
    )


def exit_keeps_the_rules(module, request):
    built = module.build_exit(request)
    if type(built).__name__ == "NoOrder":
        no_order_is_right(request, built)
        return
    tick = request.instrument.tick
    guard = max(request.floor or D(0), request.lowest or D(0))
    # what leaves the machine
    assert built.maker_amount == built.shares * 10**6
    assert built.maker_amount % 10_000 == 0
    assert built.taker_amount % 100 == 0
    assert built.maker_amount > 0
    assert built.taker_amount > 0
    assert built.shares <= min(request.wanted_shares, request.available_shares)
    assert min(request.wanted_shares, request.available_shares) - built.shares < D("0.01")
    # the price
    assert built.limit_price % tick == 0
    assert tick <= built.limit_price <= 1 - tick
    assert built.limit_price >= guard
    assert built.taker_amount <= built.maker_amount * built.limit_price
    below_guard = (
        guard // tick - (guard % tick == 0)
    ) * tick  # the highest price on the grid that undercuts the guard
    assert below_guard * built.maker_amount < built.taker_amount
    if request.ladder.levels:  # an order that cannot match is not sent
        assert request.ladder.levels[0].price * built.maker_amount >= built.taker_amount


def no_order_is_right(request, built):
    guard = max(request.floor or D(0), request.lowest or D(0))
    free = min(request.wanted_shares, request.available_shares)
    bids = request.ladder.levels
    assert built.shares == request.wanted_shares
    if built.reason == "below_floor":
        too_low = not bids or bids[0].price < guard or guard > 1 - request.instrument.tick
        tiny = free < 1
        assert guard > 0
        assert too_low or tiny
    elif built.reason == "nothing_held":
        assert request.wanted_shares <= 0
    else:
        # the level that the order would need is somewhere between these
        prices = [bid.price for bid in bids] or [request.reference_price or D(0)]
        least = max(request.min_notional_usd, D("0.0001"))
        assert free < D("0.01") or (free - D("0.01")) * min(prices) < least
        if built.reason == "reserved":
            assert request.available_shares < request.wanted_shares
            assert request.wanted_shares * max(prices) >= least or free < D("0.01")
        else:
            assert (request.wanted_shares - D("0.01")) * min(prices) < least


@given(requests())
def test_exit_is_within_the_venues_rules_at_every_tick(request_):
    exit_keeps_the_rules(exits, request_)


MUTANTS = {
    "floor rounded down": ("domain.exits", "ceil_to_tick(guard, tick)", "floor_to_tick(guard, tick)"),
    "more than is available": (
        "domain.exits",
        "size = sellable_shares(min(request.wanted_shares, request.available_shares))",
        "size = sellable_shares(request.wanted_shares)",
    ),
    "floor ignored": (
        "domain.exits",
        "max(request.floor or _ZERO, request.lowest or _ZERO)",
        "request.lowest or _ZERO",
    ),
    "level ignored": (
        "domain.exits",
        "max(request.floor or _ZERO, request.lowest or _ZERO)",
        "request.floor or _ZERO",
    ),
    "off the grid": (
        "domain.exits",
        "floor_to_tick(EXACT.subtract(covering, request.slippage_points), tick)",
        "covering",
    ),
}
AMOUNT_MUTANTS = {
    "USD rounded up": (
        "usd = floor_decimals(EXACT.multiply(shares, limit), _TAKEN_PLACES)",
        "usd = ceil_decimals(EXACT.multiply(shares, limit), _TAKEN_PLACES)",
    ),
    "tiny sales give the floor away": (
        "if usd <= EXACT.multiply(shares, EXACT.subtract(lowest, tick)):",
        "if usd <= 0:",
    ),
}
FEW = settings(
    max_examples=1500, database=None, derandomize=True, report_multiple_bugs=False, phases=(Phase.generate,)
)


def fails_the_property(module):
    @FEW
    @given(requests())
    def property_on_mutant(request):
        exit_keeps_the_rules(module, request)

    with pytest.raises(AssertionError):
        property_on_mutant()


@pytest.mark.parametrize("name", MUTANTS)
def test_planted_mutant_of_the_exit_is_caught(name):
    fails_the_property(altered(*MUTANTS[name]))


@pytest.mark.parametrize("name", AMOUNT_MUTANTS)
def test_planted_mutant_of_the_amounts_is_caught(name):
    mutant = altered("domain.exits", "class NoOrderReason", "class NoOrderReason")
    mutant.guarded_sale = altered(amounts.__name__, *AMOUNT_MUTANTS[name]).guarded_sale
    fails_the_property(mutant)
