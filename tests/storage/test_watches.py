"""Watches: the snapshot, the visible edge, hints, marks."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from domain.messages import RulePhase, RuleStatus
from domain.rules.watch import TrailMark
from storage.database import Database
from storage.hints import NotifyHints
from storage.repositories.projections import STEP_CTES, WATCHES, Projections, document_of
from storage.repositories.watches import SavedMarks, Watches
from tests.storage.builders import VENUE, Store, alone_in, rule_id


async def rules_since(watches: Watches, edge: int) -> tuple[set[str], int]:
    rows, edge = await watches.changed_since(edge, VENUE)
    return {row.rule_id for row in rows}, edge


async def test_snapshot_holds_armed_watches_of_the_shard_only(store: Store) -> None:
    watches, shards = Watches(store.database), 3
    armed, disarmed = rule_id(), rule_id()
    await store.projections.apply(store.rule_projection(armed))
    await store.projections.apply(store.rule_projection(disarmed, armed=False))
    found = [
        [row.rule_id for row in (await watches.snapshot(VENUE, shard, shards))[0]] for shard in range(shards)
    ]
    assert [armed in rows for rows in found].count(True) == 1
    assert not any(disarmed in rows for rows in found)
    assert armed not in {row.rule_id for row in (await watches.snapshot("elsewhere"))[0]}


async def test_change_after_the_edge_is_read_and_disarming_too(store: Store) -> None:
    watches, rule = Watches(store.database), rule_id()
    _, edge = await watches.snapshot(VENUE)
    await store.projections.apply(store.rule_projection(rule))
    changed, edge = await rules_since(watches, edge)
    assert rule in changed
    await store.projections.apply(store.rule_projection(rule, armed=False))
    rows, _ = await watches.changed_since(edge, VENUE)
    assert [row.armed for row in rows if row.rule_id == rule] == [False]


async def test_row_of_a_long_transaction_is_not_missed(store: Store) -> None:
    """Its transaction began before others that were read already, and commits after them."""
    watches, slow, quick = Watches(store.database), rule_id(), rule_id()
    _, edge = await watches.snapshot(VENUE)
    async with store.database.hot.transaction() as connection:
        await connection.fetchval(STEP_CTES + " SELECT 1", document_of(store.rule_projection(slow), None))
        await store.projections.apply(store.rule_projection(quick))
        seen, edge = await rules_since(watches, edge)
        assert (quick in seen, slow in seen) == (True, False)
    seen, edge = await rules_since(watches, edge)
    assert slow in seen


async def test_older_version_never_comes_as_a_change(store: Store) -> None:
    """The newer row may be read again: a transaction anywhere in the cluster holds the edge back."""
    watches, rule = Watches(store.database), rule_id()
    _, edge = await watches.snapshot(VENUE)
    await store.projections.apply(store.rule_projection(rule, version=5))
    await store.projections.apply(store.rule_projection(rule, version=4))
    rows, _ = await watches.changed_since(edge, VENUE)
    assert [row.version for row in rows if row.rule_id == rule] == [5]


async def test_armed_since_moves_with_the_generation_and_not_with_the_size(store: Store) -> None:
    watches, rule = Watches(store.database), rule_id()
    await store.projections.apply(store.rule_projection(rule))
    first = (await watches.armed_since([rule]))[rule]
    await store.projections.apply(store.rule_projection(rule))
    assert (await watches.armed_since([rule]))[rule] == first
    await store.projections.apply(store.rule_projection(rule, generation=2))
    assert (await watches.armed_since([rule]))[rule] > first


async def test_armed_since_stays_when_a_watch_ends_and_moves_when_it_begins_again(store: Store) -> None:
    watches, rule = Watches(store.database), rule_id()
    await store.projections.apply(store.rule_projection(rule))
    first = (await watches.armed_since([rule]))[rule]
    for _ in range(2):
        await store.projections.apply(store.rule_projection(rule, armed=False))
        assert (await watches.armed_since([rule]))[rule] == first
    await store.projections.apply(store.rule_projection(rule))
    assert (await watches.armed_since([rule]))[rule] > first


async def test_armed_generation_is_the_present_one_and_none_for_a_watch_that_ended(store: Store) -> None:
    watches, rule = Watches(store.database), rule_id()
    assert await watches.armed_generation(rule) is None
    await store.projections.apply(store.rule_projection(rule, generation=3))
    assert await watches.armed_generation(rule) == 3
    await store.projections.apply(store.rule_projection(rule, armed=False))
    assert await watches.armed_generation(rule) is None


async def test_mark_never_goes_down_and_an_active_trail_stays_active(store: Store) -> None:
    watches, rule = Watches(store.database), rule_id()
    await store.projections.apply(store.rule_projection(rule))
    await watches.save_marks([TrailMark(rule, 1, 0, None, False)])
    await watches.save_marks([TrailMark(rule, 1, 0, Decimal("0.62"), True)])
    await watches.save_marks([TrailMark(rule, 1, 0, Decimal("0.61"), False)])
    marks = await watches.load_marks([rule])
    assert marks == SavedMarks(reached=(TrailMark(rule, 1, 0, Decimal("0.62"), True),))


async def test_marks_of_the_generation_before_are_told_apart_from_those_reached_since(store: Store) -> None:
    watches, rule = Watches(store.database), rule_id()
    await store.projections.apply(store.rule_projection(rule))
    await watches.save_marks(
        [TrailMark(rule, 1, 0, Decimal("0.62"), True), TrailMark(rule, 1, 2, None, False)]
    )
    await store.projections.apply(store.rule_projection(rule, generation=2))
    carried = (TrailMark(rule, 2, 0, Decimal("0.62"), True), TrailMark(rule, 2, 2, None, False))
    assert await watches.load_marks([rule]) == SavedMarks(carried=carried)
    reached = TrailMark(rule, 2, 0, Decimal("0.70"), True)
    await watches.save_marks([reached])
    assert await watches.load_marks([rule]) == SavedMarks(carried=carried, reached=(reached,))


async def test_marks_of_a_former_position_are_not_told(store: Store) -> None:
    watches, rule = Watches(store.database), rule_id()
    await store.projections.apply(store.rule_projection(rule))
    await watches.save_marks([TrailMark(rule, 1, 0, Decimal("0.62"), True)])
    bought = store.rule_projection(rule, generation=2)
    assert bought.watch is not None
    await store.projections.apply(replace(bought, watch=replace(bought.watch, marks_from=2)))
    assert await watches.load_marks([rule]) == SavedMarks()
    rows, _ = await watches.snapshot(VENUE)
    assert [row.marks_from for row in rows if row.rule_id == rule] == [2]
    reached = TrailMark(rule, 2, 0, Decimal("0.55"), True)
    await watches.save_marks([reached])
    assert await watches.load_marks([rule]) == SavedMarks(reached=(reached,))


async def test_hint_wakes_a_listener(store: Store) -> None:
    hinted, hints = asyncio.Queue[None](), NotifyHints(store.database, gap=0.001)
    listening = asyncio.create_task(Watches(store.database).listen(lambda: hinted.put_nowait(None)))
    await asyncio.wait_for(hinted.get(), 10)  # the first comes with the connection
    await Projections(store.database, hints).apply(store.rule_projection(rule_id()))
    await asyncio.wait_for(hinted.get(), 10)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await hints.close()


async def test_listener_connects_again_after_its_connection_was_cut(store: Store) -> None:
    hinted = asyncio.Queue[None]()
    listening = asyncio.create_task(Watches(store.database).listen(lambda: hinted.put_nowait(None)))
    await asyncio.wait_for(hinted.get(), 10)
    async with store.database.hot.connection() as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'holdfast-listen' AND datname = current_database()"
        )
    await asyncio.wait_for(hinted.get(), 10)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_many_hints_at_once_become_few_notifications(store: Store) -> None:
    hints, heard = NotifyHints(store.database, gap=0.05), asyncio.Queue[str]()
    listener = await store.database.dedicated()
    for channel in (WATCHES, "end_of_test"):
        await listener.add_listener(channel, lambda _connection, _pid, name, _payload: heard.put_nowait(name))
    for _ in range(100):
        hints.give(WATCHES)
    hints.give("end_of_test")
    names = [await asyncio.wait_for(heard.get(), 10)]
    while names[-1] != WATCHES:
        names.append(await asyncio.wait_for(heard.get(), 10))
    assert names == ["end_of_test", WATCHES]
    await hints.close()
    await listener.close()


@pytest.mark.parametrize("status", [RuleStatus.CANCELED, RuleStatus.TRIGGERED])
async def test_prune_removes_what_closed_rules_left(empty_database: Database, status: RuleStatus) -> None:
    store = await alone_in(empty_database)
    watches, rule = Watches(empty_database), rule_id()
    await store.projections.apply(store.rule_projection(rule))
    await watches.save_marks([TrailMark(rule, 1, 0, Decimal("0.62"), True)])
    later = datetime.now(UTC) + timedelta(minutes=1)
    assert await watches.prune(later) == 0
    await store.projections.apply(store.rule_projection(rule, status=status, armed=False))
    assert await watches.prune(later) == 0  # its exit may still go on
    ended = store.rule_projection(rule, status=status, phase=RulePhase.DONE, armed=False)
    await store.projections.apply(ended)
    assert await watches.prune(later) == 2
