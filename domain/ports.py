"""Ports: what the outside must offer. Concrete classes are named in `runtime/build.py` alone."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from domain.fills import Fill
from domain.ids import AccountId, MarketId, RuleId, TokenId, VenueOrderId, WalletId
from domain.messages import Crossed, OrderStart, PositionChanged
from domain.orders import Answer, Attempt, Instrument, Mode, Side, VenueOrder, WalletIdentity
from domain.quotes import Level, Quote


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """A token's book from REST or socket: levels best first, with the quote they amount to.

    `venue_timestamp_ms` orders frames and shows skew; it never makes a quote fresh.
    """

    token_id: TokenId
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    last: Decimal | None
    tick: Decimal | None
    venue_timestamp_ms: int | None

    @property
    def quote(self) -> Quote:
        """The top of the book and the last trade."""
        return Quote(
            bid=self.bids[0].price if self.bids else None,
            ask=self.asks[0].price if self.asks else None,
            last=self.last,
        )


class MarketEventKind(StrEnum):
    """What a market socket's frame means for one token."""

    QUOTE = "quote"
    TICK = "tick"  # the tick changed: read the instrument again
    STATE = "state"  # the market's state changed (resolved, closed): read the instrument again
    DESYNC = "desync"  # the local book can no longer be trusted: read the book again
    GAP = "gap"  # the socket was lost and is back: read every book again


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketTrade:
    """A public trade as the market socket tells it; it has no id.

    `taker` is the side of the order that came: a BUY took asks, a SELL took bids.
    """

    price: Decimal
    shares: Decimal
    taker: Side
    venue_timestamp_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LostSocket:
    """The tokens of a socket that was lost and is back, and when it was last heard (local monotonic)."""

    tokens: frozenset[TokenId]
    heard_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketEvent:
    """One token's change out of one frame; a frame yields each touched token once, with its end state.

    `trades` are those of the frame, in its order; an event without a QUOTE has none. `lost` is what a GAP is
    about; without it, every token from an unknown time on.
    """

    kind: MarketEventKind
    token_id: TokenId | None
    quote: Quote | None
    venue_timestamp_ms: int | None
    received_ms: int  # local monotonic clock
    trades: tuple[MarketTrade, ...] = ()
    lost: LostSocket | None = None


class MarketStream(Protocol):
    """A reconnecting market socket (or several) for a changing set of tokens."""

    async def subscribe(self, tokens: Collection[TokenId]) -> None:
        """Add tokens; their first event carries the venue's book."""
        ...

    async def unsubscribe(self, tokens: Collection[TokenId]) -> None:
        """Drop tokens."""
        ...

    async def resubscribe(self, tokens: Collection[TokenId]) -> None:
        """Drop and add again, on a new socket: what silence calls for."""
        ...

    def ladder(self, token_id: TokenId, depth: int) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """Return the local book's best bids and asks, at most `depth` each."""
        ...

    def replace_book(self, book: Book) -> None:
        """Take a REST book as the local book (after a desync or a gap)."""
        ...

    @property
    def connected(self) -> bool:
        """Whether every socket stands."""
        ...

    def events(self) -> AsyncIterator[Sequence[MarketEvent]]:
        """Yield the events of each frame, in order, for ever; reconnects by itself."""
        ...


class MarketData(Protocol):
    """Public reads of one venue. Errors: `VenueError` leaves of `domain.errors`."""

    async def instrument(self, token_id: TokenId) -> Instrument:
        """Return what the token trades by. Raises UnknownToken."""
        ...

    async def book(self, token_id: TokenId) -> Book:
        """Return the token's book."""
        ...

    async def books(self, token_ids: Sequence[TokenId]) -> Sequence[Book]:
        """Return several books in few requests."""
        ...

    def stream(self) -> AbstractAsyncContextManager[MarketStream]:
        """Open a market socket; closed on exit."""
        ...

    async def server_time_ms(self) -> int:
        """Return the venue's clock in Unix milliseconds."""
        ...


class CancelOutcome(StrEnum):
    """What a cancel came to; the filled amount is read afterwards, since the answer has none."""

    CANCELED = "canceled"
    ALREADY_TERMINAL = "already_terminal"
    NOT_FOUND = "not_found"
    NOT_CANCELABLE = "not_cancelable"  # held by the venue for a moment: try again


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """The venue's view of a holding (shares) or of the collateral (USD), and the allowance."""

    amount: Decimal
    allowance: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldToken:
    """A holding that the venue's own index shows, wherever it was bought; the index may lag."""

    market_id: MarketId
    token_id: TokenId
    shares: Decimal
    average_entry: Decimal | None


class AccountEventKind(StrEnum):
    """What a user socket's frame carries."""

    ORDER = "order"
    FILL = "fill"
    GAP = "gap"  # the socket was lost and is back: sweep by REST


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountEvent:
    """One fact from the user socket."""

    kind: AccountEventKind
    order: VenueOrder | None = None
    fill: Fill | None = None


class Trading(Protocol):
    """One account's session at one venue in one mode."""

    def venue_order_id(self, attempt: Attempt) -> VenueOrderId:
        """Return the id that the venue will give this attempt; a pure function of it."""
        ...

    def prepare(self, attempt: Attempt) -> None:
        """Do ahead what `place` needs the processor for; it does it itself where this was not called."""
        ...

    async def place(self, attempt: Attempt) -> Answer:
        """Sign and post once. Never raises for an answer of the venue or a network failure."""
        ...

    async def find_order(self, venue_order_id: VenueOrderId, market_id: MarketId) -> VenueOrder | None:
        """Return what the venue knows of an order (single look-up, list, trades), or None."""
        ...

    async def cancel(self, venue_order_id: VenueOrderId) -> CancelOutcome:
        """Cancel one order; repeating it is harmless."""
        ...

    async def cancel_many(
        self, venue_order_ids: Sequence[VenueOrderId]
    ) -> Mapping[VenueOrderId, CancelOutcome]:
        """Cancel several orders, in few requests where the venue can; an outcome for each of them."""
        ...

    async def open_orders(self, token_id: TokenId | None = None) -> Sequence[VenueOrder]:
        """Return the account's live orders."""
        ...

    async def fills(self, *, after: datetime | None, market_id: MarketId | None = None) -> Sequence[Fill]:
        """Return the account's fills since a time, in every state."""
        ...

    async def holding(self, token_id: TokenId) -> Balance:
        """Return the shares of a token that the venue sees."""
        ...

    async def collateral(self) -> Balance:
        """Return the USD that the venue sees."""
        ...

    async def held_tokens(self) -> Sequence[HeldToken]:
        """Return every holding that the venue lists; what is missing there may be held all the same."""
        ...

    async def refresh_holding(self, token_id: TokenId) -> None:
        """Ask the venue to refresh its cache of the chain for this token."""
        ...

    def events(self) -> AbstractAsyncContextManager[AsyncIterator[AccountEvent]]:
        """Open the user socket; reconnects by itself, announcing gaps."""
        ...


class Venues(Protocol):
    """The registry of venues as activities see it."""

    def market_data(self, venue: str) -> MarketData:
        """Return the public reads of a venue. Raises UnknownVenue."""
        ...

    async def trading(
        self, account_id: AccountId, venue: str, mode: Mode, wallet_id: WalletId | None = None
    ) -> Trading:
        """Return an account's session with one of its wallets; credentials are cached 60 s.

        An order in flight goes on with the wallet that signed it; without a `wallet_id` the session is that
        of new orders. Raises CredentialsMissing.
        """
        ...

    async def sessions(self, account_id: AccountId, venue: str, mode: Mode) -> Sequence[Trading]:
        """Return a session for each wallet of the account that can trade, the one of new orders first.

        Raises CredentialsMissing when that one has no credentials.
        """
        ...

    async def wallet(
        self, account_id: AccountId, venue: str, mode: Mode, *, holding: TokenId | None = None
    ) -> WalletIdentity:
        """Return the public identity that orders of this account are signed for.

        What sells a token names it as `holding`: of several wallets the one that holds most of it signs,
        the newest where none holds any.
        """
        ...

    def wallets_changed(self, account_id: AccountId, venue: str) -> None:
        """Take in that an account's wallets are others now; what this process knows of them is old."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Where a venue sees this server, and whether it may trade from there."""

    blocked: bool
    country: str


class Clock(Protocol):
    """Time for activities and the API; workflows use Temporal's."""

    def now(self) -> datetime:
        """Return the aware UTC wall time."""
        ...

    def monotonic_ms(self) -> int:
        """Return the local monotonic clock in milliseconds."""
        ...


class Signals(Protocol):
    """Messages to workflows, by name. Implemented over Temporal in `runtime/temporal_signals.py`."""

    async def crossed(self, rule_id: str, crossed: Crossed) -> bool:
        """Deliver a crossing durably; False when the rule's workflow is closed or unknown."""
        ...

    async def order_update(self, host_workflow_id: str) -> bool:
        """Tell a host that facts about its orders were booked; False when it is closed or unknown."""
        ...

    async def position_changed(self, rule_id: str, change: PositionChanged) -> bool:
        """Tell a rule what is held now."""
        ...

    async def market_changed(self, rule_id: str, instrument: Instrument) -> bool:
        """Tell a rule what its token trades by now."""
        ...

    async def wake_stream(self, account_id: AccountId, venue: str, mode: Mode) -> None:
        """Signal-with-start the account's stream."""
        ...

    async def adopt_order(self, start: OrderStart) -> None:
        """Start an order workflow that takes up what no living host follows."""
        ...


class RuleWorkflows(Protocol):
    """Which rules are alive in Temporal. Every method raises ConnectionError while Temporal is away."""

    async def running_rules(self) -> Collection[RuleId]:
        """Return the rules whose workflow runs, by an index that may lag a little behind."""
        ...

    async def rule_end(self, rule_id: RuleId) -> str | None:
        """Return how the rule's workflow ended, in a word, by Temporal's own state; None while it runs."""
        ...

    async def show_rule(self, rule_id: RuleId) -> bool:
        """Ask a rule to write its rows again; False when its workflow is closed or unknown."""
        ...

    async def cancel_rule(self, rule_id: RuleId) -> bool:
        """Ask a rule to cancel, without waiting for it; False when its workflow is unknown."""
        ...

    async def look_after_exit(self, rule_id: RuleId) -> bool:
        """Tell a rule to look at what its orders came to; False when its workflow is closed or unknown."""
        ...
