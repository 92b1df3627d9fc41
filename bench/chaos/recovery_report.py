"""What a run says about recovery: a column for each circumstance, late exits and the slowest ones by name."""

from collections.abc import Iterator

from pydantic import JsonValue

from bench.chaos.audit import Report
from bench.chaos.evidence import Disturbance
from bench.chaos.recovery import Circumstance, Recovery, after_kills
from bench.figures import percentile

WORDS = {
    Circumstance.KILLED: "stood crossed under a kill or another blow",
    Circumstance.FELT: "crossed when a blow was just over",
    Circumstance.APART: "met faults of the venue or an open breaker only",
    Circumstance.UNDISTURBED: "met nothing",
    Circumstance.EARLY: "were sent by the price of a trade, before the tape crossed their level",
}

SLOWEST = 3
"""So many of the slowest exits are told by name when none is late: it may have been close."""
MEASURED_WELL_SHARE = 0.3
"""Where more of a run stood apart than this, too few exits were timed in full."""


def recovery_figures(report: Report, budget_s: float) -> dict[str, JsonValue]:
    """Return the report's part on recovery: all seconds without what stood apart, exits one by one."""
    columns: dict[str, JsonValue] = {
        circumstance.value: _column(report, circumstance, budget_s) for circumstance in Circumstance
    }
    late = [_told_exit(recovery, report.began_ms) for recovery in report.late(budget_s)]
    return {
        "budget_s": budget_s,
        "apart_share": round(report.apart_share, 3),
        **columns,
        "over_budget": len(late),
        "each_kill": [
            {
                "what": after.kill.what,
                "at_s": (after.kill.span.from_ms - report.began_ms) / 1000,
                "back_after_s": (after.kill.span.to_ms - after.kill.span.from_ms) / 1000,
                "exits": after.exits,
                "latest_s": round(after.latest_s, 3),
            }
            for after in after_kills(report.recoveries)
        ],
        "late": [*late],
        "slowest": [_told_exit(recovery, report.began_ms) for recovery in report.slowest(SLOWEST)],
    }


def recovery_lines(report: Report, budget_s: float) -> Iterator[str]:
    """Yield the same as text; moments are seconds since prices began to move, as in the list of deeds."""
    share = f"{report.apart_share:.0%} of the time in which prices moved stood apart"
    if report.apart_share > MEASURED_WELL_SHARE:
        share += ": recovery was not measured well; fewer faults, or more minutes, tell more"
    yield share
    for circumstance, words in WORDS.items():
        column = _column(report, circumstance, budget_s)
        if column["exits"]:
            yield (
                f"{column['exits']} exits {words}: sent after {column['s_p50']} s at the median, "
                f"{column['s_max']} s at most, {column['over_budget']} after more than {budget_s:g} s; "
                f"nothing taken out, {column['raw_s_p50']} s and {column['raw_s_max']} s"
            )
    for after in after_kills(report.recoveries):
        yield (
            f"{_told(after.kill, report.began_ms)}: exits under it {after.exits}, "
            f"the latest sent {after.latest_s:.1f} s after it or their crossing"
        )
    late = report.late(budget_s)
    word = "late" if late else "slowest"
    for recovery in late or report.slowest(SLOWEST):
        yield _line(word, recovery, report.began_ms)


def _column(report: Report, circumstance: Circumstance, budget_s: float) -> dict[str, JsonValue]:
    chosen = [r for r in report.recoveries if r.circumstance is circumstance]
    seconds, raw = sorted(r.longest_s for r in chosen), sorted(r.waited_s for r in chosen)
    return {
        "exits": len(chosen),
        "s_p50": round(percentile(seconds, 50), 3) if seconds else None,
        "s_max": round(seconds[-1], 3) if seconds else None,
        "raw_s_p50": round(percentile(raw, 50), 3) if raw else None,
        "raw_s_max": round(raw[-1], 3) if raw else None,
        "over_budget": sum(r.is_late(budget_s) for r in chosen),
    }


def _told_exit(recovery: Recovery, began_ms: int) -> dict[str, JsonValue]:
    return {
        "rule_id": recovery.rule_id,
        "order_id": recovery.order_id,
        "circumstance": recovery.circumstance.value,
        "crossed_at_s": (recovery.crossed_ms - began_ms) / 1000,
        "sent_at_s": (recovery.sent_ms - began_ms) / 1000,
        "waited_s": round(recovery.waited_s, 3),
        "seconds": round(recovery.seconds, 3),
        "before_kill_s": round(recovery.before_s, 3),
        "after_last_kill_s": round(recovery.after_last_s, 3),
        "kills": [_told(kill, began_ms) for kill in recovery.kills],
        "apart_s": round(recovery.apart_s, 3),
        "apart": [_told(other, began_ms) for other in recovery.apart],
    }


def _line(word: str, recovery: Recovery, began_ms: int) -> str:
    crossed_s, sent_s = ((at - began_ms) / 1000 for at in (recovery.crossed_ms, recovery.sent_ms))
    met = ", ".join(_told(disturbance, began_ms) for disturbance in recovery.kills) or "no kill"
    words = (
        f"{word}: {recovery.rule_id} {recovery.order_id}: crossed {crossed_s:.1f}, sent {sent_s:.1f} "
        f"after {recovery.waited_s:.1f} s: "
        f"{recovery.seconds:.1f} s, {recovery.before_s:.1f} s before the first kill, "
        f"{recovery.after_last_s:.1f} s after the last ({met})"
    )
    if recovery.apart:
        apart = ", ".join(_told(disturbance, began_ms) for disturbance in recovery.apart)
        words += f"; {recovery.apart_s:.1f} s apart ({apart})"
    return words


def _told(disturbance: Disturbance, began_ms: int) -> str:
    from_s, to_s = ((at - began_ms) / 1000 for at in (disturbance.span.from_ms, disturbance.span.to_ms))
    return f"{disturbance.what} {from_s:.1f}-{to_s:.1f}"
