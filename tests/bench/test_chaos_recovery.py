"""How long exits waited: kills start the clock once, faults stop it, other people's troubles don't count."""

import json
from dataclasses import replace

from bench.chaos.audit import Report, audit
from bench.chaos.breakers import PROBE_MS, BreakerChange, open_breakers
from bench.chaos.evidence import Disturbance, Post, Span
from bench.chaos.recovery import Circumstance, Recovery, apart_share
from bench.chaos.recovery_report import recovery_lines
from bench.chaos.report import as_json
from tests.bench.books import ACCOUNT, CROSSED_MS, RULE, books, claim

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
    assert (told.circumstance, told.seconds) == (Circumstance.FELT, 2.5)


def test_second_kill_does_not_restart_the_clock() -> None:
    told = recovery(12_000, kill(1_000), kill(9_000))
    assert (told.seconds, told.after_last_s, told.is_late(BUDGET_S)) == (11.0, 3.0, True)


def test_each_kill_is_told_with_its_exits_and_the_latest_of_their_posts() -> None:
    told = report(12_000, kill(1_000), fault(2_000, 4_000), kill(9_000), kill(20_000))
    each = json.loads(as_json(told, BUDGET_S, {}))["recovery"]["each_kill"]
    assert [(after["exits"], after["latest_s"], after["back_after_s"]) for after in each] == [
        (1, 9.0, 1.0),
        (1, 3.0, 1.0),
    ]
    assert any("exits under it 1, the latest sent 9.0 s" in line for line in recovery_lines(told, BUDGET_S))


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
    venue = (Span(CROSSED_MS, CROSSED_MS + 2_000),)
    told = recovery(6_500, *open_breakers(changes, venue, CROSSED_MS + 60_000, FELT_MS))
    assert (told.circumstance, told.seconds, told.apart_s) == (Circumstance.APART, 1.5, 5.0)


def test_breaker_that_never_closed_is_excused_for_one_probe_after_the_fault_and_the_venues_for_all() -> None:
    (only,) = open_breakers((BreakerChange("", 5, opened=True),), (Span(0, 7),), 90_000, FELT_MS)
    assert (only.span, only.account_id) == (Span(5, 7 + PROBE_MS), None)


def test_breaker_that_opened_without_a_fault_of_the_venue_excuses_nobody() -> None:
    assert not list(open_breakers((BreakerChange("", 9_000, opened=True),), (Span(0, 7),), 90_000, FELT_MS))


def test_wait_is_told_raw_beside_what_is_left_of_it() -> None:
    told = report(60_000, fault(0, 53_000))
    assert (told.recoveries[0].waited_s, told.recoveries[0].seconds) == (60.0, 7.0)
    figures = json.loads(as_json(told, BUDGET_S, {}))["recovery"]["apart"]
    assert (figures["raw_s_max"], figures["s_max"]) == (60.0, 7.0)


def test_run_of_which_much_stood_apart_says_that_it_measured_badly() -> None:
    posts = (books().posts[0], Post(CROSSED_MS + 20, "0xsell", "accepted"))
    run = books(
        posts=posts, disturbances=(fault(0, 4_000),), began_ms=CROSSED_MS, ended_ms=CROSSED_MS + 10_000
    )
    told = audit(run)
    assert told.apart_share == 0.4
    assert next(recovery_lines(told, BUDGET_S)).startswith("40% of the time")
    assert "not measured well" in next(recovery_lines(told, BUDGET_S))
    calm = replace(told, apart_share=0.3)
    assert "not measured well" not in next(recovery_lines(calm, BUDGET_S))


def test_breaker_of_one_account_is_no_part_of_the_share() -> None:
    run = Span(0, 10_000)
    one = Disturbance(Span(0, 5_000), "breaker", 5_000, apart=True, account_id=ACCOUNT)
    assert apart_share([one], run) == 0


def test_undisturbed_exit_counts_for_the_longest_recovery() -> None:
    told = report(11_000)
    assert told.recovery_s_max == 11.0
    assert [late.seconds for late in told.late(BUDGET_S)] == [11.0]


def test_exit_that_was_sent_before_the_certain_crossing_waited_for_nothing() -> None:
    told = recovery(-50)
    assert (told.circumstance, told.seconds, told.is_late(0)) == (Circumstance.EARLY, 0, False)


def test_early_exit_that_sold_not_everything_is_timed_by_the_order_that_followed() -> None:
    early = Post(CROSSED_MS - 50, "0xsell", "accepted")
    again = Post(CROSSED_MS + 12_000, "0xagain", "accepted")
    claims = (*books().claims, replace(claim("ord_sell", "0xagain", RULE), attempt=2))
    (told,) = audit(books(posts=(books().posts[0], early, again), claims=claims)).recoveries
    assert (told.circumstance, told.seconds, told.is_late(BUDGET_S)) == (Circumstance.UNDISTURBED, 12.0, True)


def test_early_exit_that_was_only_asked_about_again_stays_early() -> None:
    early = Post(CROSSED_MS - 50, "0xsell", "accepted")
    again = Post(CROSSED_MS + 12_000, "0xsell", "duplicate")
    (told,) = audit(books(posts=(books().posts[0], early, again))).recoveries
    assert told.circumstance is Circumstance.EARLY


def test_early_exit_that_the_venue_refused_waits_for_its_next_post() -> None:
    early = Post(CROSSED_MS - 50, "0xsell", "fault")
    again = Post(CROSSED_MS + 12_000, "0xsell", "accepted")
    (told,) = audit(books(posts=(books().posts[0], early, again))).recoveries
    assert told.seconds == 12.0


def test_wait_before_a_kill_counts_for_the_longest_recovery() -> None:
    assert report(15_000, kill(14_000)).recovery_s_max == 14.0


def test_report_names_the_late_exit_with_what_it_met() -> None:
    told = replace(report(14_000, kill(1_000), fault(2_000, 4_000)), began_ms=CROSSED_MS)
    (line,) = [line for line in recovery_lines(told, BUDGET_S) if line.startswith("late")]
    assert RULE in line
    assert "kill worker-core-1 1.0-2.0" in line
    assert "2.0 s apart (not_ready 2.0-4.0)" in line
    figures = json.loads(as_json(told, BUDGET_S, {}))["recovery"]
    assert (figures["over_budget"], figures["after_kills"]["exits"]) == (1, 1)
    assert figures["late"][0]["order_id"] == "ord_sell"


def test_report_names_the_slowest_exit_when_none_is_late() -> None:
    told = replace(report(9_000, kill(1_000)), began_ms=CROSSED_MS)
    (line,) = [line for line in recovery_lines(told, BUDGET_S) if line.startswith("slowest")]
    assert RULE in line
    assert "kill worker-core-1 1.0-2.0" in line
    figures = json.loads(as_json(told, BUDGET_S, {}))["recovery"]
    assert (figures["late"], figures["slowest"][0]["order_id"]) == ([], "ord_sell")
