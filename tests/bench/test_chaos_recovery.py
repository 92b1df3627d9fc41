"""How long exits waited: kills start the clock once, faults stop it, other people's troubles don't count."""

import json
from dataclasses import replace

from bench.chaos.audit import Report, audit
from bench.chaos.breakers import BreakerChange, open_breakers
from bench.chaos.evidence import Disturbance, Post, Span
from bench.chaos.recovery import Circumstance, Recovery
from bench.chaos.recovery_report import recovery_lines
from bench.chaos.report import as_json
from tests.bench.books import ACCOUNT, CROSSED_MS, RULE, books

BUDGET_S = 10.0
FELT_MS = 4_000


def kill(after_ms: int, back_ms: int = 1_000) -> Disturbance:
    """Returns a kill so long after the crossing."""
    at = CROSSED_MS + after_ms
    return Disturbance(Span(at, at + back_ms), "kill worker-core-1", at + back_ms + FELT_MS)


def fault(from_ms: int, to_ms: int) -> Disturbance:
    """Returns a fault of the venue, on between two moments after the crossing."""
    span = Span(CROSSED_MS + from_ms, CROSSED_MS + to_ms)
    return Disturbance(span, "not_ready", span.to_ms + FELT_MS, apart=True)


def report(sent_after_ms: int, *disturbances: Disturbance) -> Report:
    """Returns the audit of one exit that was sent so long after its crossing."""
    posts = (books().posts[0], Post(CROSSED_MS + sent_after_ms, "0xsell", "accepted"))
    return audit(books(posts=posts, disturbances=disturbances))


def recovery(sent_after_ms: int, *disturbances: Disturbance) -> Recovery:
    """Returns how that exit came to its POST."""
    (only,) = report(sent_after_ms, *disturbances).recoveries
    return only


def test_kill_after_the_crossing_starts_the_clock() -> None:
    told = recovery(3_500, kill(1_000))
    assert (told.circumstance, told.seconds, told.before_s) == (Circumstance.KILLED, 2.5, 1.0)


def test_kill_that_is_still_felt_at_the_crossing_counts_from_the_crossing() -> None:
    told = recovery(2_500, kill(-4_000))
    assert (told.circumstance, told.seconds) == (Circumstance.KILLED, 2.5)


def test_second_kill_does_not_restart_the_clock() -> None:
    told = recovery(12_000, kill(1_000), kill(9_000))
    assert (told.seconds, told.after_last_s, told.is_late(BUDGET_S)) == (11.0, 3.0, True)


def test_exit_that_hung_long_before_a_kill_is_late_though_it_went_out_right_after() -> None:
    told = recovery(15_000, kill(14_000))
    assert (told.seconds, told.is_late(BUDGET_S)) == (1.0, True)


def test_fault_of_the_venue_is_taken_out_once_however_many_overlap() -> None:
    told = recovery(9_000, kill(1_000), fault(2_000, 6_000), fault(5_000, 7_000))
    assert (told.circumstance, told.seconds, told.apart_s) == (Circumstance.KILLED, 3.0, 5.0)


def test_fault_that_was_on_at_the_crossing_counts_from_its_end() -> None:
    told = report(4_200, fault(-500, 4_000))
    assert (told.recoveries[0].circumstance, told.recovery_s_max) == (Circumstance.APART, 0.2)


def test_deed_on_another_rule_or_account_counts_for_nobody_else() -> None:
    reset = replace(kill(9_000), what="reset", rule_id="rul_other")
    breaker = replace(fault(0, 11_000), account_id="acc_other")
    told = recovery(12_000, reset, breaker)
    assert (told.circumstance, told.seconds) == (Circumstance.UNDISTURBED, 12.0)


def test_deed_on_this_rule_counts() -> None:
    assert recovery(12_000, replace(kill(9_000), rule_id=RULE)).seconds == 3.0


def test_open_breaker_of_this_account_stands_apart() -> None:
    changes = (
        BreakerChange(ACCOUNT, CROSSED_MS + 6_000, opened=False),
        BreakerChange(ACCOUNT, CROSSED_MS + 1_000, opened=True),
    )
    told = recovery(6_500, *open_breakers(changes, CROSSED_MS + 60_000, FELT_MS))
    assert (told.circumstance, told.seconds, told.apart_s) == (Circumstance.APART, 1.5, 5.0)


def test_breaker_that_never_closed_was_open_until_the_end_and_the_venues_concerns_all() -> None:
    (only,) = open_breakers((BreakerChange("", 5, opened=True),), 90, FELT_MS)
    assert (only.span, only.account_id) == (Span(5, 90), None)


def test_undisturbed_exit_is_measured_but_is_no_recovery() -> None:
    told = report(11_000)
    assert told.recovery_s_max == 0
    assert [late.seconds for late in told.late(BUDGET_S)] == [11.0]


def test_exit_that_was_sent_before_the_certain_crossing_waited_for_nothing() -> None:
    told = recovery(-50)
    assert (told.circumstance, told.seconds, told.is_late(0)) == (Circumstance.EARLY, 0, False)


def test_report_names_the_late_exit_with_what_it_met() -> None:
    told = replace(report(14_000, kill(1_000), fault(2_000, 4_000)), began_ms=CROSSED_MS)
    (line,) = [line for line in recovery_lines(told, BUDGET_S) if line.startswith("late")]
    assert RULE in line
    assert "kill worker-core-1 1.0-2.0" in line
    assert "2.0 s apart (not_ready 2.0-4.0)" in line
    figures = json.loads(as_json(told, BUDGET_S))["recovery"]
    assert (figures["over_budget"], figures["after_kills"]["exits"]) == (1, 1)
    assert figures["late"][0]["order_id"] == "ord_sell"
