"""Claims: the reservation that precedes every send.

`place_order` asks for a claim in one Postgres transaction, under a lock on the position row. What the
answer is follows from the facts alone, and is decided here.
"""

from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum

from domain.breakers import OpenBreakers, ProbePace
from domain.ids import OrderId, VenueOrderId, hosted_rule
from domain.money import EXACT, from_micros, plain
from domain.orders import RESTING, Answer, AnswerKind, Attempt, MarketState, Mode, Purpose, Side

_SEND_AGAIN = frozenset({AnswerKind.TRANSIENT, AnswerKind.UNKNOWN})


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

    @property
    def may_be_sent(self) -> bool:
        """Whether these bytes may still be sent: no answer yet, or one that asks for the same bytes again."""
        return self.answer is None or self.answer.kind in _SEND_AGAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The attempt may be sent. With `resend` an earlier send began: look up before sending again.

    When `stored.may_be_sent` is False the answer is known: report it, nothing is sent. With `probes` a
    breaker is open and this send is its next probe, if no other takes that place first.
    """

    resend: bool
    stored: StoredClaim
    probes: bool = False


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


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsettledSell:
    """A sell claim that may still sell: an earlier one, of this or another order.

    Attributes:
        order_id: its order.
        reserved: shares that it may still take from the holding: its own less those booked (reversed fills
            count as not booked), never negative.
        resting: whether it stands in the book until filled or canceled (GTC, GTD).
        purpose: exit or entry.
        host: the workflow that follows the order, and the only place where it can be canceled.
    """

    order_id: OrderId
    reserved: Decimal
    resting: bool
    purpose: Purpose
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryLimits:
    """What an account allows of entries, and what it used today (UTC). USD; None means no limit."""

    max_order_usd: Decimal | None = None
    max_day_usd: Decimal | None = None
    max_day_orders: int | None = None
    max_exposure_usd: Decimal | None = None
    spent_today_usd: Decimal = Decimal(0)
    orders_today: int = 0
    exposure_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimFacts:
    """What one transaction reads under the lock of the position row.

    Attributes:
        held_shares: shares of the position by the ledger; may be negative.
        existing: the claim that already stands for this order id and attempt.
        unsettled: sell claims of this position that are not settled.
        kill_switch_global: the operator's switch for all accounts.
        kill_switch_account: the account's own switch.
        account_mode: the mode in which the account trades now.
        live_acknowledged: whether live trading was acknowledged for the account.
        account_enabled: whether the account may open anything.
        market_state: the market's state as last read.
        breakers: the breakers of the venue and of the account, as far as they are open.
        probe_pace: how often a send may probe while one is.
        limits: the limits of entries and what is used of them.
        now_ms: wall time, Unix milliseconds.
        send_until_ms: last moment at which a send may begin; None for exits.
    """

    held_shares: Decimal
    existing: StoredClaim | None
    unsettled: tuple[UnsettledSell, ...]
    kill_switch_global: KillSwitch
    kill_switch_account: KillSwitch
    account_mode: Mode
    live_acknowledged: bool
    account_enabled: bool
    market_state: MarketState
    limits: EntryLimits
    now_ms: int
    send_until_ms: int | None
    breakers: OpenBreakers = field(default_factory=OpenBreakers)
    probe_pace: ProbePace = field(default_factory=ProbePace)


def judge_claim(facts: ClaimFacts, attempt: Attempt, venue_order_id: VenueOrderId) -> ClaimAnswer:
    """Return whether `attempt` may be sent. It is granted as it is, reduced or refused, never altered.

    An attempt that stands already is not judged by shares, limits or the market again: its reservation holds
    from its first claim, and what it may have sold meanwhile is its own. Switches, mode, `send_until` and
    breakers are judged before every send.

    Args:
        facts: what the transaction read.
        attempt: the whole order.
        venue_order_id: the id that the venue will give these bytes (their digest).

    Returns:
        `Claimed` when other bytes stand for this order id and attempt; `Granted` with `resend` when these
        stand (also when their answer is known, see `StoredClaim.may_be_sent`); `Refused`; `Held` when
        resting sells that an exit may cancel hold its shares; `Reduced`; or `Granted`, whose `stored` is the
        claim to insert, with its first send counted.
    """
    existing = facts.existing
    if existing is not None and (existing.venue_order_id != venue_order_id or existing.attempt != attempt):
        return Claimed(stored=existing)
    if existing is not None and not existing.may_be_sent:
        return Granted(resend=True, stored=existing)
    refused = _send_refusal(facts, attempt)
    if refused is not None:
        return refused
    if existing is not None:
        return _paced(Granted(resend=True, stored=existing), facts, attempt)
    refused = _market_refusal(facts) or _limit_refusal(facts.limits, attempt)
    if refused is not None:
        return refused
    shortage = _shortage(facts, attempt)
    return (
        shortage
        if shortage is not None
        else _paced(granted(attempt, venue_order_id, facts.now_ms), facts, attempt)
    )


def only_reduces(attempt: Attempt) -> bool:
    """Say whether an attempt can only reduce a position, so that no limit of entries concerns it."""
    return attempt.purpose is Purpose.EXIT and attempt.side is Side.SELL


def granted(attempt: Attempt, venue_order_id: VenueOrderId, now_ms: int) -> Granted:
    """Return the grant of a first send, with the claim to insert."""
    stored = StoredClaim(
        attempt=attempt,
        venue_order_id=venue_order_id,
        posts=1,
        unknown_before=False,
        answer=None,
        last_post_at_ms=now_ms,
    )
    return Granted(resend=False, stored=stored)


def _send_refusal(facts: ClaimFacts, attempt: Attempt) -> Refused | None:
    """What forbids any send of this attempt now, the first or a repeated one."""
    switches = (facts.kill_switch_global, facts.kill_switch_account)
    if KillSwitch.ALL in switches:
        return Refused(refusal=ClaimRefusal.KILL_SWITCH, detail="the kill switch stops every send")
    if attempt.mode is Mode.LIVE and not facts.live_acknowledged:
        return Refused(
            refusal=ClaimRefusal.LIVE_NOT_ACKNOWLEDGED,
            detail="live trading is not acknowledged for this account",
        )
    if facts.send_until_ms is not None and facts.now_ms > facts.send_until_ms:
        return Refused(refusal=ClaimRefusal.SEND_UNTIL_PASSED, detail="too late to send this order")
    return None if only_reduces(attempt) else _entry_refusal(facts, attempt, KillSwitch.ENTRIES in switches)


def _entry_refusal(facts: ClaimFacts, attempt: Attempt, entries_stopped: bool) -> Refused | None:
    if entries_stopped:
        return Refused(refusal=ClaimRefusal.KILL_SWITCH, detail="the kill switch stops entries")
    if not facts.account_enabled:
        return Refused(refusal=ClaimRefusal.ACCOUNT_DISABLED, detail="the account is disabled")
    if attempt.mode is Mode.LIVE and facts.account_mode is not Mode.LIVE:
        # Exits of what was opened live stay alive; nothing new is opened with real money.
        return Refused(refusal=ClaimRefusal.LIVE_NOT_ACKNOWLEDGED, detail="the account is in paper mode now")
    return None


def _paced(grant: Granted, facts: ClaimFacts, attempt: Attempt) -> Granted | Refused:
    """Let a send pass while no breaker is in its way; else it probes, or waits."""
    open_breakers, pace = facts.breakers, facts.probe_pace
    if only_reduces(attempt):
        if open_breakers.pauses_exit(pace):
            return held_back(open_breakers, attempt)
        return replace(grant, probes=open_breakers.venue_idle_ms is not None)
    if open_breakers.pauses_entry(pace):
        return held_back(open_breakers, attempt)
    return replace(grant, probes=open_breakers.any)


def held_back(open_breakers: OpenBreakers, attempt: Attempt) -> Refused:
    """Return the refusal of a send that an open breaker does not let pass now."""
    whose = attempt.venue if open_breakers.venue_idle_ms is not None else f"this account at {attempt.venue}"
    what = "exits go out one at a time until one gets an answer" if only_reduces(attempt) else "entries pause"
    return Refused(refusal=ClaimRefusal.BREAKER_OPEN, detail=f"the breaker of {whose} is open: {what}")


def _market_refusal(facts: ClaimFacts) -> Refused | None:
    state = facts.market_state
    if state.is_final:
        return Refused(refusal=ClaimRefusal.MARKET_FINAL, detail=f"the market is {state}")
    if state is not MarketState.OPEN:
        return Refused(refusal=ClaimRefusal.NOT_ACCEPTING, detail=f"the market is {state}")
    return None


def _limit_refusal(limits: EntryLimits, attempt: Attempt) -> Refused | None:
    if only_reduces(attempt):
        return None
    order = from_micros(attempt.maker_amount if attempt.side is Side.BUY else attempt.taker_amount)
    checks = (
        ("an order", order, limits.max_order_usd),
        ("a day", EXACT.add(limits.spent_today_usd, order), limits.max_day_usd),
        ("exposure", EXACT.add(limits.exposure_usd, order), limits.max_exposure_usd),
    )
    for name, amount, limit in checks:
        if limit is not None and amount > limit:
            detail = f"{plain(amount)} USD is more than the limit of {name}, {plain(limit)} USD"
            return Refused(refusal=ClaimRefusal.ENTRY_LIMIT, detail=detail)
    if limits.max_day_orders is not None and limits.orders_today >= limits.max_day_orders:
        detail = f"{limits.orders_today} of {limits.max_day_orders} entries of the day are used"
        return Refused(refusal=ClaimRefusal.ENTRY_LIMIT, detail=detail)
    return None


def _shortage(facts: ClaimFacts, attempt: Attempt) -> Held | Reduced | None:
    """What a sell lacks: nothing, shares that resting sells hold, or shares that are not there."""
    if attempt.side is not Side.SELL:
        return None
    available = max(EXACT.subtract(facts.held_shares, _bound(facts.unsettled)), Decimal(0))
    if attempt.shares <= available:
        return None
    holders = _preempted(facts, attempt, available)
    return Held(order_ids=holders, available=available) if holders else Reduced(available=available)


def _preempted(facts: ClaimFacts, attempt: Attempt, available: Decimal) -> tuple[OrderId, ...]:
    """The fewest resting sells whose cancel gives an exit its shares; none when no cancel frees any.

    Only an exit that trades at once takes precedence, and never over another rule's exit: each of the two
    would cancel the other for ever. Largest reservations first; equal ones by id, so the answer is stable.
    """
    if not only_reduces(attempt) or attempt.time_in_force in RESTING:
        return ()
    holders = [
        sell
        for sell in facts.unsettled
        if sell.resting
        and sell.reserved > 0
        and sell.order_id != attempt.order_id
        and not (sell.purpose is Purpose.EXIT and hosted_rule(sell.host) is not None)
    ]
    wanted = min(attempt.shares, facts.held_shares)
    free = EXACT.subtract(facts.held_shares, _bound(facts.unsettled))
    chosen: list[OrderId] = []
    for sell in sorted(holders, key=lambda sell: (-sell.reserved, sell.order_id)):
        if free >= wanted:
            break
        free = EXACT.add(free, sell.reserved)
        chosen.append(sell.order_id)
    return tuple(chosen) if free > available else ()


def _bound(unsettled: tuple[UnsettledSell, ...]) -> Decimal:
    bound = Decimal(0)
    for sell in unsettled:
        bound = EXACT.add(bound, sell.reserved)
    return bound
