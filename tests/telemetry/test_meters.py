"""What a process counts of its activities."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from activities.telemetry import UNMEASURED, DeliveryOutcome, LeavesAside, Telemetry
from domain.claims import ClaimAnswer, ClaimRefusal, Granted, Held, Reduced, Refused, StoredClaim
from domain.errors import StorageUnavailable
from domain.ids import OrderId, VenueOrderId
from domain.messages import FeedShard
from domain.orders import Answer, AnswerKind
from domain.quotes import Quote
from domain.rules.crossing import Crossing
from domain.rules.definition import ConditionType
from runtime.telemetry.meters import Meters, claim_word
from tests.domain.builders import make_attempt
from tests.telemetry.samples import value
from venues.polymarket.config import PolymarketConfig
from venues.polymarket.market_socket import MarketSockets

NOW_MS = 1_700_000_000_000
ATTEMPT = replace(make_attempt(), timestamp_ms=NOW_MS - 40)
STORED = StoredClaim(
    attempt=ATTEMPT,
    venue_order_id=VenueOrderId("0x1"),
    posts=1,
    unknown_before=False,
    answer=None,
    last_post_at_ms=None,
)
CROSSING = Crossing(
    rule_id="rule_1",
    generation=1,
    condition_index=0,
    condition=ConditionType.STOP_LOSS,
    level=Decimal("0.4"),
    quote=Quote(bid=Decimal("0.39"), ask=Decimal("0.41"), last=None),
    price=Decimal("0.4"),
    mark=None,
    confirm_count=1,
    beyond_since_ms=NOW_MS - 30,
    observed_at_ms=NOW_MS - 30,
    venue_timestamp_ms=None,
)
SEND = {"venue": ATTEMPT.venue, "mode": ATTEMPT.mode.value, "purpose": ATTEMPT.purpose.value}
PLACE = {"venue": ATTEMPT.venue, "mode": ATTEMPT.mode.value}


class StillClock:
    def now(self) -> datetime:
        return datetime.fromtimestamp(NOW_MS / 1000, UTC)

    def monotonic_ms(self) -> int:
        return 0


@dataclass(frozen=True)
class Vitals:
    connected: bool = True
    tokens: int = 3
    rules: int = 7
    quotes: int = 100
    newest_quote_age_ms: int | None = 250
    stalest_quote_age_ms: int | None = 4_000
    tape_rows: int = 12
    tape_lag_ms: int = 900
    writes_tape: bool = True
    left_aside: Mapping[str, int] = field(default_factory=lambda: {"malformed": 2})


@pytest.fixture
def meters() -> Meters:
    return Meters(StillClock())


async def soon(answer: ClaimAnswer | Answer | bool) -> object:
    await asyncio.sleep(0)
    return answer


async def away() -> ClaimAnswer:
    raise StorageUnavailable("gone")


async def test_posts_are_counted_by_answer_and_timed_from_their_decision(meters: Meters) -> None:
    answer = Answer(kind=AnswerKind.NO_LIQUIDITY, code="no_match")

    assert await meters.posting(ATTEMPT, soon(answer)) is answer  # type: ignore[arg-type]

    counted = value(meters.registry, "holdfast_attempts_total", {**SEND, "answer": "no_liquidity"})
    assert counted == 1
    name = "holdfast_decision_to_post_seconds"
    assert value(meters.registry, f"{name}_sum", PLACE) == pytest.approx(0.04)
    assert value(meters.registry, f"{name}_bucket", {**PLACE, "le": "0.025"}) == 0
    assert value(meters.registry, f"{name}_bucket", {**PLACE, "le": "0.05"}) == 1
    assert value(meters.registry, "holdfast_attempt_seconds_count", PLACE) == 1


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (Granted(resend=False, stored=STORED), "granted"),
        (Granted(resend=True, stored=STORED), "granted_again"),
        (Reduced(available=Decimal(1)), "reduced"),
        (Held(order_ids=(OrderId("ord_1"),), available=Decimal(0)), "held"),
        (Refused(refusal=ClaimRefusal.BREAKER_OPEN, detail="x"), "refused_breaker_open"),
    ],
)
async def test_claims_are_counted_by_their_answer(meters: Meters, answer: ClaimAnswer, word: str) -> None:
    assert claim_word(answer) == word
    assert await meters.claiming(ATTEMPT, soon(answer)) is answer  # type: ignore[arg-type]
    assert value(meters.registry, "holdfast_claims_total", {**SEND, "answer": word}) == 1


async def test_claim_without_postgres_counts_as_failed_and_still_fails(meters: Meters) -> None:
    with pytest.raises(StorageUnavailable):
        await meters.claiming(ATTEMPT, away())

    assert value(meters.registry, "holdfast_claims_total", {**SEND, "answer": "failed"}) == 1


async def test_crossing_waits_in_the_queue_until_its_signal_is_durable(meters: Meters) -> None:
    durable = asyncio.Event()

    async def deliver() -> DeliveryOutcome:
        await durable.wait()
        return DeliveryOutcome.DELIVERED

    delivery = asyncio.create_task(meters.delivering(CROSSING, deliver()))
    await asyncio.sleep(0)
    waiting = value(meters.registry, "holdfast_signals_waiting")
    durable.set()

    assert await delivery is DeliveryOutcome.DELIVERED
    assert (waiting, value(meters.registry, "holdfast_signals_waiting")) == (1, 0)
    delivered = {"condition": "stop_loss", "outcome": "delivered"}
    assert value(meters.registry, "holdfast_crossings_total", delivered) == 1
    seconds = value(meters.registry, "holdfast_crossing_delivery_seconds_sum", {"condition": "stop_loss"})
    assert seconds == pytest.approx(0.03)


async def test_superseded_crossing_is_counted_without_a_delivery_time(meters: Meters) -> None:
    await meters.delivering(CROSSING, soon(DeliveryOutcome.SUPERSEDED))  # type: ignore[arg-type]

    superseded = {"condition": "stop_loss", "outcome": "superseded"}
    assert value(meters.registry, "holdfast_crossings_total", superseded) == 1
    seconds = value(meters.registry, "holdfast_crossing_delivery_seconds_count", {"condition": "stop_loss"})
    assert not seconds


async def test_crossing_that_is_given_up_leaves_the_queue_and_is_not_counted(meters: Meters) -> None:
    delivery = asyncio.create_task(meters.delivering(CROSSING, asyncio.get_running_loop().create_future()))
    await asyncio.sleep(0)
    delivery.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivery

    delivered = {"condition": "stop_loss", "outcome": "delivered"}
    assert value(meters.registry, "holdfast_signals_waiting") == 0
    assert value(meters.registry, "holdfast_crossings_total", delivered) is None


def test_feed_is_seen_only_while_it_runs(meters: Meters) -> None:
    shard = FeedShard(venue="polymarket", shard=2, shards=4)
    labels = {"venue": "polymarket", "shard": "2"}

    with meters.feeding(shard, Vitals):
        stalest = value(meters.registry, "holdfast_feed_stalest_quote_age_seconds", labels)
        lag = value(meters.registry, "holdfast_tape_lag_seconds", labels)
        quotes = value(meters.registry, "holdfast_feed_quotes_total", labels)
        name = "holdfast_feed_left_aside_total"
        malformed = value(meters.registry, name, {**labels, "reason": "malformed"})

    assert (stalest, lag, quotes, malformed) == (4.0, 0.9, 100, 2)
    assert value(meters.registry, "holdfast_feed_connected", labels) is None


def test_ages_are_absent_before_the_first_quote(meters: Meters) -> None:
    labels = {"venue": "polymarket", "shard": "0"}

    with meters.feeding(
        FeedShard(venue="polymarket"), lambda: Vitals(newest_quote_age_ms=None, stalest_quote_age_ms=None)
    ):
        assert value(meters.registry, "holdfast_feed_newest_quote_age_seconds", labels) is None
        assert value(meters.registry, "holdfast_feed_tokens", labels) == 3


def test_feed_that_begins_before_the_former_has_ended_stays_in_sight(meters: Meters) -> None:
    labels = {"venue": "polymarket", "shard": "0"}
    shard = FeedShard(venue="polymarket")
    former = meters.feeding(shard, lambda: Vitals(rules=1))
    former.__enter__()

    with meters.feeding(shard, lambda: Vitals(rules=2)):
        former.__exit__(None, None, None)
        assert value(meters.registry, "holdfast_feed_rules", labels) == 2


@pytest.mark.parametrize("telemetry", [UNMEASURED, Meters(StillClock())], ids=["unmeasured", "metered"])
async def test_whoever_counts_passes_everything_through(telemetry: Telemetry) -> None:
    answer = Answer(kind=AnswerKind.ACCEPTED, code="accepted")
    claim = Reduced(available=Decimal(2))

    assert await telemetry.posting(ATTEMPT, soon(answer)) is answer  # type: ignore[arg-type]
    assert await telemetry.claiming(ATTEMPT, soon(claim)) is claim  # type: ignore[arg-type]
    closed = DeliveryOutcome.RULE_CLOSED
    assert await telemetry.delivering(CROSSING, soon(closed)) is closed  # type: ignore[arg-type]
    telemetry.projected(None, None)
    with telemetry.feeding(FeedShard(venue="polymarket"), Vitals):
        pass


def test_stream_of_the_venue_says_what_it_left_aside() -> None:
    stream = MarketSockets(PolymarketConfig())
    stream.counters.malformed += 1

    assert isinstance(stream, LeavesAside)
    assert stream.left_aside() == {"duplicate": 0, "malformed": 1, "absurd": 0, "late": 0, "desync": 0}
