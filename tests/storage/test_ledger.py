"""The ledger: booking is idempotent, positions are its fold, hosts are named."""

import asyncio
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import asyncpg
import pytest

from domain.fills import EntryKind, Fill, FillState
from domain.ids import WalletId
from domain.orders import Answer, AnswerKind, Mode, Side, VenueOrderStatus
from storage.repositories.audit import Audit
from storage.repositories.ledger import BusyAccount
from storage.repositories.ledger_entries import NOTHING_HELD
from storage.repositories.positions import EntryFilter, PositionFilter, Positions
from storage.repositories.wallets import Wallets
from tests.storage.builders import START, VENUE, WALLET, Store, digest_of, order_id, rule_id


async def test_booked_fill_opens_the_position(store: Store) -> None:
    booked = await store.book(store.fill("a", "10", price="0.50"))
    assert booked.new_entries == 2
    (key, holding), *rest = booked.changed_positions
    assert (key, rest) == (store.key, [])
    assert (holding.shares, holding.average_entry) == (Decimal(10), Decimal("0.5"))
    assert holding == await store.ledger.holding(store.key)
    position = await Positions(store.database).get(store.key)
    assert position is not None
    assert (position.shares, position.episode, position.opened_at) == (Decimal(10), 1, START)


async def test_fill_booked_again_changes_nothing_and_names_nobody(store: Store) -> None:
    fill = store.fill("a")
    await store.book(fill)
    again = await store.book(fill, fill)
    assert (again.new_entries, again.changed_positions, again.hosts) == (0, (), ())


async def test_nothing_held_reads_as_zero(store: Store) -> None:
    assert await store.ledger.holding(store.key) == NOTHING_HELD
    assert await Positions(store.database).get(store.key) is None


async def test_holding_version_rises_with_every_change(store: Store) -> None:
    versions: list[int] = []
    for number in range(4):
        booked = await store.book(store.fill(str(number), minutes=number))
        versions.append(booked.changed_positions[0][1].version)
    assert versions == sorted(set(versions))


async def test_reversal_takes_the_fill_back_and_names_its_host(store: Store) -> None:
    await store.hold("10")
    attempt = store.attempt(order_id())
    await store.granted(attempt)
    sold = store.fill("s", side=Side.SELL, venue_order_id=digest_of(attempt), state=FillState.PROVISIONAL)
    first = await store.book(sold)
    assert first.hosts == (f"order/{attempt.order_id}",)
    assert (await store.ledger.holding(store.key)).shares == 0
    taken_back = store.fill("s", side=Side.SELL, venue_order_id=digest_of(attempt), state=FillState.REVERSED)
    booked = await store.book(taken_back)
    assert (await store.ledger.holding(store.key)).shares == 10
    reversal = booked.reversals[0]
    assert reversal.entry.kind is EntryKind.REVERSAL
    assert (reversal.order_id, reversal.host_workflow_id) == (attempt.order_id, f"order/{attempt.order_id}")


async def test_hosts_of_orders_on_their_way_are_known_until_the_answer_is_written(store: Store) -> None:
    await store.hold("10")
    attempt, now_ms = store.attempt(order_id()), int(datetime.now(UTC).timestamp() * 1000)
    await store.claim(attempt, now_ms=now_ms)
    digest, host = digest_of(attempt), f"order/{attempt.order_id}"
    sold = store.fill("s", side=Side.SELL, venue_order_id=digest, state=FillState.PROVISIONAL)

    booked = await store.book(sold)
    assert (booked.hosts, booked.sending) == ((host,), (digest,))
    assert await store.ledger.still_sending(booked.sending) == {host}

    accepted = Answer(kind=AnswerKind.ACCEPTED, code="accepted")
    await store.claims.record_answer(attempt.order_id, attempt.attempt, accepted, False, posts=1)
    assert await store.ledger.still_sending(booked.sending) == set()
    confirmed = await store.book(store.fill("s", side=Side.SELL, venue_order_id=digest))
    assert (confirmed.hosts, confirmed.sending) == ((host,), ())


async def test_send_that_takes_long_may_have_died_so_its_host_is_told(store: Store) -> None:
    await store.hold("10")
    attempt = store.attempt(order_id())
    await store.claim(attempt, now_ms=int(datetime.now(UTC).timestamp() * 1000) - 5_000)
    digest = digest_of(attempt)
    booked = await store.book(store.fill("s", side=Side.SELL, venue_order_id=digest))
    assert booked.sending == ()


async def test_reversal_of_a_foreign_order_has_no_host(store: Store) -> None:
    booked = await store.book(store.fill("x", state=FillState.REVERSED))
    assert booked.reversals[0].host_workflow_id is None


async def test_any_order_of_reports_gives_the_same_position(store: Store) -> None:
    fills = [
        store.fill("1", "10", price="0.50"),
        store.fill("2", "4", side=Side.SELL, price="0.60", minutes=1),
        store.fill("3", "2", price="0.40", minutes=2, state=FillState.PROVISIONAL),
        store.fill("3", "2", price="0.40", minutes=2),
        store.fill("4", "1", side=Side.SELL, price="0.10", minutes=3, state=FillState.REVERSED),
    ]
    expected = None
    for seed in range(4):
        other = store.with_token()
        mine = [_moved(fill, other) for fill in fills]
        random.Random(seed).shuffle(mine)
        await asyncio.gather(*(other.book(fill) for fill in mine))
        position = await Positions(store.database).get(other.key)
        assert position is not None
        figures = (
            position.shares,
            position.average_entry,
            position.realized_pnl_usd,
            position.unconfirmed_shares,
        )
        expected = expected or figures
        assert figures == expected


def _moved(fill: Fill, other: Store) -> Fill:
    return other.fill(
        fill.fill_key.rpartition(":")[2],
        str(fill.shares),
        side=fill.side,
        price=str(fill.notional_usd / fill.shares),
        state=fill.state,
        minutes=(fill.traded_at - START) // timedelta(minutes=1),
    )


@pytest.mark.parametrize(
    ("reports", "status", "matched"),
    [
        ([("live", "2"), ("live", "1")], VenueOrderStatus.LIVE, "2"),
        ([("matched", "5"), ("live", "7")], VenueOrderStatus.MATCHED, "7"),
        ([("canceled", "5"), ("matched", "5")], VenueOrderStatus.CANCELED, "5"),
        ([("matched", "5"), ("invalid", "0")], VenueOrderStatus.INVALID, "0"),
        ([("invalid", "0"), ("matched", "5")], VenueOrderStatus.INVALID, "0"),
        ([("live", "0"), ("delayed", "0")], VenueOrderStatus.DELAYED, "0"),
    ],
)
async def test_later_reports_take_nothing_back(
    store: Store, reports: list[tuple[str, str]], status: VenueOrderStatus, matched: str
) -> None:
    attempt = store.attempt(order_id())
    for word, size in reports:
        await store.book(orders=(store.venue_order(digest_of(attempt), VenueOrderStatus(word), size),))
    facts = await store.ledger.order_facts(store.ref(attempt))
    assert (facts.venue_status, facts.venue_matched_shares) == (status, Decimal(matched))


async def test_two_reports_of_one_order_in_one_booking_are_both_heard(store: Store) -> None:
    attempt = store.attempt(order_id())
    live = store.venue_order(digest_of(attempt), VenueOrderStatus.LIVE, "3")
    ended = store.venue_order(digest_of(attempt), VenueOrderStatus.CANCELED, "3")
    await store.book(orders=(live, ended))
    facts = await store.ledger.order_facts(store.ref(attempt), looked_up=True)
    assert facts.venue_status is VenueOrderStatus.CANCELED
    assert facts.looked_up


async def test_order_facts_sum_what_is_booked(store: Store) -> None:
    await store.hold("10")
    attempt = store.attempt(order_id())
    await store.granted(attempt)
    ours = digest_of(attempt)
    await store.book(
        store.fill("s1", "4", side=Side.SELL, price="0.40", venue_order_id=ours, state=FillState.PROVISIONAL),
        store.fill("s2", "6", side=Side.SELL, price="0.39", venue_order_id=ours),
        orders=(store.venue_order(ours, VenueOrderStatus.MATCHED, "10"),),
    )
    facts = await store.ledger.order_facts(store.ref(attempt))
    assert (facts.booked_shares, facts.unconfirmed_shares) == (Decimal(10), Decimal(4))
    assert facts.notional_usd == Decimal("3.94")
    assert facts.settled
    assert facts.holding is not None
    assert facts.holding.shares == 0
    assert await store.ledger.unsettled_orders(store.account_id, VENUE, Mode.PAPER) == []


async def test_unsettled_orders_are_listed_with_the_time_of_their_first_send(store: Store) -> None:
    await store.hold("10")
    attempt = store.attempt(order_id(), "4")
    granted = await store.granted(attempt)
    (ref,) = await store.ledger.unsettled_orders(store.account_id, VENUE, Mode.PAPER)
    assert ref.venue_order_id == digest_of(attempt)
    assert ref.placed_at_ms == granted.stored.last_post_at_ms
    assert ref.wallet_id == attempt.wallet.wallet_id


async def test_unconfirmed_since_is_the_oldest_fill_without_an_end(store: Store) -> None:
    assert await store.ledger.unconfirmed_since(store.account_id, VENUE, Mode.PAPER) is None
    await store.book(
        store.fill("1", minutes=1),
        store.fill("2", minutes=2, state=FillState.PROVISIONAL),
        store.fill("3", minutes=3, state=FillState.PROVISIONAL),
    )
    since = await store.ledger.unconfirmed_since(store.account_id, VENUE, Mode.PAPER)
    assert since == START + timedelta(minutes=2)


async def test_account_is_busy_while_it_holds_or_has_something_unsettled(store: Store) -> None:
    busy = BusyAccount(account_id=store.account_id, venue=VENUE, mode=Mode.PAPER)
    assert busy not in await store.ledger.busy_accounts()
    await store.hold("10")
    assert busy in await store.ledger.busy_accounts()
    await store.book(store.fill("out", side=Side.SELL, minutes=1))
    assert busy not in await store.ledger.busy_accounts()
    await store.granted(store.attempt(order_id(), side=Side.BUY))
    assert busy in await store.ledger.busy_accounts()


async def test_adjustment_follows_the_venue_once_and_is_audited(store: Store) -> None:
    await store.hold("10")

    async def adjust(ledger: str, venue: str, key: str) -> int:
        booked = await store.ledger.adjust(
            store.key,
            store.market_id,
            ledger_shares=Decimal(ledger),
            venue_shares=Decimal(venue),
            price=Decimal("0.50"),
            at=START + timedelta(minutes=5),
            adjustment_key=f"{store.token_id}:{key}",
        )
        return booked.new_entries

    assert await adjust("10", "7", "one") == 1
    assert (await store.ledger.holding(store.key)).shares == 7
    assert await adjust("10", "7", "two") == 0, "the ledger moved since the venue was asked"
    assert await adjust("7", "7", "three") == 0
    lines = await Audit(store.database).page(store.account_id)
    assert [(line.action, line.detail) for line in lines if line.action == "position.adjusted"] == [
        ("position.adjusted", {"ledger": "10", "venue": "7", "key": f"{store.token_id}:one"})
    ]


async def test_settlement_pays_once_and_closes(store: Store) -> None:
    await store.hold("10", price="0.50")
    at = START + timedelta(days=1)
    first = await store.ledger.settle(store.key, store.market_id, Decimal(1), at)
    again = await store.ledger.settle(store.key, store.market_id, Decimal(1), at)
    assert (first.new_entries, again.new_entries) == (1, 0)
    position = await Positions(store.database).get(store.key)
    assert position is not None
    assert (position.shares, position.realized_pnl_usd) == (Decimal(0), Decimal(5))


async def test_positions_list_hides_rows_that_only_lock(store: Store) -> None:
    await store.claim(store.attempt(order_id()))
    assert (
        await Positions(store.database).page(store.account_id, PositionFilter(open_only=False))
    ).total == 0
    await store.hold("10")
    page = await Positions(store.database).page(store.account_id)
    assert [position.key for position in page.items] == [store.key]


async def test_entries_are_paged_newest_first(store: Store) -> None:
    for number in range(3):
        await store.book(store.fill(str(number), minutes=number, state=FillState.PROVISIONAL))
    positions = Positions(store.database)
    page = await positions.entries(store.account_id, EntryFilter(token_id=store.token_id), limit=2)
    assert page.total == 3
    assert [entry.traded_at for entry in page.items] == [
        START + timedelta(minutes=2),
        START + timedelta(minutes=1),
    ]


async def test_bookings_that_cross_do_not_wait_in_a_circle(store: Store) -> None:
    one, two = store, store.with_token()
    pairs = [(one.fill(str(number)), two.fill(str(number))) for number in range(8)]
    turned = [pair if number % 2 else pair[::-1] for number, pair in enumerate(pairs)]
    await asyncio.gather(*(store.book(*pair) for pair in turned))
    total = sum([(await store.ledger.holding(each.key)).shares for each in (one, two)], start=Decimal(0))
    assert total == 160


@pytest.mark.parametrize("table", ["ledger", "rule_events", "audit", "wallets", "wallet_uses"])
@pytest.mark.parametrize(
    "command", ["UPDATE {0} SET account_id = account_id", "DELETE FROM {0}", "TRUNCATE {0} CASCADE"]
)
async def test_append_only_tables_refuse_change(store: Store, table: str, command: str) -> None:
    await _fill_append_only(store)
    with pytest.raises(asyncpg.RestrictViolationError):
        async with store.database.hot.transaction() as connection:
            await connection.execute(command.format(table))


async def _fill_append_only(store: Store) -> None:
    await store.hold("10")
    rule = rule_id()
    await store.projections.apply(store.rule_projection(rule, events=(store.event("e", rule=rule),)))
    await Wallets(store.database).add(
        store.account_id, VENUE, replace(WALLET, wallet_id=WalletId(f"wal_{rule}"))
    )
