"""Whether a holding is the next position, or the one that is known under another number."""

from datetime import timedelta
from decimal import Decimal

import pytest

from domain.episodes import Episode
from domain.messages import Holding
from tests.domain.builders import START

KNOWN = Episode(2, START)
MADE = START + timedelta(hours=1)


def holding(episode: int, hours: float | None, shares: str = "10") -> Holding:
    opened = None if hours is None else START + timedelta(hours=hours)
    return Holding(
        shares=Decimal(shares),
        average_entry=None,
        opened_at=opened,
        episode=episode,
        unconfirmed_shares=Decimal(0),
        version=1,
    )


@pytest.mark.parametrize(
    ("episode", "hours", "follows"),
    [
        (2, 0, False),
        (2, 5, False),  # its first trade was taken back
        (3, 0, False),  # an older round trip was booked
        (3, -1, False),  # with an older purchase of what is held
        (3, 1, False),  # sold and bought before the rule was made, and learned of later
        (3, 1.1, True),
        (3, None, True),
        (1, 5, False),
    ],
)
def test_the_next_position_has_a_higher_number_and_was_opened_later(episode, hours, follows):
    assert KNOWN.is_followed_by(holding(episode, hours), MADE) is follows


def test_a_position_opened_behind_the_rule_counts_from_its_own_opening():
    known = Episode(2, MADE + timedelta(hours=1))

    assert not known.is_followed_by(holding(3, 2), MADE)
    assert known.is_followed_by(holding(3, 2.1), MADE)


def test_nothing_follows_while_nothing_was_held():
    assert not Episode().is_followed_by(holding(3, 5), MADE)


def test_what_is_flat_is_no_episode_yet():
    assert Episode.of(holding(3, 0, shares="0")) == Episode()
    assert Episode.of(holding(3, 0)) == Episode(3, START)


def test_an_episode_takes_number_and_date_from_the_ledger():
    assert KNOWN.seen_in(holding(3, -1)) == Episode(3, START - timedelta(hours=1))
    assert KNOWN.seen_in(holding(3, None)) == Episode(3, START)
    assert KNOWN.seen_in(holding(0, None, shares="0")) == KNOWN
    assert Episode().seen_in(holding(3, 0)) == Episode()
