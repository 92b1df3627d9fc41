"""The circuit breaker against a model that keeps every send, and the tables of what answers mean."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.breakers import Breaker, OpenBreakers, Outcome, ProbePace, is_failure, of_account, of_venue
from domain.orders import AnswerKind

F, W, S = Outcome.FAILED, Outcome.WELL, Outcome.SILENT
OPENS_AT, FORGETS_MS = 3, 100
PACE = ProbePace(exit_ms=20, entry_ms=300)


@pytest.mark.parametrize(
    ("answer", "venue", "account"),
    [
        (AnswerKind.ACCEPTED, W, W),
        (AnswerKind.REGISTERED, W, W),
        (AnswerKind.REBUILD, W, W),
        (AnswerKind.NO_LIQUIDITY, W, W),
        (AnswerKind.FINAL, W, W),
        (AnswerKind.BLOCKED, W, F),
        (AnswerKind.UNKNOWN, F, S),
        (AnswerKind.TRANSIENT, S, S),
    ],
)
def test_what_an_answer_says_of_venue_and_account(answer, venue, account):
    assert (of_venue(answer), of_account(answer)) == (venue, account)
    assert is_failure(answer) is (F in (venue, account))


def test_every_answer_has_its_line_in_the_table():
    [mark] = test_what_an_answer_says_of_venue_and_account.pytestmark
    assert {row[0] for row in mark.args[1]} == set(AnswerKind)


@pytest.mark.parametrize(
    ("story", "sends", "failures", "is_open"),
    [
        ("enough in a row", [(0, 0, F), (1, 0, F), (2, 0, F)], 3, True),
        ("just close enough", [(0, 0, F), (100, 0, F), (200, 0, F)], 3, True),
        ("too far apart", [(0, 0, F), (101, 0, F), (202, 0, F)], 1, False),
        ("a success between", [(0, 0, F), (1, 0, F), (2, 0, W), (3, 0, F)], 1, False),
        ("one that says nothing between", [(0, 0, F), (1, 0, F), (2, 0, S), (3, 0, F)], 3, True),
        ("open, and more fail much later", [(0, 0, F), (1, 0, F), (2, 0, F), (999, 0, F)], 4, True),
        ("closed by a success", [(0, 0, F), (1, 0, F), (2, 0, F), (3, 0, W)], 0, False),
        ("sent as it opened", [(0, 0, F), (1, 0, F), (2, 0, F), (9, 7, W)], 0, False),
        ("sent before it opened", [(0, 0, F), (1, 0, F), (2, 0, F), (9, 8, W)], 3, True),
        ("failed before it closed", [(0, 0, F), (10, 2, W), (11, 4, F)], 0, False),
        ("sent as the success was", [(0, 0, F), (10, 2, W), (11, 3, F)], 1, False),
    ],
)
def test_story_of_sends_leaves_the_breaker_so(story, sends, failures, is_open):
    breaker = Breaker()
    for at, took, outcome in sends:
        breaker = after(breaker, outcome, 1_000 + at, took)
    assert (breaker.failures, breaker.is_open) == (failures, is_open), story


@dataclass(frozen=True)
class Send:
    """A send that began `took` before its answer came, which was `gap` after the one before."""

    gap: int
    took: int
    outcome: Outcome


SENDS = st.lists(
    st.builds(
        Send, gap=st.integers(0, 130), took=st.integers(0, 60), outcome=st.sampled_from([F, F, F, W, S])
    ),
    max_size=40,
)


def after(breaker, outcome, now, took=0):
    return breaker.after(outcome, opens_at=OPENS_AT, forgets_ms=FORGETS_MS, sent_at_ms=now - took, now_ms=now)


class Model:
    """Keeps what counts as lists, and derives everything from them anew."""

    def __init__(self):
        self.row = []  # times of the failures that are in a row
        self.opened = None
        self.well = None

    def hear(self, send, now):
        began = now - send.took
        if send.outcome is F and (self.well is None or began >= self.well):
            if self.opened is None and self.row and now - self.row[-1] > FORGETS_MS:
                self.row = []
            self.row.append(now)
            if self.opened is None and len(self.row) >= OPENS_AT:
                self.opened = now
        if send.outcome is W and self.row and (self.opened is None or began >= self.opened):
            self.row, self.opened, self.well = [], None, began


@given(SENDS)
def test_breaker_agrees_with_a_model_that_keeps_every_failure(sends):
    breaker, model, now = Breaker(), Model(), 1_000
    for send in sends:
        now += send.gap
        before, breaker = breaker, after(breaker, send.outcome, now, send.took)
        model.hear(send, now)
        assert (breaker.failures, breaker.opened_at_ms) == (len(model.row), model.opened)
        assert breaker.is_open is (model.opened is not None)
        assert (breaker.tried_at_ms is None) is not breaker.is_open
        if send.outcome is S:
            assert breaker == before


@given(SENDS)
def test_success_of_a_send_that_begins_now_closes_it_from_any_state(sends):
    breaker, now = Breaker(), 1_000
    for send in sends:
        now += send.gap
        breaker = after(breaker, send.outcome, now, send.took)
    closed = after(breaker, W, now + 1)
    assert not closed.is_open
    assert closed.failures == 0


@given(SENDS)
def test_probes_of_exits_are_never_closer_than_their_pace(sends):
    breaker, now, probes = Breaker(), 1_000, []
    for send in sends:
        now += send.gap
        idle = breaker.idle_ms(now) if breaker.is_open else None
        if breaker.is_open and not OpenBreakers(venue_idle_ms=idle).pauses_exit(PACE):
            breaker = breaker.tried(now)
            probes.append((breaker.opened_at_ms, now))
        breaker = after(breaker, send.outcome, now, send.took)
    for (opened, first), (same, second) in pairwise(probes):
        assert opened != same or second - first >= PACE.exit_ms


def test_open_breaker_stays_open_however_long_nobody_sends():
    breaker = Breaker()
    for now in (1_000, 1_001, 1_002):
        breaker = after(breaker, F, now)
    assert after(breaker, F, 1_000_000).opened_at_ms == 1_002
    assert after(breaker, S, 1_000_000) == breaker


def test_clock_that_was_set_back_holds_nobody_for_ever():
    breaker = Breaker()
    for _ in range(OPENS_AT):
        breaker = after(breaker, F, 1_000_000)
    assert not after(breaker, W, 5_000).is_open  # an hour earlier by the clock, yet later
    ways = OpenBreakers(venue_idle_ms=breaker.idle_ms(5_000), account_idle_ms=-1)
    assert not ways.pauses_exit(PACE)
    assert not ways.pauses_entry(PACE)


@pytest.mark.parametrize(
    ("ways", "exit_waits", "entry_waits_ms"),
    [
        (OpenBreakers(), False, 0),
        (OpenBreakers(venue_idle_ms=0), True, 300),
        (OpenBreakers(venue_idle_ms=19), True, 281),
        (OpenBreakers(venue_idle_ms=20), False, 280),
        (OpenBreakers(venue_idle_ms=300), False, 0),
        (OpenBreakers(account_idle_ms=0), False, 300),
        (OpenBreakers(account_idle_ms=300), False, 0),
        (OpenBreakers(venue_idle_ms=300, account_idle_ms=299), False, 1),
        (OpenBreakers(venue_idle_ms=100, account_idle_ms=250), False, 200),
    ],
)
def test_who_waits_for_which_open_breaker_and_how_long(ways, exit_waits, entry_waits_ms):
    assert ways.pauses_exit(PACE) == exit_waits
    assert ways.entry_waits_ms(PACE) == entry_waits_ms
    assert ways.pauses_entry(PACE) == (entry_waits_ms > 0)
