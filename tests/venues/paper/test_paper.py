"""What only the paper venue does: hand-made books, expiry, payouts, one ledger in many processes."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import UnknownToken, VenueTransient
from domain.ids import TokenId
from domain.orders import AnswerKind, MarketState, Side, TimeInForce, VenueOrderStatus
from domain.ports import AccountEventKind
from storage.database import Database
from storage.migrate import check
from storage.repositories.paper_orders import PaperOrders
from tests.venues.builders import CONDITION, TOKEN, make_attempt
from tests.venues.contract import next_of
from tests.venues.paper.desk import Desk, book, seen, sell
from venues.paper.identity import paper_order_id
from venues.paper.matching import USED_FOR, match_budget, match_shares, matched

D = Decimal


@pytest.fixture
async def desk() -> Desk:
    made = Desk()
    await made.holds("100")
    return made


async def test_resting_order_fills_in_parts_as_depth_comes(desk: Desk) -> None:
    answer = await desk.trading.place(sell("o", "0.50", shares=D(50), time_in_force=TimeInForce.GTC))
    assert answer.venue_order_id is not None
    for size, total in (("20", 20), ("30", 30), ("100", 50)):
        await desk.trading.meet(seen([("0.51", size)], []))
        order = await desk.trading.find_order(answer.venue_order_id, CONDITION)
        assert order is not None
        assert order.matched_shares == total
    assert order.status is VenueOrderStatus.MATCHED
    fills = [f for f in await desk.trading.fills(after=None) if f.venue_order_id == answer.venue_order_id]
    assert [(f.shares, f.notional_usd, f.fee_usd) for f in fills] == [
        (D(20), D(10), D(0)),
        (D(10), D(5), D(0)),
        (D(20), D(10), D(0)),
    ]
    assert len({fill.fill_key for fill in fills}) == 3


async def test_same_book_seen_again_gives_nothing_more(desk: Desk) -> None:
    await desk.trading.place(sell("o", "0.50", shares=D(50), time_in_force=TimeInForce.GTC))
    for _ in range(3):
        await desk.trading.meet(seen([("0.51", "20")], []))
    (order,) = await desk.trading.open_orders()
    assert order.matched_shares == 20


async def test_depth_comes_back_after_a_while(desk: Desk) -> None:
    desk.market.levels = book([("0.50", "20")], [])
    assert (await desk.trading.place(sell("a", "0.50", shares=D(20)))).kind is AnswerKind.ACCEPTED
    assert (await desk.trading.place(sell("b", "0.50", shares=D(20)))).kind is AnswerKind.NO_LIQUIDITY
    desk.clock.at += USED_FOR
    assert (await desk.trading.place(sell("c", "0.50", shares=D(20)))).kind is AnswerKind.ACCEPTED


async def test_two_streams_that_see_one_book_make_one_fill(desk: Desk) -> None:
    await desk.trading.place(sell("o", "0.50", shares=D(50), time_in_force=TimeInForce.GTC))
    looked = seen([("0.51", "50")], [])
    await asyncio.gather(desk.trading.meet(looked), desk.session().meet(looked))
    sold = [fill.shares for fill in await desk.trading.fills(after=None) if fill.side is Side.SELL]
    assert sold == [D(50)]


async def test_expiring_order_ends_a_minute_early_as_at_the_venue(desk: Desk) -> None:
    expiration = int((desk.clock.at + timedelta(minutes=5)).timestamp())
    await desk.trading.place(sell("o", "0.50", time_in_force=TimeInForce.GTD, expiration_s=expiration))
    desk.clock.at += timedelta(minutes=3, seconds=59)
    await desk.trading.meet(seen([], []))
    assert len(await desk.trading.open_orders()) == 1
    desk.clock.at += timedelta(seconds=1)
    await desk.trading.meet(seen([("0.60", "50")], []))
    assert await desk.trading.open_orders() == []
    assert (await desk.trading.holding(TOKEN)).amount == 100


async def test_resolved_market_pays_its_shares_once(desk: Desk) -> None:
    before = (await desk.trading.collateral()).amount
    desk.market.market = replace(desk.market.market, state=MarketState.RESOLVED, payout=D(1))
    for _ in range(2):
        await desk.trading.pay_out_resolved()
    assert (await desk.trading.collateral()).amount == before + 100
    assert (await desk.trading.holding(TOKEN)).amount == 0


async def test_unreadable_market_places_nothing_and_may_be_tried_again(desk: Desk) -> None:
    desk.market.failure = VenueTransient("away")
    answer = await desk.trading.place(sell("o", "0.50"))
    assert (answer.kind, answer.code) == (AnswerKind.TRANSIENT, "market_data_unavailable")
    desk.market.failure = None
    desk.market.levels = book([("0.50", "20")], [])
    assert (await desk.trading.place(sell("o", "0.50"))).kind is AnswerKind.ACCEPTED


async def test_unknown_token_is_final(desk: Desk) -> None:
    desk.market.failure = UnknownToken("gone")
    assert (await desk.trading.place(sell("o", "0.50"))).kind is AnswerKind.FINAL


async def test_market_without_a_book_is_not_at_its_end(desk: Desk) -> None:
    desk.market.no_book = True
    answer = await desk.trading.place(sell("o", "0.50"))
    assert (answer.kind, answer.code) == (AnswerKind.TRANSIENT, "market_not_ready")
    desk.market.no_book, desk.market.levels = False, book([("0.50", "20")], [])
    assert (await desk.trading.place(sell("o", "0.50"))).kind is AnswerKind.ACCEPTED


async def test_cancel_only_market_asks_to_wait(desk: Desk) -> None:
    desk.market.market = replace(desk.market.market, state=MarketState.CANCEL_ONLY)
    answer = await desk.trading.place(sell("o", "0.50"))
    assert (answer.kind, answer.code) == (AnswerKind.TRANSIENT, "cancel_only")


async def test_stream_outlives_an_unreadable_market(desk: Desk) -> None:
    await desk.trading.place(sell("o", "0.50", shares=D(50), time_in_force=TimeInForce.GTC))
    desk.market.failure = VenueTransient("away")
    async with desk.trading.events() as events:
        await next_of(events, AccountEventKind.GAP)
        waiting = asyncio.ensure_future(next_of(events, AccountEventKind.FILL))
        await asyncio.sleep(0)
        desk.market.levels, desk.market.failure = book([("0.50", "50")], []), None
        event = await waiting
    assert event.fill is not None
    assert event.fill.shares == 50


def test_paper_id_depends_on_all_that_a_signature_would_cover() -> None:
    attempt = make_attempt()
    changed = [
        replace(attempt, attempt=2),
        replace(attempt, maker_amount=1),
        replace(attempt, taker_amount=1),
        replace(attempt, salt=1),
        replace(attempt, timestamp_ms=1),
        replace(attempt, side=Side.BUY),
        replace(attempt, token_id=TokenId("1")),
    ]
    ids = {paper_order_id(each) for each in (attempt, *changed)}
    assert len(ids) == len(changed) + 1
    assert paper_order_id(attempt) == paper_order_id(make_attempt())


levels = st.lists(
    st.tuples(st.integers(1, 99), st.integers(1, 500)), max_size=6, unique_by=lambda level: level[0]
)


def ladder(entries: list[tuple[int, int]], *, highest_first: bool) -> list[tuple[str, str]]:
    ordered = sorted(entries, reverse=highest_first)
    return [(f"0.{price:02d}", str(size)) for price, size in ordered]


@settings(deadline=None)
@given(entries=levels, limit=st.integers(1, 99), wanted=st.integers(1, 1000), side=st.sampled_from(Side))
def test_match_takes_what_the_limit_allows_and_no_more(
    entries: list[tuple[int, int]], limit: int, wanted: int, side: Side
) -> None:
    is_sell = side is Side.SELL
    sides = ladder(entries, highest_first=is_sell)
    made = book(sides, []) if is_sell else book([], sides)
    got = match_shares(made, side, D(limit) / 100, D(wanted), {})
    allowed = sum(size for price, size in entries if (price >= limit if is_sell else price <= limit))
    assert matched(got) == min(wanted, allowed)
    assert all((m.price * 100 >= limit) if is_sell else (m.price * 100 <= limit) for m in got)


@settings(deadline=None)
@given(entries=levels, limit=st.integers(1, 99), budget=st.integers(1, 500))
def test_budget_is_never_overspent(entries: list[tuple[int, int]], limit: int, budget: int) -> None:
    made = book([], ladder(entries, highest_first=False))
    got = match_budget(made, D(limit) / 100, D(budget), {})
    assert sum(match.notional_usd for match in got) <= budget
    affordable = sum(D(price * size) / 100 for price, size in entries if price <= limit)
    assert D(budget) - sum(match.notional_usd for match in got) <= max(D(0), D(budget) - affordable) + D(
        "0.00001"
    )


class TestInPostgres:
    """One ledger under several processes."""

    @pytest.fixture
    async def ledger(self, database_url: str) -> AsyncGenerator[PaperOrders]:
        async with Database(database_url, pool_size=1, hot_pool_size=8) as database:
            yield PaperOrders(database)

    async def test_migrations_give_the_models_tables(self, database_url: str) -> None:
        await check(database_url)

    async def test_orders_at_once_never_sell_more_than_held(self, ledger: PaperOrders) -> None:
        desk = Desk(ledger)
        await desk.holds("100")
        sessions = [desk.session() for _ in range(4)]
        desk.market.levels = book([("0.50", "1000")], [])
        answers = await asyncio.gather(
            *(sessions[n % 4].place(sell(f"o{n}", "0.50", shares=D(30))) for n in range(8))
        )
        accepted = [answer for answer in answers if answer.kind is AnswerKind.ACCEPTED]
        assert len(accepted) == 3
        assert {a.code for a in answers} == {"accepted", "balance_short"}
        assert (await desk.trading.holding(TOKEN)).amount == 10

    async def test_fill_and_cancel_at_once_have_one_outcome(self, ledger: PaperOrders) -> None:
        desk = Desk(ledger)
        await desk.holds("100")
        answer = await desk.trading.place(sell("o", "0.50", shares=D(50), time_in_force=TimeInForce.GTC))
        assert answer.venue_order_id is not None
        await asyncio.gather(
            desk.trading.meet(seen([("0.50", "50")], [])), desk.session().cancel(answer.venue_order_id)
        )
        order = await desk.trading.find_order(answer.venue_order_id, CONDITION)
        assert order is not None
        sold = sum(f.shares for f in await desk.trading.fills(after=None) if f.side is Side.SELL)
        assert (order.status, sold) in [(VenueOrderStatus.MATCHED, D(50)), (VenueOrderStatus.CANCELED, 0)]

    async def test_payout_is_made_once(self, ledger: PaperOrders) -> None:
        desk = Desk(ledger)
        await desk.holds("100")
        before = (await desk.trading.collateral()).amount
        await asyncio.gather(*(ledger.pay_out(desk.account, TOKEN, D(1)) for _ in range(3)))
        assert (await desk.trading.collateral()).amount == before + 100
        assert await ledger.held_tokens(desk.account) == []

    async def test_every_change_is_seen_once_by_a_reader_that_follows(self, ledger: PaperOrders) -> None:
        desk = Desk(ledger)
        await desk.holds("100")
        edge = await ledger.edge(desk.account)
        desk.market.levels = book([("0.50", "1000")], [])
        placing = [
            asyncio.ensure_future(desk.session().place(sell(f"o{n}", "0.50", shares=D(5)))) for n in range(12)
        ]
        seen: list[str] = []
        while len(seen) < 12:
            changes = await ledger.changes(desk.account, edge)
            edge = changes.edge
            seen.extend(fill.fill_key for fill in changes.fills)
        await asyncio.gather(*placing)
        assert len(set(seen)) == len(seen) == 12
