"""The contract on every venue: Polymarket's adapter over real sockets, and paper over live books."""

import uuid
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from pydantic import SecretStr

from domain.fills import Fill, FillState
from domain.ids import AccountId, VenueOrderId, WalletId
from domain.orders import Side, TimeInForce, VenueOrderStatus
from domain.paper import PaperAccount, PaperFill, PaperOrder, Registration
from runtime.clock import SystemClock
from storage.database import Database
from storage.repositories.paper_orders import PaperOrders
from tests.venues.builders import CHAIN, make_wallet
from tests.venues.contract import ASKS, BIDS, HELD, Venue, VenueContract
from tests.venues.exchange import LocalExchange
from tests.venues.paper_memory import PaperMemory
from venues.paper.ledger import PaperLedger
from venues.paper.resting import Look
from venues.paper.trading import PaperConfig, PaperTrading
from venues.polymarket.authentication import wallet_identity


class TestPolymarket(VenueContract):
    @pytest.fixture
    async def venue(self, exchange: LocalExchange) -> Venue:
        await exchange.book(BIDS, ASKS)
        await exchange.fund(tokens=str(HELD))
        await exchange.fund(exchange.rival_key)
        return Venue(
            exchange=exchange,
            trading=await exchange.trading(),
            stranger=await exchange.trading(exchange.rival_key),
            wallet=wallet_identity(WalletId("wal_1"), SecretStr(exchange.key), chain_id=CHAIN),
            meet_book=nothing,
            release_holds=exchange.release_holds,
        )


class OnPaper(VenueContract):
    """What no paper order can meet, and why."""

    # The venue says it with its answer to a POST, and no paper order is posted.
    test_cancel_only_venue_asks_to_wait_and_lets_resting_orders_be_canceled = None
    test_orders_above_the_accounts_rate_are_told_to_wait_and_pass_later = None
    # Nobody can meet a resting paper order: it fills by what the venue shows of its market.
    test_resting_buy_is_met_by_a_buyer_of_the_other_outcome = None
    test_resting_sell_is_met_by_a_seller_of_the_other_outcome = None


class TestPaper(OnPaper):
    @pytest.fixture
    async def venue(self, exchange: LocalExchange) -> Venue:
        return await paper_venue(exchange, PaperMemory())


class TestPaperInPostgres(OnPaper):
    @pytest.fixture
    async def venue(self, exchange: LocalExchange, database_url: str) -> AsyncGenerator[Venue]:
        async with Database(database_url, pool_size=1, hot_pool_size=6) as database:
            yield await paper_venue(exchange, PaperOrders(database))


async def nothing() -> None:
    """The exchange itself lets resting orders meet the book."""


class MovedClock(SystemClock):
    """The system's clock, which a test may set forward."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead


async def paper_venue(exchange: LocalExchange, ledger: PaperLedger) -> Venue:
    await exchange.book(BIDS, ASKS)
    owner, stranger = (
        PaperAccount(account_id=AccountId(f"acc_{uuid.uuid4().hex}"), venue="polymarket") for _ in range(2)
    )
    clock = MovedClock()
    sessions = [
        PaperTrading(account, exchange.market_data, ledger, clock, PaperConfig(poll_s=0.01))
        for account in (owner, stranger)
    ]
    await give_shares(exchange, ledger, owner)

    async def meet_book() -> None:
        book = await exchange.market_data.book(exchange.yes)
        await sessions[0].meet(Look(book=book, trades=(), at_ms=book.venue_timestamp_ms or 0))

    async def release_holds() -> None:
        clock.ahead += timedelta(hours=1)

    return Venue(
        exchange=exchange,
        trading=sessions[0],
        stranger=sessions[1],
        wallet=make_wallet(),
        meet_book=meet_book,
        release_holds=release_holds,
    )


async def give_shares(exchange: LocalExchange, ledger: PaperLedger, account: PaperAccount) -> None:
    """Let the account have bought what a live one is funded with."""
    now, order_id = datetime.now(UTC), VenueOrderId(f"paper-{uuid.uuid4().hex}")
    order = PaperOrder(
        venue_order_id=order_id,
        account=account,
        market_id=exchange.market_id,
        token_id=exchange.yes,
        side=Side.BUY,
        time_in_force=TimeInForce.FAK,
        shares=HELD,
        limit_price=Decimal("0.5"),
        matched_shares=HELD,
        status=VenueOrderStatus.MATCHED,
        expiration_s=0,
        created_at=now,
    )
    fill = Fill(
        fill_key=f"{order_id}:100",
        venue_order_id=order_id,
        market_id=exchange.market_id,
        token_id=exchange.yes,
        side=Side.BUY,
        shares=HELD,
        notional_usd=Decimal(50),
        fee_usd=Decimal(0),
        state=FillState.CONFIRMED,
        traded_at=now,
    )
    bought = PaperFill(fill=fill, level_price=None)
    assert await ledger.register(order, (bought,), Decimal(10_000)) is Registration.NEW
