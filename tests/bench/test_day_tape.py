"""A day of prices: the same for the same seed, with calm, excursions, empty sides and gaps in it."""

import itertools
from datetime import datetime
from random import Random

from bench.day_tape import CALM, CENT, GAP_S, HIGH, LOW, TokenDay

DAY_S = 24 * 3600.0


def day(seed: int, beat_s: float = 20.0) -> list[dict[str, str | None]]:
    return list(TokenDay(Random(seed), beat_s).rows(DAY_S))


def test_equal_seeds_give_equal_days_and_others_another() -> None:
    assert day(1) == day(1)
    assert day(1) != day(2)


def test_a_day_leads_below_every_near_stop_and_above_every_near_target() -> None:
    bids = {row["bid"] for seed in range(3) for row in day(seed)}
    assert str(LOW * CENT) in bids
    assert str(HIGH * CENT) in bids
    assert {str(cents * CENT) for cents in CALM} <= bids


def test_a_day_has_empty_sides_and_gaps() -> None:
    rows = day(1)
    assert any(row["bid"] is None for row in rows)
    assert any(row["ask"] is None for row in rows)
    moments = [datetime.fromisoformat(str(row["ts"])) for row in rows]
    waits = [(now - before).total_seconds() for before, now in itertools.pairwise(moments)]
    assert max(waits) >= GAP_S


def test_pieces_of_a_day_go_on_where_the_last_one_ended() -> None:
    prices = TokenDay(Random(4), 20.0)
    first, second = prices.rows(3600), prices.rows(3600)
    assert first[0]["ts"] == second[0]["ts"]  # each piece is a tape of its own
    assert first != second
