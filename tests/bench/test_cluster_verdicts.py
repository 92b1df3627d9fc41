"""What a cluster owes after kills or a restore and does not bring, or brings late, is the verdict."""

from dataclasses import replace

import pytest

from bench.cluster.__main__ import Proof
from bench.cluster.kills import BUDGET_S, Round
from bench.cluster.restore_drill import Drill, told

RIGHT = Drill(
    backup_s=1.0,
    restore_s=2.0,
    booked_s=3.0,
    ends={"armed": "TRIGGERED", "flying": "TRIGGERED", "sold": "CANCELED position_closed"},
    orders={"armed": 1, "flying": 1, "sold": 1},
    missed=(),
)


def test_drill_that_brought_everything_once_passes() -> None:
    assert RIGHT.failures == []


def test_drill_that_missed_a_booking_or_sold_twice_fails() -> None:
    wrong = replace(RIGHT, orders=RIGHT.orders | {"flying": 2}, missed=("the sale did not come",))
    assert wrong.failures == ["the sale did not come", "flying: 2 exits at the venue"]


def test_drill_that_lost_a_rule_fails() -> None:
    wrong = replace(RIGHT, ends=RIGHT.ends | {"sold": told(None)})
    assert wrong.failures == ["sold: gone where CANCELED position_closed had to be"]


def test_rule_that_is_there_is_told_by_its_row() -> None:
    assert told({"status": "TRIGGERED", "detail": "sold"}) == "TRIGGERED sold"


WELL = Round("one core worker", ("worker-core-1",), 3, (), 0.4, BUDGET_S, 2.0)


def test_round_within_the_budget_passes() -> None:
    assert Proof(kills=[WELL]).failures == []


def test_round_whose_books_differ_fails() -> None:
    wrong = replace(WELL, differences=("777: 2 orders accepted where one had to be",))
    assert Proof(kills=[wrong]).failures == ["one core worker: 777: 2 orders accepted where one had to be"]


@pytest.mark.parametrize(
    ("crossed_s", "away_s", "words"),
    [
        (10.1, 1.0, "the exit that crossed just before the kill was sent after 10.1 s"),
        (1.0, 59.0, "the exit that crossed just after the kill was sent after 59 s"),
        (None, 1.0, "the exit that crossed just before the kill was never sent"),
    ],
)
def test_round_with_a_late_exit_fails(crossed_s: float | None, away_s: float, words: str) -> None:
    late = replace(WELL, crossed_to_post_s=crossed_s, away_to_post_s=away_s)
    assert Proof(kills=[late]).failures == [f"one core worker: {words}"]
