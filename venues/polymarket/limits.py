"""How long the venue's limiter asked a session to wait; orders and cancels are counted apart.

The venue refuses by signer, so what one order was told holds for the next one too: it is not sent before its
time. Source: the venue's documentation, Trading rate limits (2026-10).
"""

from collections.abc import Callable
from enum import StrEnum
from http import HTTPStatus

import structlog

from venues.polymarket.http import Reply
from venues.polymarket.waiting import asked_wait_ms

LIMITER_HEADERS = ("poly-ratelimit-remaining", "poly-ratelimit-reset", "poly-ratelimit-tier")
LONGEST_PAUSE_MS = 5_000
"""The slowest tier refills its bucket in two seconds: a longer word must not silence every exit."""
_WARNING = "poly-ratelimit-warning"
_log = structlog.get_logger(__name__)


class Bucket(StrEnum):
    """What the limiter counts apart."""

    ORDERS = "orders"
    CANCELS = "cancels"


def is_limiters(reply: Reply) -> bool:
    """Say whether a 429 comes from the venue's limiter, which took nothing, and not from another hop."""
    return reply.status == HTTPStatus.TOO_MANY_REQUESTS and any(
        name in reply.headers for name in LIMITER_HEADERS
    )


class LimiterPauses:
    """The pauses of one session.

    Args:
        monotonic_ms: the local monotonic clock in milliseconds.
    """

    def __init__(self, monotonic_ms: Callable[[], int]) -> None:
        self._monotonic_ms = monotonic_ms
        self._until_ms: dict[Bucket, int] = {}

    def left_ms(self, bucket: Bucket) -> int:
        """Return how long nothing of this bucket may be sent; zero when it may."""
        return max(self._until_ms.get(bucket, 0) - self._monotonic_ms(), 0)

    def learn(self, bucket: Bucket, reply: Reply) -> None:
        """Take what an answer says of the limiter."""
        if _WARNING in reply.headers:
            _log.warning("venue.rate_limit_warning", bucket=bucket.value)
        if is_limiters(reply):
            wait_ms = min(asked_wait_ms(reply) or 0, LONGEST_PAUSE_MS)
            # Answers may overtake each other: a late one must not shorten what a newer one asked for.
            self._until_ms[bucket] = max(self._until_ms.get(bucket, 0), self._monotonic_ms() + wait_ms)
