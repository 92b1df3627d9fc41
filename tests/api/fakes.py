"""Stand-ins behind the API's ports: a venue in memory, and workflows that only write their rows."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from pydantic import SecretStr

from activities.wallets import ask_wallets
from api.ports import Region
from api.starters import Started
from domain.errors import CredentialsMissing, UnknownToken, UnknownVenue
from domain.fills import Fill
from domain.ids import (
    AccountId,
    MarketId,
    OrderId,
    RuleId,
    TokenId,
    VenueOrderId,
    WalletId,
    order_workflow_id,
)
from domain.messages import (
    CancelOrder,
    CancelRule,
    Crossed,
    EventRow,
    OrderAnswer,
    OrderProjection,
    OrderStart,
    PatchRule,
    PositionChanged,
    RuleAnswer,
    RuleOutcome,
    RulePhase,
    RuleProjection,
    RuleRow,
    RuleStart,
    RuleStatus,
    Severity,
)
from domain.orders import (
    Answer,
    Attempt,
    Instrument,
    MarketState,
    Mode,
    OrderRow,
    OrderState,
    VenueOrder,
    WalletIdentity,
)
from domain.ports import AccountEvent, Balance, Book, CancelOutcome, HeldToken, MarketStream
from domain.quotes import Level, PriceRules
from domain.rules.crossing import Crossing
from domain.rules.definition import RuleDefinition
from domain.rules.levels import ResolvedRule, describe, resolve
from storage.repositories.projections import Projections

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
YES = TokenId("1001")
NO = TokenId("1002")
RESOLVED = TokenId("2001")
CLOSED = TokenId("2002")
BEHEMOTH = TokenId("3001")  # not held by anybody
MARKET = MarketId("0x" + "ab" * 32)
SIGNER = "0x" + "11" * 20
WALLET = WalletIdentity(
    wallet_id=WalletId("wal_test"), signer=SIGNER, funder=SIGNER, signature_type=0, chain_id=137
)

PAPER = replace(WALLET, wallet_id=WalletId("paper"), signer="paper", funder="paper", chain_id=0)


@dataclass
class FixedClock:
    """A clock that stands until it is moved."""

    time: datetime = NOW

    def now(self) -> datetime:
        return self.time

    def monotonic_ms(self) -> int:
        return int(self.time.timestamp() * 1000)


def instrument(token_id: TokenId, state: MarketState = MarketState.OPEN) -> Instrument:
    return Instrument(
        venue="polymarket",
        market_id=MARKET,
        token_id=token_id,
        tick=Decimal("0.01"),
        min_shares=Decimal(5),
        neg_risk=False,
        state=state,
        ends_at=NOW + timedelta(days=30),
        question="Will it hold?",
        outcome="Yes",
    )


def book(token_id: TokenId, bid: str, ask: str, last: str) -> Book:
    return Book(
        token_id=token_id,
        bids=(Level(Decimal(bid), Decimal(1000)),),
        asks=(Level(Decimal(ask), Decimal(1000)),),
        last=Decimal(last),
        tick=Decimal("0.01"),
        venue_timestamp_ms=None,
    )


@dataclass
class FakeMarket:
    """Public reads of a venue."""

    instruments: dict[str, Instrument] = field(
        default_factory=lambda: {
            YES: instrument(YES),
            NO: instrument(NO),
            RESOLVED: instrument(RESOLVED, MarketState.RESOLVED),
            CLOSED: instrument(CLOSED, MarketState.CLOSED),
            BEHEMOTH: instrument(BEHEMOTH),
        }
    )
    top: dict[str, Book] = field(
        default_factory=lambda: {token: book(token, "0.50", "0.52", "0.51") for token in (YES, NO, BEHEMOTH)}
    )
    failure: Exception | None = None
    book_failure: Exception | None = None
    books_read: int = 0
    skew_ms: int = 0

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure

    async def instrument(self, token_id: TokenId) -> Instrument:
        self._fail()
        if token_id not in self.instruments:
            raise UnknownToken
        return self.instruments[token_id]

    async def book(self, token_id: TokenId) -> Book:
        self._fail()
        self.books_read += 1
        if self.book_failure is not None:
            raise self.book_failure
        if token_id not in self.top:
            raise UnknownToken
        return self.top[token_id]

    async def books(self, token_ids: Sequence[TokenId]) -> Sequence[Book]:
        return [self.top[token] for token in token_ids]

    def stream(self) -> AbstractAsyncContextManager[MarketStream]:
        raise NotImplementedError

    async def server_time_ms(self) -> int:
        self._fail()
        return int(NOW.timestamp() * 1000) + self.skew_ms


@dataclass
class FakeSession:
    """One wallet's session at the venue, or an account's paper."""

    holdings: dict[str, Decimal] = field(default_factory=dict)
    cash: Balance = field(default_factory=lambda: Balance(amount=Decimal(100), allowance=Decimal(1_000_000)))
    only_closing: bool = False
    entries: dict[str, Decimal] = field(default_factory=dict)  # what the venue's index says was paid
    failure: Exception | None = None  # of whoever asks what it holds

    def venue_order_id(self, attempt: Attempt) -> VenueOrderId:
        return VenueOrderId(f"0x{attempt.salt:064x}")

    async def place(self, attempt: Attempt) -> Answer:
        raise NotImplementedError

    async def find_order(self, venue_order_id: VenueOrderId, market_id: MarketId) -> VenueOrder | None:
        return None

    async def cancel(self, venue_order_id: VenueOrderId) -> CancelOutcome:
        return CancelOutcome.CANCELED

    async def open_orders(self, token_id: TokenId | None = None) -> Sequence[VenueOrder]:
        return ()

    async def fills(self, *, after: datetime | None, market_id: MarketId | None = None) -> Sequence[Fill]:
        return ()

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure

    async def holding(self, token_id: TokenId) -> Balance:
        self._fail()
        return Balance(amount=self.holdings.get(token_id, Decimal(0)), allowance=Decimal(0))

    async def held_tokens(self) -> Sequence[HeldToken]:
        self._fail()
        return [
            HeldToken(
                market_id=MARKET,
                token_id=TokenId(token),
                shares=shares,
                average_entry=self.entries.get(token),
            )
            for token, shares in self.holdings.items()
        ]

    async def collateral(self) -> Balance:
        self._fail()
        return self.cash

    async def refresh_holding(self, token_id: TokenId) -> None:
        return None

    def events(self) -> AbstractAsyncContextManager[AsyncIterator[AccountEvent]]:
        raise NotImplementedError

    async def closed_only(self) -> bool:
        return self.only_closing


def wallet(number: int, account_id: AccountId) -> WalletIdentity:
    """Return an account's wallet; no two are alike."""
    return replace(
        WALLET,
        wallet_id=WalletId(f"wal_{account_id}_{number}"),
        funder=f"0x{number:08x}" + "11" * 16,
    )


@dataclass
class FakeVenues:
    """One venue called polymarket: for each account its paper, and the wallets that it was given."""

    market: FakeMarket = field(default_factory=FakeMarket)
    paper: dict[AccountId, FakeSession] = field(default_factory=dict)
    live: dict[AccountId, dict[WalletIdentity, FakeSession]] = field(default_factory=dict)

    def wallets_changed(self, account_id: AccountId, venue: str) -> None:
        """Nothing is cached here."""

    def give(self, account_id: AccountId, **holdings: str) -> FakeSession:
        """Give an account a new wallet, in use from now on, with holdings named `t<token>`; its session."""
        wallets = self.live.setdefault(account_id, {})
        session = FakeSession({name.removeprefix("t"): Decimal(held) for name, held in holdings.items()})
        wallets[wallet(len(wallets) + 1, account_id)] = session
        return session

    def market_data(self, venue: str) -> FakeMarket:
        if venue != "polymarket":
            raise UnknownVenue
        return self.market

    async def trading(
        self, account_id: AccountId, venue: str, mode: Mode, wallet_id: WalletId | None = None
    ) -> FakeSession:
        if mode is Mode.PAPER:
            return self._paper(account_id, venue)
        for identity, session in self._newest_first(account_id, venue):
            if wallet_id in (None, identity.wallet_id):
                return session
        raise CredentialsMissing

    async def sessions(self, account_id: AccountId, venue: str, mode: Mode) -> Sequence[FakeSession]:
        if mode is Mode.PAPER:
            return [self._paper(account_id, venue)]
        return [session for _, session in self._newest_first(account_id, venue)]

    async def wallet(
        self, account_id: AccountId, venue: str, mode: Mode, *, holding: TokenId | None = None
    ) -> WalletIdentity:
        if mode is Mode.PAPER:
            self.market_data(venue)
            return PAPER
        wallets = self._newest_first(account_id, venue)
        if holding is None:
            return wallets[0][0]
        asked = await ask_wallets(wallets, lambda pair: pair[1].holding(holding))
        return max(asked.given, key=lambda each: each[1].amount)[0][0]

    def _paper(self, account_id: AccountId, venue: str) -> FakeSession:
        self.market_data(venue)
        return self.paper.setdefault(account_id, FakeSession())

    def _newest_first(self, account_id: AccountId, venue: str) -> list[tuple[WalletIdentity, FakeSession]]:
        self.market_data(venue)
        wallets = self.live.get(account_id)
        if not wallets:
            raise CredentialsMissing
        return list(wallets.items())[::-1]


@dataclass
class FakeRegions:
    """The venue's word on where we are."""

    answer: Region | None = field(default_factory=lambda: Region(blocked=False, country="NL"))

    async def region(self, venue: str) -> Region | None:
        return self.answer


@dataclass
class FakeOpener:
    """Derives a wallet without asking anybody."""

    failure: Exception | None = None
    made: int = 0

    def identity(
        self, venue: str, private_key: SecretStr, *, signature_type: int, funder: str | None
    ) -> WalletIdentity:
        if venue != "polymarket":
            raise UnknownVenue
        return replace(
            WALLET, wallet_id=WalletId(""), signature_type=signature_type, funder=funder or WALLET.signer
        )

    async def api_document(self, venue: str, private_key: SecretStr) -> SecretStr:
        if self.failure is not None:
            raise self.failure
        self.made += 1
        return SecretStr(f'{{"api_key":"api-key-{self.made}","secret":"c2VjcmV0","passphrase":"passphrase"}}')


@dataclass
class FakeSignals:
    """Notes which streams and hosts were woken."""

    woken: list[AccountId] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    away: bool = False

    async def crossed(self, rule_id: str, crossed: Crossed) -> bool:
        return True

    async def order_update(self, host_workflow_id: str) -> bool:
        if self.away:
            raise ConnectionError
        self.updated.append(host_workflow_id)
        return True

    async def position_changed(self, rule_id: str, change: PositionChanged) -> bool:
        return True

    async def market_changed(self, rule_id: str, instrument: Instrument) -> bool:
        return True

    async def wake_stream(self, account_id: AccountId, venue: str, mode: Mode) -> None:
        if self.away:
            raise ConnectionError
        self.woken.append(account_id)

    async def adopt_order(self, start: OrderStart) -> None:
        return None


@dataclass
class FakeRules:
    """Rule workflows that write their rows, and end as they are told."""

    projections: Projections
    rows: dict[RuleId, RuleRow] = field(default_factory=dict)
    starts: list[RuleStart] = field(default_factory=list)
    failure: Exception | None = None
    no_worker: bool = False
    answer: RuleOutcome | None = None  # what patch and cancel come to, in place of done

    async def create_rule(self, start: RuleStart) -> Started:
        if self.failure is not None:
            raise self.failure
        self.starts.append(start)
        if self.no_worker:
            return Started.PENDING
        if start.rule_id in self.rows:
            return Started.CLOSED
        row = _armed(start)
        await self._write(row, _event(row))
        return Started.READY

    async def adopt_rule(self, start: RuleStart) -> Started:
        if self.failure is not None:
            raise self.failure
        self.starts.append(start)
        assert start.carry is not None
        if self.no_worker:
            return Started.PENDING
        row = replace(_armed(start), generation=start.carry.generation + 1, version=start.carry.version)
        await self._write(row)
        return Started.READY

    async def patch_rule(self, rule_id: RuleId, patch: PatchRule, key: str) -> RuleAnswer | None:
        row = self._row(rule_id)
        if row is None:
            return None
        if self.answer is not None:
            return _answer(row, self.answer)
        if patch.expected_version is not None and patch.expected_version != row.version:
            return _answer(row, RuleOutcome.VERSION_MISMATCH)
        resolved = _resolved(patch.definition, row.entry_price)
        changed = replace(
            row,
            definition=patch.definition,
            resolved=resolved,
            sentence=describe(resolved),
            generation=row.generation + 1,
        )
        return _answer(await self._write(changed), RuleOutcome.DONE)

    async def cancel_rule(self, rule_id: RuleId, cancel: CancelRule, key: str) -> RuleAnswer | None:
        row = self._row(rule_id)
        if row is None:
            return None
        if self.answer is not None:
            return _answer(row, self.answer)
        await self.end(rule_id, RuleStatus.CANCELED, "cancelled by its owner")
        return _answer(self.rows[rule_id], RuleOutcome.DONE)

    async def end(self, rule_id: RuleId, status: RuleStatus, detail: str = "") -> None:
        """Let a rule end."""
        await self._write(replace(self.rows[rule_id], status=status, phase=RulePhase.DONE, detail=detail))

    async def fire(
        self, rule_id: RuleId, crossing: Crossing | None = None, phase: RulePhase = RulePhase.EXITING
    ) -> None:
        """Let a rule's exit be under way."""
        row = self.rows[rule_id]
        row = replace(row, status=RuleStatus.TRIGGERED, phase=phase, fired=crossing)
        await self._write(row)

    async def orphan(self, rule_id: RuleId) -> None:
        """Lose a rule's workflow, as a termination by hand does."""
        row = self.rows[rule_id]
        await self._write(replace(row, phase=RulePhase.ORPHANED))
        del self.rows[rule_id]

    def _row(self, rule_id: RuleId) -> RuleRow | None:
        if self.failure is not None:
            raise self.failure
        return self.rows.get(rule_id)

    async def _write(self, row: RuleRow, *events: EventRow) -> RuleRow:
        newer = replace(row, version=row.version + 1)
        self.rows[row.rule_id] = newer
        await self.projections.apply(rule=RuleProjection(rule=newer, watch=None, events=events))
        return newer


def _resolved(definition: RuleDefinition, entry_price: Decimal | None) -> ResolvedRule:
    return resolve(
        definition,
        definition.entry_price or entry_price,
        armed_at=NOW,
        opened_at=None,
        market_end=None,
        rules=PriceRules(),
    )


def _armed(start: RuleStart) -> RuleRow:
    entry = start.definition.entry_price or start.holding.average_entry
    resolved = _resolved(start.definition, entry)
    return RuleRow(
        rule_id=start.rule_id,
        account_id=start.account_id,
        mode=start.mode,
        venue=start.venue,
        market_id=start.instrument.market_id,
        token_id=start.instrument.token_id,
        status=RuleStatus.ACTIVE,
        phase=RulePhase.ARMED,
        definition=start.definition,
        resolved=resolved,
        sentence=describe(resolved),
        generation=1,
        episode=start.holding.episode,
        entry_price=entry,
        fired=None,
        order_id=None,
        sold_shares=Decimal(0),
        residual_shares=Decimal(0),
        dust_shares=Decimal(0),
        proceeds_usd=Decimal(0),
        fee_usd=Decimal(0),
        detail="",
        fingerprint=start.fingerprint,
        version=0,
        created_at=start.created_at,
    )


def _event(row: RuleRow) -> EventRow:
    return EventRow(
        event_key="armed",
        account_id=row.account_id,
        rule_id=row.rule_id,
        order_id=None,
        type="rule.armed",
        severity=Severity.INFO,
        message=row.sentence,
        at=row.created_at,
    )


def _answer(row: RuleRow, outcome: RuleOutcome) -> RuleAnswer:
    return RuleAnswer(
        outcome=outcome,
        status=row.status,
        phase=row.phase,
        version=row.version,
        residual_shares=row.residual_shares,
    )


@dataclass
class FakeOrders:
    """Order workflows that write one row and rest."""

    projections: Projections
    rows: dict[OrderId, OrderRow] = field(default_factory=dict)
    starts: list[OrderStart] = field(default_factory=list)
    failure: Exception | None = None
    no_worker: bool = False

    async def create_order(self, start: OrderStart) -> Started:
        if self.failure is not None:
            raise self.failure
        self.starts.append(start)
        if self.no_worker:
            return Started.PENDING
        if start.order_id in self.rows:
            return Started.CLOSED
        await self.write(_row(start))
        return Started.PENDING

    async def cancel_order(self, order_id: OrderId, cancel: CancelOrder, key: str) -> OrderAnswer | None:
        if self.failure is not None:
            raise self.failure
        row = self.rows[order_id]
        await self.write(replace(row, state=OrderState.CANCELED, version=row.version + 1))
        return OrderAnswer(
            state=OrderState.CANCELED,
            filled_shares=Decimal(0),
            notional_usd=Decimal(0),
            fee_usd=Decimal(0),
            detail="requested",
        )

    async def write(self, row: OrderRow) -> None:
        """Write an order's row."""
        self.rows[row.order_id] = row
        await self.projections.apply(order=OrderProjection(order=row))


def _row(start: OrderStart) -> OrderRow:
    return OrderRow(
        order_id=start.order_id,
        account_id=start.account_id,
        host_workflow_id=order_workflow_id(start.order_id),
        rule_id=None,
        venue=start.venue,
        mode=start.mode,
        market_id=start.instrument.market_id,
        token_id=start.instrument.token_id,
        side=start.side,
        purpose=start.purpose,
        time_in_force=start.time_in_force,
        state=OrderState.RESTING,
        shares=start.shares or Decimal(0),
        limit_price=start.limit_price,
        attempt=1,
        settled_attempt=0,
        filled_shares=Decimal(0),
        proceeds_usd=Decimal(0),
        fee_usd=Decimal(0),
        venue_order_id=None,
        detail="",
        version=1,
    )


@dataclass
class FakeTemporal:
    """Whether Temporal answers."""

    well: bool = True

    async def reachable(self) -> bool:
        return self.well
