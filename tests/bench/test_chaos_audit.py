"""The audit of a chaos run: books that fit pass, and every sabotage is caught and named."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from random import Random

import pytest

from bench.chaos.audit import Fault, Report, audit
from bench.chaos.evidence import (
    MISSING,
    NOT_FOUND,
    Evidence,
    HoldingRow,
    Post,
    Result,
    RuleEvidence,
    Span,
    Touch,
    Traded,
)
from tests.bench.books import (
    ACCOUNT,
    BOUGHT,
    CROSSED_MS,
    RULE,
    SENT_MS,
    SOLD,
    STOP,
    TOKEN,
    TOLD,
    books,
    claim,
    order_row,
    rule,
    sight,
    venue_order,
)

ARMED = rule(status="ACTIVE", phase="armed", sold_shares=Decimal(0), result=Result("RUNNING"))


def faults(report: Report) -> set[Fault]:
    return {finding.fault for finding in report.findings}


def unsold() -> Evidence:
    """Nothing was sold: shares, cash and rows say so everywhere."""
    (holder,) = books().holders
    return books(
        rules=(ARMED,),
        posts=books().posts[:1],
        venue_orders=books().venue_orders[:1],
        claims=books().claims[:1],
        order_rows=books().order_rows[:1],
        fills={"0xbuy": BOUGHT},
        holdings=(HoldingRow(ACCOUNT, TOKEN, Decimal(10)),),
        holders=(replace(holder, collateral=Decimal("93.8"), tokens={TOKEN: Decimal(10)}),),
    )


def test_books_that_fit_show_one_exit_and_nothing_wrong() -> None:
    report = audit(books())
    assert report.findings == ()
    assert (report.exits_expected, report.orders_at_venue) == (1, 1)


def test_rule_that_nothing_crossed_and_that_still_stands_is_fine() -> None:
    calm = replace(unsold(), tapes={TOKEN: (sight(0, "0.60"), sight(CROSSED_MS, "0.51"))})
    report = audit(calm)
    assert (report.findings, report.exits_expected) == ((), 0)


def test_exit_that_never_went_out_is_lost() -> None:
    report = audit(unsold())
    assert report.count(Fault.LOST) == 1
    assert Fault.WRONG_FINAL_STATE in faults(report)


def test_order_that_nobody_claimed_is_a_duplicate() -> None:
    doubled = venue_order("0xagain", "SELL", Traded())
    assert faults(audit(books(venue_orders=(*books().venue_orders, doubled)))) == {Fault.DUPLICATES}


def test_order_accepted_twice_is_a_duplicate() -> None:
    again = Post(SENT_MS + 5, "0xsell", "accepted")
    assert faults(audit(books(posts=(*books().posts, again)))) == {Fault.DUPLICATES}


def test_resend_that_the_venue_recognised_is_none() -> None:
    again = Post(SENT_MS + 5, "0xsell", "duplicate")
    assert audit(books(posts=(*books().posts, again))).findings == ()


def test_second_attempt_beside_a_filled_first_is_a_duplicate_and_oversold() -> None:
    report = audit(
        books(
            rules=(rule(amount=Decimal(10)),),
            venue_orders=(*books().venue_orders, venue_order("0xagain", "SELL", SOLD)),
            claims=(*books().claims, replace(claim("ord_sell", "0xagain", RULE), attempt=2)),
        )
    )
    assert {Fault.DUPLICATES, Fault.OVERSOLD} <= faults(report)


def test_position_that_differs_from_the_wallet_is_a_difference() -> None:
    wrong = (HoldingRow(ACCOUNT, TOKEN, Decimal("0.01")),)
    assert faults(audit(books(holdings=wrong))) == {Fault.PROJECTION_DIFFERENCES}


def test_fill_that_the_ledger_never_heard_of_is_a_difference() -> None:
    assert Fault.PROJECTION_DIFFERENCES in faults(audit(books(fills={"0xbuy": BOUGHT})))


def test_fee_that_is_a_digit_off_is_a_difference() -> None:
    off = replace(SOLD, fee=SOLD.fee + Decimal("0.000001"))
    assert faults(audit(books(fills={"0xbuy": BOUGHT, "0xsell": off}))) == {Fault.PROJECTION_DIFFERENCES}


def test_order_row_that_differs_from_its_trades_is_a_difference() -> None:
    rows = (books().order_rows[0], order_row("ord_sell", RULE, Traded()))
    assert faults(audit(books(order_rows=rows))) == {Fault.PROJECTION_DIFFERENCES}


def test_workflow_result_that_differs_from_the_row_is_a_difference() -> None:
    told = rule(result=Result("COMPLETED", "CANCELED", Decimal(10)))
    assert faults(audit(books(rules=(told,)))) == {Fault.PROJECTION_DIFFERENCES}


def test_rows_of_a_rule_terminated_in_mid_exit_wait_for_its_adoption_but_never_say_too_much() -> None:
    orphan = rule(
        touch=Touch.TERMINATED,
        phase="orphaned",
        sold_shares=Decimal(0),
        result=Result("TERMINATED", None, Decimal(0)),
    )
    rows = tuple(
        replace(row, traded=Traded(), state="placing") if row.rule_id == RULE else row
        for row in books().order_rows
    )
    too_much, ended = replace(orphan, sold_shares=Decimal(11)), replace(orphan, touch=Touch.NONE)
    assert audit(books(rules=(orphan,), order_rows=rows)).findings == ()
    assert Fault.PROJECTION_DIFFERENCES in faults(audit(books(rules=(too_much,), order_rows=rows)))
    assert Fault.PROJECTION_DIFFERENCES in faults(audit(books(rules=(ended,), order_rows=rows)))


@pytest.mark.parametrize("phase", ["exiting", "waiting", "blocked", "arming"])
def test_rule_that_never_comes_to_its_end_is_stuck(phase: str) -> None:
    stuck = rule(phase=phase, result=Result("RUNNING"))
    assert faults(audit(books(rules=(stuck,)))) == {Fault.STUCK}


def test_rule_that_is_done_while_its_workflow_runs_has_the_wrong_state() -> None:
    assert faults(audit(books(rules=(rule(result=Result("RUNNING")),)))) == {Fault.WRONG_FINAL_STATE}


def test_rule_that_fired_without_a_crossing_is_wrong() -> None:
    calm = {TOKEN: (sight(0, "0.60"), sight(CROSSED_MS, "0.51"))}
    assert faults(audit(books(tapes=calm))) == {Fault.WRONG_QUANTITY, Fault.WRONG_FINAL_STATE}


def test_partial_that_sold_less_than_asked_is_a_wrong_quantity() -> None:
    three = replace(SOLD, shares=Decimal(3))
    (holder,) = books().holders
    report = audit(
        books(
            rules=(rule(amount=Decimal(6), sold_shares=Decimal(3)),),
            venue_orders=(books().venue_orders[0], venue_order("0xsell", "SELL", three)),
            holders=(replace(holder, tokens={TOKEN: Decimal(7)}),),
            holdings=(HoldingRow(ACCOUNT, TOKEN, Decimal(7)),),
        )
    )
    assert Fault.WRONG_QUANTITY in faults(report)


def test_exit_of_a_rule_that_its_owner_cancelled_is_not_expected() -> None:
    canceled = replace(ARMED, status="CANCELED", phase="done", touch=Touch.CANCELED)
    result = Result("COMPLETED", "CANCELED", Decimal(0))
    report = audit(replace(unsold(), rules=(replace(canceled, result=result),)))
    assert (report.findings, report.exits_expected) == ((), 0)


@pytest.mark.parametrize("touched", [ARMED, rule()])
def test_cancelled_by_its_answer_and_standing_or_sold_all_the_same_is_wrong(touched: RuleEvidence) -> None:
    told = replace(touched, touch=Touch.CANCELED)
    evidence = unsold() if touched is ARMED else books()
    (finding,) = audit(replace(evidence, rules=(told,))).findings
    assert finding.words.startswith("cancelled by its answer")


def test_rule_that_somebody_only_asked_to_cancel_may_stand() -> None:
    asked = replace(ARMED, touch=Touch.ASKED_TO_CANCEL)
    assert audit(replace(unsold(), rules=(asked,))).findings == ()


def test_rule_that_fired_at_a_level_that_a_patch_had_replaced_is_wrong() -> None:
    lowered = replace(STOP, level=Decimal("0.30"))
    patched = rule(versions=((STOP,), (lowered,)), patched_at_ms=CROSSED_MS - 500)
    assert Fault.WRONG_FINAL_STATE in faults(audit(books(rules=(patched,))))
    late = replace(patched, patched_at_ms=CROSSED_MS + 500)
    assert audit(books(rules=(late,))).findings == ()


def test_rule_whose_row_vanished_is_found() -> None:
    missing = replace(ARMED, status=MISSING, phase="missing", touch=Touch.NONE)
    assert Fault.STUCK in faults(audit(replace(unsold(), rules=(missing,))))


def test_rule_whose_workflow_vanished_is_found() -> None:
    vanished = rule(result=Result(NOT_FOUND))
    (finding,) = audit(books(rules=(vanished,))).findings
    assert (finding.fault, finding.subject) == (Fault.WRONG_FINAL_STATE, RULE)


@pytest.mark.parametrize("untold", ["rule.triggered", "rule.done"])
def test_rule_of_whose_firing_or_end_no_event_tells_is_a_difference(untold: str) -> None:
    [finding] = audit(books(told={RULE: TOLD - {untold}})).findings
    assert (finding.fault, finding.subject) == (Fault.PROJECTION_DIFFERENCES, RULE)


def test_order_that_has_ended_while_its_workflow_runs_is_stuck() -> None:
    [finding] = audit(books(running_orders=frozenset({"ord_buy"}))).findings
    assert (finding.fault, finding.subject) == (Fault.STUCK, "ord_buy")


def test_part_that_was_down_by_itself_is_found() -> None:
    (finding,) = audit(books(fallen=(("worker-feed", Span(1_000, 2_500)),))).findings
    assert finding.words == "was down by itself from 1.0 to 2.5 s"


def test_second_rule_over_a_sold_position_may_be_cancelled() -> None:
    second = rule(
        rule_id="rul_2",
        status="CANCELED",
        sold_shares=Decimal(0),
        result=Result("COMPLETED", "CANCELED", Decimal(0)),
    )
    told = {RULE: TOLD, "rul_2": frozenset({"rule.canceled"})}
    report = audit(books(rules=(rule(), second), told=told))
    assert (report.findings, report.exits_expected) == ((), 1)


def test_send_under_the_kill_switch_is_wrong_after_a_second() -> None:
    late = audit(books(silences=(Span(SENT_MS - 1_500, SENT_MS + 500),)))
    in_time = audit(books(silences=(Span(SENT_MS - 500, SENT_MS + 500),)))
    assert (faults(late), faults(in_time)) == ({Fault.WRONG_FINAL_STATE}, set())


def _double_an_order(evidence: Evidence, random: Random) -> Evidence:
    order = random.choice(evidence.venue_orders)
    doubled = replace(order, venue_order_id=f"0x{random.getrandbits(64):x}")
    return replace(evidence, venue_orders=(*evidence.venue_orders, doubled))


def _lose_the_exit(evidence: Evidence, _: Random) -> Evidence:
    lost = unsold()
    return replace(evidence, **{name: getattr(lost, name) for name in _BOOK_PAGES})


def _move_a_position(evidence: Evidence, random: Random) -> Evidence:
    (row,) = evidence.holdings
    wrong = replace(row, shares=row.shares + Decimal(random.randint(1, 10**6)) / 10**6)
    return replace(evidence, holdings=(wrong,))


_BOOK_PAGES = ("rules", "posts", "venue_orders", "claims", "order_rows", "fills", "holdings", "holders")


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    ("sabotage", "named"),
    [
        (_double_an_order, Fault.DUPLICATES),
        (_lose_the_exit, Fault.LOST),
        (_move_a_position, Fault.PROJECTION_DIFFERENCES),
    ],
)
def test_seeded_sabotage_is_caught(
    sabotage: Callable[[Evidence, Random], Evidence], named: Fault, seed: int
) -> None:
    assert audit(sabotage(books(), Random(seed))).count(named) >= 1
