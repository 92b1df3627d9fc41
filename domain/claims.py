"""Claims: the reservation that precedes every send.

`place_order` asks for a claim in one Postgres transaction, under a lock on the position row. What the
answer is follows from the facts alone, and is decided here.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from domain.ids import OrderId, VenueOrderId
from domain.orders import Answer, Attempt


class KillSwitch(StrEnum):
    """The operator's switch: `entries` stops opening, `all` stops every send; cancels always pass."""

    OFF = "off"
    ENTRIES = "entries"
    ALL = "all"


class ClaimRefusal(StrEnum):
    """Why nothing may be sent now."""

    KILL_SWITCH = "kill_switch"
    BREAKER_OPEN = "breaker_open"
    MARKET_FINAL = "market_final"
    NOT_ACCEPTING = "not_accepting"
    ACCOUNT_DISABLED = "account_disabled"
    LIVE_NOT_ACKNOWLEDGED = "live_not_acknowledged"
    ENTRY_LIMIT = "entry_limit"
    SEND_UNTIL_PASSED = "send_until_passed"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredClaim:
    """A claim as it stands in Postgres. `posts` counts sends that began; `answer` is the latest known."""

    attempt: Attempt
    venue_order_id: VenueOrderId
    posts: int
    unknown_before: bool
    answer: Answer | None
    last_post_at_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The attempt may be sent. With `resend` an earlier send began: look up before sending again."""

    resend: bool
    stored: StoredClaim


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduced:
    """Fewer shares are free than the attempt wants: build again for `available` (may be zero)."""

    available: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Resting sells hold the shares: cancel these orders first. `available` is free without them."""

    order_ids: tuple[OrderId, ...]
    available: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A switch, limit or state forbids the send."""

    refusal: ClaimRefusal
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """Another digest stands for this order id and attempt: adopt the stored one."""

    stored: StoredClaim


ClaimAnswer = Granted | Reduced | Held | Refused | Claimed
