"""The venue's two limiters: token buckets of each signer, and windows of each network address.

Source: the venue's documentation, Trading rate limits and Rate limits (2026-07 to 2026-10). Both are off
unless switched on; what they remember does not outlive a restart.
"""

from collections import defaultdict, deque
from dataclasses import dataclass
from email.utils import formatdate
from enum import StrEnum

from simulator import refusals
from simulator.clock import Clock
from simulator.refusals import Refusal
from simulator.settings import LimitMode, Settings
from simulator.state import State

MILLI = 1000


class Bucket(StrEnum):
    """Placing and cancelling are counted apart."""

    ORDERS = "orders"
    CANCELS = "cancels"


@dataclass(slots=True)
class _Tokens:
    """Tokens of one bucket in thousandths, as of a moment."""

    level: int
    at_ms: int


class SignerLimits:
    """Token buckets by signer: an order or an id costs one; a batch is admitted whole or refused whole."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._tokens: dict[tuple[str, Bucket], _Tokens] = {}

    def charge(self, signer: str, bucket: Bucket, cost: int) -> dict[str, str]:
        """Takes the tokens of one request and returns the headers of its answer.

        A cost above the burst is admitted by a full bucket, which then stays empty for as much longer.

        Raises:
            Refusal: 429, the bucket holds too little.
        """
        settings = self._state.settings
        if settings.signer_limits is LimitMode.OFF:
            return {}
        per_s, burst = _size(settings, bucket)
        now_ms = self._clock.now_ms()
        tokens = self._filled(signer, bucket, per_s, burst, now_ms)
        missing = min(cost, burst) * MILLI - tokens.level
        if missing <= 0:
            tokens.level -= cost * MILLI
            return limiter_headers(now_ms, settings.signer_tier, max(tokens.level, 0) // MILLI)
        wait_ms = -(-missing // per_s)
        headers = limiter_headers(now_ms, settings.signer_tier, max(tokens.level, 0) // MILLI, wait_ms)
        if settings.signer_limits is LimitMode.WARNING:
            return headers | {"Poly-RateLimit-Warning": "true"}
        raise Refusal(429, refusals.TOO_MANY_REQUESTS, headers=headers)

    def _filled(self, signer: str, bucket: Bucket, per_s: int, burst: int, now_ms: int) -> _Tokens:
        tokens = self._tokens.setdefault((signer.lower(), bucket), _Tokens(burst * MILLI, now_ms))
        # A token a second is one thousandth of a token a millisecond.
        tokens.level = min(burst * MILLI, tokens.level + (now_ms - tokens.at_ms) * per_s)
        tokens.at_ms = now_ms
        return tokens


def _size(settings: Settings, bucket: Bucket) -> tuple[int, int]:
    if bucket is Bucket.ORDERS:
        return settings.orders_per_s, settings.orders_burst
    return settings.cancels_per_s, settings.cancels_burst


def limiter_headers(now_ms: int, tier: str, remaining: int, wait_ms: int = 0) -> dict[str, str]:
    """Returns the limiter's headers; a refused request names the wait.

    The reset is a moment in UNIX seconds, to be read beside the answer's own date.
    """
    now_s = now_ms // 1000
    wait_s = -(-wait_ms // 1000)
    headers = {
        "Date": formatdate(now_s, usegmt=True),
        "Poly-RateLimit-Remaining": str(remaining),
        "Poly-RateLimit-Reset": str(now_s + wait_s),
        "Poly-RateLimit-Tier": tier,
    }
    return headers | ({"Retry-After": str(wait_s)} if wait_ms else {})


TEN_S, TEN_MIN = 10_000, 600_000
EVERYTHING = "*"
NETWORK_TABLE: dict[str, tuple[tuple[int, int], ...]] = {
    "POST /order": ((5_000, TEN_S), (120_000, TEN_MIN)),
    "POST /orders": ((2_000, TEN_S), (21_000, TEN_MIN)),
    "DELETE /order": ((3_000, TEN_S), (30_000, TEN_MIN)),
    "DELETE /orders": ((1_000, TEN_S), (15_000, TEN_MIN)),
    "DELETE /cancel-all": ((250, TEN_S), (6_000, TEN_MIN)),
    "DELETE /cancel-market-orders": ((1_000, TEN_S), (1_500, TEN_MIN)),
    "GET /book": ((1_500, TEN_S),),
    "GET /price": ((1_500, TEN_S),),
    "GET /midpoint": ((1_500, TEN_S),),
    "POST /books": ((500, TEN_S),),
    "POST /prices": ((500, TEN_S),),
    "POST /midpoints": ((500, TEN_S),),
    "GET /prices-history": ((1_000, TEN_S),),
    "GET /tick-size": ((200, TEN_S),),
    "GET /data/orders": ((500, TEN_S),),
    "GET /data/trades": ((500, TEN_S),),
    "GET /balance-allowance": ((200, TEN_S),),
    "GET /balance-allowance/update": ((50, TEN_S),),
    EVERYTHING: ((9_000, TEN_S),),
}
"""Requests and spans in milliseconds for each endpoint of the CLOB, and for all of them together."""


class NetworkLimits:
    """Windows by network address: what is too much is delayed, and refused where the delay grows long."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._admitted: defaultdict[tuple[str, str, int], deque[int]] = defaultdict(deque)

    def wait_ms(self, host: str, method: str, path: str) -> int | None:
        """Admits a request: returns how long it is delayed, None when it is refused."""
        settings = self._state.settings
        if not settings.network_limits:
            return 0
        now_ms = self._clock.now_ms()
        windows = [
            (self._admitted[host, name, span_ms], settings.network_per_10_s.get(name, limit), span_ms)
            for name in (f"{method} {path}", EVERYTHING)
            for limit, span_ms in NETWORK_TABLE.get(name, ())
        ]
        wait_ms = max((_room_in(*window, now_ms) for window in windows), default=0)
        if wait_ms > settings.network_delay_ms:
            return None
        for admitted, _, _ in windows:
            admitted.append(now_ms + wait_ms)
        return wait_ms


def _room_in(admitted: deque[int], limit: int, span_ms: int, now_ms: int) -> int:
    """Returns the milliseconds until a window has room for one more."""
    while admitted and admitted[0] <= now_ms - span_ms:
        admitted.popleft()
    if len(admitted) < limit:
        return 0
    return admitted[-limit] + span_ms - now_ms
