"""A long history of fills: its position begins at a checkpoint and is what the whole ledger folds to."""

from dataclasses import replace
from datetime import datetime, timedelta

from pydantic import TypeAdapter

from domain.fills import Fill, FillState, LedgerEntry
from domain.ledger import fold
from domain.orders import Side
from domain.positions import Position
from storage.records import read_all
from storage.repositories.ledger_entries import CHECKPOINT_ABOVE_ENTRIES, KEPT_FILLS
from storage.repositories.positions import Positions
from tests.storage.builders import START, Store

FILLS = CHECKPOINT_ABOVE_ENTRIES // 2 + 1
ENTRY = TypeAdapter(LedgerEntry)


def history(store: Store) -> list[Fill]:
    """Two are bought, one is sold, again and again: one fill each minute, all of them final."""
    return [
        store.fill(str(number), "7", side=Side.SELL if number % 3 else Side.BUY, price="0.4", minutes=number)
        if number % 3 == 2
        else store.fill(str(number), "3", price=f"0.{30 + number % 40}", minutes=number)
        for number in range(FILLS)
    ]


async def stored(store: Store) -> Position | None:
    return await Positions(store.database).get(store.key)


async def whole(store: Store) -> Position:
    """What all entries of the ledger fold to."""
    async with store.database.hot.connection() as connection:
        rows = await connection.fetch("SELECT * FROM ledger WHERE token_id = $1", store.token_id)
    return fold(store.key, store.market_id, read_all(ENTRY, rows))


async def checkpoints(store: Store) -> list[tuple[str, datetime]]:
    """When they were made, as the transaction's number, and where they lie."""
    async with store.database.hot.connection() as connection:
        rows = await connection.fetch(
            "SELECT xmin::text AS made, through FROM position_checkpoints WHERE token_id = $1", store.token_id
        )
    return [(row["made"], row["through"]) for row in rows]


async def test_a_short_history_has_no_checkpoint(store: Store) -> None:
    await store.book(*history(store)[:-1])

    assert await checkpoints(store) == []
    assert await stored(store) == await whole(store)


async def test_bookings_behind_a_checkpoint_fold_to_what_the_whole_ledger_does(store: Store) -> None:
    await store.book(*history(store))
    before = await checkpoints(store)
    await store.book(store.fill("sold", "5", side=Side.SELL, price="0.9", minutes=FILLS))
    await store.book(store.fill("open", "2", minutes=FILLS + 1, state=FillState.PROVISIONAL))

    assert len(before) == 1
    assert await checkpoints(store) == before
    assert await stored(store) == await whole(store)


async def test_confirmations_of_many_fills_leave_the_checkpoint_alone(
    store: Store,
) -> None:
    await store.book(*history(store))
    began = START + timedelta(minutes=FILLS)
    waiting = [
        replace(
            store.fill(f"w{number}", "2", state=FillState.PROVISIONAL),
            traded_at=began + timedelta(seconds=number),
        )
        for number in range(KEPT_FILLS * 5 // 2)
    ]
    await store.book(*waiting)
    before = await checkpoints(store)
    for fill in waiting[:2]:
        await store.book(replace(fill, state=FillState.CONFIRMED))

    assert [through for _, through in before] == [began - timedelta(minutes=1)]
    assert await checkpoints(store) == before
    assert await stored(store) == await whole(store)


async def test_a_fill_that_is_heard_of_late_counts_at_its_time(store: Store) -> None:
    await store.book(*history(store))
    await store.book(store.fill("late", "100", price="0.01", minutes=1))
    await store.book(store.fill("sold", "50", side=Side.SELL, price="0.9", minutes=FILLS))

    assert await stored(store) == await whole(store)


async def test_a_fill_behind_the_checkpoint_that_is_taken_back_counts_as_never_made(store: Store) -> None:
    fills = history(store)
    await store.book(*fills)
    await store.book(store.fill("1", "3", price="0.31", minutes=1, state=FillState.REVERSED))

    assert await stored(store) == await whole(store)
    assert len(await checkpoints(store)) == 1


async def test_an_entry_that_a_former_version_booked_is_not_missed(store: Store) -> None:
    await store.book(*history(store))
    async with store.database.hot.connection() as connection:
        await connection.execute(
            """INSERT INTO ledger (account_id, venue, mode, kind, fill_key, market_id, token_id, side, shares,
                notional_usd, fee_usd, venue_order_id, traded_at)
            SELECT account_id, venue, mode, kind, fill_key || '-late', market_id, token_id, side, shares,
                notional_usd, fee_usd, venue_order_id, traded_at
            FROM ledger WHERE token_id = $1 ORDER BY traded_at LIMIT 1""",
            store.token_id,
        )
    await store.book(store.fill("sold", "5", side=Side.SELL, price="0.9", minutes=FILLS))

    assert await stored(store) == await whole(store)


async def test_a_checkpoint_that_counts_what_was_taken_back_is_not_kept(store: Store) -> None:
    together = [store.fill(str(number), "3", minutes=0) for number in range(FILLS)]
    later = store.fill("later", "3", minutes=1)
    await store.book(store.fill("first", "3", minutes=-1), *together, later)
    first = await checkpoints(store)
    await store.book(store.fill("first", "3", minutes=0, state=FillState.REVERSED))
    await store.book(store.fill("last", "3", minutes=2))

    assert len(first) == 1
    assert await checkpoints(store) == []
    assert await stored(store) == await whole(store)
