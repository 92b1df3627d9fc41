"""Accounts, switches, idempotency keys and breakers."""

import asyncio
import uuid
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from domain.accounts import AccountPolicy
from domain.claims import ClaimRefusal, Granted, KillSwitch, Refused
from domain.errors import Conflict, InvalidInput, NotFound
from domain.ids import AccountId
from domain.orders import AnswerKind, MarketState, Mode, Side
from storage.database import Database
from storage.repositories.accounts import Accounts
from storage.repositories.audit import Audit
from storage.repositories.breakers import Breakers
from storage.repositories.feed_status import FeedStatus, FeedStatuses
from storage.repositories.idempotency import Idempotency
from storage.repositories.instruments import Instruments
from storage.repositories.switches import Switches
from tests.storage.builders import NOW_MS, START, VENUE, Store, alone_in, order_id

NOBODY = AccountId("acc_nobody")


async def test_new_account_is_in_paper_mode_without_limits(database: Database) -> None:
    account = await Accounts(database).create("fresh")
    assert (account.mode, account.live_acknowledged, account.enabled) == (Mode.PAPER, False, True)
    assert (account.kill_switch, account.policy) == (KillSwitch.OFF, AccountPolicy())
    assert await Accounts(database).get(account.account_id) == account


async def test_creating_the_same_account_again_returns_it(database: Database) -> None:
    accounts, wanted = Accounts(database), AccountId(f"acc_{uuid.uuid4().hex}")
    first = await accounts.create("one", account_id=wanted)
    assert await accounts.create("one", account_id=wanted) == first
    with pytest.raises(Conflict):
        await accounts.create("another", account_id=wanted)


async def test_live_mode_needs_its_acknowledgement_once(database: Database, account_id: AccountId) -> None:
    accounts = Accounts(database)
    with pytest.raises(InvalidInput):
        await accounts.set_mode(account_id, Mode.LIVE)
    live = await accounts.set_mode(account_id, Mode.LIVE, acknowledge_live=True)
    assert (live.mode, live.live_acknowledged) == (Mode.LIVE, True)
    paper = await accounts.set_mode(account_id, Mode.PAPER)
    assert (paper.mode, paper.live_acknowledged) == (Mode.PAPER, True)


async def test_policy_keeps_exact_limits(database: Database, account_id: AccountId) -> None:
    policy = AccountPolicy(max_order_usd=Decimal("100.000001"), max_day_orders=3)
    await Accounts(database).set_policy(account_id, policy)
    account = await Accounts(database).get(account_id)
    assert account is not None
    assert account.policy == policy


async def test_changes_of_an_unknown_account_are_not_found(database: Database) -> None:
    accounts = Accounts(database)
    with pytest.raises(NotFound):
        await accounts.set_kill_switch(NOBODY, KillSwitch.ALL)
    with pytest.raises(NotFound):
        await accounts.set_enabled(NOBODY, False)
    assert await accounts.get(NOBODY) is None


async def test_every_change_is_audited_with_its_actor(database: Database, account_id: AccountId) -> None:
    accounts = Accounts(database)
    await accounts.set_kill_switch(account_id, KillSwitch.ENTRIES, actor="key_1")
    await accounts.set_enabled(account_id, False, actor="key_2")
    lines = await Audit(database).page(account_id)
    assert [(line.actor, line.action, line.detail) for line in lines[:2]] == [
        ("key_2", "account.enabled", {"enabled": "false"}),
        ("key_1", "account.kill_switch", {"level": "entries"}),
    ]


async def test_disabled_account_opens_nothing_and_still_exits(store: Store) -> None:
    await store.hold("10")
    await Accounts(store.database).set_enabled(store.account_id, False)
    refused = await store.claim(store.attempt(order_id(), side=Side.BUY))
    assert isinstance(refused, Refused)
    assert refused.refusal is ClaimRefusal.ACCOUNT_DISABLED
    assert isinstance(await store.claim(store.attempt(order_id())), Granted)


async def test_accounts_are_paged_oldest_first(empty_database: Database) -> None:
    accounts = Accounts(empty_database)
    made = [(await accounts.create(f"n{number}")).account_id for number in range(3)]
    page = await accounts.page(limit=2, offset=1)
    assert ([account.account_id for account in page.items], page.total) == (made[1:], 3)


async def test_global_kill_switch_stops_every_account(empty_database: Database) -> None:
    store, switches = await alone_in(empty_database), Switches(empty_database)
    await store.hold("10")
    assert await switches.kill_switch() is KillSwitch.OFF
    await switches.set_kill_switch(KillSwitch.ALL, actor="admin")
    refused = await store.claim(store.attempt(order_id()))
    assert isinstance(refused, Refused)
    assert refused.refusal is ClaimRefusal.KILL_SWITCH
    await switches.set_kill_switch(KillSwitch.OFF)
    assert isinstance(await store.claim(store.attempt(order_id())), Granted)


async def test_same_key_and_content_names_the_first_resource(
    database: Database, account_id: AccountId
) -> None:
    keys = Idempotency(database)
    wanted = [keys.reserve(account_id, "POST /rules", "k", "f", f"rul_{number}") for number in range(5)]
    assert len(set(await asyncio.gather(*wanted))) == 1


async def test_same_key_with_other_content_is_a_conflict(database: Database, account_id: AccountId) -> None:
    keys = Idempotency(database)
    await keys.reserve(account_id, "POST /rules", "k", "f", "rul_1")
    with pytest.raises(Conflict) as raised:
        await keys.reserve(account_id, "POST /rules", "k", "other", "rul_2")
    assert raised.value.code == "idempotency_conflict"


async def test_same_key_of_two_accounts_or_routes_is_two_keys(
    database: Database, account_id: AccountId
) -> None:
    keys = Idempotency(database)
    other = (await Accounts(database).create("other")).account_id
    assert await keys.reserve(account_id, "POST /rules", "k", "f", "a") == "a"
    assert await keys.reserve(other, "POST /rules", "k", "g", "b") == "b"
    assert await keys.reserve(account_id, "POST /orders", "k", "h", "c") == "c"


async def test_released_key_may_be_used_for_something_else(database: Database, account_id: AccountId) -> None:
    keys = Idempotency(database)
    await keys.reserve(account_id, "POST /rules", "k", "f", "a")
    await keys.release(account_id, "POST /rules", "k", "another fingerprint")
    with pytest.raises(Conflict):
        await keys.reserve(account_id, "POST /rules", "k", "g", "b")
    await keys.release(account_id, "POST /rules", "k", "f")
    assert await keys.reserve(account_id, "POST /rules", "k", "g", "b") == "b"


async def test_unknowns_in_a_row_open_the_venues_breaker_for_entries_only(empty_database: Database) -> None:
    store, breakers = await alone_in(empty_database), Breakers(empty_database, unknowns=3)
    await store.hold("10")
    entry = store.attempt(order_id(), side=Side.BUY)
    for _ in range(2):
        await breakers.record(entry, AnswerKind.UNKNOWN, NOW_MS)
    assert not any(state.is_open for state in await breakers.states())
    await breakers.record(entry, AnswerKind.UNKNOWN, NOW_MS)
    refused = await store.claim(entry)
    assert isinstance(refused, Refused)
    assert refused.refusal is ClaimRefusal.BREAKER_OPEN
    assert isinstance(await store.claim(store.attempt(order_id())), Granted)


async def test_success_between_failures_keeps_the_breaker_closed(empty_database: Database) -> None:
    store, breakers = await alone_in(empty_database), Breakers(empty_database, unknowns=2)
    attempt = store.attempt(order_id())
    for answer in (AnswerKind.UNKNOWN, AnswerKind.ACCEPTED, AnswerKind.UNKNOWN):
        await breakers.record(attempt, answer, NOW_MS)
    assert not any(state.is_open for state in await breakers.states())


async def test_open_breaker_lets_one_exit_of_all_probe_at_a_time(empty_database: Database) -> None:
    store, breakers = await alone_in(empty_database), Breakers(empty_database, unknowns=1)
    attempt = store.attempt(order_id())
    assert await breakers.may_send_exit(attempt, NOW_MS)
    await breakers.record(attempt, AnswerKind.UNKNOWN, NOW_MS)
    allowed = await asyncio.gather(*(breakers.may_send_exit(attempt, NOW_MS) for _ in range(5)))
    assert allowed.count(True) == 1
    assert not await breakers.may_send_exit(attempt, NOW_MS + 1_999)
    assert await breakers.may_send_exit(attempt, NOW_MS + 2_000)
    await breakers.record(attempt, AnswerKind.NO_LIQUIDITY, NOW_MS + 2_500)
    assert await breakers.may_send_exit(attempt, NOW_MS + 2_600)


async def test_blocks_open_the_breaker_of_their_account_alone(empty_database: Database) -> None:
    store, other = await alone_in(empty_database), await alone_in(empty_database)
    breakers = Breakers(empty_database, blocks=1)
    await breakers.record(store.attempt(order_id()), AnswerKind.BLOCKED, NOW_MS)
    refused = await store.claim(store.attempt(order_id(), side=Side.BUY))
    assert isinstance(refused, Refused)
    assert isinstance(await other.claim(other.attempt(order_id(), side=Side.BUY)), Granted)
    (state,) = await breakers.states(store.account_id)
    assert (state.account_id, state.failures) == (store.account_id, 1)
    assert await breakers.states(other.account_id) == []


async def test_paper_failures_do_not_open_the_live_breaker(empty_database: Database) -> None:
    store, breakers = await alone_in(empty_database), Breakers(empty_database, unknowns=1)
    await breakers.record(store.attempt(order_id()), AnswerKind.UNKNOWN, NOW_MS)
    assert [state.mode for state in await breakers.states() if state.is_open] == [Mode.PAPER]


async def test_instrument_reads_back_and_a_resolved_market_stays_resolved(store: Store) -> None:
    instruments = Instruments(store.database)
    assert await instruments.get(VENUE, store.token_id) is None
    resolved = replace(store.instrument(MarketState.RESOLVED), payout=Decimal(1), ends_at=START)
    await instruments.put(resolved)
    assert await instruments.get(VENUE, store.token_id) == resolved
    await instruments.put(store.instrument(MarketState.OPEN))
    kept = await instruments.get(VENUE, store.token_id)
    assert kept is not None
    assert (kept.state, kept.payout) == (MarketState.RESOLVED, Decimal(1))


async def test_newest_feed_report_of_each_shard_is_kept(empty_database: Database) -> None:
    statuses = FeedStatuses(empty_database)
    report = FeedStatus(
        venue=VENUE,
        shard=0,
        websocket=True,
        tokens=3,
        rules=9,
        newest_quote_age_ms=40,
        polling=False,
        at=START,
    )
    newer = replace(report, tokens=4, at=START + timedelta(seconds=1))
    for each in (report, newer, report, replace(report, shard=1)):
        await statuses.put(each)
    assert await statuses.all() == [newer, replace(report, shard=1)]
