"""Reversals that came after their host's end: found until an order or an alarm stands for them."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.claims import Granted
from domain.fills import FillState
from domain.ids import OrderId, RuleId, adopting_order_id
from domain.messages import OrderProjection, RulePhase, RuleStatus
from domain.orders import Attempt, OrderState, Side
from storage.repositories.reversals import Reversals
from tests.storage.builders import Store, digest_of, order_id, rule_id

DAY = timedelta(days=1)


async def untold(store: Store, *, ago: timedelta = DAY, till: timedelta = DAY) -> list[tuple[OrderId, str]]:
    now = datetime.now(UTC)
    found = await Reversals(store.database).untold(now - ago, now + till)
    return [
        (reversal.order_id, reversal.host_workflow_id)
        for reversal in found
        if reversal.entry.token_id == store.token_id
    ]


async def sold(store: Store, rule: RuleId | None = None) -> Attempt:
    """An exit of ten shares that the venue confirmed."""
    await store.hold("10")
    attempt = store.attempt(order_id(), "10")
    place = store.place(attempt, rule=None if rule is None else store.rule_projection(rule))
    assert isinstance(await store.claims.claim(place, digest_of(attempt), 0), Granted)
    if rule is not None:
        await store.projections.apply(store.rule_projection(rule, phase=RulePhase.EXITING))
    await store.book(fill_of(store, attempt, FillState.CONFIRMED))
    return attempt


def fill_of(store: Store, attempt: Attempt, state: FillState):
    return store.fill("s", side=Side.SELL, venue_order_id=digest_of(attempt), state=state)


async def take_back(store: Store, attempt: Attempt) -> str:
    booked = await store.book(fill_of(store, attempt, FillState.REVERSED))
    return booked.reversals[0].entry.fill_key


async def end(store: Store, rule: RuleId) -> None:
    done = store.rule_projection(rule, status=RuleStatus.TRIGGERED, phase=RulePhase.DONE, armed=None)
    await store.projections.apply(done)


async def end_order(store: Store, attempt: Attempt, state: OrderState = OrderState.FILLED) -> None:
    await store.projections.apply(
        order=OrderProjection(order=store.order_row(attempt.order_id, state=state, settled=1))
    )


async def test_reversal_after_its_rule_had_ended_is_found_with_its_host(store: Store) -> None:
    rule = rule_id()
    attempt = await sold(store, rule)
    await end(store, rule)
    await take_back(store, attempt)

    assert await untold(store) == [(attempt.order_id, f"rule/{rule}")]


async def test_reversal_after_its_order_had_ended_is_found_with_its_host(store: Store) -> None:
    attempt = await sold(store)
    await end_order(store, attempt)
    await take_back(store, attempt)

    assert await untold(store) == [(attempt.order_id, f"order/{attempt.order_id}")]


async def test_reversal_that_its_host_counted_before_it_ended_is_none_to_tell(store: Store) -> None:
    rule = rule_id()
    attempt = await sold(store, rule)
    await take_back(store, attempt)
    assert await untold(store) == []  # the rule lives, and follows its orders itself
    await end(store, rule)
    assert await untold(store) == []

    other = store.with_token()
    own = await sold(other)
    await take_back(other, own)
    await end_order(other, own)
    assert await untold(other) == []


async def test_reversal_that_an_order_has_taken_up_is_none_to_tell(store: Store) -> None:
    rule = rule_id()
    attempt = await sold(store, rule)
    await end(store, rule)
    adopting = adopting_order_id(await take_back(store, attempt), store.account_id)
    await store.projections.apply(order=OrderProjection(order=store.order_row(adopting)))

    assert await untold(store) == []


@pytest.mark.parametrize("by_rule", [True, False])
async def test_reversal_of_which_the_owner_was_told_is_none_to_tell(store: Store, by_rule: bool) -> None:
    rule = rule_id() if by_rule else None
    attempt = await sold(store, rule)
    if rule is not None:
        await end(store, rule)
    else:
        await end_order(store, attempt)
    key = await take_back(store, attempt)
    order = None if by_rule else attempt.order_id
    await store.projections.tell(store.event(f"fill.reversed/{key}", rule=rule, order=order))

    assert await untold(store) == []


async def test_reversal_is_looked_for_within_its_time_alone(store: Store) -> None:
    rule = rule_id()
    attempt = await sold(store, rule)
    await end(store, rule)
    await take_back(store, attempt)

    assert await untold(store, till=timedelta(seconds=-60)) == []
    assert await untold(store, ago=timedelta(seconds=-60)) == []
