"""The port of measurements: what activities tell of themselves, whoever counts it.

Calls are cheap, never fail and never wait: what is measured is passed through unchanged.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from typing import Protocol, runtime_checkable

from domain.claims import ClaimAnswer
from domain.messages import FeedShard, OrderProjection, RuleProjection
from domain.orders import Answer, Attempt
from domain.rules.crossing import Crossing


class DeliveryOutcome(StrEnum):
    """What came of the delivery of a crossing."""

    DELIVERED = "delivered"
    RULE_CLOSED = "rule_closed"
    SUPERSEDED = "superseded"  # while it waited for its turn the rule had begun to watch for something else


@runtime_checkable
class LeavesAside(Protocol):
    """A market stream that says what it did not believe."""

    def left_aside(self) -> Mapping[str, int]:
        """Return how many frames, or members of them, were left aside since its start, by reason."""
        ...


class FeedVitals(Protocol):
    """What a feed says of itself when it is asked; ages and lags in milliseconds, None before the first."""

    @property
    def connected(self) -> bool:
        """Whether every market socket stands."""
        ...

    @property
    def tokens(self) -> int:
        """Tokens that rules stand on."""
        ...

    @property
    def rules(self) -> int:
        """Rules in the trigger index."""
        ...

    @property
    def quotes(self) -> int:
        """Quotes taken in by this session."""
        ...

    @property
    def newest_quote_age_ms(self) -> int | None:
        """Since when no quote of any token was confirmed."""
        ...

    @property
    def stalest_quote_age_ms(self) -> int | None:
        """Since when the token that waits longest was not confirmed."""
        ...

    @property
    def tape_rows(self) -> int:
        """Changes of books that wait to be written."""
        ...

    @property
    def tape_lag_ms(self) -> int:
        """How long the oldest of them waits."""
        ...

    @property
    def writes_tape(self) -> bool:
        """Whether it is this feed, not another one of its shard, that writes the tape."""
        ...

    @property
    def left_aside(self) -> Mapping[str, int]:
        """What its stream did not believe, by reason."""
        ...


class Telemetry(Protocol):
    """Who counts what activities do."""

    async def delivering(self, crossing: Crossing, delivery: Awaitable[DeliveryOutcome]) -> DeliveryOutcome:
        """Await the delivery of a crossing and return what came of it."""
        ...

    async def claiming(self, attempt: Attempt, claim: Awaitable[ClaimAnswer]) -> ClaimAnswer:
        """Await a claim and return its answer."""
        ...

    async def posting(self, attempt: Attempt, post: Awaitable[Answer]) -> Answer:
        """Await one POST of an order and return its answer."""
        ...

    def projected(self, rule: RuleProjection | None, order: OrderProjection | None = None) -> None:
        """Take in that the rows of a step were written."""
        ...

    def feeding(self, shard: FeedShard, vitals: Callable[[], FeedVitals]) -> AbstractContextManager[None]:
        """Return a context in which a feed runs; `vitals` is asked whenever somebody looks."""
        ...


class Unmeasured:
    """Nobody counts."""

    async def delivering(self, crossing: Crossing, delivery: Awaitable[DeliveryOutcome]) -> DeliveryOutcome:
        """Await the delivery."""
        return await delivery

    async def claiming(self, attempt: Attempt, claim: Awaitable[ClaimAnswer]) -> ClaimAnswer:
        """Await the claim."""
        return await claim

    async def posting(self, attempt: Attempt, post: Awaitable[Answer]) -> Answer:
        """Await the POST."""
        return await post

    def projected(self, rule: RuleProjection | None, order: OrderProjection | None = None) -> None:
        """Count nothing."""

    def feeding(self, shard: FeedShard, vitals: Callable[[], FeedVitals]) -> AbstractContextManager[None]:
        """Look at nothing."""
        return nullcontext()


UNMEASURED = Unmeasured()
