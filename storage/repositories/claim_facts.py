"""What a claim is judged by: read in one statement, under the lock of its position."""

from dataclasses import dataclass
from decimal import Decimal

import asyncpg
from pydantic import TypeAdapter

from domain.accounts import AccountPolicy
from domain.breakers import OpenBreakers, ProbePace
from domain.claims import ClaimFacts, EntryLimits, KillSwitch, StoredClaim, UnsettledSell
from domain.orders import Attempt, MarketState, Mode, Purpose
from storage.records import from_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class _AccountFacts:
    mode: Mode
    live_acknowledged: bool
    enabled: bool
    kill_switch: KillSwitch
    policy: AccountPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class _EntryFacts:
    orders_today: int
    spent_today_usd: Decimal
    exposure_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class _LockedFacts:
    """What `claim_facts` returns."""

    held_shares: Decimal
    kill_switch_global: KillSwitch
    account: _AccountFacts | None
    market_state: MarketState | None
    existing: StoredClaim | None
    unsettled: tuple[UnsettledSell, ...]
    entries: _EntryFacts | None = None
    breakers: OpenBreakers | None = None


_FACTS = TypeAdapter(_LockedFacts)
_READ_FACTS = "SELECT claim_facts($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)::text"


async def read_facts(
    connection: asyncpg.Connection,
    attempt: Attempt,
    settled: int,
    now_ms: int,
    send_until_ms: int | None,
    pace: ProbePace,
) -> ClaimFacts:
    """Lock the position of an attempt and return what its claim is judged by.

    Args:
        connection: Inside a transaction, which holds the lock.
        attempt: What is to be claimed.
        settled: Up to which attempt the order's own ones are settled.
        now_ms: Wall time, Unix milliseconds.
        send_until_ms: Last moment at which the send may begin.
        pace: How often a send may probe an open breaker.
    """
    text = await connection.fetchval(
        _READ_FACTS,
        attempt.account_id,
        attempt.venue,
        attempt.mode.value,
        attempt.token_id,
        attempt.market_id,
        attempt.order_id,
        attempt.attempt,
        settled,
        attempt.purpose is Purpose.ENTRY,
        from_ms(now_ms),
    )
    return _facts_of(_FACTS.validate_json(str(text)), now_ms, send_until_ms, pace)


def _facts_of(locked: _LockedFacts, now_ms: int, send_until_ms: int | None, pace: ProbePace) -> ClaimFacts:
    account = locked.account
    return ClaimFacts(
        held_shares=locked.held_shares,
        existing=locked.existing,
        unsettled=locked.unsettled,
        kill_switch_global=locked.kill_switch_global,
        kill_switch_account=account.kill_switch if account else KillSwitch.OFF,
        account_mode=account.mode if account else Mode.PAPER,
        live_acknowledged=account.live_acknowledged if account else False,
        account_enabled=account.enabled if account else False,
        # A token that was never read into the cache counts as open: the venue itself refuses what it must.
        market_state=locked.market_state or MarketState.OPEN,
        limits=_limits_of(account.policy if account else AccountPolicy(), locked.entries),
        now_ms=now_ms,
        send_until_ms=send_until_ms,
        breakers=locked.breakers or OpenBreakers(),
        probe_pace=pace,
    )


def _limits_of(policy: AccountPolicy, used: _EntryFacts | None) -> EntryLimits:
    return EntryLimits(
        max_order_usd=policy.max_order_usd,
        max_day_usd=policy.max_day_usd,
        max_day_orders=policy.max_day_orders,
        max_exposure_usd=policy.max_exposure_usd,
        spent_today_usd=used.spent_today_usd if used else Decimal(0),
        orders_today=used.orders_today if used else 0,
        exposure_usd=used.exposure_usd if used else Decimal(0),
    )
