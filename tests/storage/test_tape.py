"""The tape: written in batches, read in order, compacted without losing a row."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from domain.ids import AccountId
from domain.quotes import Quote
from storage.database import Database
from storage.repositories.tape import FeedGap, GapTotals, Tape, TapeEntry
from tests.storage.builders import START, VENUE, Store


def entry(
    store: Store, seconds: float, bid: str | None, ask: str | None = None, last: str | None = None
) -> TapeEntry:
    prices = [None if text is None else Decimal(text) for text in (bid, ask, last)]
    return TapeEntry(
        venue=VENUE, token_id=store.token_id, ts=START + timedelta(seconds=seconds), quote=Quote(*prices)
    )


async def read(
    tape: Tape, tokens: dict[str, datetime], *, venue: str = VENUE, size: int = 1000
) -> list[TapeEntry]:
    pages = [page async for page in tape.pages(venue, tokens, size=size)]
    assert all(0 < len(page) <= size for page in pages)
    return [row for page in pages for row in page]


async def test_batch_reads_back_in_the_order_of_the_feed(store: Store) -> None:
    tape = Tape(store.database)
    rows = [
        entry(store, 0, "0.40", "0.42"),
        entry(store, 0, "0.41", "0.42"),
        entry(store, 1, None, None, "0.5"),
    ]
    await tape.append(rows)
    assert await read(tape, {store.token_id: START}) == rows


async def test_each_token_is_read_from_its_own_time_on_and_all_in_one_order(store: Store) -> None:
    tape, other = Tape(store.database), store.with_token()
    rows = [entry(store, 1, "0.1"), entry(other, 2, "0.2"), entry(store, 3, "0.3"), entry(other, 4, "0.4")]
    await tape.append(rows)
    since = {store.token_id: START + timedelta(seconds=2), other.token_id: START}
    assert await read(tape, since) == [rows[1], rows[2], rows[3]]
    assert await read(tape, since, venue="elsewhere") == []
    assert await read(tape, {}) == []


async def test_pages_lose_and_repeat_nothing_where_many_changes_share_a_moment(store: Store) -> None:
    tape, other = Tape(store.database), store.with_token()
    rows = [entry(store if number % 3 else other, number // 4, f"0.{number + 10}") for number in range(20)]
    rows += [entry(store, 3_600, "0.5"), entry(other, 86_400, "0.6")]  # after hours without a change
    await tape.append(rows)
    since = {store.token_id: START, other.token_id: START - timedelta(days=90)}
    for size in (1, 3, 1000):
        assert await read(tape, since, size=size) == rows


async def test_standing_change_is_the_last_one_before_each_tokens_time(store: Store) -> None:
    tape, silent = Tape(store.database), store.with_token()
    await tape.append([entry(store, 1, "0.1"), entry(store, 2, "0.2"), entry(store, 3, "0.3")])
    since = {store.token_id: START + timedelta(seconds=3), silent.token_id: START + timedelta(seconds=3)}
    assert await tape.standing(VENUE, since) == [entry(store, 2, "0.2")]
    assert await tape.standing(VENUE, {}) == []


async def test_latest_is_the_last_change_of_each_token_that_has_one(store: Store) -> None:
    tape, silent = Tape(store.database), store.with_token()
    rows = [entry(store, 1, "0.1"), entry(store, 2, "0.2"), entry(store, 2, "0.3")]
    await tape.append(rows)
    assert await tape.latest(VENUE, [store.token_id, silent.token_id]) == {store.token_id: rows[2]}


async def test_prices_keep_every_digit(store: Store) -> None:
    tape = Tape(store.database)
    rows = [entry(store, 0, "0.123456789012345678901234567890", "0.999")]
    await tape.append(rows)
    assert await read(tape, {store.token_id: START}) == rows


async def test_gaps_of_the_shard_and_of_the_token_are_found(store: Store) -> None:
    tape = Tape(store.database)
    venue = f"venue-{store.token_id}"
    gaps = [
        FeedGap(
            venue=venue,
            shard=0,
            token_id=token,
            started_at=START,
            ended_at=START + timedelta(minutes=at),
            reason="pause",
        )
        for at, token in ((1, None), (2, store.token_id), (3, "another"))
    ]
    for gap in gaps:
        await tape.record_gap(gap)
    assert await tape.gaps(venue, START, token_id=store.token_id) == gaps[:2]
    assert await tape.gaps(venue, START + timedelta(minutes=2)) == gaps[1:]


async def test_gaps_are_added_up_by_spans_and_the_latest_is_told(store: Store) -> None:
    tape = Tape(store.database)
    venue, other = f"venue-{store.token_id}", f"other-{store.token_id}"

    def gap(of: str, at: float, minutes: float, token_id: str | None = None) -> FeedGap:
        started = START + timedelta(minutes=at)
        return FeedGap(
            venue=of,
            shard=0,
            token_id=token_id,
            started_at=started,
            ended_at=started + timedelta(minutes=minutes),
            reason="socket",
        )

    latest = gap(other, 1500, 0.5)
    lost_socket = [gap(venue, 3, 2, "one"), gap(venue, 3, 2, "two")]
    for each in (gap(venue, -5, 1), gap(venue, -1, 3), *lost_socket, latest, gap("a-third", 9, 9)):
        await tape.record_gap(each)

    totals = await tape.gap_totals({venue, other}, START)
    assert totals == GapTotals(spans=3, blind=timedelta(minutes=5.5), latest=latest)
    assert await tape.gap_totals({venue}, START + timedelta(days=1)) == GapTotals(0, timedelta(0), None)
    assert await tape.gap_totals((), START) == GapTotals(0, timedelta(0), None)


async def test_gap_of_another_shard_is_none_of_the_tokens(store: Store) -> None:
    tape, venue = Tape(store.database), f"venue-{store.token_id}"
    shards = (1, 2, 2, 5, 5, 5, 5, 5)
    numbers = (0, 0, 1, 0, 1, 2, 3, 4)
    for number, (shard, of) in enumerate(zip(numbers, shards, strict=True)):
        ended = START + timedelta(minutes=number)
        await tape.record_gap(
            FeedGap(
                venue=venue,
                shard=shard,
                shards=of,
                token_id=None,
                started_at=START,
                ended_at=ended,
                reason="restart",
            )
        )
    assert len(await tape.gaps(venue, START)) == 8
    assert [gap.shards for gap in await tape.gaps(venue, START, token_id=store.token_id)] == [1, 2, 5]


async def test_only_gaps_that_reach_into_the_span_are_found(store: Store) -> None:
    tape = Tape(store.database)
    venue = f"venue-{store.token_id}"
    gaps = [
        FeedGap(
            venue=venue,
            shard=0,
            token_id=None,
            started_at=START + timedelta(minutes=at),
            ended_at=START + timedelta(minutes=at + 2),
            reason="restart",
        )
        for at in (0, 3, 6)
    ]
    for gap in gaps:
        await tape.record_gap(gap)
    assert await tape.gaps(venue, START + timedelta(minutes=3), START + timedelta(minutes=6)) == [gaps[1]]
    assert await tape.gaps(venue, START + timedelta(minutes=2), START + timedelta(minutes=7)) == gaps


async def test_compaction_turns_old_minutes_into_candles_and_keeps_the_rest(empty_database: Database) -> None:
    store, tape = Store(empty_database, AccountId("nobody")), Tape(empty_database)
    await tape.append(
        [
            entry(store, 0, "0.40", "0.42"),
            entry(store, 10, "0.44", "0.46"),
            entry(store, 20, "0.30", "0.60", "0.39"),
            entry(store, 59, None, None, None),
            entry(store, 60, "0.50", "0.52"),
            entry(store, 125, "0.55", "0.57"),
        ]
    )
    assert await tape.compact(START + timedelta(seconds=130)) == 5
    left = await read(tape, {store.token_id: START})
    assert [row.ts for row in left] == [START + timedelta(seconds=125)]
    first, second = await tape.candles(VENUE, store.token_id, START, START + timedelta(hours=1))
    prices = (first.open, first.high, first.low, first.close)
    assert prices == (Decimal("0.41"), Decimal("0.45"), Decimal("0.39"), Decimal("0.39"))
    assert (first.bid_low, first.bid_high, first.ask_low, first.ask_high) == tuple(
        Decimal(text) for text in ("0.30", "0.44", "0.42", "0.60")
    )
    assert (first.minute, first.changes, second.changes) == (START, 4, 1)


async def test_late_row_of_a_compacted_minute_widens_its_candle(empty_database: Database) -> None:
    store, tape = Store(empty_database, AccountId("nobody")), Tape(empty_database)
    await tape.append([entry(store, 0, "0.40", "0.42")])
    await tape.compact(START + timedelta(minutes=1))
    await tape.append([entry(store, 30, "0.60", "0.62")])
    await tape.compact(START + timedelta(minutes=1))
    (candle,) = await tape.candles(VENUE, store.token_id, START, START + timedelta(hours=1))
    assert (candle.open, candle.high, candle.close, candle.changes) == (
        Decimal("0.41"),
        Decimal("0.61"),
        Decimal("0.61"),
        2,
    )


@pytest.mark.parametrize("at", [START])
async def test_compacting_an_empty_tape_is_nothing(empty_database: Database, at: datetime) -> None:
    assert await Tape(empty_database).compact(at) == 0
