import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from domain.breakers import OpenBreakers
from domain.claims import (
    Claimed,
    ClaimRefusal,
    EntryLimits,
    Granted,
    Held,
    KillSwitch,
    Reduced,
    StoredClaim,
    UnsettledSell,
    judge_claim,
)
from domain.ids import OrderId, VenueOrderId
from domain.orders import Answer, AnswerKind, MarketState, Mode, Purpose, Side, TimeInForce
from tests.domain.altered import altered
from tests.domain.builders import D, make_attempt
from tests.domain.claim_sequences import ClaimSequences, make_facts, sequences_with

DIGEST = VenueOrderId("0xdigest")
GTC, FAK, FOK = TimeInForce.GTC, TimeInForce.FAK, TimeInForce.FOK
SEND_ANSWERS = (AnswerKind.TRANSIENT, AnswerKind.UNKNOWN)


def entry(**changes):
    """A BUY of 10 shares for 4 USD."""
    values = {
        "side": Side.BUY,
        "purpose": Purpose.ENTRY,
        "maker_amount": 4_000_000,
        "taker_amount": 10_000_000,
    }
    return make_attempt(**{**values, **changes})


def stored(attempt, *, posts=1, answer=None, digest=DIGEST):
    answered = None if answer is None else Answer(kind=answer, code="code")
    return StoredClaim(
        attempt=attempt,
        venue_order_id=digest,
        posts=posts,
        unknown_before=False,
        answer=answered,
        last_post_at_ms=1,
    )


def sell(order="ord_9", reserved="4", *, resting=True, purpose=Purpose.EXIT, host="order/ord_9"):
    return UnsettledSell(
        order_id=OrderId(order), reserved=D(reserved), resting=resting, purpose=purpose, host=host
    )


def refusal(attempt, **facts):
    answer = judge_claim(make_facts(**facts), attempt, DIGEST)
    return getattr(answer, "refusal", type(answer))


# -- first claims -----------------------------------------------------------------------------------


def test_first_claim_is_granted_as_it_is_with_its_first_send_counted():
    attempt = make_attempt()
    answer = judge_claim(make_facts(now_ms=77), attempt, DIGEST)
    expected = StoredClaim(
        attempt=attempt,
        venue_order_id=DIGEST,
        posts=1,
        unknown_before=False,
        answer=None,
        last_post_at_ms=77,
    )
    assert answer == Granted(resend=False, stored=expected)


SWITCH, LIMIT = ClaimRefusal.KILL_SWITCH, ClaimRefusal.ENTRY_LIMIT
ENTRIES, ALL = KillSwitch.ENTRIES, KillSwitch.ALL
BREAKER, VENUE_TRIED_NOW = ClaimRefusal.BREAKER_OPEN, OpenBreakers(venue_idle_ms=0)


@pytest.mark.parametrize(
    ("case", "facts", "of_entry", "of_exit"),
    [
        ("nothing forbids it", {}, Granted, Granted),
        ("global switch: entries", {"kill_switch_global": ENTRIES}, SWITCH, Granted),
        ("global switch: all", {"kill_switch_global": ALL}, SWITCH, SWITCH),
        ("account switch: entries", {"kill_switch_account": ENTRIES}, SWITCH, Granted),
        ("account switch: all", {"kill_switch_account": ALL}, SWITCH, SWITCH),
        ("disabled", {"account_enabled": False}, ClaimRefusal.ACCOUNT_DISABLED, Granted),
        ("venue's breaker, tried now", {"breakers": VENUE_TRIED_NOW}, BREAKER, BREAKER),
        ("venue's breaker, tried 2 s ago", {"breakers": OpenBreakers(venue_idle_ms=2_000)}, BREAKER, Granted),
        ("venue's breaker, left alone", {"breakers": OpenBreakers(venue_idle_ms=30_000)}, Granted, Granted),
        ("account's breaker", {"breakers": OpenBreakers(account_idle_ms=29_999)}, BREAKER, Granted),
        ("account's, left alone", {"breakers": OpenBreakers(account_idle_ms=30_000)}, Granted, Granted),
        ("back in paper mode", {"account_mode": Mode.PAPER}, ClaimRefusal.LIVE_NOT_ACKNOWLEDGED, Granted),
        (
            "not acknowledged",
            {"live_acknowledged": False},
            ClaimRefusal.LIVE_NOT_ACKNOWLEDGED,
            ClaimRefusal.LIVE_NOT_ACKNOWLEDGED,
        ),
        ("largest order exactly", {"limits": EntryLimits(max_order_usd=D(4))}, Granted, Granted),
        ("larger than allowed", {"limits": EntryLimits(max_order_usd=D("3.999999"))}, LIMIT, Granted),
        (
            "day's budget exactly",
            {"limits": EntryLimits(max_day_usd=D(10), spent_today_usd=D(6))},
            Granted,
            Granted,
        ),
        (
            "day's budget exceeded",
            {"limits": EntryLimits(max_day_usd=D(10), spent_today_usd=D("6.01"))},
            LIMIT,
            Granted,
        ),
        ("last slot of the day", {"limits": EntryLimits(max_day_orders=3, orders_today=2)}, Granted, Granted),
        ("no slot left", {"limits": EntryLimits(max_day_orders=3, orders_today=3)}, LIMIT, Granted),
        (
            "exposure exceeded",
            {"limits": EntryLimits(max_exposure_usd=D(50), exposure_usd=D(47))},
            LIMIT,
            Granted,
        ),
        ("in time", {"send_until_ms": 1_767_225_600_000}, Granted, Granted),
        (
            "too late",
            {"send_until_ms": 1_767_225_599_999},
            ClaimRefusal.SEND_UNTIL_PASSED,
            ClaimRefusal.SEND_UNTIL_PASSED,
        ),
        *[
            (state, {"market_state": state}, ClaimRefusal.NOT_ACCEPTING, ClaimRefusal.NOT_ACCEPTING)
            for state in (MarketState.PAUSED, MarketState.NOT_ACCEPTING, MarketState.CANCEL_ONLY)
        ],
        *[
            (state, {"market_state": state}, ClaimRefusal.MARKET_FINAL, ClaimRefusal.MARKET_FINAL)
            for state in (MarketState.CLOSED, MarketState.RESOLVED)
        ],
    ],
)
def test_what_forbids_a_first_send(case, facts, of_entry, of_exit):
    assert refusal(entry(), **facts) is of_entry, case
    assert refusal(make_attempt(), **facts) is of_exit, case


def test_paper_needs_no_acknowledgement_and_stays_paper():
    paper = {"live_acknowledged": False, "account_mode": Mode.LIVE}
    assert refusal(entry(mode=Mode.PAPER), **paper) is Granted
    answer = judge_claim(make_facts(**paper), make_attempt(mode=Mode.PAPER), DIGEST)
    assert answer.stored.attempt.mode is Mode.PAPER


@pytest.mark.parametrize(
    "attempt",
    [
        make_attempt(purpose=Purpose.ENTRY),
        entry(purpose=Purpose.EXIT),
    ],
)
def test_only_a_selling_exit_passes_the_limits(attempt):
    assert refusal(attempt, kill_switch_global=KillSwitch.ENTRIES) is ClaimRefusal.KILL_SWITCH
    assert refusal(attempt, limits=EntryLimits(max_order_usd=D(1))) is ClaimRefusal.ENTRY_LIMIT


# -- shares -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "attempt", "held", "unsettled", "expected"),
    [
        ("all of it", make_attempt(), "10", (), Granted),
        ("more than is held", make_attempt(), "9.99", (), Reduced(available=D("9.99"))),
        ("nothing is held", make_attempt(), "0", (), Reduced(available=D(0))),
        ("a deficit", make_attempt(), "-3", (), Reduced(available=D(0))),
        ("the rest is enough", make_attempt(shares="6"), "10", (sell(),), Granted),
        ("an entry buys whatever is held", entry(), "0", (sell(reserved="9"),), Granted),
        (
            "a resting sell is canceled for the exit",
            make_attempt(),
            "10",
            (sell(),),
            Held(order_ids=(OrderId("ord_9"),), available=D(6)),
        ),
        (
            "the stop takes the shares of a resting entry too",
            make_attempt(),
            "10",
            (sell(purpose=Purpose.ENTRY, host="rule/rul_1"),),
            Held(order_ids=(OrderId("ord_9"),), available=D(6)),
        ),
        (
            "another rule's exit is not",
            make_attempt(),
            "10",
            (sell(host="rule/rul_1"),),
            Reduced(available=D(6)),
        ),
        ("a sale under way is not", make_attempt(), "10", (sell(resting=False),), Reduced(available=D(6))),
        (
            "an earlier try of its own is not",
            make_attempt("ord_9", 2),
            "10",
            (sell(),),
            Reduced(available=D(6)),
        ),
        (
            "a sale that would rest itself cancels nothing",
            make_attempt(time_in_force=GTC),
            "10",
            (sell(),),
            Reduced(available=D(6)),
        ),
        (
            "a sale that is no exit cancels nothing",
            make_attempt(purpose=Purpose.ENTRY, time_in_force=FAK),
            "10",
            (sell(),),
            Reduced(available=D(6)),
        ),
        (
            "a cancel that frees nothing is not asked for",
            make_attempt(),
            "4",
            (sell(reserved="0"), sell("ord_8", "2", resting=False)),
            Reduced(available=D(2)),
        ),
        (
            "more is bound than is held, and a cancel does not change that",
            make_attempt(),
            "4",
            (sell(reserved="1"), sell("ord_8", "6", resting=False)),
            Reduced(available=D(0)),
        ),
        (
            "the fewest cancels that free what is held",
            make_attempt(shares="50"),
            "10",
            (sell("ord_5", "1"), sell("ord_6", "2"), sell("ord_7", "3"), sell("ord_8", "4")),
            Held(
                order_ids=(OrderId("ord_8"), OrderId("ord_7"), OrderId("ord_6"), OrderId("ord_5")),
                available=D(0),
            ),
        ),
        (
            "no more cancels than the exit needs",
            make_attempt(shares="6"),
            "10",
            (sell("ord_5", "2"), sell("ord_6", "2"), sell("ord_7", "2"), sell("ord_8", "3")),
            Held(order_ids=(OrderId("ord_8"), OrderId("ord_5")), available=D(1)),
        ),
    ],
)
def test_shares_of_a_claim(case, attempt, held, unsettled, expected):
    answer = judge_claim(make_facts(held_shares=D(held), unsettled=unsettled), attempt, DIGEST)
    assert answer == expected or type(answer) is expected, case


def test_fill_or_kill_exit_takes_the_shares_of_resting_sells_too():
    attempt = make_attempt(time_in_force=FOK)
    assert isinstance(judge_claim(make_facts(unsettled=(sell(),)), attempt, DIGEST), Held)


# -- claims that stand ------------------------------------------------------------------------------


def test_other_bytes_for_the_same_attempt_are_not_sent_whatever_else_stands():
    standing = stored(make_attempt(shares="3"), digest=VenueOrderId("0xearlier"))
    for facts in ({}, {"kill_switch_global": KillSwitch.ALL}, {"market_state": MarketState.RESOLVED}):
        answer = judge_claim(make_facts(existing=standing, **facts), make_attempt(), DIGEST)
        assert answer == Claimed(stored=standing)


def test_same_bytes_in_another_order_type_are_other_bytes():
    standing = stored(make_attempt(time_in_force=GTC))
    assert judge_claim(make_facts(existing=standing), make_attempt(), DIGEST) == Claimed(stored=standing)


@pytest.mark.parametrize("answer", [None, *SEND_ANSWERS])
def test_standing_claim_is_sent_again_although_its_own_fills_took_the_shares(answer):
    standing = stored(make_attempt(), answer=answer, posts=2)
    facts = make_facts(existing=standing, held_shares=D(0), market_state=MarketState.RESOLVED)
    assert judge_claim(facts, make_attempt(), DIGEST) == Granted(resend=True, stored=standing)


@pytest.mark.parametrize("answer", [None, *SEND_ANSWERS])
def test_switches_and_the_last_moment_are_judged_before_every_resend(answer):
    exit_, buy = make_attempt(), entry()
    assert refusal(exit_, existing=stored(exit_, answer=answer), kill_switch_global=ALL) is SWITCH
    assert refusal(buy, existing=stored(buy, answer=answer), kill_switch_account=ENTRIES) is SWITCH
    late = {"existing": stored(buy, answer=answer), "send_until_ms": 5}
    assert refusal(buy, **late) is ClaimRefusal.SEND_UNTIL_PASSED
    assert refusal(exit_, existing=stored(exit_, answer=answer), kill_switch_account=ENTRIES) is Granted


def test_resend_of_an_entry_is_not_counted_against_the_day_again():
    buy = entry()
    limits = EntryLimits(max_day_usd=D(4), spent_today_usd=D(4), max_day_orders=1, orders_today=1)
    assert refusal(buy, existing=stored(buy), limits=limits) is Granted


def test_resend_under_an_open_breaker_probes_like_a_first_send_or_waits():
    again = stored(make_attempt(), answer=AnswerKind.UNKNOWN)
    assert refusal(make_attempt(), existing=again, breakers=VENUE_TRIED_NOW) is BREAKER
    free = make_facts(existing=again, breakers=OpenBreakers(venue_idle_ms=2_000))
    assert judge_claim(free, make_attempt(), DIGEST) == Granted(resend=True, stored=again, probes=True)


def test_exit_that_lacks_shares_takes_no_probe():
    facts = make_facts(held_shares=D(4), breakers=OpenBreakers(venue_idle_ms=2_000))
    assert judge_claim(facts, make_attempt(), DIGEST) == Reduced(available=D(4))


def test_exit_under_its_accounts_breaker_alone_is_sent_without_a_probe():
    facts = make_facts(breakers=OpenBreakers(account_idle_ms=0))
    assert judge_claim(facts, make_attempt(), DIGEST) == judge_claim(make_facts(), make_attempt(), DIGEST)


@pytest.mark.parametrize("kind", [kind for kind in AnswerKind if kind not in SEND_ANSWERS])
def test_known_answer_is_reported_even_under_an_open_breaker(kind):
    standing = stored(make_attempt(), answer=kind)
    answer = judge_claim(make_facts(existing=standing, breakers=VENUE_TRIED_NOW), make_attempt(), DIGEST)
    assert answer == Granted(resend=True, stored=standing)


@pytest.mark.parametrize("kind", [kind for kind in AnswerKind if kind not in SEND_ANSWERS])
def test_known_answer_is_reported_even_under_the_kill_switch(kind):
    standing = stored(make_attempt(), answer=kind)
    answer = judge_claim(make_facts(existing=standing, kill_switch_global=ALL), make_attempt(), DIGEST)
    assert answer == Granted(resend=True, stored=standing)
    assert not standing.may_be_sent


# -- sequences --------------------------------------------------------------------------------------

TestNoSequenceOfClaimsSellsMoreThanIsHeld = ClaimSequences.TestCase

MUTANTS = {
    "other sells are forgotten": ("bound = EXACT.add(bound, sell.reserved)", "pass"),
    "equal is too much": ("attempt.shares <= available", "attempt.shares < available"),
    "a little more is fine": ("attempt.shares <= available", "attempt.shares <= available + 1"),
    "only resting sells bind": (
        "    for sell in unsettled:\n",
        "    for sell in unsettled:\n        if not sell.resting:\n            continue\n",
    ),
    "sells under way are canceled": (
        "if sell.resting\n        and sell.reserved > 0",
        "if sell.reserved > 0",
    ),
    "exits of rules are canceled": (
        "        and not (sell.purpose is Purpose.EXIT and hosted_rule(sell.host) is not None)\n",
        "",
    ),
    "other bytes are sent": ("existing.venue_order_id != venue_order_id or ", ""),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_planted_mutant_of_the_claim_is_caught(name):
    machine = sequences_with(altered("domain.claims", *MUTANTS[name]))
    few = settings(
        max_examples=400,
        stateful_step_count=20,
        database=None,
        derandomize=True,
        report_multiple_bugs=False,
        phases=(Phase.generate,),
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=few)
