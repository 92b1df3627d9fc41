"""Claims: what is granted, refused, reduced, repeated; and that no two of them sell the same shares."""

import asyncio
import random
from dataclasses import replace
from decimal import Decimal

import pytest

from domain.accounts import AccountPolicy
from domain.claims import Claimed, ClaimRefusal, Granted, Held, KillSwitch, Reduced, Refused
from domain.errors import NotFound
from domain.messages import OrderProjection
from domain.orders import Answer, AnswerKind, Attempt, MarketState, Mode, Side, TimeInForce, VenueOrderStatus
from storage.database import Database
from storage.repositories.accounts import Accounts
from storage.repositories.events import Events
from storage.repositories.instruments import Instruments
from storage.repositories.orders import Orders
from storage.repositories.rules import Rules
from tests.storage.builders import NOW_MS, VENUE, Store, digest_of, order_id, rule_id


def answer(kind: AnswerKind) -> Answer:
    return Answer(kind=kind, code=kind.value)


async def test_first_claim_is_granted_and_stands(store: Store) -> None:
    await store.hold("10")
    attempt = store.attempt(order_id())
    granted = await store.claim(attempt)
    assert isinstance(granted, Granted)
    assert not granted.resend
    stored = await store.claims.find(attempt.order_id, 1)
    assert stored == granted.stored
    assert stored is not None
    assert stored.attempt == attempt
    assert (stored.posts, stored.last_post_at_ms, stored.answer) == (1, NOW_MS, None)


async def test_same_claim_again_is_granted_as_resend_and_changes_nothing(store: Store) -> None:
    await store.hold("10")
    attempt = store.attempt(order_id())
    await store.granted(attempt)
    again = await store.claim(attempt, now_ms=NOW_MS + 5_000)
    assert isinstance(again, Granted)
    assert again.resend
    assert again.stored.posts == 1
    assert again.stored.last_post_at_ms == NOW_MS


async def test_other_bytes_for_the_same_attempt_get_the_stored_claim(store: Store) -> None:
    await store.hold("10")
    attempt = store.attempt(order_id())
    await store.granted(attempt)
    other = replace(attempt, shares=Decimal(5), maker_amount=5_000_000)
    claimed = await store.claim(other)
    assert isinstance(claimed, Claimed)
    assert claimed.stored.attempt == attempt


async def test_grant_writes_the_order_in_the_same_step_and_leaves_the_rule(
    store: Store,
) -> None:
    await store.hold("10")
    rule, attempt = rule_id(), store.attempt(order_id())
    armed = store.rule_projection(rule)
    await store.projections.apply(armed)
    fired = store.rule_projection(rule, armed=False, events=(store.event("crossed", rule=rule),))
    request = store.place(attempt, rule=fired)
    assert isinstance(await store.claims.claim(request, digest_of(attempt), NOW_MS), Granted)
    order = await Orders(store.database).get(store.account_id, attempt.order_id)
    assert order == request.order.order
    assert await Rules(store.database).get(store.account_id, rule) == armed.rule
    events = await Events(store.database).page(store.account_id)
    assert [line.event.event_key for line in events.items] == ["crossed"]


async def test_claim_of_more_than_held_is_reduced_and_writes_nothing(store: Store) -> None:
    await store.hold("10")
    attempt = store.attempt(order_id(), "12")
    reduced = await store.claim(attempt)
    assert reduced == Reduced(available=Decimal(10))
    assert await store.claims.find(attempt.order_id, 1) is None
    assert await Orders(store.database).get(store.account_id, attempt.order_id) is None


async def test_claim_without_any_position_is_reduced_to_nothing(store: Store) -> None:
    assert await store.claim(store.attempt(order_id())) == Reduced(available=Decimal(0))


async def test_two_sell_all_claims_on_one_position_leave_nothing_for_the_second(store: Store) -> None:
    await store.hold("10")
    await store.granted(store.attempt(order_id()))
    assert await store.claim(store.attempt(order_id())) == Reduced(available=Decimal(0))


async def test_resting_sell_is_named_to_the_exit_that_needs_its_shares(store: Store) -> None:
    await store.hold("10")
    resting = store.attempt(order_id(), "8", time_in_force=TimeInForce.GTC)
    await store.granted(resting)
    held = await store.claim(store.attempt(order_id()))
    assert held == Held(order_ids=(resting.order_id,), available=Decimal(2))


async def test_canceled_resting_sell_frees_what_it_did_not_fill(store: Store) -> None:
    await store.hold("10")
    resting = store.attempt(order_id(), "8", time_in_force=TimeInForce.GTC)
    await store.granted(resting)
    sold = store.fill("part", "3", side=Side.SELL, venue_order_id=digest_of(resting))
    canceled = store.venue_order(digest_of(resting), VenueOrderStatus.CANCELED, "3")
    await store.book(sold, orders=(canceled,))
    assert isinstance(await store.claim(store.attempt(order_id(), "7")), Granted)


async def test_terminal_order_binds_its_shares_until_its_matched_size_is_booked(store: Store) -> None:
    await store.hold("10")
    first = store.attempt(order_id(), "10")
    await store.granted(first)
    await store.book(orders=(store.venue_order(digest_of(first), VenueOrderStatus.MATCHED, "4"),))
    assert await store.claim(store.attempt(order_id(), "6")) == Reduced(available=Decimal(0))
    await store.book(store.fill("four", "4", side=Side.SELL, venue_order_id=digest_of(first)))
    assert isinstance(await store.claim(store.attempt(order_id(), "6")), Granted)


@pytest.mark.parametrize(
    "kind", [AnswerKind.REBUILD, AnswerKind.NO_LIQUIDITY, AnswerKind.BLOCKED, AnswerKind.FINAL]
)
async def test_definite_refusal_frees_the_shares(store: Store, kind: AnswerKind) -> None:
    await store.hold("10")
    attempt = store.attempt(order_id())
    await store.granted(attempt)
    await store.claims.record_answer(attempt.order_id, 1, answer(kind), False)
    assert isinstance(await store.claim(store.attempt(order_id())), Granted)


@pytest.mark.parametrize(
    ("kind", "unknown_before"),
    [
        (AnswerKind.ACCEPTED, False),
        (AnswerKind.REGISTERED, False),
        (AnswerKind.TRANSIENT, False),
        (AnswerKind.UNKNOWN, False),
        (AnswerKind.FINAL, True),
        (AnswerKind.BLOCKED, True),
    ],
)
async def test_shares_stay_bound_while_the_attempt_may_still_fill(
    store: Store, kind: AnswerKind, unknown_before: bool
) -> None:
    await store.hold("10")
    attempt = store.attempt(order_id())
    await store.granted(attempt)
    await store.claims.record_answer(attempt.order_id, 1, answer(kind), unknown_before)
    assert await store.claim(store.attempt(order_id())) == Reduced(available=Decimal(0))


async def test_next_attempt_of_an_order_is_free_of_its_settled_ones(store: Store) -> None:
    await store.hold("10")
    order = order_id()
    await store.granted(store.attempt(order))
    assert isinstance(await store.claim(store.attempt(order, number=2), settled=1), Granted)


async def test_next_attempt_counts_an_earlier_one_that_is_not_settled(store: Store) -> None:
    await store.hold("10")
    order = order_id()
    await store.granted(store.attempt(order))
    assert await store.claim(store.attempt(order, number=2), settled=0) == Reduced(available=Decimal(0))


async def test_refused_claim_shows_the_order_waiting_and_reserves_nothing(store: Store) -> None:
    await store.hold("10")
    await Accounts(store.database).set_kill_switch(store.account_id, KillSwitch.ALL)
    attempt = store.attempt(order_id())
    refused = await store.claim(attempt)
    assert isinstance(refused, Refused)
    assert refused.refusal is ClaimRefusal.KILL_SWITCH
    assert await store.claims.find(attempt.order_id, 1) is None
    assert await Orders(store.database).get(store.account_id, attempt.order_id) is not None


async def test_entries_switch_stops_entries_and_leaves_exits_alive(store: Store) -> None:
    await store.hold("10")
    await Accounts(store.database).set_kill_switch(store.account_id, KillSwitch.ENTRIES)
    refused = await store.claim(store.attempt(order_id(), side=Side.BUY))
    assert isinstance(refused, Refused)
    assert isinstance(await store.claim(store.attempt(order_id())), Granted)


async def test_live_attempt_needs_the_acknowledgement(store: Store) -> None:
    refused = await store.claim(store.attempt(order_id(), side=Side.BUY, mode=Mode.LIVE))
    assert isinstance(refused, Refused)
    assert refused.refusal is ClaimRefusal.LIVE_NOT_ACKNOWLEDGED
    await Accounts(store.database).set_mode(store.account_id, Mode.LIVE, acknowledge_live=True)
    granted = await store.claim(store.attempt(order_id(), side=Side.BUY, mode=Mode.LIVE))
    assert isinstance(granted, Granted)


async def test_paper_position_is_not_sold_by_a_live_attempt(store: Store) -> None:
    await store.hold("10")
    await Accounts(store.database).set_mode(store.account_id, Mode.LIVE, acknowledge_live=True)
    assert await store.claim(store.attempt(order_id(), mode=Mode.LIVE)) == Reduced(available=Decimal(0))


async def test_resolved_market_refuses_a_first_claim(store: Store) -> None:
    await store.hold("10")
    await Instruments(store.database).put(store.instrument(MarketState.RESOLVED))
    refused = await store.claim(store.attempt(order_id()))
    assert isinstance(refused, Refused)
    assert refused.refusal is ClaimRefusal.MARKET_FINAL


async def test_day_limits_count_what_is_open_and_what_was_bought(store: Store) -> None:
    accounts = Accounts(store.database)
    await accounts.set_policy(store.account_id, AccountPolicy(max_day_usd=Decimal(10), max_day_orders=2))
    first = store.attempt(order_id(), "10", side=Side.BUY)
    await store.granted(first)
    too_much = await store.claim(store.attempt(order_id(), "16", side=Side.BUY))
    assert isinstance(too_much, Refused)
    assert too_much.refusal is ClaimRefusal.ENTRY_LIMIT
    bought = store.fill("b", "5", price="0.40", venue_order_id=digest_of(first))
    ended = store.venue_order(digest_of(first), VenueOrderStatus.CANCELED, "5", side=Side.BUY)
    await store.book(bought, orders=(ended,))
    await store.granted(store.attempt(order_id(), "16", side=Side.BUY))
    third = await store.claim(store.attempt(order_id(), "1", side=Side.BUY))
    assert isinstance(third, Refused)


async def test_refused_entries_use_no_slot_of_the_day(store: Store) -> None:
    await Accounts(store.database).set_policy(store.account_id, AccountPolicy(max_day_orders=1))
    first = store.attempt(order_id(), side=Side.BUY)
    await store.granted(first)
    await store.claims.record_answer(first.order_id, 1, answer(AnswerKind.NO_LIQUIDITY), False)
    assert isinstance(await store.claim(store.attempt(order_id(), side=Side.BUY)), Granted)


async def test_two_entries_at_once_on_two_tokens_share_one_budget(store: Store) -> None:
    await Accounts(store.database).set_policy(store.account_id, AccountPolicy(max_day_usd=Decimal(5)))
    other = store.with_token()
    answers = await asyncio.gather(
        store.claim(store.attempt(order_id(), side=Side.BUY)),
        other.claim(other.attempt(order_id(), side=Side.BUY)),
    )
    assert sorted(type(each).__name__ for each in answers) == ["Granted", "Refused"]


async def test_resend_counts_the_send_and_remembers_the_unknown_one(store: Store) -> None:
    await store.hold("10")
    attempt = store.attempt(order_id())
    await store.granted(attempt)
    resend = await store.claims.begin_resend(attempt.order_id, 1, NOW_MS + 1_000, None)
    assert isinstance(resend, Granted)
    assert resend.resend
    assert (resend.stored.posts, resend.stored.unknown_before) == (2, True)
    assert resend.stored.last_post_at_ms == NOW_MS + 1_000


async def test_resend_after_a_transient_answer_leaves_nothing_unknown(store: Store) -> None:
    await store.hold("10")
    attempt = store.attempt(order_id())
    await store.granted(attempt)
    await store.claims.record_answer(attempt.order_id, 1, answer(AnswerKind.TRANSIENT), False)
    resend = await store.claims.begin_resend(attempt.order_id, 1, NOW_MS + 1_000, None)
    assert isinstance(resend, Granted)
    assert not resend.stored.unknown_before
    assert resend.stored.answer is None


async def test_resend_is_refused_by_the_kill_switch_and_not_counted(store: Store) -> None:
    await store.hold("10")
    attempt = store.attempt(order_id())
    await store.granted(attempt)
    await Accounts(store.database).set_kill_switch(store.account_id, KillSwitch.ALL)
    refused = await store.claims.begin_resend(attempt.order_id, 1, NOW_MS + 1_000, None)
    assert isinstance(refused, Refused)
    stored = await store.claims.find(attempt.order_id, 1)
    assert stored is not None
    assert stored.posts == 1


async def test_resend_after_send_until_is_refused(store: Store) -> None:
    attempt = store.attempt(order_id(), side=Side.BUY)
    await store.granted(attempt)
    refused = await store.claims.begin_resend(attempt.order_id, 1, NOW_MS + 11_000, NOW_MS + 10_000)
    assert isinstance(refused, Refused)
    assert refused.refusal is ClaimRefusal.SEND_UNTIL_PASSED


async def test_resend_of_an_unknown_claim_is_an_error(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.claims.begin_resend(order_id(), 1, NOW_MS, None)


async def test_answer_to_an_earlier_send_is_not_written_over_a_later_one(store: Store) -> None:
    await store.hold("10")
    attempt = store.attempt(order_id())
    await store.granted(attempt)
    await store.claims.begin_resend(attempt.order_id, 1, NOW_MS + 1_000, None)
    late = await store.claims.record_answer(attempt.order_id, 1, answer(AnswerKind.FINAL), False, posts=1)
    assert not late.written
    right = await store.claims.record_answer(attempt.order_id, 1, answer(AnswerKind.ACCEPTED), False, posts=2)
    assert right.written
    stored = await store.claims.find(attempt.order_id, 1)
    assert stored is not None
    assert stored.answer == answer(AnswerKind.ACCEPTED)
    assert stored.unknown_before


async def test_claims_are_found_by_order_and_by_host(store: Store) -> None:
    await store.hold("10")
    order = order_id()
    first, second = store.attempt(order, "4"), store.attempt(order, "4", number=2)
    await store.granted(first)
    await store.granted(second)
    assert [stored.attempt for stored in await store.claims.of_order(order)] == [first, second]
    latest = await store.claims.latest_of(order)
    assert latest is not None
    assert latest.attempt == second
    host = f"order/{order}"
    assert len(await store.claims.of_host(host)) == 2
    unsettled = await store.claims.of_host(host, unsettled_only=True)
    assert [stored.attempt for stored in unsettled] == [second]
    bound = await store.claims.unsettled_of(store.account_id, VENUE, Mode.PAPER, store.token_id)
    assert [(each.ref.attempt, each.reserved_shares) for each in bound] == [(2, Decimal(4))]


@pytest.mark.parametrize("seed", range(4))
async def test_claims_at_once_never_bind_more_than_is_held(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    await store.hold("30")
    attempts = [store.attempt(order_id(), str(chance.randint(1, 12))) for _ in range(16)]
    answers = await asyncio.gather(*(store.claim(attempt) for attempt in attempts))
    granted = [a for a, each in zip(attempts, answers, strict=True) if isinstance(each, Granted)]
    assert granted
    assert sum(attempt.shares for attempt in granted) <= 30


@pytest.mark.parametrize("seed", range(6))
async def test_no_interleaving_of_claims_fills_and_ends_sells_more_than_is_held(
    store: Store, seed: int
) -> None:
    """Several hosts claim, are answered, filled and settled at once; a plain sum keeps the books."""
    chance = random.Random(seed)
    await store.hold("40")
    books = asyncio.Lock()
    sold = Decimal(0)

    async def host(number: int) -> None:
        nonlocal sold
        order, settled = order_id(), 0
        for attempt_number in range(1, 6):
            attempt = store.attempt(order, str(chance.randint(1, 15)), number=attempt_number)
            claimed = await store.claim(attempt, settled=settled)
            if isinstance(claimed, Reduced) and claimed.available > 0:
                attempt = store.attempt(order, str(claimed.available), number=attempt_number)
                claimed = await store.claim(attempt, settled=settled)
            if not isinstance(claimed, Granted):
                return
            await finish(attempt, f"{number}-{attempt_number}")
            settled = attempt_number

    async def finish(attempt: Attempt, key: str) -> None:
        """The venue takes it whole, in part, or refuses it."""
        nonlocal sold
        fate = chance.choice(["filled", "part", "refused"])
        if fate == "refused":
            refusal = answer(AnswerKind.NO_LIQUIDITY)
            await store.claims.record_answer(attempt.order_id, attempt.attempt, refusal, False)
            return
        await store.claims.record_answer(
            attempt.order_id, attempt.attempt, answer(AnswerKind.ACCEPTED), False
        )
        matched = attempt.shares if fate == "filled" else attempt.shares / 2
        async with books:
            sold += matched
        fill = store.fill(key, str(matched), side=Side.SELL, venue_order_id=digest_of(attempt), minutes=1)
        ended = store.venue_order(digest_of(attempt), VenueOrderStatus.MATCHED, str(matched))
        parts = [lambda: store.book(fill), lambda: store.book(orders=(ended,))]
        chance.shuffle(parts)
        for part in parts:
            await part()

    await asyncio.gather(*(host(number) for number in range(6)))
    held = await store.ledger.holding(store.key)
    assert sold <= 40
    assert held.shares == 40 - sold


async def test_claims_of_two_databases_clients_serialize_on_the_position(
    store: Store, database_url: str
) -> None:
    await store.hold("10")
    async with Database(database_url, hot_pool_size=2) as elsewhere:
        other = Store(elsewhere, store.account_id, store.token_id, store.market_id)
        answers = await asyncio.gather(
            store.claim(store.attempt(order_id())), other.claim(other.attempt(order_id()))
        )
    assert sorted(type(each).__name__ for each in answers) == ["Granted", "Reduced"]


async def test_older_order_projection_does_not_overwrite_a_newer_one(store: Store) -> None:
    await store.hold("10")
    attempt = store.attempt(order_id())
    newer = store.order_row(attempt.order_id, version=1_000)
    await store.projections.apply(order=OrderProjection(order=newer))
    await store.granted(attempt)
    assert await Orders(store.database).get(store.account_id, attempt.order_id) == newer
