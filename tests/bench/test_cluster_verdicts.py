"""What a restored cluster owes and does not bring is the drill's verdict."""

from dataclasses import replace

from bench.cluster.restore_drill import Drill

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
