"""Makers of what storage keeps, for one account; what a test does not care about has a default."""

import asyncio
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from domain.breakers import BreakerLimits
from domain.claims import ClaimAnswer, Granted
from domain.fills import Fill, FillState
from domain.ids import AccountId, MarketId, OrderId, RuleId, TokenId, VenueOrderId, WalletId, attempt_salt
from domain.messages import (
    EventRow,
    OrderProjection,
    OrderRef,
    PlaceOrder,
    RulePhase,
    RuleProjection,
    RuleRow,
    RuleStatus,
    Severity,
    WatchRow,
)
from domain.money import to_micros
from domain.orders import (
    Attempt,
    Instrument,
    MarketState,
    Mode,
    OrderRow,
    OrderState,
    Purpose,
    Side,
    TimeInForce,
    VenueOrder,
    VenueOrderStatus,
    WalletIdentity,
)
from domain.positions import PositionKey
from domain.quotes import PriceRules
from domain.rules.definition import RuleDefinition, StopLoss
from domain.rules.levels import resolve
from storage.database import Database
from storage.repositories.accounts import Accounts
from storage.repositories.breakers import Breakers
from storage.repositories.claims import Claims
from storage.repositories.ledger import Booked, Ledger
from storage.repositories.projections import Projections

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
NOW_MS = int(START.timestamp() * 1000)
VENUE = "polymarket"
WALLET = WalletIdentity(
    wallet_id=WalletId("wal_test"), signer="0xsigner", funder="0xfunder", signature_type=1, chain_id=137
)


class RecordedHints:
    """Remembers which channels were hinted."""

    def __init__(self) -> None:
        self.given: list[str] = []

    def give(self, channel: str) -> None:
        self.given.append(channel)


def order_id() -> OrderId:
    return OrderId(f"ord_{uuid.uuid4().hex}")


def rule_id() -> RuleId:
    return RuleId(f"rul_{uuid.uuid4().hex}")


def digest_of(attempt: Attempt) -> VenueOrderId:
    """Stand in for the venue's id: different bytes, different id."""
    return VenueOrderId(f"0x{attempt.order_id}-{attempt.attempt}-{attempt.maker_amount}-{attempt.salt}")


async def alone_in(database: Database) -> "Store":
    """A new account in a database of its own."""
    account = await Accounts(database).create(f"alone {uuid.uuid4().hex[:8]}")
    return Store(database, account.account_id)


async def pass_visible_edge(database: Database) -> None:
    """Wait until all that was committed lies below the visible edge.

    The edge belongs to the whole cluster: another test's transaction holds it back for a moment.
    """
    async with database.hot.connection() as connection:
        now = await connection.fetchval("SELECT pg_current_xact_id()::text")
        passed = "SELECT pg_snapshot_xmin(pg_current_snapshot()) > $1::text::xid8"
        async with asyncio.timeout(60):
            while not await connection.fetchval(passed, now):  # noqa: ASYNC110 - Postgres announces no such event
                await asyncio.sleep(0.01)


@dataclass
class Store:
    """The repositories of one database and what belongs to one account in them."""

    database: Database
    account_id: AccountId
    token_id: TokenId = field(default_factory=lambda: TokenId(uuid.uuid4().hex))
    market_id: MarketId = field(default_factory=lambda: MarketId(f"0x{uuid.uuid4().hex}"))
    hints: RecordedHints = field(default_factory=RecordedHints)

    def __post_init__(self) -> None:
        # Tests of one module share a venue, and most of them fail sends on purpose.
        never = BreakerLimits(unknowns=1_000_000, blocks=1_000_000)
        self.claims = Claims(self.database, self.hints, Breakers(self.database, self.hints, limits=never))
        self.ledger = Ledger(self.database)
        self.projections = Projections(self.database, self.hints)
        self._version = 0

    @property
    def key(self) -> PositionKey:
        return PositionKey(account_id=self.account_id, venue=VENUE, mode=Mode.PAPER, token_id=self.token_id)

    def next_version(self) -> int:
        self._version += 1
        return self._version

    def attempt(
        self,
        order: OrderId,
        shares: str = "10",
        *,
        price: str = "0.40",
        number: int = 1,
        side: Side = Side.SELL,
        purpose: Purpose | None = None,
        time_in_force: TimeInForce = TimeInForce.FAK,
        mode: Mode = Mode.PAPER,
        token_id: TokenId | None = None,
    ) -> Attempt:
        size, usd = to_micros(Decimal(shares)), to_micros(Decimal(shares) * Decimal(price))
        return Attempt(
            order_id=order,
            attempt=number,
            account_id=self.account_id,
            venue=VENUE,
            mode=mode,
            market_id=self.market_id,
            token_id=token_id or self.token_id,
            side=side,
            purpose=purpose or (Purpose.EXIT if side is Side.SELL else Purpose.ENTRY),
            time_in_force=time_in_force,
            post_only=False,
            shares=Decimal(shares),
            limit_price=Decimal(price),
            maker_amount=size if side is Side.SELL else usd,
            taker_amount=usd if side is Side.SELL else size,
            salt=attempt_salt(order, number),
            timestamp_ms=NOW_MS,
            expiration_s=0,
            tick=Decimal("0.01"),
            neg_risk=False,
            wallet=WALLET,
        )

    def order_row(
        self,
        order: OrderId,
        *,
        state: OrderState = OrderState.PLACING,
        attempt: int = 1,
        settled: int = 0,
        side: Side = Side.SELL,
        rule: RuleId | None = None,
        version: int | None = None,
        mode: Mode = Mode.PAPER,
    ) -> OrderRow:
        return OrderRow(
            order_id=order,
            account_id=self.account_id,
            host_workflow_id=f"rule/{rule}" if rule else f"order/{order}",
            rule_id=rule,
            venue=VENUE,
            mode=mode,
            market_id=self.market_id,
            token_id=self.token_id,
            side=side,
            purpose=Purpose.EXIT if side is Side.SELL else Purpose.ENTRY,
            time_in_force=TimeInForce.FAK,
            state=state,
            shares=Decimal(10),
            limit_price=Decimal("0.40"),
            attempt=attempt,
            settled_attempt=settled,
            filled_shares=Decimal(0),
            proceeds_usd=Decimal(0),
            fee_usd=Decimal(0),
            venue_order_id=None,
            detail="",
            version=version or self.next_version(),
        )

    def place(
        self, attempt: Attempt, *, settled: int | None = None, rule: RuleProjection | None = None
    ) -> PlaceOrder:
        """Ask for an attempt; the order's earlier attempts are settled unless told otherwise."""
        row = self.order_row(
            attempt.order_id,
            attempt=attempt.attempt,
            settled=attempt.attempt - 1 if settled is None else settled,
            side=attempt.side,
            rule=rule.rule.rule_id if rule else None,
            mode=attempt.mode,
        )
        return PlaceOrder(attempt=attempt, order=OrderProjection(order=row), rule=rule)

    async def claim(
        self, attempt: Attempt, *, settled: int | None = None, now_ms: int = NOW_MS
    ) -> ClaimAnswer:
        return await self.claims.claim(self.place(attempt, settled=settled), digest_of(attempt), now_ms)

    async def granted(self, attempt: Attempt) -> Granted:
        answer = await self.claim(attempt)
        assert isinstance(answer, Granted)
        return answer

    def definition(self, level: str = "0.40") -> RuleDefinition:
        return RuleDefinition(
            venue=VENUE,
            market_id=self.market_id,
            token_id=self.token_id,
            conditions=(StopLoss(price=Decimal(level)),),
        )

    def rule_projection(
        self,
        rule: RuleId,
        *,
        version: int | None = None,
        status: RuleStatus = RuleStatus.ACTIVE,
        phase: RulePhase = RulePhase.ARMED,
        armed: bool | None = True,
        generation: int = 1,
        events: tuple[EventRow, ...] = (),
        definition: RuleDefinition | None = None,
    ) -> RuleProjection:
        wanted = definition or self.definition()
        resolved = resolve(
            wanted, Decimal("0.50"), armed_at=START, opened_at=START, market_end=None, rules=PriceRules()
        )
        stamp = version or self.next_version()
        row = RuleRow(
            rule_id=rule,
            account_id=self.account_id,
            mode=Mode.PAPER,
            venue=VENUE,
            market_id=self.market_id,
            token_id=self.token_id,
            status=status,
            phase=phase,
            definition=wanted,
            resolved=resolved,
            sentence="Sells all shares when the display price falls to 0.40 or below.",
            generation=generation,
            episode=1,
            entry_price=Decimal("0.50"),
            fired=None,
            order_id=None,
            sold_shares=Decimal(0),
            residual_shares=Decimal(0),
            dust_shares=Decimal(0),
            proceeds_usd=Decimal(0),
            fee_usd=Decimal(0),
            detail="",
            fingerprint="f",
            version=stamp,
            created_at=START,
        )
        watch = None
        if armed is not None:
            watch = WatchRow(
                rule_id=rule,
                account_id=self.account_id,
                mode=Mode.PAPER,
                venue=VENUE,
                token_id=self.token_id,
                generation=generation,
                armed=armed,
                not_before_ms=None,
                resolved=resolved,
                shares=Decimal(10),
                version=stamp,
            )
        return RuleProjection(rule=row, watch=watch, events=events)

    def event(self, key: str, *, rule: RuleId | None = None, order: OrderId | None = None) -> EventRow:
        return EventRow(
            event_key=key,
            account_id=self.account_id,
            rule_id=rule,
            order_id=order,
            type="rule.armed",
            severity=Severity.INFO,
            message="armed",
            data={"level": "0.40"},
            at=START,
        )

    def fill(
        self,
        key: str,
        shares: str = "10",
        *,
        side: Side = Side.BUY,
        price: str = "0.50",
        state: FillState = FillState.CONFIRMED,
        venue_order_id: VenueOrderId | None = None,
        token_id: TokenId | None = None,
        minutes: int = 0,
    ) -> Fill:
        return Fill(
            fill_key=f"{self.token_id}:{key}",
            venue_order_id=venue_order_id or VenueOrderId(f"0xelsewhere-{key}"),
            market_id=self.market_id,
            token_id=token_id or self.token_id,
            side=side,
            shares=Decimal(shares),
            notional_usd=Decimal(shares) * Decimal(price),
            fee_usd=Decimal(0),
            state=state,
            traded_at=START + timedelta(minutes=minutes),
        )

    def venue_order(
        self,
        venue_order_id: VenueOrderId,
        status: VenueOrderStatus,
        matched: str,
        *,
        original: str = "10",
        side: Side = Side.SELL,
    ) -> VenueOrder:
        return VenueOrder(
            venue_order_id=venue_order_id,
            market_id=self.market_id,
            token_id=self.token_id,
            side=side,
            status=status,
            original_shares=Decimal(original),
            matched_shares=Decimal(matched),
            price=Decimal("0.40"),
            created_at=START,
        )

    async def book(self, *fills: Fill, orders: tuple[VenueOrder, ...] = ()) -> Booked:
        return await self.ledger.book(self.account_id, VENUE, Mode.PAPER, fills, orders)

    async def hold(self, shares: str, *, key: str = "buy", price: str = "0.50") -> None:
        await self.book(self.fill(key, shares, price=price))

    def ref(self, attempt: Attempt) -> OrderRef:
        return OrderRef(
            order_id=attempt.order_id,
            attempt=attempt.attempt,
            account_id=self.account_id,
            venue=VENUE,
            mode=attempt.mode,
            market_id=attempt.market_id,
            token_id=attempt.token_id,
            venue_order_id=digest_of(attempt),
        )

    def instrument(self, state: MarketState = MarketState.OPEN) -> Instrument:
        return Instrument(
            venue=VENUE,
            market_id=self.market_id,
            token_id=self.token_id,
            tick=Decimal("0.01"),
            min_shares=Decimal(5),
            neg_risk=False,
            state=state,
            fee_rate=Decimal("0.05"),
            question="Will it?",
            outcome="Yes",
        )

    def with_token(self) -> "Store":
        """The same account with another token."""
        return replace(self, token_id=TokenId(uuid.uuid4().hex), market_id=MarketId(f"0x{uuid.uuid4().hex}"))
