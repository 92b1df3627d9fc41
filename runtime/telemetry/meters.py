"""What a process counts of itself: the port of measurements, kept in a Prometheus registry."""

import time
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
from typing import assert_never

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from activities.telemetry import DeliveryOutcome, FeedVitals
from domain.claims import ClaimAnswer, Claimed, Granted, Held, Reduced, Refused
from domain.messages import FeedShard, OrderProjection, RuleProjection
from domain.orders import Answer, Attempt
from domain.ports import Clock
from domain.rules.crossing import Crossing
from runtime.telemetry import catalogue
from runtime.telemetry.catalogue import MetricSpec
from runtime.telemetry.families import family

FAILED = "failed"
"""Stands for an answer that never came: the call raised, or was cut off."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Meters:
    """Counts in memory; `registry` says what was counted when somebody asks."""

    def __init__(self, clock: Clock) -> None:
        """Begin at zero."""
        self.registry = CollectorRegistry()
        self._clock = clock
        self._feeds: dict[tuple[str, int], Callable[[], FeedVitals]] = {}
        self._crossings = self._counter(catalogue.CROSSINGS)
        self._delivery = self._histogram(catalogue.CROSSING_DELIVERY)
        self._waiting = self._gauge(catalogue.SIGNALS_WAITING)
        self._claims = self._counter(catalogue.CLAIMS)
        self._claim_seconds = self._histogram(catalogue.CLAIM_SECONDS)
        self._attempts = self._counter(catalogue.ATTEMPTS)
        self._attempt_seconds = self._histogram(catalogue.ATTEMPT_SECONDS)
        self._decision_to_post = self._histogram(catalogue.DECISION_TO_POST)
        self._projection_lag = self._histogram(catalogue.PROJECTION_LAG)
        self._requests = self._counter(catalogue.API_REQUESTS)
        self._request_seconds = self._histogram(catalogue.API_SECONDS)
        self._sdk_read = self._gauge(catalogue.SDK_METRICS_READ)
        self.registry.register(_Feeds(self._feeds))
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    # -- the port of activities -----------------------------------------------------------------

    async def delivering(self, crossing: Crossing, delivery: Awaitable[DeliveryOutcome]) -> DeliveryOutcome:
        """Count a crossing by what came of it, how long its signal took, and those that wait for theirs."""
        self._waiting.inc()
        try:
            outcome = await delivery
        finally:
            self._waiting.dec()
        condition = crossing.condition.value
        self._crossings.labels(condition, outcome.value).inc()
        if outcome is not DeliveryOutcome.SUPERSEDED:
            self._delivery.labels(condition).observe(self._since(crossing.observed_at_ms))
        return outcome

    async def claiming(self, attempt: Attempt, claim: Awaitable[ClaimAnswer]) -> ClaimAnswer:
        """Count a claim by its answer, and how long it took."""
        began, word = time.perf_counter(), FAILED
        try:
            answer = await claim
            word = claim_word(answer)
        finally:
            self._claims.labels(attempt.venue, attempt.mode.value, attempt.purpose.value, word).inc()
            self._claim_seconds.observe(time.perf_counter() - began)
        return answer

    async def posting(self, attempt: Attempt, post: Awaitable[Answer]) -> Answer:
        """Count a POST by the kind of its answer, how long it took, and what went before it."""
        place = (attempt.venue, attempt.mode.value)
        self._decision_to_post.labels(*place).observe(self._since(attempt.timestamp_ms))
        began, word = time.perf_counter(), FAILED
        try:
            answer = await post
            word = answer.kind.value
        finally:
            self._attempts.labels(*place, attempt.purpose.value, word).inc()
            self._attempt_seconds.labels(*place).observe(time.perf_counter() - began)
        return answer

    def projected(self, rule: RuleProjection | None, order: OrderProjection | None = None) -> None:
        """Note how long after its step a row was written: its version is the step's time in µs."""
        row = rule.rule if rule is not None else order.order if order is not None else None
        if row is not None:
            self._projection_lag.observe(self._since(row.version // 1000))

    @contextmanager
    def _feeding(self, shard: FeedShard, vitals: Callable[[], FeedVitals]) -> Generator[None]:
        place = (shard.venue, shard.shard)
        self._feeds[place] = vitals
        try:
            yield
        finally:
            if self._feeds.get(place) is vitals:
                del self._feeds[place]

    def feeding(self, shard: FeedShard, vitals: Callable[[], FeedVitals]) -> AbstractContextManager[None]:
        """Look at a feed while the context lasts; the latest one of a shard counts."""
        return self._feeding(shard, vitals)

    # -- what the programs tell -----------------------------------------------------------------

    def requested(self, *, method: str, route: str, status: int | None, seconds: float) -> None:
        """Count a request to the API; no status means that its caller went away unanswered."""
        method = method if method in _METHODS else "other"  # a caller may write anything
        self._requests.labels(method, route, str(status) if status is not None else "none").inc()
        self._request_seconds.labels(method, route).observe(seconds)

    def sdk_read(self, *, ok: bool) -> None:
        """Note whether the Temporal SDK's metrics could be read."""
        self._sdk_read.set(1 if ok else 0)

    # -- making ---------------------------------------------------------------------------------

    def _since(self, unix_ms: int) -> float:
        """Return seconds since a wall time; a clock that stands behind the other one's counts as zero."""
        return max(self._clock.now().timestamp() - unix_ms / 1000, 0.0)

    def _counter(self, spec: MetricSpec) -> Counter:
        return Counter(spec.name, spec.help, spec.labels, registry=self.registry)

    def _gauge(self, spec: MetricSpec) -> Gauge:
        return Gauge(spec.name, spec.help, spec.labels, registry=self.registry)

    def _histogram(self, spec: MetricSpec) -> Histogram:
        return Histogram(spec.name, spec.help, spec.labels, buckets=spec.buckets, registry=self.registry)


def claim_word(answer: ClaimAnswer) -> str:
    """Return a claim's answer as a label; a refusal names its reason."""
    match answer:
        case Granted():
            return "granted_again" if answer.resend else "granted"
        case Reduced():
            return "reduced"
        case Held():
            return "held"
        case Refused():
            return f"refused_{answer.refusal.value}"
        case Claimed():
            return "adopted"
        case _:
            assert_never(answer)


class _Feeds:
    """Asks the feeds of this process how they are, whenever the registry is read."""

    def __init__(self, feeds: dict[tuple[str, int], Callable[[], FeedVitals]]) -> None:
        self._feeds = feeds

    def collect(self) -> Iterable[Metric]:
        """Return the feeds' metrics."""
        seen = [((venue, str(shard)), vitals()) for (venue, shard), vitals in self._feeds.items()]
        yield from (
            family(spec, ((labels, value(vital)) for labels, vital in seen)) for spec, value in _VITALS
        )
        aside = [
            ((*labels, reason), count) for labels, vital in seen for reason, count in vital.left_aside.items()
        ]
        yield family(catalogue.LEFT_ASIDE, aside)


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


_VITALS: tuple[tuple[MetricSpec, Callable[[FeedVitals], float | None]], ...] = (
    (catalogue.FEED_CONNECTED, lambda feed: float(feed.connected)),
    (catalogue.FEED_TOKENS, lambda feed: feed.tokens),
    (catalogue.FEED_RULES, lambda feed: feed.rules),
    (catalogue.FEED_QUOTES, lambda feed: feed.quotes),
    (catalogue.NEWEST_QUOTE_AGE, lambda feed: _seconds(feed.newest_quote_age_ms)),
    (catalogue.STALEST_QUOTE_AGE, lambda feed: _seconds(feed.stalest_quote_age_ms)),
    (catalogue.TAPE_ROWS_WAITING, lambda feed: feed.tape_rows),
    (catalogue.TAPE_LAG, lambda feed: _seconds(feed.tape_lag_ms)),
    (catalogue.TAPE_WRITER, lambda feed: float(feed.writes_tape)),
)
