"""Projections: the newer version wins, events come once, readers are hinted."""

import asyncio
from decimal import Decimal

from domain.messages import OrderProjection, RuleStatus
from domain.orders import OrderState
from domain.rules.definition import MaxHold, RuleDefinition, StopLoss, TakeProfit, TrailingStop
from storage.repositories.events import Events
from storage.repositories.orders import Orders
from storage.repositories.projections import EVENTS, WATCHES
from storage.repositories.rules import Rules
from storage.repositories.watches import Watches
from tests.storage.builders import VENUE, Store, order_id, rule_id


async def test_rule_with_every_kind_of_condition_reads_back_as_it_was(store: Store) -> None:
    definition = RuleDefinition(
        venue=VENUE,
        market_id=store.market_id,
        token_id=store.token_id,
        conditions=(
            StopLoss(percent=Decimal(10)),
            TakeProfit(price=Decimal("0.90")),
            TrailingStop(percent=Decimal(5), activation_price=Decimal("0.60"), floor_price=Decimal("0.45")),
            MaxHold(seconds=3600),
        ),
        mark_max_spread=None,
    )
    projection = store.rule_projection(rule_id(), definition=definition)
    await store.projections.apply(projection)
    assert await Rules(store.database).get(store.account_id, projection.rule.rule_id) == projection.rule
    armed, _ = await Watches(store.database).snapshot(VENUE)
    assert projection.watch in armed


async def test_older_version_changes_neither_rule_nor_watch_nor_order(store: Store) -> None:
    rule, order = rule_id(), order_id()
    newer = store.rule_projection(rule, version=20, status=RuleStatus.TRIGGERED, armed=False)
    newer_order = OrderProjection(order=store.order_row(order, version=20, state=OrderState.FOLLOWING))
    older = store.rule_projection(rule, version=10)
    older_order = OrderProjection(order=store.order_row(order, version=10))
    assert await store.projections.apply(newer, newer_order)
    assert not await store.projections.apply(older, older_order)
    assert await Rules(store.database).get(store.account_id, rule) == newer.rule
    assert await Orders(store.database).get(store.account_id, order) == newer_order.order
    armed, _ = await Watches(store.database).snapshot(VENUE)
    assert rule not in {watch.rule_id for watch in armed}


async def test_concurrent_steps_in_any_order_end_with_the_newest(store: Store) -> None:
    rule = rule_id()
    steps = [store.rule_projection(rule, version=version) for version in (3, 1, 5, 2, 4)]
    await asyncio.gather(*(store.projections.apply(step) for step in steps))
    row = await Rules(store.database).get(store.account_id, rule)
    assert row is not None
    assert row.version == 5


async def test_event_comes_once_however_often_its_step_is_repeated(store: Store) -> None:
    rule = rule_id()
    step = store.rule_projection(rule, events=(store.event("armed:1", rule=rule),))
    assert await store.projections.apply(step)
    assert not await store.projections.apply(step)
    page = await Events(store.database).page(store.account_id)
    assert page.total == 1
    assert page.items[0].event == step.events[0]


async def test_same_event_key_of_two_rules_is_two_events(store: Store) -> None:
    for rule in (rule_id(), rule_id()):
        await store.projections.apply(
            store.rule_projection(rule, events=(store.event("armed:1", rule=rule),))
        )
    assert (await Events(store.database).page(store.account_id)).total == 2


async def test_repeated_step_hints_again_since_its_first_try_may_have_died(store: Store) -> None:
    rule = rule_id()
    step = store.rule_projection(rule, events=(store.event("armed:1", rule=rule),))
    await store.projections.apply(step)
    await store.projections.apply(step)
    assert store.hints.given == [WATCHES, EVENTS] * 2


async def test_step_without_a_watch_hints_no_feed(store: Store) -> None:
    await store.projections.apply(store.rule_projection(rule_id(), armed=None))
    assert store.hints.given == []
