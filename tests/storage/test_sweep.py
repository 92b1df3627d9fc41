"""The sweep: what the tape shows beyond a level for the whole window, and nothing else."""

from datetime import timedelta
from decimal import Decimal

import pytest

from domain.ids import RuleId
from domain.quotes import PriceSource, Quote
from domain.rules.definition import Condition, Confirm, RuleDefinition, StopLoss, TakeProfit, TrailingStop
from domain.rules.watch import TrailMark
from storage.database import Database
from storage.repositories.sweep import BeyondLevel, Sweep
from storage.repositories.tape import Tape, TapeEntry
from storage.repositories.watches import Watches
from tests.storage.builders import START, VENUE, Store, alone_in, rule_id


async def armed(store: Store, definition: RuleDefinition, *, version: int | None = None) -> RuleId:
    """Arm a rule long before the tape begins."""
    rule = rule_id()
    projection = store.rule_projection(rule, definition=definition, version=version)
    await store.projections.apply(projection)
    async with store.database.hot.connection() as connection:
        await connection.execute(
            "UPDATE watches SET armed_at = $2 WHERE rule_id = $1", rule, START - timedelta(hours=1)
        )
    return rule


async def show(store: Store, *rows: tuple[float, str | None, str | None, str | None]) -> None:
    await Tape(store.database).append(
        [
            TapeEntry(
                venue=VENUE,
                token_id=store.token_id,
                ts=START + timedelta(seconds=seconds),
                quote=Quote(*(None if text is None else Decimal(text) for text in prices)),
            )
            for seconds, *prices in rows
        ]
    )


async def beyond(store: Store, at: float = 20) -> list[BeyondLevel]:
    found = await Sweep(store.database).beyond(VENUE, START + timedelta(seconds=at))
    return [each for each in found if each.watch.token_id == store.token_id]


def rule(store: Store, *conditions: Condition, **more: object) -> RuleDefinition:
    return RuleDefinition(
        venue=VENUE, market_id=store.market_id, token_id=store.token_id, conditions=conditions, **more
    )


STOP = StopLoss(price=Decimal("0.40"))
TARGET = TakeProfit(price=Decimal("0.60"))


async def test_stop_that_stood_reached_for_the_window_is_found_with_its_evidence(store: Store) -> None:
    wanted = await armed(store, rule(store, TARGET, STOP))
    await show(store, (0, "0.38", "0.40", None), (15, "0.37", "0.39", "0.5"))
    (found,) = await beyond(store)
    assert (found.watch.rule_id, found.condition_index, found.level) == (wanted, 1, Decimal("0.40"))
    assert (found.price, found.changes, found.since) == (Decimal("0.38"), 2, START)
    assert found.quote == Quote(Decimal("0.37"), Decimal("0.39"), Decimal("0.5"))
    projected, _ = await Watches(store.database).snapshot(VENUE)
    assert found.watch in projected


@pytest.mark.parametrize(
    ("rows", "fires"),
    [
        ([(0, "0.38", "0.40", None)], True),
        ([(0, "0.40", "0.40", None)], True),
        ([(0, "0.40", "0.42", None)], False),
        ([(12, "0.38", "0.40", None)], False),  # not for the whole window
        ([(0, "0.38", "0.40", None), (12, "0.44", "0.46", None), (13, "0.38", "0.40", None)], False),
        ([(0, "0.44", "0.46", None), (9, "0.38", "0.40", None)], True),
        ([(0, "0.40", "0.38", None)], False),  # crossed
        ([(0, "0.10", "0.60", "0.39")], True),  # fell back to last, the bid agrees
        ([(0, "0.45", "0.60", "0.39")], False),  # the bid does not
        ([(0, None, "0.60", "0.39")], True),  # no bid at all
        ([(0, "0.38", None, None)], False),  # nothing to judge by
        ([(0, "0.38", "1.40", "0.39")], False),  # absurd
    ],
)
async def test_stop_is_found_only_when_every_quote_of_the_window_reaches_it(
    store: Store, rows: list[tuple[float, str | None, str | None, str | None]], fires: bool
) -> None:
    await armed(store, rule(store, STOP))
    await show(store, *rows)
    assert bool(await beyond(store)) is fires


@pytest.mark.parametrize(
    ("quote", "fires"),
    [(("0.60", "0.62", None), True), (("0.58", "0.60", None), False), (("0.50", "0.70", "0.65"), False)],
)
async def test_target_is_judged_upwards(
    store: Store, quote: tuple[str | None, str | None, str | None], fires: bool
) -> None:
    await armed(store, rule(store, TARGET))
    await show(store, (0, *quote))
    assert bool(await beyond(store)) is fires


@pytest.mark.parametrize(("bid", "fires"), [("0.59", False), ("0.60", True)])
async def test_target_that_nobody_paid_needs_the_bid_at_its_level(
    store: Store, bid: str, fires: bool
) -> None:
    wanted = await armed(store, rule(store, TARGET))
    async with store.database.hot.connection() as connection:
        await connection.execute(
            "UPDATE watches SET resolved = resolved || '{\"targets_need_bid\": true}' WHERE rule_id = $1",
            wanted,
        )
    await show(store, (0, bid, "0.62", None))
    assert bool(await beyond(store)) is fires


async def test_trail_is_judged_by_its_saved_mark(store: Store) -> None:
    trail = TrailingStop(percent=Decimal(10), activation_price=Decimal("0.60"), floor_price=Decimal("0.20"))
    wanted = await armed(store, rule(store, trail))
    await show(store, (0, "0.62", "0.64", None))
    assert await beyond(store) == []
    await Watches(store.database).save_marks([TrailMark(wanted, 1, 0, Decimal("0.80"), True)])
    (found,) = await beyond(store)
    assert (found.level, found.mark) == (Decimal("0.72"), Decimal("0.80"))


async def test_trail_that_is_not_active_yet_has_its_floor_alone(store: Store) -> None:
    trail = TrailingStop(percent=Decimal(10), activation_price=Decimal("0.60"), floor_price=Decimal("0.20"))
    await armed(store, rule(store, trail))
    await show(store, (0, "0.18", "0.20", None))
    (found,) = await beyond(store)
    assert found.level == Decimal("0.20")


async def test_longer_confirmation_makes_the_window_longer(store: Store) -> None:
    await armed(store, rule(store, STOP, confirm=Confirm(ms=15_000)))
    await show(store, (0, "0.44", "0.46", None), (8, "0.38", "0.40", None))
    assert await beyond(store, at=20) == []
    assert len(await beyond(store, at=24)) == 1


async def test_number_of_updates_is_waited_for(store: Store) -> None:
    await armed(store, rule(store, STOP, confirm=Confirm(updates=2)))
    await show(store, (0, "0.38", "0.40", None))
    assert await beyond(store) == []
    await show(store, (12, "0.37", "0.39", None))
    assert len(await beyond(store)) == 1


async def test_wide_spread_does_not_count(store: Store) -> None:
    await armed(store, rule(store, STOP, max_spread=Decimal("0.01")))
    await show(store, (0, "0.38", "0.40", None))
    assert await beyond(store) == []


async def test_named_price_source_is_used(store: Store) -> None:
    await armed(store, rule(store, STOP, price_source=PriceSource.ASK))
    await show(store, (0, "0.30", "0.41", "0.30"))
    assert await beyond(store) == []


async def test_watch_that_was_armed_within_the_window_waits(empty_database: Database) -> None:
    store = await alone_in(empty_database)
    await armed(store, rule(store, STOP))
    await show(store, (0, "0.38", "0.40", None))
    async with empty_database.hot.connection() as connection:
        await connection.execute("UPDATE watches SET armed_at = $1", START + timedelta(seconds=15))
    assert await beyond(store) == []
    assert len(await beyond(store, at=26)) == 1


async def test_disarmed_watch_is_left_alone(store: Store) -> None:
    wanted = await armed(store, rule(store, STOP))
    await show(store, (0, "0.38", "0.40", None))
    await store.projections.apply(store.rule_projection(wanted, armed=False))
    assert await beyond(store) == []
