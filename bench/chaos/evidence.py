"""What the three ledgers say at the end of a run, as plain values: the audit's only food."""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from bench.chaos.plan import ConditionPlan, Source


@dataclass(frozen=True, slots=True)
class Sight:
    """A quote that stood on the venue's tape from a moment on (Unix milliseconds); None is an empty side."""

    at_ms: int
    bid: Decimal | None
    ask: Decimal | None
    last: Decimal | None


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, Unix milliseconds."""

    from_ms: int
    to_ms: int

    def holds(self, at_ms: int) -> bool:
        """Say whether a moment lies within."""
        return self.from_ms <= at_ms <= self.to_ms

    def touches(self, other: "Span") -> bool:
        """Say whether a moment lies within both."""
        return self.from_ms <= other.to_ms and other.from_ms <= self.to_ms


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Something that may delay a POST.

    Attributes:
        span: From when to when it was on.
        what: In words.
        felt_until_ms: Until when an exit that is crossed may still meet what it left behind.
        apart: The product cannot help it (a fault of the venue, an open breaker, a switch that an operator
            threw): the time for which it was on does not count. Else it is a blow, such as a kill, after
            which the product has to recover from its first moment on.
        rule_id: The only rule that it concerns; None concerns all.
        account_id: The only account that it concerns; None concerns all.
    """

    span: Span
    what: str
    felt_until_ms: int
    apart: bool = False
    rule_id: str | None = None
    account_id: str | None = None


NOT_FOUND = "NOT_FOUND"
"""The status of a workflow of which Temporal knows nothing."""
MISSING = "MISSING"
"""The status of a rule of which Postgres knows nothing."""


@dataclass(frozen=True, slots=True)
class Result:
    """A rule's workflow: how Temporal shows it, and what it returned (None while it runs)."""

    workflow_status: str
    status: str | None = None
    sold_shares: Decimal | None = None


class Touch(StrEnum):
    """Who changed a rule's fate from outside."""

    NONE = "none"
    ASKED_TO_CANCEL = "asked_to_cancel"  # no clear answer came: it may have arrived
    CANCELED = "canceled"  # the answer said that it was
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleEvidence:
    """One armed rule.

    Attributes:
        versions: Its condition lists, the first as armed, further ones as patched; `at_ms` is Unix time.
        touch: What a person did to it.
        patched_at_ms: When the answer said that its last version replaced the others; None: none said so.
        status, phase, detail, sold_shares: Its row in Postgres; one that vanished is `MISSING`.
        result: Its workflow.
    """

    rule_id: str
    account_id: str
    token_id: str
    versions: tuple[tuple[ConditionPlan, ...], ...]
    amount: Decimal | None
    source: Source
    armed_at_ms: int
    touch: Touch
    patched_at_ms: int | None = None
    status: str
    phase: str
    detail: str
    sold_shares: Decimal
    result: Result


@dataclass(frozen=True, slots=True)
class Holder:
    """An account with its wallet: USD at the start, and what the venue says it has now."""

    account_id: str
    address: str
    start_usd: Decimal
    collateral: Decimal
    tokens: dict[str, Decimal]


@dataclass(frozen=True, slots=True)
class Post:
    """One POST of an order that arrived at the venue."""

    at_ms: int
    venue_order_id: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Sent:
    """One POST of an exit: when it arrived at the venue, of which signed order, and what came of it."""

    at_ms: int
    order_id: str
    venue_order_id: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Traded:
    """What an order got at the venue by trades that stand. Shares, USD and fee."""

    shares: Decimal = Decimal(0)
    usd: Decimal = Decimal(0)
    fee: Decimal = Decimal(0)

    def __add__(self, other: "Traded") -> "Traded":
        return Traded(self.shares + other.shares, self.usd + other.usd, self.fee + other.fee)


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueOrder:
    """An order that the venue registered."""

    venue_order_id: str
    address: str
    token_id: str
    side: str
    open: bool
    traded: Traded


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An attempt as Postgres keeps it, with the rule whose exit it belongs to."""

    order_id: str
    attempt: int
    venue_order_id: str
    rule_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRow:
    """An order's row in Postgres."""

    order_id: str
    rule_id: str | None
    state: str
    resting: bool
    traded: Traded


@dataclass(frozen=True, slots=True)
class HoldingRow:
    """A position's row in Postgres."""

    account_id: str
    token_id: str
    shares: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that is audited.

    Attributes:
        seed: Of the run.
        began_ms, ended_ms: When prices began to move and when they stopped; 0 where nobody asks.
        until_ms: When the ledgers were read.
        tapes: Quotes of each token as the venue showed them.
        gaps: When the feed could not see (restarts, cut sockets).
        disturbances: What may have delayed POSTs.
        fills: Standing fills of the fills ledger, summed by venue order.
        silences: When the kill switch forbade every send.
        prints: Moments and prices of trades of each token at the venue.
        fallen: Parts that were down by themselves, and when.
        told: The types of the events of each rule.
        running_orders: Orders whose own workflow runs.
    """

    seed: int
    until_ms: int
    tapes: dict[str, tuple[Sight, ...]]
    gaps: tuple[Span, ...]
    disturbances: tuple[Disturbance, ...]
    holders: tuple[Holder, ...]
    rules: tuple[RuleEvidence, ...]
    posts: tuple[Post, ...]
    venue_orders: tuple[VenueOrder, ...]
    claims: tuple[Claim, ...]
    order_rows: tuple[OrderRow, ...]
    holdings: tuple[HoldingRow, ...]
    fills: dict[str, Traded]
    silences: tuple[Span, ...] = ()
    began_ms: int = 0
    ended_ms: int = 0
    fallen: tuple[tuple[str, Span], ...] = ()
    prints: dict[str, tuple[tuple[int, Decimal], ...]] = field(
        default_factory=dict[str, tuple[tuple[int, Decimal], ...]]
    )
    told: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    running_orders: frozenset[str] = frozenset()
