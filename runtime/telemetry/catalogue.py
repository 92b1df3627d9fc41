"""Every metric of ours: name, kind, labels, meaning. `docs/metrics.md` and the board name exactly these.

Labels are closed sets (venue, mode, kind of answer, …): no account, rule, order or token ever is one.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How a metric's values are read."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """One metric.

    Attributes:
        name: As `/metrics` shows it; counters end in `_total`, units are seconds.
        kind: How its values are read.
        labels: Names of its labels.
        help: What it means, in a line.
        buckets: Upper bounds of a histogram, without +Inf.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


# From a claim in half a millisecond to a venue that takes its three seconds, and an outage beyond.
LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)

_PLACE = ("venue", "mode")
_SEND = ("venue", "mode", "purpose", "answer")
_SHARD = ("venue", "shard")


def _counter(name: str, text: str, *labels: str) -> MetricSpec:
    return MetricSpec(name=name, kind=Kind.COUNTER, help=text, labels=labels)


def _gauge(name: str, text: str, *labels: str) -> MetricSpec:
    return MetricSpec(name=name, kind=Kind.GAUGE, help=text, labels=labels)


def _latency(name: str, text: str, *labels: str) -> MetricSpec:
    return MetricSpec(name=name, kind=Kind.HISTOGRAM, help=text, labels=labels, buckets=LATENCIES)


# -- what a process does ----------------------------------------------------------------------

CROSSINGS = _counter(
    "holdfast_crossings_total",
    "Crossings by condition and by what came of their delivery.",
    "condition",
    "outcome",
)
CROSSING_DELIVERY = _latency(
    "holdfast_crossing_delivery_seconds", "From the level being reached to the durable signal.", "condition"
)
SIGNALS_WAITING = _gauge("holdfast_signals_waiting", "Crossings that wait for Temporal to take their signal.")
CLAIMS = _counter("holdfast_claims_total", "Claims by their answer.", *_SEND)
CLAIM_SECONDS = _latency("holdfast_claim_seconds", "Time of the claim's transaction.")
ATTEMPTS = _counter("holdfast_attempts_total", "POSTs of orders by the kind of the venue's answer.", *_SEND)
ATTEMPT_SECONDS = _latency("holdfast_attempt_seconds", "From sending an order to the answer.", *_PLACE)
DECISION_TO_POST = _latency(
    "holdfast_decision_to_post_seconds",
    "From the workflow task that fixed an order to each POST of it.",
    *_PLACE,
)
PROJECTION_LAG = _latency(
    "holdfast_projection_lag_seconds", "From a workflow's step to its rows in Postgres."
)

FEED_CONNECTED = _gauge("holdfast_feed_connected", "1 while every market socket of the feed stands.", *_SHARD)
FEED_TOKENS = _gauge("holdfast_feed_tokens", "Tokens that rules stand on.", *_SHARD)
FEED_RULES = _gauge("holdfast_feed_rules", "Rules in the trigger index.", *_SHARD)
FEED_QUOTES = _counter("holdfast_feed_quotes_total", "Quotes taken in since it recovered.", *_SHARD)
NEWEST_QUOTE_AGE = _gauge(
    "holdfast_feed_newest_quote_age_seconds", "Since when no quote of any token was confirmed.", *_SHARD
)
STALEST_QUOTE_AGE = _gauge(
    "holdfast_feed_stalest_quote_age_seconds",
    "Since when the watched token that waits longest was not confirmed.",
    *_SHARD,
)
LEFT_ASIDE = _counter(
    "holdfast_feed_left_aside_total", "Frames, or members of them, that were not believed.", *_SHARD, "reason"
)
TAPE_ROWS_WAITING = _gauge("holdfast_tape_rows_waiting", "Changes of books not yet on the tape.", *_SHARD)
TAPE_LAG = _gauge("holdfast_tape_lag_seconds", "How long the oldest of them waits.", *_SHARD)
TAPE_WRITER = _gauge("holdfast_tape_writer", "1 for the feed of a shard that writes the tape.", *_SHARD)

API_REQUESTS = _counter(
    "holdfast_api_requests_total", "Requests by method, route and status.", "method", "route", "status"
)
API_SECONDS = _latency("holdfast_api_request_seconds", "Time of a request.", "method", "route")

SDK_METRICS_READ = _gauge(
    "holdfast_sdk_metrics_read", "1 when the Temporal SDK's own metrics are part of this answer."
)

PROCESS = (
    CROSSINGS,
    CROSSING_DELIVERY,
    SIGNALS_WAITING,
    CLAIMS,
    CLAIM_SECONDS,
    ATTEMPTS,
    ATTEMPT_SECONDS,
    DECISION_TO_POST,
    PROJECTION_LAG,
    FEED_CONNECTED,
    FEED_TOKENS,
    FEED_RULES,
    FEED_QUOTES,
    NEWEST_QUOTE_AGE,
    STALEST_QUOTE_AGE,
    LEFT_ASIDE,
    TAPE_ROWS_WAITING,
    TAPE_LAG,
    TAPE_WRITER,
    API_REQUESTS,
    API_SECONDS,
    SDK_METRICS_READ,
)
"""What every process serves; what it never does stays without samples."""

# -- what Postgres holds of everything, read by the API alone ----------------------------------

DATABASE_UP = _gauge("holdfast_database_up", "1 when Postgres answered.")
COUNTS_READ = _gauge("holdfast_counts_read", "1 when everything could be counted in time.")
RULES = _gauge("holdfast_rules", "Rules that still act, by phase.", *_PLACE, "phase")
POSITIONS_OPEN = _gauge("holdfast_positions_open", "Positions with shares.", *_PLACE)
POSITIONS_UNPROTECTED = _gauge(
    "holdfast_positions_unprotected", "Positions with shares that no living rule stands on.", *_PLACE
)
CLAIMS_UNSETTLED = _gauge("holdfast_claims_unsettled", "Sent attempts whose outcome is open.", *_PLACE)
OLDEST_UNSETTLED = _gauge(
    "holdfast_claims_oldest_unsettled_seconds",
    "Since the last POST of the one among them that is not resting and waits longest.",
    *_PLACE,
)
BREAKERS_OPEN = _gauge("holdfast_breakers_open", "Open circuit breakers.", *_PLACE, "scope")
FEED_REPORT_AGE = _gauge("holdfast_feed_report_age_seconds", "Since the feed's last sign of life.", *_SHARD)
FEED_GAPS = _counter("holdfast_feed_gaps_total", "Recorded spans without sight.", "venue", "reason")
FEED_GAP_SECONDS = _counter("holdfast_feed_gap_seconds_total", "Their length in all.", "venue", "reason")

FLEET = (
    DATABASE_UP,
    COUNTS_READ,
    RULES,
    POSITIONS_OPEN,
    POSITIONS_UNPROTECTED,
    CLAIMS_UNSETTLED,
    OLDEST_UNSETTLED,
    BREAKERS_OPEN,
    FEED_REPORT_AGE,
    FEED_GAPS,
    FEED_GAP_SECONDS,
)

CATALOGUE = (*PROCESS, *FLEET)
