"""What the venue's limiter asks for is kept by the whole session; heartbeats go out when wanted alone."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator

import pytest

from domain.errors import VenueProtocolError, VenueTransient
from domain.ids import OrderId
from domain.orders import AnswerKind
from domain.ports import AccountEventKind, CancelOutcome
from tests.venues.builders import make_attempt
from tests.venues.contract import next_of
from tests.venues.exchange import LocalExchange
from tests.venues.polymarket.test_signing import NoMarketData, credentials
from tests.venues.recording_server import Prepared, RawRequest, RecordingServer, recording_server
from venues.polymarket.config import HEARTBEAT_S, PolymarketConfig
from venues.polymarket.heartbeat import SOON_S, Heartbeat
from venues.polymarket.http import HttpSession, Reply
from venues.polymarket.limits import LONGEST_PAUSE_MS, Bucket, LimiterPauses
from venues.polymarket.trading import PolymarketTrading

LIMITED = Prepared(
    429, b'{"error":"Too Many Requests"}', {"Poly-RateLimit-Remaining": "0", "Retry-After": "3"}
)


class HandClock:
    ms = 1_000

    def __call__(self) -> int:
        return self.ms


def reply(status: int = 429, **headers: str) -> Reply:
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, b"")


def test_pause_lasts_as_long_as_asked_and_only_for_its_bucket() -> None:
    clock = HandClock()
    pauses = LimiterPauses(clock)
    pauses.learn(Bucket.ORDERS, reply(poly_ratelimit_remaining="0", retry_after="2"))
    assert (pauses.left_ms(Bucket.ORDERS), pauses.left_ms(Bucket.CANCELS)) == (2_000, 0)
    clock.ms += 1_999
    assert pauses.left_ms(Bucket.ORDERS) == 1
    clock.ms += 1
    assert pauses.left_ms(Bucket.ORDERS) == 0


def test_answer_that_comes_late_does_not_shorten_the_pause() -> None:
    clock = HandClock()
    pauses = LimiterPauses(clock)
    pauses.learn(Bucket.ORDERS, reply(poly_ratelimit_remaining="0", retry_after="3"))
    pauses.learn(Bucket.ORDERS, reply(poly_ratelimit_remaining="0", retry_after="1"))
    assert pauses.left_ms(Bucket.ORDERS) == 3_000
    pauses.learn(Bucket.ORDERS, reply(poly_ratelimit_remaining="0", retry_after="4"))
    assert pauses.left_ms(Bucket.ORDERS) == 4_000


def test_word_of_a_long_pause_does_not_silence_the_session() -> None:
    pauses = LimiterPauses(HandClock())
    pauses.learn(Bucket.ORDERS, reply(poly_ratelimit_remaining="0", retry_after="600"))
    assert pauses.left_ms(Bucket.ORDERS) == LONGEST_PAUSE_MS


@pytest.mark.parametrize(
    "answer",
    [
        reply(retry_after="2"),  # another hop's: nobody knows what it counts
        reply(200, poly_ratelimit_remaining="0", poly_ratelimit_reset="1"),
        reply(200, poly_ratelimit_warning="true"),
    ],
)
def test_answer_that_is_no_refusal_of_the_limiter_pauses_nothing(answer: Reply) -> None:
    pauses = LimiterPauses(HandClock())
    pauses.learn(Bucket.ORDERS, answer)
    assert pauses.left_ms(Bucket.ORDERS) == 0


@pytest.fixture
async def server() -> AsyncIterator[RecordingServer]:
    async with recording_server(lambda _: LIMITED) as server:
        yield server


@pytest.fixture
async def trading(server: RecordingServer) -> AsyncIterator[PolymarketTrading]:
    trading = PolymarketTrading(PolymarketConfig(clob_url=server.url), credentials(), NoMarketData())
    yield trading
    await trading.aclose()


async def test_next_order_is_not_sent_before_the_limiters_time(
    server: RecordingServer, trading: PolymarketTrading
) -> None:
    first = await trading.place(make_attempt())
    second = await trading.place(make_attempt(order_id=OrderId("ord_2")))
    assert [(a.kind, a.code) for a in (first, second)] == [(AnswerKind.TRANSIENT, "rate_limited")] * 2
    assert first.wait_ms == 3_000
    assert second.wait_ms is not None
    assert 0 < second.wait_ms <= 3_000
    assert len(server.requests) == 1


async def test_cancels_pass_while_orders_pause_and_pause_by_themselves(
    server: RecordingServer, trading: PolymarketTrading
) -> None:
    order_id = trading.venue_order_id(make_attempt())
    await trading.place(make_attempt())
    for _ in range(2):
        with pytest.raises(VenueTransient) as limited:
            await trading.cancel(order_id)
        assert limited.value.wait_ms is not None
    with pytest.raises(VenueTransient):
        await trading.cancel_many([order_id])
    assert [request.method for request in server.requests] == ["POST", "DELETE"]


async def test_many_cancels_go_out_in_batches_that_the_limiter_takes() -> None:
    def answer(request: RawRequest) -> Prepared:
        ids = json.loads(request.body)
        body = {"canceled": ids[:-1], "not_canceled": {ids[-1]: "already canceled or matched"}}
        return Prepared(body=json.dumps(body).encode())

    async with recording_server(answer) as server:
        config = PolymarketConfig(clob_url=server.url, cancels_per_request=3)
        trading = PolymarketTrading(config, credentials(), NoMarketData())
        attempts = [make_attempt(order_id=OrderId(f"ord_{number}")) for number in range(7)]
        ids = [trading.venue_order_id(attempt) for attempt in attempts]
        outcomes = await trading.cancel_many(ids)
        assert await trading.cancel_many([]) == {}
        await trading.aclose()
    assert [(r.method, r.path, len(json.loads(r.body))) for r in server.requests] == [
        ("DELETE", "/orders", 3),
        ("DELETE", "/orders", 3),
        ("DELETE", "/orders", 1),
    ]
    finished = {ids[2], ids[5], ids[6]}
    assert outcomes == {
        each: CancelOutcome.ALREADY_TERMINAL if each in finished else CancelOutcome.CANCELED for each in ids
    }


async def test_order_that_a_batch_cancel_does_not_name_was_not_cancelled() -> None:
    async with recording_server(lambda _: Prepared(body=b'{"canceled":[],"not_canceled":null}')) as server:
        trading = PolymarketTrading(PolymarketConfig(clob_url=server.url), credentials(), NoMarketData())
        order_id = trading.venue_order_id(make_attempt())
        assert await trading.cancel_many([order_id]) == {order_id: CancelOutcome.NOT_CANCELABLE}
        await trading.aclose()


async def test_each_heartbeat_carries_the_id_that_the_last_reply_named() -> None:
    names = iter(range(1, 9))
    async with (
        recording_server(lambda _: Prepared(body=b'{"heartbeat_id":"%d"}' % next(names))) as server,
        HttpSession(server.url, PolymarketConfig()) as session,
    ):
        heartbeat = Heartbeat(session, lambda *_: {}, every_s=60)
        for _ in range(3):
            await heartbeat.beat()
    assert [json.loads(r.body)["heartbeat_id"] for r in server.requests] == ["", "1", "2"]


async def test_heartbeat_with_a_wrong_id_is_sent_again_with_the_expected_one() -> None:
    def answer(request: RawRequest) -> Prepared:
        if json.loads(request.body)["heartbeat_id"] == "5":
            return Prepared(body=b'{"heartbeat_id":"6"}')
        return Prepared(400, b'{"error_msg":"Invalid Heartbeat ID","heartbeat_id":"5"}')

    async with recording_server(answer) as server, HttpSession(server.url, PolymarketConfig()) as session:
        await Heartbeat(session, lambda *_: {}, every_s=60).beat()
    assert [json.loads(r.body)["heartbeat_id"] for r in server.requests] == ["", "5"]


async def test_heartbeat_that_fails_is_followed_by_the_next() -> None:
    second = asyncio.Event()

    def answer(_: RawRequest) -> Prepared:
        if len(server.requests) >= 2:
            second.set()
        return Prepared(500)

    async with (
        recording_server(answer) as server,
        HttpSession(server.url, PolymarketConfig()) as session,
        Heartbeat(session, lambda *_: {}, every_s=0.001),
        asyncio.timeout(10),
    ):
        await second.wait()


async def test_lost_heartbeat_is_followed_by_the_next_long_before_its_turn() -> None:
    second = asyncio.Event()

    def answer(_: RawRequest) -> Prepared:
        if len(server.requests) >= 2:
            second.set()
        return Prepared(503)

    async with (
        recording_server(answer) as server,
        HttpSession(server.url, PolymarketConfig()) as session,
        Heartbeat(session, lambda *_: {}, every_s=3_600),
        asyncio.timeout(30),
    ):
        await second.wait()


def test_pauses_and_a_stalled_request_end_before_the_venue_cancels() -> None:
    stalled_s = PolymarketConfig().request_timeout_s
    assert HEARTBEAT_S + stalled_s + SOON_S < 10


async def test_heartbeat_that_is_refused_twice_is_no_success_and_the_next_carries_the_last_id() -> None:
    names = iter(range(1, 9))
    refusal = b'{"error_msg":"Invalid Heartbeat ID","heartbeat_id":"%d"}'
    async with (
        recording_server(lambda _: Prepared(400, refusal % next(names))) as server,
        HttpSession(server.url, PolymarketConfig()) as session,
    ):
        heartbeat = Heartbeat(session, lambda *_: {}, every_s=60)
        with pytest.raises(VenueProtocolError):
            await heartbeat.beat()
        assert len(server.requests) == 2  # it does not go on for ever
        with pytest.raises(VenueProtocolError):
            await heartbeat.beat()
    assert [json.loads(r.body)["heartbeat_id"] for r in server.requests] == ["", "1", "2", "3"]


async def test_heartbeat_that_ends_by_a_defect_is_not_silent() -> None:
    failed = asyncio.Event()

    def headers(*_: object) -> dict[str, str]:
        failed.set()
        raise ZeroDivisionError

    async with HttpSession("http://127.0.0.1:9", PolymarketConfig()) as session:
        with pytest.raises(ZeroDivisionError):
            async with Heartbeat(session, headers, every_s=60):
                await failed.wait()


async def test_heartbeat_whose_refusal_names_no_id_is_no_success() -> None:
    async with (
        recording_server(lambda _: Prepared(400, b'{"error":"Invalid order payload"}')) as server,
        HttpSession(server.url, PolymarketConfig()) as session,
    ):
        with pytest.raises(VenueProtocolError):
            await Heartbeat(session, lambda *_: {}, every_s=60).beat()


@pytest.mark.parametrize("heartbeat_s", [None, 0.01])
async def test_open_user_socket_beats_only_where_the_switch_is_wanted(
    exchange: LocalExchange, heartbeat_s: float | None
) -> None:
    beaten: list[str] = []

    class Counting(HttpSession):
        async def request(self, method: str, path: str, **more: object) -> Reply:
            is_beat = path == "/v1/heartbeats"
            if is_beat:
                beaten.append(path)  # as it goes out: long before the socket, which opens later, is open
            answer = await super().request(method, path, **more)  # type: ignore[arg-type]
            if is_beat:
                assert answer.status == 200
                heard.set()
            return answer

    heard = asyncio.Event()
    config = dataclasses.replace(exchange.config, heartbeat_s=heartbeat_s)
    session = Counting(config.clob_url, config)
    trading = PolymarketTrading(config, await exchange.credentials(), exchange.market_data, session)
    async with trading.events() as events, asyncio.timeout(10):
        await next_of(events, AccountEventKind.GAP)
        if heartbeat_s is not None:
            await heard.wait()
    await trading.aclose()
    assert bool(beaten) is (heartbeat_s is not None)
