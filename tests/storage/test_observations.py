"""What feeds observed: in the event log with everything else, and the only part of it that may leave."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from domain.ids import AccountId
from domain.messages import EventRow, Severity
from domain.rules.notices import Observation
from storage.repositories.events import EventFilter, Events
from storage.repositories.observations import Observations, near_misses
from tests.storage.builders import RecordedHints, Store, rule_id

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def seen(store: Store, rule: str, kind: str, *, days_ago: int = 0) -> EventRow:
    at = NOW - timedelta(days=days_ago)
    return EventRow(
        event_key=f"{rule}/{kind}/{at.isoformat()}",
        account_id=store.account_id,
        rule_id=rule,
        order_id=None,
        type=kind,
        severity=Severity.INFO,
        message=f"{kind} {days_ago} days ago",
        at=at,
    )


async def test_observations_are_written_once_and_listed_with_all_events(store: Store) -> None:
    observations, rule = Observations(store.database, RecordedHints()), rule_id()
    lines = [seen(store, rule, kind) for kind in Observation]

    assert await observations.tell(*lines)
    assert not await observations.tell(*lines)

    events = Events(store.database)
    listed = await events.page(store.account_id, EventFilter(rule_id=rule))
    without = await events.page(
        store.account_id, EventFilter(rule_id=rule, left_out=(Observation.EVALUATED,))
    )
    held = await events.page(store.account_id, EventFilter(rule_id=rule, type=Observation.HELD_BACK))
    assert (listed.total, without.total) == (3, 2)
    assert [line.event.type for line in held.items] == [Observation.HELD_BACK]


async def test_near_misses_of_a_rule_come_latest_first_and_never_of_another_account(store: Store) -> None:
    observations, rule = Observations(store.database, RecordedHints()), rule_id()
    for days_ago, kind in enumerate((Observation.EVALUATED, Observation.NEAR_MISS, Observation.HELD_BACK)):
        await observations.tell(seen(store, rule, kind, days_ago=days_ago))

    found = await near_misses(store.database, store.account_id, rule, limit=5)
    strangers = await near_misses(store.database, AccountId("stranger"), rule, limit=5)

    assert [event.type for event in found] == [Observation.HELD_BACK, Observation.NEAR_MISS]
    assert strangers == []


async def test_old_observations_leave_the_log_and_nothing_else_does(store: Store) -> None:
    observations, rule = Observations(store.database, RecordedHints()), rule_id()
    kinds = (*Observation, "rule.armed")
    await observations.tell(*(seen(store, rule, kind, days_ago=20) for kind in kinds))
    await observations.tell(*(seen(store, rule, kind) for kind in kinds))

    await observations.prune(NOW - timedelta(days=14))

    left = await Events(store.database).page(store.account_id, EventFilter(rule_id=rule))
    assert sorted(line.event.message for line in left.items) == sorted(
        [f"{kind} 0 days ago" for kind in kinds] + ["rule.armed 20 days ago"]
    )
    for command in ("DELETE FROM rule_events WHERE rule_id = $1", "UPDATE rule_events SET message = ''"):
        with pytest.raises(asyncpg.RestrictViolationError):
            async with store.database.hot.transaction() as connection:
                await connection.execute(command, *([rule] if "$1" in command else []))
