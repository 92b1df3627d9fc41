"""When a difference between ledger and venue counts, and at which price."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.outside import (
    ComparedHoldings,
    Comparison,
    HoldingsPlace,
    HoldingsReport,
    Verdict,
    adjustment_price,
    judge,
    of_all_wallets,
    turn,
)
from domain.ports import HeldToken
from tests.domain.builders import ACCOUNT, START, TOKEN
from tests.fakes.trading import make_holding

D = Decimal
APART = timedelta(seconds=30)


def held(token, shares, paid):
    entry = None if paid is None else D(paid)
    return HeldToken(market_id="0xaa", token_id=token, shares=D(shares), average_entry=entry)


@pytest.mark.parametrize(
    ("parts", "together"),
    [
        ([("1", "10", "0.50")], [("1", "10", "0.50")]),
        (
            [("1", "10", "0.50"), ("2", "5", "0.1"), ("1", "30", "0.20")],
            [("1", "40", "0.275"), ("2", "5", "0.1")],
        ),
        ([("1", "1", "0.1"), ("1", "2", "0.2")], [("1", "3", "0.166666")]),
        ([("1", "10", "0.50"), ("1", "30", None)], [("1", "40", None)]),
        ([("1", "0", "0.50"), ("1", "0", "0.50")], [("1", "0", None)]),
    ],
    ids=["one wallet", "weighted", "floored", "unknown in one", "nothing held"],
)
def test_a_token_in_several_wallets_is_one_holding(parts, together):
    assert of_all_wallets(held(*part) for part in parts) == [held(*whole) for whole in together]


SHARES = st.integers(min_value=-5, max_value=20).map(D)


def seen(venue="10", ledger="10", *, version=7, at=0, **changes):
    holding = make_holding(ledger, version)
    comparison = Comparison(
        token_id=TOKEN,
        ledger=holding,
        venue_shares=D(venue),
        has_unsettled=False,
        sees_all_wallets=True,
        at=START + timedelta(seconds=at),
    )
    return replace(comparison, **changes)


def test_a_difference_counts_when_a_later_comparison_shows_the_same():
    first = judge(seen("4"), None, APART)
    early = judge(seen("4", at=29), first.sighting, APART)
    late = judge(seen("4", at=30), early.sighting, APART)
    assert [first.verdict, early.verdict, late.verdict] == [
        Verdict.SEEN_ONCE,
        Verdict.SEEN_ONCE,
        Verdict.COUNTS,
    ]


@pytest.mark.parametrize(
    "second", [seen("5", at=60), seen("4", version=8, at=60)], ids=["another balance", "the ledger moved"]
)
def test_a_difference_that_changed_is_a_new_one(second):
    first = judge(seen("4"), None, APART)
    again = judge(second, first.sighting, APART)
    assert again.verdict is Verdict.SEEN_ONCE
    assert again.sighting.first_seen == second.at


def test_a_token_that_the_ledger_never_held_is_believed_at_once():
    never = replace(make_holding("0", 0), episode=0)
    found = replace(seen("10"), ledger=never)
    assert judge(found, None, APART).verdict is Verdict.COUNTS


@given(SHARES, SHARES, st.booleans(), st.booleans(), st.integers(0, 2), st.booleans())
def test_nothing_counts_while_something_of_ours_may_explain_it(
    venue, ledger, all_seen, unsettled, loose, again
):
    """Whatever was seen before: an unsettled order or an unconfirmed fill stops every judgement."""
    holding = replace(make_holding(str(ledger)), unconfirmed_shares=D(loose))
    now = replace(
        seen(), ledger=holding, venue_shares=venue, has_unsettled=unsettled, sees_all_wallets=all_seen
    )
    calm = replace(now, has_unsettled=False, ledger=replace(holding, unconfirmed_shares=D(0)))
    known = judge(calm, None, APART).sighting if again else None
    verdict = judge(replace(now, at=START + APART), known, APART).verdict
    if unsettled or loose:
        assert verdict is Verdict.UNCERTAIN
    elif venue == ledger:
        assert verdict is Verdict.EQUAL
    elif venue < ledger and not all_seen:
        assert verdict is Verdict.UNCERTAIN
    else:
        assert verdict is (Verdict.COUNTS if again else Verdict.SEEN_ONCE)


PRICES = st.none() | st.integers(0, 100).map(lambda cents: D(cents) / 100)


@given(PRICES, PRICES, PRICES)
def test_what_went_is_counted_at_the_ledgers_own_average(payout, venue_average, shown):
    price = adjustment_price(
        grows=False, payout=payout, venue_average=venue_average, ledger_average=D("0.6"), shown=shown
    )
    assert price == (D("0.6") if payout is None else payout)


@given(PRICES, PRICES, PRICES, PRICES)
def test_what_came_is_counted_at_the_venues_average_else_at_the_present_price(payout, average, own, shown):
    price = adjustment_price(
        grows=True, payout=payout, venue_average=average, ledger_average=own, shown=shown
    )
    assert price == next((p for p in (average, shown, payout, own) if p is not None), D(0))


TOKENS = st.lists(st.text("abcdef", min_size=1, max_size=2), unique=True, max_size=12)


@given(TOKENS, st.integers(1, 5))
def test_every_token_has_its_turn(tokens, limit):
    """With no sightings, passes of any size go round all tokens."""
    after, compared = None, set()
    for _ in range(-(-len(tokens) // limit)):
        taken = turn(tokens, (), after, limit)
        compared |= set(taken)
        after = taken[-1]
    assert compared == set(tokens)


@given(TOKENS, TOKENS, st.integers(1, 5))
def test_sighted_tokens_come_first_and_none_twice(tokens, sighted, limit):
    taken = turn(tokens, sighted, None, limit)
    wanted = sorted(set(tokens) & set(sighted))
    assert taken[: len(wanted)] == wanted[:limit]
    assert len(taken) == len(set(taken)) == min(limit, len(tokens))


def test_the_story_of_a_pass_names_what_could_not_be_asked():
    place = HoldingsPlace(account_id=ACCOUNT, venue="polymarket")
    report = HoldingsReport(
        places=(
            ComparedHoldings(place=place, compared=3, adjusted=1),
            ComparedHoldings(place=place, skipped="credentials_missing"),
        )
    )
    assert report.story == (
        "3 holdings of 2 accounts compared, 1 adjusted, 0 differences to look at again, "
        "1 accounts could not be asked"
    )
