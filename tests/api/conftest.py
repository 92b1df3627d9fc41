"""The API over real Postgres, with venue and workflows behind their ports."""

import base64
import io
import logging
import secrets
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

import httpx2
import pytest
import structlog
from fastapi import FastAPI
from pydantic import SecretStr

from activities.adoption import Adoption
from activities.found_holdings import FoundHoldings
from activities.held_exits import HeldExits
from activities.ingest import Ingest
from api.app import create_app
from api.codec_access import CodecAccess, CodecSessions
from api.deps import Services, TradeManager
from api.shared_reads import SharedReads
from api.wallet_vault import WalletVault
from domain.fills import Fill, FillState
from domain.ids import AccountId, TokenId, VenueOrderId
from domain.messages import Tuning
from domain.orders import Mode, Side
from runtime.logging import configure
from runtime.settings import RingKey
from runtime.temporal_codec import EncryptedPayloads
from storage.database import Database
from storage.hints import NotifyHints
from storage.repositories.accounts import Accounts
from storage.repositories.api_keys import ApiKeys, Scope
from storage.repositories.audit import Audit
from storage.repositories.breakers import Breakers
from storage.repositories.claims import Claims
from storage.repositories.credentials import Credentials
from storage.repositories.events import Events
from storage.repositories.feed_status import FeedStatuses
from storage.repositories.idempotency import Idempotency
from storage.repositories.ledger import Ledger
from storage.repositories.orders import Orders
from storage.repositories.positions import Positions
from storage.repositories.projections import Projections
from storage.repositories.rules import Rules
from storage.repositories.switches import Switches
from storage.repositories.wallets import Wallets
from storage.sealed import KeyRing
from tests.api.fakes import (
    MARKET,
    NOW,
    YES,
    FakeOpener,
    FakeOrders,
    FakeRegions,
    FakeRules,
    FakeSignals,
    FakeTemporal,
    FakeVenues,
    FixedClock,
)

ADMIN_KEY = "bootstrap-key-of-this-test-run"
UI = "http://temporal-ui.test"
PAYLOAD_KEY = RingKey("test", SecretStr(base64.b64encode(bytes(range(32))).decode()))


@dataclass
class World:
    """Everything behind the API, to arrange and to look at."""

    database: Database
    venues: FakeVenues
    rules: FakeRules
    orders: FakeOrders
    signals: FakeSignals
    opener: FakeOpener
    temporal: FakeTemporal
    clock: FixedClock
    services: Services
    app: FastAPI
    http: httpx2.AsyncClient
    regions: FakeRegions = field(default_factory=FakeRegions)

    async def account(
        self, *scopes: Scope, holds: str | None = "100", paid: str = "0.50", token: TokenId = YES
    ) -> "Caller":
        """Make an account with a key, holding shares that it paid a price for."""
        account = await self.services.accounts.create("somebody")
        made = await self.services.api_keys.create(account.account_id, scopes or (Scope.TRADE,))
        caller = Caller(self.http, account.account_id, made.plaintext.get_secret_value())
        if holds is not None:
            await self.bought(account.account_id, token, holds, paid)
        return caller

    async def bought(
        self, account_id: AccountId, token: TokenId, shares: str, price: str, mode: Mode = Mode.PAPER
    ) -> None:
        """Book a fill of an account."""
        fill = Fill(
            fill_key=f"trade-{secrets.token_hex(6)}",
            venue_order_id=VenueOrderId("0x01"),
            market_id=MARKET,
            token_id=token,
            side=Side.BUY,
            shares=Decimal(shares),
            notional_usd=Decimal(shares) * Decimal(price),
            fee_usd=Decimal(0),
            state=FillState.CONFIRMED,
            traded_at=NOW - timedelta(hours=1),
        )
        await self.services.ledger.book(account_id, "polymarket", mode, [fill])

    async def goes_live(self, caller: "Caller") -> AccountId:
        """Switch an account to live trading; wallets are given to it apart. Returns its id."""
        assert caller.account_id is not None
        await self.services.accounts.set_mode(caller.account_id, Mode.LIVE, acknowledge_live=True)
        return caller.account_id

    @property
    def admin(self) -> "Caller":
        """The installation's first key."""
        return Caller(self.http, None, ADMIN_KEY)


@dataclass
class Caller:
    """Somebody with a key."""

    http: httpx2.AsyncClient
    account_id: AccountId | None
    key: str

    async def get(self, path: str, **params: object) -> httpx2.Response:
        return await self.http.get(
            path, params={k: str(v) for k, v in params.items()}, headers=self._headers()
        )

    async def post(
        self, path: str, body: object, key: str | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        more = {"Idempotency-Key": key} if key else {}
        return await self.http.post(path, json=body, headers=self._headers({**more, **(headers or {})}))

    async def patch(self, path: str, body: object) -> httpx2.Response:
        return await self.http.patch(path, json=body, headers=self._headers())

    async def put(self, path: str, body: object) -> httpx2.Response:
        return await self.http.put(path, json=body, headers=self._headers())

    async def delete(self, path: str) -> httpx2.Response:
        return await self.http.delete(path, headers=self._headers())

    def _headers(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}", **(more or {})}


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that is logged, as the API process would write it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure(level=logging.DEBUG, stream=stream, json=True)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[Database]:
    async with Database(database_url, pool_size=2, hot_pool_size=4) as opened:
        yield opened


@asynccontextmanager
async def opened_world(
    database: Database, trade_manager: TradeManager | None = None
) -> AsyncGenerator[World]:
    """Open the API over a database."""
    projections = Projections(database, NotifyHints(database))
    venues, signals, opener = FakeVenues(), FakeSignals(), FakeOpener()
    rules, orders = FakeRules(projections), FakeOrders(projections)
    temporal, clock, regions = FakeTemporal(), FixedClock(), FakeRegions()
    ring = KeyRing("test", {"test": bytes(range(32))})
    ledger, all_rules = Ledger(database), Rules(database)
    services = Services(
        database=database,
        accounts=Accounts(database),
        adoption=Adoption(all_rules, Claims(database, NotifyHints(database)), ledger),
        api_keys=ApiKeys(database, SecretStr("pepper" * 8)),
        audit=Audit(database),
        breakers=Breakers(database, NotifyHints(database)),
        codec=CodecAccess(
            codec=EncryptedPayloads([PAYLOAD_KEY]), ui_origin=UI, sessions=CodecSessions(SecretStr("p" * 32))
        ),
        events=Events(database),
        feeds=FeedStatuses(database),
        idempotency=Idempotency(database),
        instruments=SharedReads(venues),
        found_holdings=FoundHoldings(ledger, Ingest(ledger, all_rules, venues, signals, projections), venues),
        held_exits=HeldExits(all_rules, Orders(database), signals),
        ledger=ledger,
        orders=Orders(database),
        positions=Positions(database),
        rules=all_rules,
        switches=Switches(database),
        venues=venues,
        wallets=WalletVault(opener, Wallets(database), Credentials(database, ring)),
        regions=regions,
        signals=signals,
        rule_starter=rules,
        order_starter=orders,
        temporal=temporal,
        clock=clock,
        tuning=Tuning(),
        trade_manager=trade_manager
        or TradeManager(enabled=True, ws_enabled=True, poll_interval=timedelta(seconds=60)),
        answer_limit=timedelta(milliseconds=200),
        admin_key=SecretStr(ADMIN_KEY),
    )

    @asynccontextmanager
    async def given() -> AsyncGenerator[Services]:
        yield services

    app = create_app(given)
    app.state.services = services
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://holdfast.test") as http:
        yield World(
            database, venues, rules, orders, signals, opener, temporal, clock, services, app, http, regions
        )


@pytest.fixture
async def world(database: Database) -> AsyncGenerator[World]:
    """The API with the Trade Manager switched on."""
    async with opened_world(database) as world:
        yield world
