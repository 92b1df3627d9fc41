"""What a feed's board keeps while rules are armed, fire and are armed again."""

from dataclasses import replace

from activities import feed_board
from activities.feed_board import Moment, QuoteBoard
from tests.activities.feed_floor import FeedFloor, quote
from tests.domain.builders import TOKEN, D

STOP = {"type": "stop_loss", "price": "0.40"}
TRAIL = {"type": "trailing_stop", "percent": "10"}


def at(second):
    return Moment(second * 1000, second * 1000)


def armed_again(row):
    return replace(row, generation=row.generation + 1, version=row.version + 1)


def fired(crossings):
    return [(crossing.rule_id, crossing.generation, crossing.mark) for crossing in crossings]


def test_trail_that_is_armed_again_after_its_crossing_was_delivered_keeps_its_mark():
    board, row = QuoteBoard("polymarket"), FeedFloor().watch(TRAIL)
    board.change(row, at(0))
    board.take(TOKEN, quote("0.80", "0.80"), at(1))
    board.take(TOKEN, quote("0.70", "0.70"), at(2))
    board.delivered(row.rule_id, row.generation)
    assert fired(board.change(armed_again(row), at(3))) == [(row.rule_id, 2, D("0.80"))]


def test_trail_of_the_next_position_begins_with_a_mark_of_its_own():
    board, row = QuoteBoard("polymarket"), FeedFloor().watch(TRAIL)
    board.change(row, at(0))
    board.take(TOKEN, quote("0.80", "0.80"), at(1))
    sold = replace(row, armed=False, version=row.version + 1)
    board.change(sold, at(2))
    board.take(TOKEN, quote("0.70", "0.70"), at(3))  # below the trail of the former mark
    bought = replace(armed_again(sold), armed=True, marks_from=2)
    assert fired(board.change(bought, at(4))) == []
    assert fired(board.take(TOKEN, quote("0.64", "0.64"), at(5))) == []
    assert fired(board.take(TOKEN, quote("0.62", "0.62"), at(6))) == [(row.rule_id, 2, D("0.70"))]


def test_mark_that_a_generation_takes_over_is_saved_under_its_own_number():
    board, row = QuoteBoard("polymarket"), FeedFloor().watch(TRAIL)
    board.change(row, at(0))
    board.take(TOKEN, quote("0.80", "0.80"), at(1))
    board.take_changed_marks()
    board.change(armed_again(row), at(2))
    assert [(mark.generation, mark.mark) for mark in board.take_changed_marks()] == [(2, D("0.80"))]


def test_rule_is_judged_by_what_stands_though_every_rule_of_its_token_has_just_fired():
    board, floor = QuoteBoard("polymarket"), FeedFloor()
    first, second = floor.watch(STOP), floor.watch(STOP, rule="rul_2")
    for row in (first, second):
        board.change(row, at(0))
    board.take(TOKEN, quote("0.39", "0.40"), at(1))
    for row in (first, second):
        board.delivered(row.rule_id, row.generation)
    assert fired(board.change(armed_again(first), at(2))) == [(first.rule_id, 2, None)]
    assert fired(board.change(armed_again(second), at(2))) == [(second.rule_id, 2, None)]


def test_trail_that_was_disarmed_for_its_exit_keeps_its_mark_when_something_is_left():
    board, row = QuoteBoard("polymarket"), FeedFloor().watch(TRAIL)
    board.change(row, at(0))
    board.take(TOKEN, quote("0.80", "0.80"), at(1))
    board.take(TOKEN, quote("0.70", "0.70"), at(2))
    board.delivered(row.rule_id, row.generation)
    board.change(replace(row, armed=False, version=2), at(3))
    assert (board.rules, board.tokens()) == (0, [])
    assert fired(board.change(replace(row, generation=2, version=3), at(4))) == [(row.rule_id, 2, D("0.80"))]


def test_last_mark_of_a_rule_that_ends_is_still_saved():
    board, row = QuoteBoard("polymarket"), FeedFloor().watch(TRAIL)
    board.change(row, at(0))
    board.take(TOKEN, quote("0.80", "0.80"), at(1))
    board.change(replace(row, armed=False, version=2), at(2))
    assert [mark.mark for mark in board.take_changed_marks()] == [D("0.80")]


def test_marks_that_are_kept_are_bounded(monkeypatch):
    monkeypatch.setattr(feed_board, "MOST_KEPT", 2)
    board, floor = QuoteBoard("polymarket"), FeedFloor()
    rows = [floor.watch(TRAIL, rule=f"rul_{number}") for number in range(4)]
    for row in rows:
        board.change(row, at(0))
    board.take(TOKEN, quote("0.80", "0.80"), at(1))
    for row in rows:
        board.change(replace(row, armed=False, version=2), at(2))
    board.take(TOKEN, quote("0.70", "0.70"), at(3))
    again = [board.change(replace(row, generation=2, version=3), at(4)) for row in rows]
    assert [bool(crossings) for crossings in again] == [False, False, True, True]
