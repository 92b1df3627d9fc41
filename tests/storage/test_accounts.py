"""Accounts, switches and idempotency keys."""

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
from domain.orders import MarketState, Mode, Side
from storage.database import Database
from storage.repositories.accounts import Accounts
from storage.repositories.audit import Audit
from storage.repositories.feed_status import FeedStatus, FeedStatuses
from storage.repositories.idempotency import Idempotency
from storage.repositories.instruments import Instruments
from storage.repositories.switches import Switches
from tests.storage.builders import START, VENUE, Store, alone_in, order_id

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
