"""How a rule stands at a quote, what it would send, and what is worth a warning before it is armed."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from domain.exits import NoOrderReason
from domain.ids import OrderId
from domain.orders import MarketState, Mode
from domain.quotes import Level, PriceRules, Quote
from domain.rules.cautions import CautionCode, Prospect, cautions
from domain.rules.definition import RuleDefinition
from domain.rules.exit_preview import preview_exit, sell_into
from domain.rules.levels import resolve
from domain.rules.selling import Seller, wanted_shares
from domain.rules.standing import Guard, Sight, standings
from domain.rules.tape import TapeRow
from domain.rules.trace import trace
from domain.rules.wording import approach_text, caution_text, exit_text, standing_text
from tests.domain.builders import ACCOUNT, WALLET, make_instrument
from tests.domain.tapes import START, moment

D = Decimal
STOP = {"type": "stop_loss", "price": "0.40"}
TARGET = {"type": "take_profit", "price": "0.60"}
TRAIL = {"type": "trailing_stop", "percent": "10"}
BIDS = (Level(D("0.44"), D(50)), Level(D("0.43"), D(100)), Level(D("0.30"), D(1000)))
MARKET = replace(make_instrument(), fee_rate=D("0.04"), ends_at=START + timedelta(days=1))


def resolved_of(*conditions, **fields):
    definition = RuleDefinition.model_validate({"conditions": conditions, **fields})
    return resolve(
        definition,
        D("0.50"),
        armed_at=START,
        opened_at=None,
        market_end=MARKET.ends_at,
        rules=PriceRules(),
    )


def quote_of(*prices):
    return Quote(*(None if price is None else D(price) for price in prices))


def standing_of(condition, *prices, rows=(), age_ms=0, armed=True, not_before=None, **fields):
    resolved = resolved_of(condition, **fields)
    tape = [
        TapeRow(moment(n), START + timedelta(seconds=n), quote_of(*cells)) for n, cells in enumerate(rows)
    ]
    sight = Sight(
        quote=quote_of(*prices) if prices else None,
        age_ms=age_ms,
        tick=D("0.01"),
        now=START + timedelta(seconds=max(len(rows) - 1, 0)),
        armed=armed,
        not_before=not_before,
    )
    traced = trace(resolved, tape, tick=D("0.01"))
    (standing,) = standings(resolved, sight, marks=traced.marks, runs=traced.runs)
    return standing


def test_distance_is_told_in_points_percent_and_ticks():
    standing = standing_of(STOP, "0.49", "0.51", None)

    assert (standing.level, standing.reached, standing.guard) == (D("0.40"), False, None)
    assert (standing.distance.points, standing.distance.percent, standing.distance.ticks) == (
        D("0.10"),
        D("20.00"),
        D("10.00"),
    )
    assert standing_text(standing) == "stop_loss at 0.40: 0.1 down from here (20 %, 10 ticks)."


def test_target_is_upwards_and_beyond_it_the_distance_is_negative():
    standing = standing_of(TARGET, "0.61", "0.63", None)

    assert standing.distance.points == D("-0.02")
    assert standing.fires
    assert standing_text(standing) == "take_profit at 0.60: fires now."


@pytest.mark.parametrize(
    ("prices", "fields", "guard"),
    [
        (("0.38", "0.40", None), {"max_spread": "0.01"}, Guard.SPREAD_TOO_WIDE),
        (("0.45", "0.70", "0.39"), {}, Guard.BID_DISAGREES),
        (("0.39", "0.39", None), {"age_ms": 20_001}, Guard.STALE_QUOTE),
        (("0.39", "0.39", None), {"armed": False}, Guard.NOT_ARMED),
        (("0.39", "0.39", None), {"not_before": START + timedelta(seconds=1)}, Guard.NOT_BEFORE),
        (("0.39", "0.39", None), {"confirm": {"updates": 2}}, Guard.NOT_CONFIRMED),
        (("0.39", "0.39", None), {}, None),
    ],
    ids=["spread", "bid", "age", "armed", "waits", "confirm", "none"],
)
def test_reached_level_names_the_guard_that_holds_it_back(prices, fields, guard):
    standing = standing_of(STOP, *prices, **fields)

    assert standing.reached
    assert standing.guard is guard
    assert standing.fires is (guard is None)
    said = {None: "fires now", Guard.NOT_ARMED: "the rule is not being watched"}.get(guard, "held back")
    assert said in standing_text(standing)


@pytest.mark.parametrize("prices", [(), (None, None, None), ("0.5", "0.4", "0.45"), (None, "0.5", None)])
def test_quote_that_is_skipped_gives_no_distance(prices):
    standing = standing_of(STOP, *prices)

    assert standing.distance is None
    assert standing.guard is Guard.SKIPPED_QUOTE
    assert not standing.reached


def test_confirmation_under_way_shows_how_far_it_is():
    row = ("0.39", "0.39", None)
    standing = standing_of(STOP, *row, rows=[row, row], confirm={"updates": 3, "ms": 4000})

    confirmation = standing.confirmation
    assert (confirmation.updates, confirmation.updates_needed) == (2, 3)
    assert (confirmation.ms, confirmation.ms_needed) == (1000, 4000)
    assert standing.guard is Guard.NOT_CONFIRMED


def test_trail_stands_by_the_mark_of_the_tape():
    standing = standing_of(TRAIL, "0.58", "0.58", None, rows=[("0.60", "0.60", None)])

    assert (standing.mark, standing.level) == (D("0.60"), D("0.54"))
    assert standing.distance.points == D("0.04")


def test_trail_that_waits_for_its_activation_has_no_level():
    standing = standing_of({**TRAIL, "activation_price": "0.70"}, "0.58", "0.58", None)

    assert (standing.active, standing.level, standing.distance) == (False, None, None)
    assert standing_text(standing) == "trailing_stop waits for its activation price."


def test_moment_tells_how_long_it_is_until_then():
    standing = standing_of({"type": "max_hold", "seconds": 60})

    assert (standing.due_in_ms, standing.reached) == (60_000, False)
    assert standing_text(standing).startswith("max_hold fires at 2026-01-01T00:01:00")


# -- what would be sent -------------------------------------------------------------------------------


def seller(**changes):
    values = {
        "order_id": OrderId("ord_1"),
        "account_id": ACCOUNT,
        "venue": "polymarket",
        "mode": Mode.LIVE,
        "wallet": WALLET,
        "instrument": MARKET,
        "held_shares": D(100),
        "sold_shares": D(0),
        "slippage_points": D("0.05"),
    }
    return Seller(**{**values, **changes})


def exit_of(condition=STOP, bids=BIDS, reference="0.45", entry="0.50", whose=None, **fields):
    return preview_exit(
        whose or seller(),
        resolved_of(condition, **fields),
        0,
        bids=bids,
        reference_price=D(reference) if reference else None,
        entry_price=D(entry) if entry else None,
        timestamp_ms=0,
    )


def test_stop_sells_through_the_levels_that_its_worst_price_allows():
    preview = exit_of()

    assert (preview.order_shares, preview.worst_price) == (D(100), D("0.38"))
    assert (preview.sale.shares, preview.sale.gross_usd, preview.rest_shares) == (D(100), D("43.5"), 0)
    assert preview.sale.fee_usd == D("0.4928") + D("0.4902")
    assert preview.sale.average_price == D("0.435")
    assert preview.pnl_usd == D("43.5") - D("0.983") - D(50)
    assert exit_text(preview) == (
        "Would sell 100 shares at 0.38 or better: 100 now for 42.517 USD after 0.983 USD of fees."
    )


def test_target_never_sells_below_its_level():
    preview = exit_of({"type": "take_profit", "price": "0.45"})

    assert preview.nothing is NoOrderReason.BELOW_FLOOR
    assert preview.rest_shares == 100
    assert "less than the lowest price" in exit_text(preview)


def test_book_that_is_too_thin_leaves_a_rest():
    preview = exit_of(bids=BIDS[:1])

    assert (preview.sale.shares, preview.rest_shares) == (D(50), D(50))
    assert exit_text(preview).endswith("50 left.")


def test_empty_book_is_priced_by_the_reference_and_fills_nothing():
    preview = exit_of(bids=())

    assert preview.worst_price == D("0.40")
    assert (preview.sale.shares, preview.sale.average_price, preview.pnl_usd) == (0, None, None)


@pytest.mark.parametrize(
    ("held", "sold", "action", "wanted"),
    [
        ("100", "0", {"type": "SELL_ALL"}, "100"),
        ("-5", "0", {"type": "SELL_ALL"}, "0"),
        ("100", "0", {"type": "SELL_PARTIAL", "amount": "30"}, "30"),
        ("100", "20", {"type": "SELL_PARTIAL", "amount": "30"}, "10"),
        ("10", "0", {"type": "SELL_PARTIAL", "amount": "30"}, "10"),
        ("100", "40", {"type": "SELL_PARTIAL", "amount": "30"}, "0"),
    ],
)
def test_wanted_shares_follow_action_holding_and_what_was_sold(held, sold, action, wanted):
    rule = resolved_of(STOP, action=action)
    assert wanted_shares(rule.action, D(held), D(sold)) == D(wanted)


def test_sale_stops_at_the_limit_and_pays_each_level_its_own_fee():
    sale = sell_into(BIDS, D(1000), D("0.43"), D(0))

    assert (sale.shares, sale.gross_usd, sale.fee_usd) == (D(150), D("65.00"), 0)


# -- warnings -----------------------------------------------------------------------------------------


def codes(*conditions, prices=("0.44", "0.46", "0.45"), bids=BIDS, held="100", **fields):
    resolved = resolved_of(*conditions, **fields)
    whose = seller(held_shares=D(held))
    quote = quote_of(*prices)
    sight = Sight(quote=quote, age_ms=0, tick=D("0.01"), now=START)
    exits = [
        preview_exit(
            whose, resolved, n, bids=bids, reference_price=D("0.45"), entry_price=D("0.50"), timestamp_ms=0
        )
        for n in range(len(conditions))
    ]
    prospect = Prospect(
        resolved=resolved,
        instrument=MARKET,
        quote=quote,
        standings=standings(resolved, sight, marks={}, runs={}),
        exits=exits,
        entry_price=D("0.50"),
        held_shares=D(held),
        wanted_shares=exits[0].wanted_shares,
    )
    found = cautions(prospect)
    for caution in found:
        assert caution_text(caution).endswith(".")
        assert "{" not in caution_text(caution)
    return [(caution.code, caution.condition_index) for caution in found]


@pytest.mark.parametrize(
    ("conditions", "given", "expected"),
    [
        ([STOP], {}, []),
        ([TARGET], {}, []),
        ([{"type": "stop_loss", "price": "0.46"}], {}, [(CautionCode.WOULD_FIRE_NOW, 0)]),
        (
            [{"type": "stop_loss", "price": "0.47"}],
            {"confirm": {"updates": 2}},
            [(CautionCode.HELD_BACK_NOW, 0)],
        ),
        ([STOP], {"max_spread": "0.01"}, [(CautionCode.SPREAD_TOO_WIDE_NOW, None)]),
        (
            [{"type": "take_profit", "price": "0.455"}],
            {},
            [(CautionCode.INSIDE_SPREAD, 0), (CautionCode.LOSES_AFTER_FEES, 0)],
        ),
        ([{"type": "take_profit", "price": "0.505"}], {}, [(CautionCode.LOSES_AFTER_FEES, 0)]),
        ([{"type": "take_profit", "price": "0.515"}], {}, [(CautionCode.LOSES_AFTER_FEES, 0)]),
        ([{"type": "take_profit", "price": "0.53"}], {}, []),
        ([{**TRAIL, "activation_price": "0.55"}], {}, [(CautionCode.TRAIL_STARTS_AT_A_LOSS, 0)]),
        ([{**TRAIL, "activation_price": "0.60"}], {}, []),
        ([STOP], {"floor": "0.42"}, [(CautionCode.FLOOR_ABOVE_LEVEL, 0)]),
        ([TARGET], {"floor": "0.62"}, []),
        (
            [STOP],
            {"action": {"type": "SELL_PARTIAL", "amount": "97"}},
            [(CautionCode.LEAVES_LESS_THAN_MINIMUM, None)],
        ),
        ([{"type": "max_hold", "seconds": 86_400}], {}, [(CautionCode.MARKET_ENDS_EARLIER, 0)]),
        ([STOP], {"expires_at": moment(86_401)}, [(CautionCode.MARKET_ENDS_EARLIER, None)]),
        ([STOP], {"bids": BIDS[:1]}, [(CautionCode.BOOK_TOO_THIN, None)]),
        ([TARGET], {"bids": ()}, []),
        ([STOP], {"floor": "0.35", "bids": BIDS[2:]}, [(CautionCode.NOTHING_TO_SEND, None)]),
        ([STOP], {"held": "0"}, []),
    ],
)
def test_what_is_worth_a_warning(conditions, given, expected):
    assert codes(*conditions, **given) == expected


def test_near_miss_reads_as_a_sentence():
    rows = [
        TapeRow(moment(n), START + timedelta(seconds=n), quote_of(p, p, None))
        for n, p in enumerate(("0.41", "0.5"))
    ]
    (missed,) = trace(resolved_of(STOP), rows, tick=D("0.01")).near_misses
    (held,) = trace(
        resolved_of(STOP, confirm={"updates": 2}),
        [replace(rows[0], quote=quote_of("0.39", "0.39", None)), rows[1]],
        tick=D("0.01"),
    ).near_misses

    assert approach_text(missed) == "stop_loss at 0.40 was missed by 0.01: the price came to 0.41."
    assert approach_text(held) == (
        "stop_loss at 0.40 was reached by 0.39 and held back: the level is not confirmed yet."
    )


def test_final_market_sends_nothing():
    closed = seller(instrument=replace(MARKET, state=MarketState.CLOSED))
    assert exit_of(whose=closed).nothing is NoOrderReason.MARKET_FINAL
