"""What was down, and by whose fault: blindness outlasts an excuse, and what dies by itself has none."""

import pytest

from bench.chaos.evidence import Span
from bench.chaos.outages import BEFORE_MS, DYING_MS, Outages
from bench.chaos.stage import now_ms
from runtime.embedded.stack import Part
from runtime.embedded.supervisor import PartEvent, PartState

RETURNING_MS = 4_000


def event(part: Part, state: PartState, *, asked: bool = False) -> PartEvent:
    """Returns a change of a part."""
    return PartEvent(part, state, asked=asked)


def fallen(part: Part, outages: Outages) -> Outages:
    """Lets a part die by itself and come back."""
    outages.observe(event(part, PartState.RESTARTING))
    outages.observe(event(part, PartState.HEALTHY))
    return outages


def test_dead_simulator_stands_apart_and_what_no_exit_needs_concerns_none() -> None:
    outages = Outages(RETURNING_MS)
    for part in (Part.API, Part.WORKER_IO, Part.SIMULATOR, Part.WORKER_CORE_1):
        outages.killed(part)
    told = {disturbance.what: disturbance.apart for disturbance in outages.disturbances()}
    assert told == {"kill simulator": True, "kill worker-core-1": False}


def test_blindness_outlasts_the_excuse_of_a_silent_socket() -> None:
    outages, since = Outages(RETURNING_MS), now_ms() - 3_000
    outages.excused("silent socket", since, blind=True, longer_ms=15_000)
    (told,), (gap,) = outages.disturbances(), outages.gaps()
    assert told.span.to_ms <= now_ms()
    assert gap == Span(since - BEFORE_MS, told.span.to_ms + 15_000 + RETURNING_MS)


def test_time_of_a_roll_back_blinds_and_excuses_nobody() -> None:
    outages = Outages(RETURNING_MS)
    outages.blinded(now_ms() - 3_000)
    assert (len(outages.gaps()), outages.disturbances()) == (1, ())


@pytest.mark.parametrize("part", [Part.WORKER_FEED, Part.TEMPORAL, Part.SIMULATOR])
def test_part_that_died_by_itself_is_told(part: Part) -> None:
    outages = fallen(part, Outages(RETURNING_MS))
    assert [name for name, _ in outages.unexplained()] == [part]


def test_part_that_died_and_stayed_away_is_told() -> None:
    outages = Outages(RETURNING_MS)
    outages.observe(event(Part.WORKER_FEED, PartState.RESTARTING))
    assert [name for name, _ in outages.unexplained()] == [Part.WORKER_FEED]


def test_part_that_was_killed_or_stood_still_is_explained() -> None:
    outages = Outages(RETURNING_MS)
    outages.killed(Part.WORKER_FEED)
    outages.observe(event(Part.WORKER_FEED, PartState.HEALTHY))
    since = now_ms()
    outages.observe(event(Part.WORKER_CORE_1, PartState.RESTARTING))  # the supervisor gave it up
    outages.paused(Part.WORKER_CORE_1, since)
    outages.observe(event(Part.WORKER_CORE_1, PartState.HEALTHY))
    assert outages.unexplained() == ()


def test_part_that_is_told_healthy_between_its_kill_and_its_death_is_explained() -> None:
    outages = Outages(RETURNING_MS)
    outages.observe(event(Part.WORKER_IO, PartState.STARTING))
    outages.killed(Part.WORKER_IO)
    outages.observe(event(Part.WORKER_IO, PartState.HEALTHY))
    at_ms = now_ms() + 1
    outages.fallen.append((Part.WORKER_IO, Span(at_ms, at_ms + 900)))
    assert outages.unexplained() == ()
    outages.fallen.append((Part.WORKER_IO, Span(at_ms + 2 * DYING_MS, at_ms + 2_000)))
    assert [name for name, _ in outages.unexplained()] == [Part.WORKER_IO]


def test_worker_that_dies_with_temporal_is_explained_and_one_that_dies_with_the_feed_is_not() -> None:
    outages = Outages(RETURNING_MS)
    for part in (Part.TEMPORAL, Part.WORKER_FEED):
        outages.killed(part)
        outages.observe(event(part, PartState.HEALTHY))
    fallen(Part.WORKER_CORE_1, outages)
    assert outages.unexplained() == ()
    calm = Outages(RETURNING_MS)
    calm.killed(Part.WORKER_FEED)
    calm.observe(event(Part.WORKER_FEED, PartState.HEALTHY))
    fallen(Part.WORKER_CORE_1, calm)
    assert [name for name, _ in calm.unexplained()] == [Part.WORKER_CORE_1]


def test_part_that_the_supervisor_restarts_did_not_die_by_itself() -> None:
    outages = Outages(returning_ms=0)
    outages.observe(event(Part.WORKER_IO, PartState.RESTARTING, asked=True))
    outages.observe(event(Part.WORKER_IO, PartState.HEALTHY))
    asked = outages.unexplained()
    outages.observe(event(Part.WORKER_IO, PartState.RESTARTING))
    outages.observe(event(Part.WORKER_IO, PartState.HEALTHY))

    assert asked == ()
    assert [name for name, _ in outages.unexplained()] == [Part.WORKER_IO]
