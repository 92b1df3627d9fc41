"""Lists: filters, pages, counts; and the event log that can be followed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from domain.fills import FillState
from domain.ids import TokenId
from domain.messages import OrderProjection, RulePhase, RuleStatus, Severity
from domain.orders import Mode, OrderState, Side
from domain.rules.definition import SellPartial
from storage.repositories.accounts import Accounts
from storage.repositories.events import EventFilter, Events
from storage.repositories.orders import OrderFilter, Orders
from storage.repositories.projections import STEP_CTES, document_of
from storage.repositories.rules import RuleFilter, Rules
from tests.storage.builders import VENUE, Store, order_id, pass_visible_edge, rule_id


async def test_rules_are_filtered_paged_and_counted(store: Store) -> None:
    rules = Rules(store.database)
    statuses = [RuleStatus.ACTIVE, RuleStatus.ACTIVE, RuleStatus.TRIGGERED, RuleStatus.CANCELED]
    for status in statuses:
        await store.projections.apply(store.rule_projection(rule_id(), status=status))
    active = await rules.page(store.account_id, RuleFilter(statuses=[RuleStatus.ACTIVE]), limit=1)
    assert (active.total, len(active.items), active.limit) == (2, 1, 1)
    rest = await rules.page(store.account_id, RuleFilter(statuses=[RuleStatus.ACTIVE]), limit=1, offset=1)
    assert {rule.rule_id for rule in (*active.items, *rest.items)} == {
        rule.rule_id
        for rule in (await rules.page(store.account_id)).items
        if rule.status is RuleStatus.ACTIVE
    }
    for nothing in (RuleFilter(token_id=TokenId("x")), RuleFilter(mode=Mode.LIVE), RuleFilter(venue="x")):
        assert (await rules.page(store.account_id, nothing)).total == 0
    counts = await rules.count_by_status(store.account_id)
    assert counts == {
        RuleStatus.ACTIVE: 2,
        RuleStatus.TRIGGERED: 1,
        RuleStatus.CANCELED: 1,
        RuleStatus.EXPIRED: 0,
        RuleStatus.FAILED: 0,
    }


async def test_open_rules_of_a_position_are_those_that_still_act(store: Store) -> None:
    rules, kept = Rules(store.database), [rule_id(), rule_id()]
    await store.projections.apply(store.rule_projection(kept[0]))
    exiting = store.rule_projection(kept[1], status=RuleStatus.TRIGGERED, phase=RulePhase.EXITING)
    await store.projections.apply(exiting)
    for status in (RuleStatus.EXPIRED, RuleStatus.TRIGGERED):
        await store.projections.apply(store.rule_projection(rule_id(), status=status, phase=RulePhase.DONE))
    assert await rules.open_rules_on(store.key) == sorted(kept)
    assert set(kept) <= set(await rules.open_rule_ids())
    listed = [rule.rule_id for rule in await rules.all_open(limit=10_000)]
    assert set(kept) <= set(listed)
    following = await rules.all_open(after=listed[0], limit=10_000)
    assert [rule.rule_id for rule in following] == listed[1:]
    found = await rules.find_any(kept[0])
    assert found is not None
    assert found.account_id == store.account_id


async def test_quiet_exits_are_those_that_sell_and_were_written_in_the_window(store: Store) -> None:
    rules, quiet, blocked = Rules(store.database), rule_id(), rule_id()
    for rule, phase in ((quiet, RulePhase.EXITING), (blocked, RulePhase.BLOCKED)):
        await store.projections.apply(store.rule_projection(rule, status=RuleStatus.TRIGGERED, phase=phase))
    others = [(RuleStatus.ACTIVE, RulePhase.ARMED), (RuleStatus.TRIGGERED, RulePhase.DONE)]
    for status, phase in others:
        await store.projections.apply(store.rule_projection(rule_id(), status=status, phase=phase))
    now, minute = datetime.now(UTC), timedelta(minutes=1)

    async def found(after: datetime, before: datetime, shard: int = 0, shards: int = 1) -> list[str]:
        window = (after, before)
        exits = await rules.quiet_exits(VENUE, shard, shards, last_heard=window)
        return [found.rule_id for found in exits if found.account_id == store.account_id]

    assert await found(now - minute, now + minute) == [quiet, blocked]
    assert await found(now - 2 * minute, now - minute) == []
    assert await found(now + minute, now + 2 * minute) == []
    halves = [await found(now - minute, now + minute, shard, 2) for shard in (0, 1)]
    assert sorted(halves, key=len) == [[], [quiet, blocked]]


async def test_exits_that_wait_or_look_just_now_are_found_by_account(store: Store) -> None:
    rules, looking, waiting = Rules(store.database), rule_id(), rule_id()
    phases = {looking: RulePhase.EXITING, waiting: RulePhase.WAITING, rule_id(): RulePhase.BLOCKED}
    for rule, phase in phases.items():
        await store.projections.apply(store.rule_projection(rule, status=RuleStatus.TRIGGERED, phase=phase))
    await store.projections.apply(store.rule_projection(rule_id()))
    stranger = (await Accounts(store.database).create("stranger")).account_id

    assert [found.rule_id for found in await rules.may_be_held(store.account_id)] == [looking, waiting]
    assert {looking, waiting} <= {found.rule_id for found in await rules.may_be_held(None)}
    assert await rules.may_be_held(stranger) == []
    waits = await rules.may_be_held(store.account_id, looking=False)
    assert [found.rule_id for found in waits] == [waiting]


async def test_exits_that_wait_are_counted_by_venue_and_mode(store: Store) -> None:
    rules = Rules(store.database)
    before = await rules.waiting_at(VENUE, Mode.PAPER)
    for phase in (RulePhase.WAITING, RulePhase.WAITING, RulePhase.EXITING):
        row = store.rule_projection(rule_id(), status=RuleStatus.TRIGGERED, phase=phase)
        await store.projections.apply(row)
    assert await rules.waiting_at(VENUE, Mode.PAPER) == before + 2
    assert await rules.waiting_at("nowhere", Mode.PAPER) == 0


async def test_exits_without_a_rule_that_wait_or_look_just_now_are_found_by_account(store: Store) -> None:
    orders, waiting, looking = Orders(store.database), order_id(), order_id()
    rows = [
        store.order_row(waiting, state=OrderState.WAITING),
        store.order_row(looking, state=OrderState.PLACING),
        store.order_row(order_id(), state=OrderState.WAITING, side=Side.BUY),
        store.order_row(order_id(), state=OrderState.RESTING),
        store.order_row(order_id(), state=OrderState.WAITING, rule=rule_id()),
    ]
    for row in rows:
        await store.projections.apply(order=OrderProjection(order=row))
    stranger = (await Accounts(store.database).create("stranger")).account_id

    assert [found.order_id for found in await orders.may_be_held(store.account_id)] == [waiting, looking]
    assert {waiting, looking} <= {found.order_id for found in await orders.may_be_held(None)}
    assert await orders.may_be_held(stranger) == []
    waits = await orders.may_be_held(store.account_id, looking=False)
    assert [found.order_id for found in waits] == [waiting]


async def test_rules_that_were_written_lately_are_not_quiet(store: Store) -> None:
    rules, rule = Rules(store.database), rule_id()
    projection = store.rule_projection(rule)
    await store.projections.apply(projection)

    async def quiet_since(moment: datetime) -> list[str]:
        return [found.rule_id for found in await rules.all_open(limit=10_000, quiet_since=moment)]

    now = datetime.now(UTC)
    assert rule not in await quiet_since(now - timedelta(minutes=1))
    assert rule in await quiet_since(now + timedelta(minutes=1))
    assert await rules.watch_of(rule) == projection.watch
    assert await rules.watch_of(rule_id()) is None


async def test_rules_that_watch_another_size_than_is_held_were_not_told(store: Store) -> None:
    rules, all_of_it, part, told = Rules(store.database), rule_id(), rule_id(), rule_id()
    action = SellPartial(type="SELL_PARTIAL", amount=Decimal(7))
    partly = store.definition().model_copy(update={"action": action})
    await store.hold("10")
    for rule, definition, watched in ((all_of_it, None, "4"), (part, partly, "10"), (told, None, "10")):
        projection = store.rule_projection(rule, definition=definition)
        assert projection.watch is not None
        watch = replace(projection.watch, shares=Decimal(watched))
        await store.projections.apply(replace(projection, watch=watch))

    later = datetime.now(UTC) + timedelta(minutes=1)
    found = {u.rule_id: u.holding.shares for u in await rules.untold(later)}
    assert {r: s for r, s in found.items() if r in (all_of_it, part, told)} == {all_of_it: 10, part: 10}
    assert all_of_it not in {u.rule_id for u in await rules.untold(later - timedelta(minutes=2))}


async def test_armed_rules_over_a_position_that_is_surely_gone_were_not_told(store: Store) -> None:
    rules, left, follows, expects = Rules(store.database), rule_id(), rule_id(), rule_id()
    following = store.definition().model_copy(update={"follow_token": True})
    await store.hold("10")
    for rule, definition, episode in ((left, None, 1), (follows, following, 1), (expects, None, 0)):
        projection = store.rule_projection(rule, definition=definition)
        assert projection.watch is not None
        watch, row = replace(projection.watch, shares=Decimal(0)), replace(projection.rule, episode=episode)
        await store.projections.apply(replace(projection, rule=row, watch=watch))
    mine = {left, follows, expects}

    async def untold() -> set[str]:
        later = datetime.now(UTC) + timedelta(minutes=1)
        return {found.rule_id for found in await rules.untold(later)} & mine

    await store.book(store.fill("sold", "10", side=Side.SELL, state=FillState.PROVISIONAL))
    assert await untold() == set()
    await store.book(store.fill("sold", "10", side=Side.SELL))
    assert await untold() == {left}


async def test_rules_hear_of_a_position_only_where_it_changes_what_they_have_to_sell(store: Store) -> None:
    rules, part, whole, waiting, exiting = Rules(store.database), rule_id(), rule_id(), rule_id(), rule_id()
    action = SellPartial(type="SELL_PARTIAL", amount=Decimal(7))
    partly = store.definition().model_copy(update={"action": action})
    await store.hold("10")
    for projection, watched in (
        (store.rule_projection(part, definition=partly), "7"),
        (store.rule_projection(whole), "10"),
        (store.rule_projection(waiting, status=RuleStatus.TRIGGERED, phase=RulePhase.WAITING), "10"),
        # Its order is out: it reads the holding with its order's facts.
        (store.rule_projection(exiting, status=RuleStatus.TRIGGERED, phase=RulePhase.EXITING), "10"),
    ):
        assert projection.watch is not None
        watch = replace(projection.watch, shares=Decimal(watched))
        await store.projections.apply(replace(projection, watch=watch))

    assert await rules.concerned_by(store.key) == [waiting]
    await store.book(store.fill("sold 2", "2", side=Side.SELL))
    assert await rules.concerned_by(store.key) == sorted([waiting, whole])
    await store.book(store.fill("sold 8", "8", side=Side.SELL))
    assert await rules.concerned_by(store.key) == sorted([waiting, whole, part])


async def test_orders_are_filtered_by_state_and_rule(store: Store) -> None:
    orders, rule = Orders(store.database), rule_id()
    ended, resting = order_id(), order_id()
    await store.projections.apply(
        order=OrderProjection(order=store.order_row(ended, state=OrderState.FILLED, rule=rule))
    )
    await store.projections.apply(
        order=OrderProjection(order=store.order_row(resting, state=OrderState.RESTING))
    )

    async def wanted(narrowed: OrderFilter) -> list[str]:
        return [row.order_id for row in (await orders.page(store.account_id, narrowed)).items]

    assert await wanted(OrderFilter(open_only=True)) == [resting]
    assert await wanted(OrderFilter(rule_id=rule)) == [ended]
    assert await wanted(OrderFilter(states=[OrderState.FILLED], token_id=store.token_id)) == [ended]
    assert await wanted(OrderFilter(mode=Mode.LIVE)) == []
    assert resting in {order.order_id for order in await orders.all_open(limit=10_000)}
    assert await orders.find_any(ended) is not None


async def test_events_are_filtered_by_rule_and_order(store: Store) -> None:
    events, rule, order = Events(store.database), rule_id(), order_id()
    await store.projections.apply(
        store.rule_projection(rule, events=(store.event("a", rule=rule),)),
        OrderProjection(order=store.order_row(order), events=(store.event("b", order=order),)),
    )

    async def keys(narrowed: EventFilter) -> list[str]:
        return [line.event.event_key for line in (await events.page(store.account_id, narrowed)).items]

    assert await keys(EventFilter()) == ["b", "a"]
    assert await keys(EventFilter(rule_id=rule)) == ["a"]
    assert await keys(EventFilter(order_id=order)) == ["b"]
    assert await keys(EventFilter(severity=Severity.ALARM)) == []


async def test_follower_of_the_log_skips_no_event_of_a_slow_transaction(store: Store) -> None:
    events, slow, quick = Events(store.database), rule_id(), rule_id()
    start = await events.newest(store.account_id)
    slow_step = store.rule_projection(slow, events=(store.event("slow", rule=slow),))
    quick_step = store.rule_projection(quick, events=(store.event("quick", rule=quick),))
    async with store.database.hot.transaction() as connection:
        await connection.fetchval(STEP_CTES + " SELECT 1", document_of(slow_step, None))
        await store.projections.apply(quick_step)
        assert await events.after(store.account_id, start) == []
    await pass_visible_edge(store.database)
    following = await events.after(store.account_id, start)
    assert [line.event.event_key for line in following] == ["slow", "quick"]
    assert await events.after(store.account_id, following[0].id) == following[1:]
    assert await events.newest(store.account_id) == following[1].id
