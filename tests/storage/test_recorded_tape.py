"""Bounded reads of the tape, and what is watched for a rule."""

from datetime import timedelta
from decimal import Decimal

import pytest

from domain.quotes import Quote
from storage.repositories.recorded_tape import RecordedTape
from storage.repositories.tape import Tape, TapeEntry
from tests.storage.builders import START, VENUE, Store, rule_id


async def record(store: Store, *bids: str) -> None:
    await Tape(store.database).append(
        [
            TapeEntry(
                venue=VENUE,
                token_id=store.token_id,
                ts=START + timedelta(seconds=second),
                quote=Quote(Decimal(bid), None, None),
            )
            for second, bid in enumerate(bids)
        ]
    )


@pytest.mark.parametrize(
    ("limit", "bids", "capped"),
    [(2, ["0.2", "0.3"], True), (3, ["0.1", "0.2", "0.3"], False), (9, ["0.1", "0.2", "0.3"], False)],
)
async def test_window_is_the_newest_rows_of_the_span_in_order(
    store: Store, limit: int, bids: list[str], capped: bool
) -> None:
    await record(store, "0.1", "0.2", "0.3", "0.4")

    until = START + timedelta(seconds=3)
    window = await RecordedTape(store.database).window(VENUE, store.token_id, START, until, limit=limit)

    assert [str(row.quote.bid) for row in window.rows] == bids
    assert window.capped is capped


async def test_row_that_stood_at_a_moment_is_the_last_before_it(store: Store) -> None:
    await record(store, "0.1", "0.2")
    tape = RecordedTape(store.database)

    row = await tape.standing_at(VENUE, store.token_id, START + timedelta(seconds=1))

    assert row is not None
    assert row.quote.bid == Decimal("0.1")
    assert await tape.standing_at(VENUE, store.token_id, START) is None


async def test_rule_that_was_never_watched_has_no_state(store: Store) -> None:
    assert await RecordedTape(store.database).watch_of(rule_id()) is None
