from datetime import timedelta
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from domain import ledger
from domain.fills import EntryKind, Fill, FillState, entries_of
from domain.ids import VenueOrderId
from domain.orders import Mode, Side
from tests.domain.altered import altered
from tests.domain.builders import ACCOUNT, KEY, MARKET, START, TOKEN, D, make_entry
from tests.domain.naive_ledger import naive_position

BUY, SELL = Side.BUY, Side.SELL
AT_ONCE = timedelta(0)
FEW = settings(
    max_examples=300, database=None, derandomize=True, report_multiple_bugs=False, phases=(Phase.generate,)
)


def fold(*entries):
    return ledger.fold(KEY, MARKET, entries)


# -- tables -----------------------------------------------------------------------------------------


def test_no_entries_are_a_flat_position_before_its_first_episode():
    position = fold()
    assert (position.shares, position.episode, position.average_entry) == (0, 0, None)
    assert position.opened_at is None
    assert position.closed_at is None


def test_average_entry_is_weighted_by_shares_and_without_fees():
    position = fold(
        make_entry("a", BUY, "10", "4", fee="0.12"), make_entry("b", BUY, "30", "18", fee="0.3", at=1)
    )
    assert position.average_entry == D("0.55")
    assert position.cost_usd == 22
    assert position.fees_usd == D("0.42")
    assert position.realized_pnl_usd == 0


def test_partial_sale_realizes_its_part_of_cost_and_entry_fees():
    position = fold(
        make_entry("a", BUY, "10", "4", fee="0.1"), make_entry("b", SELL, "4", "2", fee="0.05", at=1)
    )
    assert position.shares == 6
    assert position.average_entry == D("0.4")
    assert position.cost_usd == D("2.4")
    assert position.realized_pnl_usd == D("2") - D("1.6") - D("0.05") - D("0.04")


def test_closing_in_uneven_parts_loses_nothing_to_rounding():
    position = fold(
        make_entry("a", BUY, "3", "1", fee="0.01"),
        make_entry("b", SELL, "1", "0.5", at=1),
        make_entry("c", SELL, "1", "0.5", at=2),
        make_entry("d", SELL, "1", "0.5", at=3),
    )
    assert position.realized_pnl_usd == D("0.49")
    assert (position.shares, position.cost_usd, position.average_entry) == (0, 0, None)


def test_position_closed_at_zero_keeps_its_result_until_the_next_episode():
    closed = (make_entry("a", BUY, "10", "4"), make_entry("b", SELL, "10", "5", at=1))
    flat = fold(*closed)
    assert (flat.episode, flat.realized_pnl_usd) == (1, 1)
    assert flat.closed_at == closed[1].traded_at
    again = fold(*closed, make_entry("c", BUY, "5", "3", fee="0.1", at=2))
    assert (again.episode, again.realized_pnl_usd, again.fees_usd) == (2, 0, D("0.1"))
    assert again.average_entry == D("0.6")
    assert again.closed_at is None


def test_reversed_fill_counts_as_never_made_even_when_it_comes_first():
    reversal = make_entry("b", SELL, "10", "5", kind=EntryKind.REVERSAL, at=1)
    bought = make_entry("a", BUY, "10", "4")
    sold = make_entry("b", SELL, "10", "5", at=1)
    assert (
        fold(reversal, sold, bought) == fold(bought, sold, reversal) == fold(bought, reversal) == fold(bought)
    )


def test_reversal_of_the_closing_sale_opens_the_same_episode_again():
    entries = (make_entry("a", BUY, "10", "4"), make_entry("b", SELL, "10", "5", at=1))
    position = fold(*entries, make_entry("b", SELL, "10", "5", kind=EntryKind.REVERSAL, at=1))
    assert (position.shares, position.episode, position.closed_at) == (10, 1, None)


def test_confirmation_alone_is_the_whole_fill_and_final():
    position = fold(make_entry("a", BUY, "10", "4", kind=EntryKind.CONFIRMATION))
    assert (position.shares, position.unconfirmed_shares) == (10, 0)


def test_unconfirmed_shares_sum_over_both_sides():
    position = fold(
        make_entry("a", BUY, "10", "4"),
        make_entry("b", BUY, "7", "3", at=1),
        make_entry("b", BUY, "7", "3", kind=EntryKind.CONFIRMATION, at=1),
        make_entry("c", SELL, "2", "1", at=2),
    )
    assert position.unconfirmed_shares == 12


@pytest.mark.parametrize(
    ("side", "shares", "average"),
    [(BUY, "15", "0.5"), (SELL, "5", "0.4")],
)
def test_adjustment_moves_shares_at_its_price_and_needs_no_confirmation(side, shares, average):
    position = fold(
        make_entry("a", BUY, "10", "4", kind=EntryKind.CONFIRMATION),
        make_entry("adjust", side, "5", "3.5", kind=EntryKind.ADJUSTMENT, at=1),
    )
    assert position.shares == D(shares)
    assert position.average_entry == D(average)
    assert position.unconfirmed_shares == 0


@pytest.mark.parametrize("side", [BUY, SELL])
@pytest.mark.parametrize(("payout", "result"), [("10", "6"), ("0", "-4"), ("5", "1")])
def test_settlement_pays_and_closes_whatever_side_it_is_written_with(side, payout, result):
    position = fold(
        make_entry("a", BUY, "10", "4"),
        make_entry("settle", side, "10", payout, kind=EntryKind.SETTLEMENT, at=9),
    )
    assert position.shares == 0
    assert position.realized_pnl_usd == D(result)
    assert position.closed_at is not None


def test_sale_beyond_the_holding_is_a_deficit_until_the_missing_buy_is_known():
    known = (make_entry("a", BUY, "6", "3", at=0), make_entry("c", SELL, "10", "6", at=2))
    position = fold(*known)
    assert position.shares == -4
    assert position.average_entry is None
    assert position.cost_usd == D("-2.4")
    assert position.realized_pnl_usd == D("3.6") - 3
    assert (position.episode, position.closed_at) == (1, None)
    mended = fold(*known, make_entry("b", BUY, "4", "2", at=1))
    assert (mended.shares, mended.realized_pnl_usd, mended.episode) == (0, 1, 1)


def test_later_buy_covers_a_deficit_in_the_same_episode():
    position = fold(make_entry("a", SELL, "4", "2"), make_entry("b", BUY, "6", "3.6", at=1))
    assert position.shares == 2
    assert position.average_entry == D("0.6")
    assert position.realized_pnl_usd == 2 - D("2.4")
    assert position.episode == 1


def test_fills_of_the_same_second_count_in_the_order_of_their_keys():
    position = fold(make_entry("b", SELL, "10", "5"), make_entry("a", BUY, "10", "4"))
    assert (position.shares, position.realized_pnl_usd, position.episode) == (0, 1, 1)


def test_differing_reports_of_one_fill_give_one_position_whatever_the_order():
    early, late = make_entry("a", BUY, "10", "4", at=0), make_entry("a", BUY, "10", "4.5", at=1)
    confirmed = make_entry("a", BUY, "10", "5", kind=EntryKind.CONFIRMATION, at=2)
    assert fold(early, late) == fold(late, early)
    assert fold(late, confirmed, early) == fold(confirmed, early, late)
    assert fold(late, confirmed).average_entry == D("0.5")


def test_entry_about_no_shares_changes_nothing():
    bought = make_entry("a", BUY, "10", "4")
    assert fold(bought, make_entry("z", SELL, "0", "0", at=1)) == fold(bought)


def test_fold_does_not_depend_on_the_precision_of_the_thread():
    entries = [make_entry(f"f{i}", BUY, "1234567.654321", "1111111.123456", at=i) for i in range(9)]
    entries.append(make_entry("out", SELL, "10000000.000001", "9000000.000001", at=99))
    wide = fold(*entries)
    with localcontext() as context:
        context.prec = 5
        assert fold(*entries) == wide


def test_a_report_of_a_fill_enters_with_what_is_known_of_its_end():
    fill = Fill(
        fill_key="a",
        venue_order_id=VenueOrderId("0xorder"),
        market_id=MARKET,
        token_id=TOKEN,
        side=BUY,
        shares=D(10),
        notional_usd=D(4),
        fee_usd=D(0),
        state=FillState.REVERSED,
        traded_at=START,
    )
    assert fold(*entries_of(fill, ACCOUNT, "polymarket", Mode.LIVE)).shares == 0


def test_order_sums_tell_booked_reversed_and_unconfirmed_shares_apart():
    entries = [
        make_entry("a", SELL, "3", "1.5", fee="0.03"),
        make_entry("b", SELL, "2", "1", fee="0.02"),
        make_entry("b", SELL, "2", "1", fee="0.02", kind=EntryKind.CONFIRMATION),
        make_entry("c", SELL, "4", "2", fee="0.04"),
        make_entry("c", SELL, "4", "2", fee="0.04", kind=EntryKind.REVERSAL),
        make_entry("d", SELL, "9", "4", order="0xother"),
    ]
    sums = ledger.order_sums(entries + entries[::-1], VenueOrderId("0xorder"))
    assert sums == ledger.OrderSums(
        booked_shares=D(5),
        reversed_shares=D(4),
        unconfirmed_shares=D(3),
        notional_usd=D("2.5"),
        fee_usd=D("0.05"),
    )


# -- any permutation and repetition -----------------------------------------------------------------

WORDS = {
    "provisional": [["fill"]],
    "confirmed": [["confirmation"], ["fill", "confirmation"]],
    "reversed": [["reversal"], ["fill", "reversal"], ["fill", "confirmation", "reversal"]],
    "adjustment": [["adjustment"]],
    "settlement": [["settlement"]],
}
sizes = st.one_of(st.integers(1, 4).map(lambda n: n * 5_000_000), st.integers(1, 30_000_000))


@st.composite
def histories(draw):
    """Fills as dicts, and the reports of them: each told at least once, some again, in any order."""
    reports = []
    for number in range(draw(st.integers(0, 9))):
        state = draw(st.sampled_from([*WORDS, "provisional", "confirmed", "confirmed"]))
        shares = D(draw(sizes)).scaleb(-6)
        fill = {
            "key": f"f{draw(st.integers(0, 99)):02}-{number}",
            "buy": draw(st.booleans()),
            "shares": shares,
            "usd": shares * D(draw(st.integers(0, 1000))).scaleb(-3),
            "fee": D(draw(st.sampled_from([0, 0, 1, 3333, 70_000]))).scaleb(-5),
            "at": draw(st.integers(0, 6)),
        }
        reports += [{**fill, "kind": word} for word in draw(st.sampled_from(WORDS[state]))]
    again = draw(st.lists(st.sampled_from(reports), max_size=6)) if reports else []
    return draw(st.permutations(reports + again)), draw(st.permutations(reports))


def as_entry(report):
    return make_entry(
        report["key"],
        BUY if report["buy"] else SELL,
        report["shares"],
        report["usd"],
        fee=report["fee"],
        kind=EntryKind(report["kind"]),
        at=report["at"],
    )


def near(value, expected):
    """Equal to 18 decimals."""
    return abs(Fraction(value) - expected) <= Fraction(1, 10**18)


def fold_agrees_with_fractions(module, history):
    reports, other_order = history
    position = module.fold(KEY, MARKET, [as_entry(report) for report in reports])
    assert position == module.fold(KEY, MARKET, [as_entry(report) for report in other_order])
    expected = naive_position(reports)
    assert Fraction(position.shares) == expected["shares"]
    assert Fraction(position.unconfirmed_shares) == expected["unconfirmed"]
    assert Fraction(position.fees_usd) == expected["fees"]
    assert position.episode == expected["episode"]
    seconds = [
        None if at is None else (at - START).seconds for at in (position.opened_at, position.closed_at)
    ]
    assert seconds == [expected["opened_at"], expected["closed_at"]]
    assert near(position.cost_usd, expected["cost"])
    assert near(position.realized_pnl_usd, expected["realized"])
    assert (position.average_entry is None) == (expected["average"] is None)
    if position.average_entry is not None:
        assert near(position.average_entry, expected["average"])
    if position.shares == 0:
        assert Fraction(position.realized_pnl_usd) == expected["realized"]  # closed: to the last digit


@given(histories())
def test_any_permutation_and_repetition_of_reports_folds_to_the_right_position(history):
    fold_agrees_with_fractions(ledger, history)


MUTANTS = {
    "reversed fills count": (
        "if trade.state is FillState.REVERSED:\n            continue",
        "if False:\n            continue",
    ),
    "a confirmation outweighs a reversal": (
        "if EntryKind.REVERSAL in kinds",
        "if EntryKind.REVERSAL in kinds and EntryKind.CONFIRMATION not in kinds",
    ),
    "a confirmation is a fill of its own": (
        "known.setdefault(entry.fill_key, {})",
        "known.setdefault(entry.fill_key + entry.kind, {})",
    ),
    "time does not order": ("(trade.entry.traded_at, trade.entry.fill_key)", "trade.entry.fill_key"),
    "18 decimals are carried": ('Decimal("1e-40")', 'Decimal("1e-18")'),
    "a settlement may buy": (" and entry.kind is not EntryKind.SETTLEMENT", ""),
    "entry fees are forgotten": ("EXACT.add(fee, entry_fees))", "fee)"),
    "results of episodes add up": (
        "self.cost = self.entry_fees = self.realized = self.fees = _ZERO",
        "self.cost = self.entry_fees = _ZERO",
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_planted_mutant_of_the_fold_is_caught(name):
    mutant = altered("domain.ledger", *MUTANTS[name])

    @FEW
    @given(histories())
    def property_on_mutant(history):
        fold_agrees_with_fractions(mutant, history)

    with pytest.raises(AssertionError):
        property_on_mutant()


def test_fold_of_many_fills_stays_exact():
    entries = [make_entry(f"f{i:04}", BUY, "0.333333", "0.1", fee="0.00001", at=i) for i in range(500)]
    entries += [make_entry(f"s{i:04}", SELL, "0.333333", "0.2", at=1000 + i) for i in range(500)]
    assert fold(*entries).realized_pnl_usd == Decimal(500) * D("0.1") - 500 * D("0.00001")


# -- checkpoints ------------------------------------------------------------------------------------


def later(entries, since):
    return [entry for entry in entries if since is None or entry.traded_at > since.through]


def still_awaited(reports, awaits_s):
    """Fills without an end that are younger than so many seconds before the newest report."""
    newest = max((report["at"] for report in reports), default=0)
    ended = {report["key"] for report in reports if report["kind"] != "fill"}
    young = {report["key"] for report in reports if newest - report["at"] < awaits_s}
    return young - ended


def fold_from_checkpoints_agrees(module, history, keeps, awaits_s):
    """Checkpoint upon checkpoint: from each the rest folds to what everything does."""
    entries = [as_entry(report) for report in history[0]]
    awaits = timedelta(seconds=awaits_s)
    since = None
    for keep in keeps:
        since = module.checkpoint(later(entries, since), since, keep=keep, awaits=awaits) or since
        if since is None:
            continue
        rest = later(entries, since)
        kept = {entry.fill_key for entry in rest}
        assert len(kept) >= min(keeps)
        assert still_awaited(history[0], awaits_s) <= kept
        assert not kept & {entry.fill_key for entry in entries if entry.traded_at <= since.through}
        assert module.fold(KEY, MARKET, rest, since) == module.fold(KEY, MARKET, entries)


@given(histories(), st.lists(st.integers(1, 6), min_size=1, max_size=3), st.integers(0, 7))
def test_a_fold_that_begins_at_a_checkpoint_gives_the_same_position(history, keeps, awaits_s):
    fold_from_checkpoints_agrees(ledger, history, keeps, awaits_s)


CHECKPOINT_MUTANTS = {
    "unconfirmed shares are forgotten": ("since.unconfirmed_shares if since", "_ZERO if since"),
    "fees of opening trades are forgotten": ("since.entry_fees_usd if since", "_ZERO if since"),
    "episodes begin again": ("since.episode if since", "0 if since"),
    "what the position earned is forgotten": ("since.realized_pnl_usd if since", "_ZERO if since"),
    "one moment is on both sides": ("latest[count - 1] < earliest[count]", "True"),
    "the newest fills are in it": ("min(len(trades) - keep, ", "min(len(trades) - 1, "),
    "fills that wait for their end are in it": (", _awaited_from(trades, awaits)), 0", ", len(trades)), 0"),
    "only the newest fill waits for its end": (
        "newest - trade.first_at < awaits",
        "newest == trade.first_at",
    ),
    "what the venue took back waits for its end": (
        "is FillState.PROVISIONAL and newest",
        "is FillState.CONFIRMED and newest",
    ),
}


@pytest.mark.parametrize("name", CHECKPOINT_MUTANTS)
def test_planted_mutant_of_checkpoints_is_caught(name):
    mutant = altered("domain.ledger", *CHECKPOINT_MUTANTS[name])

    @FEW
    @given(histories(), st.lists(st.integers(1, 6), min_size=1, max_size=3), st.integers(0, 7))
    def property_on_mutant(history, keeps, awaits_s):
        fold_from_checkpoints_agrees(mutant, history, keeps, awaits_s)

    with pytest.raises(AssertionError):
        property_on_mutant()


def test_a_checkpoint_lies_before_the_first_fill_that_waits_for_its_end_and_behind_those_that_wait_long():
    entries = [
        make_entry("never", BUY, "10", "4"),
        make_entry("done", BUY, "10", "4", kind=EntryKind.CONFIRMATION, at=30),
        make_entry("waits", BUY, "10", "4", at=50),
        make_entry("too", BUY, "10", "4", kind=EntryKind.CONFIRMATION, at=60),
        make_entry("new", BUY, "10", "4", at=90),
    ]

    def shares_at(awaits_s):
        found = ledger.checkpoint(entries, keep=1, awaits=timedelta(seconds=awaits_s))
        return None if found is None else (found.shares, found.unconfirmed_shares)

    assert [shares_at(s) for s in (40, 41, 90)] == [(40, 20), (20, 10), (20, 10)]
    assert shares_at(91) is None


def test_a_checkpoint_parts_no_fill_from_its_end():
    entries = [
        make_entry("a", BUY, "10", "4"),
        make_entry("b", BUY, "10", "4", at=1),
        make_entry("a", BUY, "10", "4", kind=EntryKind.CONFIRMATION, at=3),
        make_entry("c", BUY, "10", "4", at=5),
    ]
    behind_both = ledger.checkpoint(entries, keep=1, awaits=AT_ONCE)

    assert ledger.checkpoint(entries, keep=2, awaits=AT_ONCE) is None
    assert behind_both is not None
    assert behind_both.through == entries[2].traded_at
    assert (behind_both.shares, behind_both.unconfirmed_shares) == (20, 10)
