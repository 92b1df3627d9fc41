"""Messages between the API, the feed, the streams and the workflows: names and payloads.

Workflow ids are derived in `domain.ids`. Every workflow, signal, update and activity takes exactly one
of these values, so fields can be added with defaults while histories are in flight.
"""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from domain.ids import AccountId, MarketId, OrderId, RuleId, TokenId, VenueOrderId, WalletId
from domain.orders import (
    Answer,
    Attempt,
    Instrument,
    Mode,
    OrderRow,
    OrderState,
    Purpose,
    Side,
    TimeInForce,
    VenueOrderStatus,
    WalletHolding,
    WalletIdentity,
)
from domain.quotes import Ladder, Level
from domain.rules.crossing import Crossing
from domain.rules.definition import RuleDefinition
from domain.rules.levels import ResolvedRule

# Names on the wire. A workflow, signal or update is called by these alone.
RULE = "Rule"
ORDER = "Order"
MARKET_FEED = "MarketFeed"
ACCOUNT_STREAM = "AccountStream"
RECONCILE = "Reconcile"
HOLDINGS = "Holdings"

SIGNAL_CROSSED = "crossed"
SIGNAL_ORDER_UPDATE = "order_update"
SIGNAL_POSITION_CHANGED = "position_changed"
SIGNAL_MARKET_CHANGED = "market_changed"
SIGNAL_SHOW = "show"
SIGNAL_WAKE = "wake"
SIGNAL_SHARD = "shard"

UPDATE_CREATE = "create"
UPDATE_PATCH = "patch"
UPDATE_CANCEL = "cancel"

QUEUE_CORE = "core"
QUEUE_FEED = "feed"
QUEUE_FEED_STANDBY = "feed-standby"
QUEUE_IO = "io"


class RuleStatus(StrEnum):
    """A rule's public status."""

    ACTIVE = "ACTIVE"
    TRIGGERED = "TRIGGERED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    FAILED = "FAILED"


class RulePhase(StrEnum):
    """Where a rule stands within its status."""

    ARMING = "arming"
    ARMED = "armed"
    DECIDING = "deciding"
    EXITING = "exiting"
    WAITING = "waiting"
    BLOCKED = "blocked"
    ORPHANED = "orphaned"
    DONE = "done"


class Severity(StrEnum):
    """How loud an event is."""

    INFO = "info"
    WARNING = "warning"
    ALARM = "alarm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """Durations of workflows and their activities, from settings, fixed at the start. Milliseconds."""

    ladder_fresh_ms: int = 2_000
    fallback_ms: int = 1_000  # first look at a placed order when no signal came; doubles up to the cap
    fallback_cap_ms: int = 30_000
    retry_ms: int = 1_000  # first wait after a transient or unknown answer; doubles up to the cap
    retry_cap_ms: int = 30_000
    blocked_retry_ms: int = 30_000
    absent_settles_ms: int = 30_000
    unsettled_alarm_ms: int = 60_000
    attempts_before_alarm: int = 5
    place_start_to_close_ms: int = 4_000
    place_first_retry_ms: int = 200
    resting_cap_ms: int = 600_000  # longest pause between looks at an order that rests in the book
    rearm_ms: int = 1_000  # a crossing that came to nothing: so long nothing fires again
    slippage_points: str = "0.05"
    max_history_events: int = 0  # continue as new from here on; 0 leaves it to the server's suggestion


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What the ledger holds of the rule's token. `version` orders reports of it."""

    shares: Decimal
    average_entry: Decimal | None
    opened_at: datetime | None
    episode: int
    unconfirmed_shares: Decimal
    version: int


# 1: the search attributes follow the order, instead of going before it
# 2: an exit looks for claims that its history forgot, before it ends; it shows its rows when asked; a rule
#    ends when its market is resolved
# 3: the ladder has a time of its own; an answer brings what is booked
# 4: a rule with nothing to sell counts what exits sold that its history forgot; signals put off no look-up
# 5: a target waits a while for shares that another order binds; an exit leaves the next position alone, and
#    waits for the venue's word on what others sold; nothing is due by time while a followed token is not held
# 6: a new run, and an adopted rule, read again what the exits before them sold; a target that did not fill
#    is over when its position is gone by then; the kill switch uses up none of its looks for its shares
# 7: a position that the ledger numbers anew is the same one; no new run begins while a request waits for its
#    answer; an exit that left dust ends with its confirmation; nothing is due by time before a position is
#    held, and its age counts from its opening
# 8: the pause between look-ups is a timer that signals leave alone
# 9: an exit whose bytes may be out sends them again once the kill switch is lifted
RULE_REVISION = 9
# 1, 2, 3: the same for orders as 2, 3, 4 for rules; 4: as 7 with requests that wait; 5, 6: as 8, 9
ORDER_REVISION = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleStart:
    """Input of a `Rule` workflow: the definition is here, the `create` update only waits for arming."""

    rule_id: RuleId
    account_id: AccountId
    mode: Mode
    venue: str
    definition: RuleDefinition
    fingerprint: str
    instrument: Instrument
    wallet: WalletIdentity
    holding: Holding
    created_at: datetime
    tuning: Tuning = field(default_factory=Tuning)
    revision: int = 0  # of the rule's commands; a history replays by the one that it began with
    carry: "RuleCarry | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossed:
    """Signal `crossed`: the crossing and the feed's own ladder of the side that the exit sells into.

    `ladder_at_ms` is when the ladder stood so, Unix time; None: when the level was reached.
    """

    crossing: Crossing
    ladder: Ladder
    ladder_at_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionChanged:
    """Signal `position_changed`: what is held now."""

    holding: Holding


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRule:
    """Update `create`."""

    account_id: AccountId
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchRule:
    """Update `patch`: the whole new definition, already validated against what may change."""

    account_id: AccountId
    definition: RuleDefinition
    expected_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRule:
    """Update `cancel`."""

    account_id: AccountId
    reason: str = "requested"


class RuleOutcome(StrEnum):
    """How an update on a rule came out; races are named, never hidden."""

    DONE = "done"
    CROSSING_WON = "crossing_won"  # the rule had fired: nothing was changed
    CANCELED_WITH_RESIDUAL = "canceled_with_residual"
    ALREADY_FINISHED = "already_finished"
    VERSION_MISMATCH = "version_mismatch"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleAnswer:
    """Answer of every update on a rule, and the workflow's result. Shares and USD over all its exits."""

    outcome: RuleOutcome
    status: RuleStatus
    phase: RulePhase
    version: int
    detail: str = ""
    residual_shares: Decimal = Decimal(0)
    sold_shares: Decimal = Decimal(0)
    proceeds_usd: Decimal = Decimal(0)
    fee_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRow:
    """The projection of a rule: written by its own workflow's activities, guarded by `version`."""

    rule_id: RuleId
    account_id: AccountId
    mode: Mode
    venue: str
    market_id: MarketId
    token_id: TokenId
    status: RuleStatus
    phase: RulePhase
    definition: RuleDefinition
    resolved: ResolvedRule | None
    sentence: str
    generation: int
    episode: int
    entry_price: Decimal | None
    fired: Crossing | None
    order_id: OrderId | None
    sold_shares: Decimal
    residual_shares: Decimal
    dust_shares: Decimal
    proceeds_usd: Decimal
    fee_usd: Decimal
    detail: str
    fingerprint: str
    version: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRow:
    """What the feed watches for a rule; `armed` False takes it out of the index."""

    rule_id: RuleId
    account_id: AccountId
    mode: Mode
    venue: str
    token_id: TokenId
    generation: int
    armed: bool
    not_before_ms: int | None
    resolved: ResolvedRule
    shares: Decimal
    version: int
    marks_from: int = 0  # marks of earlier generations belong to a former position


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """One line of the append-only event log; unique by subject and `event_key`."""

    event_key: str
    account_id: AccountId
    rule_id: RuleId | None
    order_id: OrderId | None
    type: str
    severity: Severity
    message: str
    data: dict[str, str] = field(default_factory=dict[str, str])
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleProjection:
    """Everything one step of a rule writes, in one transaction."""

    rule: RuleRow
    watch: WatchRow | None
    events: tuple[EventRow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderProjection:
    """Everything one step of an order writes, in one transaction."""

    order: OrderRow
    events: tuple[EventRow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOrder:
    """Argument of `place_order`. The projections are written in the claim's own transaction."""

    attempt: Attempt
    order: OrderProjection
    rule: RuleProjection | None = None
    send_until_ms: int | None = None


class PlaceKind(StrEnum):
    """What `place_order` came to."""

    ANSWERED = "answered"
    REDUCED = "reduced"
    HELD = "held"
    REFUSED = "refused"
    ADOPTED = "adopted"  # another digest stands for this attempt: follow that one


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceResult:
    """Result of `place_order`.

    `unknown_before` is True when an earlier send of this attempt may have reached the venue; a definite
    refusal then settles nothing. `posts` counts sends of this attempt over all tries. `facts` is what the
    ledger had when the venue's answer was in: nobody tells the host of what was booked before. `turn_ms` is
    after what time an exit that an open breaker holds should try again, by how many others wait.
    """

    kind: PlaceKind
    venue_order_id: VenueOrderId | None = None
    answer: Answer | None = None
    unknown_before: bool = False
    posts: int = 0
    last_post_at_ms: int | None = None
    available: Decimal | None = None
    held_by: tuple[OrderId, ...] = ()
    refusal: str | None = None
    detail: str = ""
    adopted: Attempt | None = None
    facts: "OrderFacts | None" = None
    turn_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRef:
    """Names one attempt at the venue."""

    order_id: OrderId
    attempt: int
    account_id: AccountId
    venue: str
    mode: Mode
    market_id: MarketId
    token_id: TokenId
    venue_order_id: VenueOrderId
    placed_at_ms: int = 0
    wallet_id: WalletId | None = None  # whose key signed the attempt; None: the account's present wallet


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFacts:
    """What is known of an attempt: the venue's word and the ledger's sums. Shares and USD."""

    venue_status: VenueOrderStatus | None
    venue_matched_shares: Decimal
    booked_shares: Decimal  # without reversed fills
    reversed_shares: Decimal
    unconfirmed_shares: Decimal
    notional_usd: Decimal
    fee_usd: Decimal
    looked_up: bool  # the venue was asked just now (not only the ledger)
    holding: Holding | None = None
    blocked: str = ""  # why the venue cannot be asked before a person acted
    at_ms: int = 0  # when this was read, Unix time; 0 in histories of before

    @property
    def settled(self) -> bool:
        """Rule (a): the venue shows it terminal and fills for its matched size are booked."""
        return (
            self.venue_status is not None
            and self.venue_status.is_terminal
            and self.booked_shares + self.reversed_shares >= self.venue_matched_shares
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshRead:
    """Result of `read_market`: what a later attempt is built from."""

    instrument: Instrument
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    last: Decimal | None
    holding: Holding
    holder: WalletHolding | None = None  # who holds most of the token, where that was asked


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderStart:
    """Input of an `Order` workflow: a manual order, a plan's leg, or an exit that lost its host."""

    order_id: OrderId
    account_id: AccountId
    mode: Mode
    venue: str
    instrument: Instrument
    wallet: WalletIdentity
    side: Side
    purpose: Purpose
    time_in_force: TimeInForce
    shares: Decimal | None  # None with budget_usd
    budget_usd: Decimal | None
    limit_price: Decimal
    post_only: bool = False
    expires_at: datetime | None = None
    send_within_ms: int | None = None
    adopts: bool = False  # an exit that lost its host: worked until nothing of `shares` is left
    fingerprint: str = ""
    created_at: datetime | None = None
    tuning: Tuning = field(default_factory=Tuning)
    revision: int = 0  # of the order's commands; a history replays by the one that it began with
    carry: "ExecutionCarry | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadMarket:
    """Argument of `read_market`.

    Attributes:
        holder: whether to ask, too, which of the account's wallets can sell most of the token.
    """

    account_id: AccountId
    venue: str
    mode: Mode
    market_id: MarketId
    token_id: TokenId
    holder: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowOrder:
    """Argument of `follow_order`. With `look_up` the venue is asked and its answer booked first."""

    ref: OrderRef
    look_up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseShares:
    """Argument of `release_shares`: cancel the resting sells of a token that stand in an exit's way.

    `held_by` names our own orders that hold the shares. When it is empty the venue said that the balance is
    short: its cache is refreshed, and what rests there is cancelled only if it covers the balance.
    """

    account_id: AccountId
    venue: str
    mode: Mode
    market_id: MarketId
    token_id: TokenId
    for_order_id: OrderId
    held_by: tuple[OrderId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallOrder:
    """Argument of `recall_order`: which attempts of this order stand as claims already."""

    order_id: OrderId


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallSales:
    """Argument of `recall_sales`: what exits of a rule sold that began behind this generation."""

    rule_id: RuleId
    host_workflow_id: str
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgottenSales:
    """Result of `recall_sales`, from the ledger. What the venue took back does not count."""

    shares: Decimal
    proceeds_usd: Decimal
    fee_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedAttempt:
    """An attempt that stands as a claim; `settled` when nothing of it can reach the book any more."""

    attempt: Attempt
    venue_order_id: VenueOrderId
    settled: bool
    last_post_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecalledOrder:
    """Result of `recall_order`: the claimed attempts, oldest first."""

    claims: tuple[ClaimedAttempt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """Argument of `project`: rows and events of one step, applied in one transaction."""

    rule: RuleProjection | None = None
    order: OrderProjection | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionCarry:
    """What an execution hands over when its workflow continues as new.

    `filled_shares`, `notional_usd` and `fee_usd` are final: they are without the carried attempts.
    """

    order_id: OrderId
    settled_attempt: int
    version: int
    fruitless: int
    filled_shares: Decimal
    notional_usd: Decimal
    fee_usd: Decimal
    attempts: tuple[ClaimedAttempt, ...] = ()
    alarmed: tuple[str, ...] = ()
    cancel_requested: bool = False
    dust_shares: Decimal | None = None  # what was left when only the confirmation was awaited
    told: tuple[tuple[str, int], ...] = ()  # how many events of each kind


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleCarry:
    """What a rule hands over when it continues as new, armed or in the middle of its exit.

    The sums are those of exits of earlier generations. `crossings` wait to be judged, `cancel` is the reason
    of a cancel that is not done yet.
    """

    generation: int
    version: int
    episode: int
    holding: Holding
    instrument: Instrument
    definition: RuleDefinition
    sold_shares: Decimal
    proceeds_usd: Decimal
    fee_usd: Decimal
    armed_at: datetime
    not_before_ms: int | None = None
    fired: Crossing | None = None
    consumed: tuple[int, int] | None = None
    marks_from: int = 0
    targets_need_bid: bool = False  # a firing found that the book did not pay the level
    opened_at: datetime | None = None  # of the episode; None: not known, or not carried then
    exit: ExecutionCarry | None = None
    former: tuple[ExecutionCarry, ...] = ()
    crossings: tuple[Crossed, ...] = ()
    cancel: str = ""
    told: tuple[tuple[str, int], ...] = ()  # how many events of each kind
    adopts: bool = False  # the former workflow is gone: its exit is looked for, else the rule arms anew


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedShard:
    """Input of `MarketFeed` and its activity: tokens whose hash falls on `shard` of `shards`.

    Attributes:
        replica: 0 for the first feed of the shard, above for its standbys.
        revision: Unix microseconds at which the layout was asked for; of two layouts the newer one counts.
        standby_moves_after_ms: how long a standby goes on in the former layout.
    """

    venue: str
    shard: int = 0
    shards: int = 1
    replica: int = 0
    revision: int = 0
    heartbeat_ms: int = 3_000
    retry_cap_ms: int = 1_000
    standby_moves_after_ms: int = 15_000

    @property
    def is_in_its_layout(self) -> bool:
        """Whether there is such a shard; the feed of one that is no more ends."""
        return self.shard < self.shards


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStart:
    """Input of `AccountStream` and its activity."""

    account_id: AccountId
    venue: str
    mode: Mode
    heartbeat_ms: int = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrder:
    """Update `cancel` of an order."""

    account_id: AccountId


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAnswer:
    """How an order stands or ended. Shares and USD."""

    state: OrderState
    filled_shares: Decimal
    notional_usd: Decimal
    fee_usd: Decimal
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileReport:
    """What one pass of `Reconcile` did."""

    streams_woken: int = 0
    positions_told: int = 0  # rules that had not heard of what is held
    orphaned_rules: int = 0  # open rules whose workflow is gone, those of earlier passes included
    swept_crossings: int = 0

    @property
    def story(self) -> str:
        """The pass in a sentence."""
        return (
            f"{self.streams_woken} streams woken, {self.positions_told} rules told of their position, "
            f"{self.orphaned_rules} orphaned rules, {self.swept_crossings} crossings found by the sweep"
        )
