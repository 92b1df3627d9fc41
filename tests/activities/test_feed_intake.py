"""What a crossing's signal says when it leaves, which in a crowd is not the moment of its crossing."""

from dataclasses import replace

import pytest

from activities.feed_board import QuoteBoard
from activities.feed_intake import QuoteIntake
from domain.quotes import Level
from tests.activities.feed_floor import FeedFloor, quote
from tests.domain.builders import TOKEN, D

STOP = {"type": "stop_loss", "price": "0.40"}


class Queue:
    """Crossings that were handed over and wait."""

    def __init__(self):
        self.messages = []

    def send(self, crossing, account_id, message, delivered):
        self.messages.append(message)

    def taken(self, row):
        pass


class OneStop:
    """A feed's intake over one stop that a quote crossed; its crossing waits for its turn."""

    def __init__(self):
        floor = FeedFloor()
        self.clock, self.row, self.queue = floor.clock, floor.watch(STOP), Queue()
        self.board, self.bids = QuoteBoard("polymarket"), [Level(D("0.38"), D(100))]
        self.intake = QuoteIntake(
            self.board,
            stream=self,
            delivery=self.queue,
            batch=self,
            notices=self,
            clock=self.clock,
        )
        self.intake.change(self.row)
        self.sees("0.38")

    def sees(self, bid):
        self.bids = [Level(D(bid), D(100))]
        self.intake.take(TOKEN, quote(bid, str(D(bid) + D("0.01"))), self.clock.monotonic_ms(), None)

    def leaves(self):
        return self.queue.messages[0]()

    # what the intake asks of its parts

    def ladder(self, token_id, depth):
        return self.bids, []

    def add(self, token_id, at, quote):
        pass

    def saw(self, token_id, quote, at):
        pass


@pytest.fixture
def stop():
    return OneStop()


def test_signal_leaves_with_the_book_of_its_moment_and_the_time_at_which_that_was_confirmed(stop):
    crossed_ms = stop.leaves().crossing.observed_at_ms
    stop.clock.pass_s(5)
    stop.sees("0.36")
    stop.clock.pass_s(1)
    left = stop.leaves()
    assert left.crossing.quote.bid == D("0.38")
    assert left.ladder.levels == (Level(D("0.36"), D(100)),)
    assert left.ladder_at_ms == crossed_ms + 5_000


def test_book_that_nothing_confirmed_since_the_crossing_is_as_old_as_that(stop):
    crossed_ms = stop.leaves().crossing.observed_at_ms
    stop.clock.pass_s(9)
    assert stop.leaves().ladder_at_ms == crossed_ms


@pytest.mark.parametrize(
    "news", [{"armed": False}, {"generation": 2}], ids=["its rule was cancelled", "its rule was patched"]
)
def test_crossing_does_not_leave_once_its_rule_watches_for_something_else(stop, news):
    stop.intake.change(replace(stop.row, version=2, **news))
    assert stop.leaves() is None
