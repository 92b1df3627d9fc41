"""Sessions by wallet: an order in flight goes on with the key that signed it, whatever wallet came since."""

import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal

import pytest
from pydantic import SecretStr

from api.wallet_opener import VenueWallets
from api.wallet_vault import WalletVault
from domain.errors import CredentialsMissing, VenueBlocked
from domain.ids import AccountId, OrderId, WalletId
from domain.orders import (
    AnswerKind,
    Attempt,
    Mode,
    Purpose,
    Side,
    TimeInForce,
    VenueOrderStatus,
    WalletIdentity,
)
from domain.ports import CancelOutcome, Trading
from runtime.clock import SystemClock
from runtime.venues import AccountVenues
from storage.database import Database
from storage.repositories.accounts import Accounts
from storage.repositories.credentials import Credentials, api_credentials_record
from storage.repositories.paper_orders import PaperOrders
from storage.repositories.wallets import Wallets
from storage.sealed import KeyRing
from tests.venues.builders import CHAIN, make_attempt
from tests.venues.exchange import LocalExchange
from venues.polymarket.adapter import PolymarketAdapter
from venues.polymarket.http import HttpSession
from venues.polymarket.signing import KeyPair

VENUE, LIVE = "polymarket", Mode.LIVE
HOUR, NEVER = timedelta(hours=1), timedelta(0)


class Vaults:
    """An account whose wallets come and go, and sessions over them."""

    def __init__(self, exchange: LocalExchange, database: Database, account_id: AccountId) -> None:
        self.exchange = exchange
        self.account_id = account_id
        self.adapters = {VENUE: PolymarketAdapter(exchange.config)}
        self.wallets = Wallets(database)
        self.credentials = Credentials(database, KeyRing("k1", {"k1": bytes(32)}))
        self.paper_orders = PaperOrders(database)
        self.vault = WalletVault(VenueWallets(self.adapters), self.wallets, self.credentials)

    async def store(self, key: str) -> WalletIdentity:
        await self.exchange.fund(key)
        return await self.vault.store(
            self.account_id, VENUE, SecretStr(key), signature_type=0, funder=None, actor="test"
        )

    @asynccontextmanager
    async def open(self, cache: timedelta = HOUR) -> AsyncGenerator[AccountVenues]:
        venues = AccountVenues(
            self.adapters,
            wallets=self.wallets,
            credentials=self.credentials,
            paper_orders=self.paper_orders,
            clock=SystemClock(),
            credential_cache=cache,
        )
        async with venues:
            yield venues

    async def revoke(self, key: str) -> None:
        """What the owner of a wallet does on the venue's own page: its API key is refused from now on."""
        api = (await self.exchange.credentials(key)).api
        headers = KeyPair(SecretStr(key), CHAIN).level_2_headers(
            api, method="DELETE", path="/auth/api-key", body=None, timestamp_s=int(time.time())
        )
        async with HttpSession(self.exchange.config.clob_url, self.exchange.config) as session:
            assert (await session.request("DELETE", "/auth/api-key", headers=headers)).status == 200

    def purchase(self, wallet: WalletIdentity) -> Attempt:
        return make_attempt(
            order_id=OrderId("ord_purchase"),
            account_id=self.account_id,
            market_id=self.exchange.market_id,
            token_id=self.exchange.yes,
            side=Side.BUY,
            purpose=Purpose.ENTRY,
            time_in_force=TimeInForce.FOK,
            shares=Decimal(10),
            limit_price=Decimal("0.70"),
            wallet=wallet,
        )

    def resting_sell(self, wallet: WalletIdentity, name: str) -> Attempt:
        return make_attempt(
            order_id=OrderId(name),
            account_id=self.account_id,
            market_id=self.exchange.market_id,
            token_id=self.exchange.yes,
            time_in_force=TimeInForce.GTC,
            shares=Decimal(10),
            limit_price=Decimal("0.60"),
            wallet=wallet,
        )


@pytest.fixture
async def vaults(exchange: LocalExchange, database_url: str) -> AsyncGenerator[Vaults]:
    await exchange.book([("0.50", "30")], [("0.70", "30")])
    async with Database(database_url, pool_size=2, hot_pool_size=2) as database:
        account = await Accounts(database).create(
            "two wallets", account_id=AccountId(f"acc_{secrets.token_hex(8)}")
        )
        yield Vaults(exchange, database, account.account_id)


async def test_order_of_the_former_wallet_is_placed_found_and_cancelled_after_a_new_one_came(
    vaults: Vaults,
) -> None:
    former = await vaults.store(vaults.exchange.key)
    attempt = vaults.resting_sell(former, "ord_in_flight")
    async with vaults.open(NEVER) as venues:
        before = await venues.trading(vaults.account_id, VENUE, LIVE, former.wallet_id)
        assert (await before.place(attempt)).kind is AnswerKind.ACCEPTED
        newer = await vaults.store(vaults.exchange.rival_key)
        assert await venues.wallet(vaults.account_id, VENUE, LIVE) == newer

        session = await venues.trading(vaults.account_id, VENUE, LIVE, former.wallet_id)
        assert (await session.place(attempt)).kind is AnswerKind.REGISTERED
        order_id = session.venue_order_id(attempt)
        found = await session.find_order(order_id, attempt.market_id)
        assert found is not None
        assert found.status is VenueOrderStatus.LIVE
        assert await session.cancel(order_id) is CancelOutcome.CANCELED


async def test_next_attempt_of_an_order_in_flight_is_signed_by_the_former_key(vaults: Vaults) -> None:
    former = await vaults.store(vaults.exchange.key)
    newer = await vaults.store(vaults.exchange.rival_key)
    async with vaults.open() as venues:
        for number, wallet in enumerate((former, newer)):
            session = await venues.trading(vaults.account_id, VENUE, LIVE, wallet.wallet_id)
            attempt = vaults.resting_sell(wallet, f"ord_{number}")
            assert (await session.place(attempt)).kind is AnswerKind.ACCEPTED
    signers = {entry["address"] for entry in await vaults.exchange.ledger() if entry["side"] == Side.SELL}
    assert {former.signer, newer.signer} <= signers


async def test_new_orders_go_to_the_newest_wallet(vaults: Vaults) -> None:
    await vaults.store(vaults.exchange.key)
    newer = await vaults.store(vaults.exchange.rival_key)
    async with vaults.open() as venues:
        assert await venues.wallet(vaults.account_id, VENUE, LIVE) == newer
        newest = await venues.trading(vaults.account_id, VENUE, LIVE)
        assert newest is await venues.trading(vaults.account_id, VENUE, LIVE, newer.wallet_id)


async def test_new_orders_go_back_to_a_former_wallet_that_is_stored_again(vaults: Vaults) -> None:
    former = await vaults.store(vaults.exchange.key)
    newer = await vaults.store(vaults.exchange.rival_key)
    async with vaults.open(NEVER) as venues:
        assert await venues.wallet(vaults.account_id, VENUE, LIVE) == newer
        assert await vaults.store(vaults.exchange.key) == former
        assert await venues.wallet(vaults.account_id, VENUE, LIVE) == former
        back = await venues.trading(vaults.account_id, VENUE, LIVE)
        assert (await back.place(vaults.resting_sell(former, "ord_back"))).kind is AnswerKind.ACCEPTED
        sessions = await venues.sessions(vaults.account_id, VENUE, LIVE)
        assert sessions[0] is back
        assert len(sessions) == 2


async def test_wallet_that_another_process_just_stored_is_found_at_once(vaults: Vaults) -> None:
    await vaults.store(vaults.exchange.key)
    async with vaults.open() as venues:
        await venues.trading(vaults.account_id, VENUE, LIVE)  # remembered for an hour
        newer = await vaults.store(vaults.exchange.rival_key)
        session = await venues.trading(vaults.account_id, VENUE, LIVE, newer.wallet_id)
        answer = await session.place(vaults.resting_sell(newer, "ord_new_wallet"))
        assert answer.kind is AnswerKind.ACCEPTED


async def test_session_outlives_a_new_wallet_and_ends_with_its_own_credentials(vaults: Vaults) -> None:
    former = await vaults.store(vaults.exchange.key)
    async with vaults.open(NEVER) as venues:

        async def session() -> Trading:
            return await venues.trading(vaults.account_id, VENUE, LIVE, former.wallet_id)

        first = await session()
        await vaults.store(vaults.exchange.rival_key)
        assert await session() is first
        await vaults.store(vaults.exchange.key)  # the same wallet again: its API credentials are renewed
        assert await session() is not first
        await vaults.credentials.remove(vaults.account_id, api_credentials_record(VENUE, former.wallet_id))
        with pytest.raises(CredentialsMissing):
            await session()


async def test_every_wallet_with_credentials_has_a_session_the_newest_first(vaults: Vaults) -> None:
    former = await vaults.store(vaults.exchange.key)
    newer = await vaults.store(vaults.exchange.rival_key)
    async with vaults.open(NEVER) as venues:
        sessions = [
            await venues.trading(vaults.account_id, VENUE, LIVE, wallet.wallet_id)
            for wallet in (newer, former)
        ]
        assert list(await venues.sessions(vaults.account_id, VENUE, LIVE)) == sessions
        await vaults.credentials.remove(vaults.account_id, api_credentials_record(VENUE, former.wallet_id))
        assert list(await venues.sessions(vaults.account_id, VENUE, LIVE)) == sessions[:1]


async def test_what_sells_a_token_is_signed_by_the_wallet_that_holds_most_of_it(vaults: Vaults) -> None:
    token = vaults.exchange.yes
    former = await vaults.store(vaults.exchange.key)
    async with vaults.open(NEVER) as venues:
        buyer = await venues.trading(vaults.account_id, VENUE, LIVE)
        bought = vaults.purchase(former)
        assert (await buyer.place(bought)).kind is AnswerKind.ACCEPTED
        newer = await vaults.store(vaults.exchange.rival_key)

        assert await venues.wallet(vaults.account_id, VENUE, LIVE) == newer
        assert await venues.wallet(vaults.account_id, VENUE, LIVE, holding=token) == former


async def test_what_sells_a_token_is_signed_by_the_wallet_that_holds_most_of_those_that_are_served(
    vaults: Vaults,
) -> None:
    token, exchange = vaults.exchange.yes, vaults.exchange
    former, newer = await vaults.store(exchange.key), await vaults.store(exchange.rival_key)
    await exchange.fund(exchange.key, tokens="900")
    async with vaults.open() as venues:
        assert await venues.wallet(vaults.account_id, VENUE, LIVE, holding=token) == former
        await vaults.revoke(exchange.key)
        assert await venues.wallet(vaults.account_id, VENUE, LIVE, holding=token) == newer


async def test_shares_that_only_refused_wallets_may_hold_are_signed_for_by_the_wallet_of_new_orders(
    vaults: Vaults,
) -> None:
    exchange = vaults.exchange
    await vaults.store(exchange.key)
    newer = await vaults.store(exchange.rival_key)
    elsewhere = (await exchange.open_market())[1]
    async with vaults.open() as venues:
        await vaults.revoke(exchange.rival_key)
        assert await venues.wallet(vaults.account_id, VENUE, LIVE, holding=elsewhere) == newer
        await vaults.revoke(exchange.key)
        with pytest.raises(VenueBlocked):
            await venues.wallet(vaults.account_id, VENUE, LIVE, holding=elsewhere)


async def test_what_nobody_holds_yet_is_signed_by_the_newest_wallet(vaults: Vaults) -> None:
    await vaults.store(vaults.exchange.key)
    newer = await vaults.store(vaults.exchange.rival_key)
    async with vaults.open(NEVER) as venues:
        assert await venues.wallet(vaults.account_id, VENUE, LIVE, holding=vaults.exchange.no) == newer


async def test_foreign_or_unknown_wallet_has_no_session(vaults: Vaults) -> None:
    await vaults.store(vaults.exchange.key)
    async with vaults.open() as venues:
        with pytest.raises(CredentialsMissing):
            await venues.trading(vaults.account_id, VENUE, LIVE, WalletId("wal_of_somebody_else"))


async def test_paper_has_one_session_whatever_wallet_is_named(vaults: Vaults) -> None:
    async with vaults.open() as venues:
        paper = await venues.trading(vaults.account_id, VENUE, Mode.PAPER)
        named = await venues.trading(vaults.account_id, VENUE, Mode.PAPER, WalletId("paper"))
        assert named is paper
        assert list(await venues.sessions(vaults.account_id, VENUE, Mode.PAPER)) == [paper]
