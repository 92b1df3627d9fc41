"""Every row of the venue's error table, and what can go wrong without an answer."""

import asyncio
import json

import pytest

from domain.ids import VenueOrderId
from domain.orders import Answer, AnswerKind, RebuildReason, Side, VenueOrderStatus
from tests.venues.builders import make_attempt
from tests.venues.polymarket.test_signing import NoMarketData, credentials
from tests.venues.recording_server import Prepared, RawRequest, recording_server
from venues.polymarket.answers import TABLE, answer_of, answer_without_reply
from venues.polymarket.config import PolymarketConfig
from venues.polymarket.http import NetworkFault, Reply
from venues.polymarket.trading import PolymarketTrading

K, R = AnswerKind, RebuildReason
ID = VenueOrderId("0x" + "ab" * 32)
FAK = (
    "no orders found to match with FAK order. FAK orders are partially filled or killed if no match is found."
)
FOK = "order couldn't be fully filled. FOK orders are fully filled or killed."
LIMITS = {"Poly-RateLimit-Remaining": "0", "Poly-RateLimit-Tier": "standard", "Retry-After": "2"}


def classify(status: int, body: bytes, headers: dict[str, str] | None = None) -> Answer:
    reply = Reply(status, {key.lower(): value for key, value in (headers or {}).items()}, body)
    return answer_of(reply, make_attempt(), ID)


REFUSALS: list[tuple[int, str, AnswerKind, str, RebuildReason | None]] = [
    (400, f"order {ID} is invalid. Duplicated.", K.REGISTERED, "duplicated", None),
    (400, "INVALID_ORDER_DUPLICATED", K.REGISTERED, "duplicated", None),
    (400, "Invalid order payload", K.FINAL, "invalid_payload", None),
    (400, "invalid signature", K.BLOCKED, "invalid_signature", None),
    (400, "order_version_mismatch", K.BLOCKED, "version_mismatch", None),
    (400, "invalid order version", K.BLOCKED, "version_mismatch", None),
    (400, "error parsing fee rate bps () to int64", K.BLOCKED, "version_mismatch", None),
    (400, "the order owner has to be the owner of the API KEY", K.BLOCKED, "owner_mismatch", None),
    (
        400,
        "the order signer address has to be the address of the API KEY",
        K.BLOCKED,
        "signer_mismatch",
        None,
    ),
    (
        400,
        "maker address not allowed, please use the deposit wallet flow",
        K.BLOCKED,
        "maker_not_allowed",
        None,
    ),
    (400, "'0x19E7' address banned", K.BLOCKED, "banned", None),
    (400, "'0x19E7' address in closed only mode", K.BLOCKED, "closed_only", None),
    (
        400,
        f"order {ID} is invalid. Price (0.523) breaks minimum tick size rule: 0.01",
        K.REBUILD,
        "tick_changed",
        R.TICK_CHANGED,
    ),
    (400, "INVALID_ORDER_MIN_TICK_SIZE", K.REBUILD, "tick_changed", R.TICK_CHANGED),
    (
        400,
        f"order {ID} is invalid. Size (4) lower than the minimum: 5",
        K.REBUILD,
        "below_minimum",
        R.BELOW_MINIMUM,
    ),
    (400, "INVALID_ORDER_MIN_SIZE", K.REBUILD, "below_minimum", R.BELOW_MINIMUM),
    (
        400,
        "invalid amount for a marketable BUY order ($0.86), min size: $1",
        K.REBUILD,
        "below_minimum_notional",
        R.BELOW_MINIMUM,
    ),
    (
        400,
        "invalid amounts, the buy orders maker amount supports a max accuracy of 4 decimals, taker amount "
        "a max of 2 decimals",
        K.FINAL,
        "invalid_amounts",
        None,
    ),
    (
        400,
        "invalid amounts, the market sell orders maker amount supports a max accuracy of 2 decimals, "
        "taker amount a max of 4 decimals",
        K.FINAL,
        "invalid_amounts",
        None,
    ),
    (400, "not enough balance / allowance", K.REBUILD, "balance_short", R.BALANCE_SHORT),
    (
        400,
        "not enough balance / allowance: the balance is not enough -> balance: 1254420, order "
        "amount: 1260000",
        K.REBUILD,
        "balance_short",
        R.BALANCE_SHORT,
    ),
    (400, "INVALID_ORDER_NOT_ENOUGH_BALANCE", K.REBUILD, "balance_short", R.BALANCE_SHORT),
    (
        400,
        "not enough balance / allowance: the allowance is not enough -> allowance: 0, order amount: 1260000",
        K.BLOCKED,
        "allowance_short",
        None,
    ),
    (400, "invalid expiration", K.FINAL, "invalid_expiration", None),
    (400, "INVALID_ORDER_EXPIRATION", K.FINAL, "invalid_expiration", None),
    (
        400,
        "invalid post-only order: order crosses book",
        K.REBUILD,
        "post_only_would_cross",
        R.POST_ONLY_WOULD_CROSS,
    ),
    (400, "INVALID_POST_ONLY_ORDER", K.REBUILD, "post_only_would_cross", R.POST_ONLY_WOULD_CROSS),
    (400, "INVALID_POST_ONLY_ORDER_TYPE", K.FINAL, "post_only_type", None),
    (
        400,
        "invalid post-only order: only GTC and GTD order types are allowed",
        K.FINAL,
        "post_only_type",
        None,
    ),
    (400, f"order {ID} crosses the book", K.REBUILD, "crosses_book", R.POST_ONLY_WOULD_CROSS),
    (
        400,
        "order canceled in the CTF exchange contract",
        K.REBUILD,
        "canceled_on_chain",
        R.CANCELED_ON_CHAIN,
    ),
    (400, FOK, K.NO_LIQUIDITY, "fok_killed", None),
    (400, "FOK_ORDER_NOT_FILLED_ERROR", K.NO_LIQUIDITY, "fok_killed", None),
    (400, FAK, K.NO_LIQUIDITY, "fak_unmatched", None),
    (400, "the market is not yet ready to process new orders", K.TRANSIENT, "market_not_ready", None),
    (400, "MARKET_NOT_READY", K.TRANSIENT, "market_not_ready", None),
    (400, "order match delayed due to market conditions", K.UNKNOWN, "match_delayed", None),
    (400, "ORDER_DELAYED", K.UNKNOWN, "match_delayed", None),
    (400, "DELAYING_ORDER_ERROR", K.UNKNOWN, "match_delayed", None),
    (400, "INVALID_ORDER_ERROR", K.UNKNOWN, "not_inserted", None),
    (400, "EXECUTION_ERROR", K.UNKNOWN, "not_executed", None),
    (400, "the orderbook does not exist", K.FINAL, "market_gone", None),
    (400, "Too many orders in payload: 16, max allowed: 15", K.FINAL, "too_many_orders", None),
    (400, "rpc error: context canceled", K.UNKNOWN, "context_canceled", None),
    (400, "a text that nobody has seen", K.BLOCKED, "unrecognized_refusal", None),
    (401, "Unauthorized/Invalid api key", K.BLOCKED, "unauthorized", None),
    (401, "Invalid L1 Request headers", K.BLOCKED, "unauthorized", None),
    (401, "", K.BLOCKED, "unauthorized", None),
    (
        403,
        "Trading restricted in your region, please refer to available regions - https://docs",
        K.BLOCKED,
        "region_restricted",
        None,
    ),
    (403, "something else", K.BLOCKED, "forbidden", None),
    (404, "market not found", K.FINAL, "market_gone", None),
    (404, "No orderbook exists for the requested token id", K.FINAL, "market_gone", None),
    (404, "trade not found", K.UNKNOWN, "unrecognized_not_found", None),
    (404, "could not insert order: account not found", K.UNKNOWN, "not_inserted", None),
    (408, "", K.UNKNOWN, "http_408", None),
    (425, "service not ready", K.UNKNOWN, "engine_restarting", None),
    (425, "", K.UNKNOWN, "engine_restarting", None),
    (500, "order timed out", K.TRANSIENT, "order_timed_out", None),
    (500, "could not insert order", K.UNKNOWN, "not_inserted", None),
    (500, "could not run the execution", K.UNKNOWN, "not_executed", None),
    (500, "Internal server error", K.UNKNOWN, "server_error", None),
    (500, "there are no matching orders", K.UNKNOWN, "not_executed", None),
    (500, "the trade contains rounding issues", K.UNKNOWN, "not_executed", None),
    (
        500,
        "the price of the taker's order has a discrepancy greater than allowed",
        K.UNKNOWN,
        "not_executed",
        None,
    ),
    (500, FAK, K.UNKNOWN, "http_500", None),
    (502, "", K.UNKNOWN, "http_502", None),
    (
        503,
        "Trading is currently disabled. Check polymarket.com for updates",
        K.UNKNOWN,
        "trading_disabled",
        None,
    ),
    (
        503,
        "Trading is currently cancel-only. New orders are not accepted, but cancels are allowed.",
        K.TRANSIENT,
        "cancel_only",
        None,
    ),
    (
        503,
        "post-only mode: only post-only orders and cancels are allowed",
        K.TRANSIENT,
        "post_only_mode",
        None,
    ),
    (503, "", K.UNKNOWN, "http_503", None),
    (201, "", K.UNKNOWN, "http_201", None),
]


@pytest.mark.parametrize(("status", "text", "kind", "code", "rebuild"), REFUSALS)
def test_refusal_is_classified(
    status: int, text: str, kind: AnswerKind, code: str, rebuild: RebuildReason | None
) -> None:
    answer = classify(status, json.dumps({"error": text}).encode())
    assert (answer.kind, answer.code, answer.rebuild) == (kind, code, rebuild)
    assert answer.venue_order_id == ID


def test_every_row_of_the_table_is_reached_by_a_case() -> None:
    reached = {code for _, _, _, code, _ in REFUSALS}
    assert {row.code for row in TABLE} <= reached


def test_rebuild_rows_and_only_they_name_their_reason() -> None:
    assert all((row.kind is K.REBUILD) == (row.rebuild is not None) for row in TABLE)


def test_post_only_window_says_how_long_it_lasts() -> None:
    body = {
        "error": "post-only mode: only post-only orders and cancels are allowed",
        "code": "post_only_mode",
    }
    answer = classify(503, json.dumps({**body, "retry_after_seconds": 90}).encode())
    assert (answer.kind, answer.wait_ms) == (K.TRANSIENT, 90_000)
    answer = classify(503, json.dumps(body).encode(), {"Retry-After": "60"})
    assert (answer.kind, answer.wait_ms) == (K.TRANSIENT, 60_000)


def test_code_of_the_body_serves_where_the_text_is_new() -> None:
    body = {"error": "please wait", "code": "MARKET_NOT_READY"}
    assert classify(400, json.dumps(body).encode()).code == "market_not_ready"


def test_venues_own_rate_limit_is_certainly_not_taken() -> None:
    answer = classify(429, b'{"error":"Too Many Requests"}', LIMITS)
    assert (answer.kind, answer.code, answer.wait_ms) == (K.TRANSIENT, "rate_limited", 2_000)


DATE = "Sat, 21 Nov 2026 14:42:45 GMT"
DATE_S = 1795272165


@pytest.mark.parametrize(
    ("headers", "wait_ms"),
    [
        ({"Date": DATE, "Poly-RateLimit-Reset": str(DATE_S + 4)}, 4_000),
        ({"Date": DATE, "Poly-RateLimit-Reset": str(DATE_S + 4), "Retry-After": "2"}, 2_000),
        ({"Date": DATE, "Poly-RateLimit-Reset": str(DATE_S + 4), "Retry-After": DATE}, 4_000),
        ({"Date": DATE, "Poly-RateLimit-Reset": str(DATE_S + 86_400)}, 5_000),
        ({"Date": DATE, "Poly-RateLimit-Reset": str(DATE_S)}, 1_000),
        ({"Date": DATE, "Poly-RateLimit-Reset": str(DATE_S - 5)}, 1_000),
        ({"Date": DATE, "Poly-RateLimit-Reset": "soon"}, 1_000),
        ({"Date": DATE, "Poly-RateLimit-Reset": "NaN"}, 1_000),
        ({"Date": "yesterday", "Poly-RateLimit-Reset": str(DATE_S + 4)}, 1_000),
        ({"Poly-RateLimit-Reset": str(DATE_S + 4)}, 1_000),
    ],
)
def test_limiter_says_until_when_to_wait(headers: dict[str, str], wait_ms: int) -> None:
    answer = classify(429, b'{"error":"Too Many Requests"}', headers)
    assert (answer.kind, answer.code, answer.wait_ms) == (K.TRANSIENT, "rate_limited", wait_ms)


@pytest.mark.parametrize(
    ("status", "text", "wait_ms"),
    [
        (425, "service not ready", 30_000),
        (500, "Internal server error", 30_000),
        (502, "", 30_000),
        (429, "Too Many Requests", 30_000),  # another hop's
        (503, "Trading is currently cancel-only", 120_000),
        (503, "post-only mode: only post-only orders and cancels are allowed", 120_000),
        (403, None, 120_000),
    ],
)
def test_absurd_wait_does_not_silence_an_exit(status: int, text: str | None, wait_ms: int) -> None:
    body = b"<html>" if text is None else json.dumps({"error": text}).encode()
    assert classify(status, body, {"Retry-After": "3600"}).wait_ms == wait_ms


def test_reset_of_a_refusal_that_is_not_the_limiters_is_no_wait() -> None:
    headers = {"Date": DATE, "Poly-RateLimit-Reset": str(DATE_S + 4)}
    assert classify(400, b'{"error":"market not found"}', headers).wait_ms is None


def test_rate_limit_of_another_hop_is_unknown() -> None:
    answer = classify(429, b"error code: 1015", {"Retry-After": "3"})
    assert (answer.kind, answer.code, answer.wait_ms) == (K.UNKNOWN, "rate_limited_by_another_hop", 3_000)


def test_firewall_page_asks_for_a_long_pause() -> None:
    answer = classify(403, b"<!DOCTYPE html><title>Attention Required!</title>")
    assert (answer.kind, answer.code, answer.wait_ms) == (K.TRANSIENT, "firewall", 30_000)


@pytest.mark.parametrize("header", ["Wed, 21 Oct 2026 07:28:00 GMT", "-5", "NaN", "soon"])
def test_unreadable_wait_is_no_wait(header: str) -> None:
    assert classify(400, b'{"error":"market not found"}', {"Retry-After": header}).wait_ms is None


def success(**members: object) -> Answer:
    return classify(200, json.dumps({"success": True, "orderID": ID, **members}).encode())


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("live", VenueOrderStatus.LIVE),
        ("matched", VenueOrderStatus.MATCHED),
        ("delayed", VenueOrderStatus.DELAYED),
        ("unmatched", VenueOrderStatus.LIVE),  # a hold that is over leaves an order that rests
        ("", None),
        ("a new word", None),
    ],
)
def test_accepted_order_carries_its_status(word: str, status: VenueOrderStatus | None) -> None:
    answer = success(status=word, errorMsg="", makingAmount="10", takingAmount="5")
    assert (answer.kind, answer.code, answer.status) == (K.ACCEPTED, "accepted", status)


def test_accepted_order_without_status_and_with_null_message_is_accepted() -> None:
    assert success(errorMsg=None).kind is K.ACCEPTED


def test_killed_order_hidden_in_a_success_is_no_liquidity() -> None:
    assert success(errorMsg=FOK).kind is K.NO_LIQUIDITY


def test_refusal_hidden_in_a_success_without_id_is_classified() -> None:
    answer = success(orderID="", errorMsg="not enough balance / allowance: the balance is not enough")
    assert answer.rebuild is R.BALANCE_SHORT


def test_unsuccessful_answer_with_new_words_is_blocked() -> None:
    assert success(success=False, orderID="", errorMsg="new words").code == "unrecognized_refusal"


def test_answer_without_id_and_reason_is_unknown() -> None:
    assert success(orderID="", errorMsg="").code == "no_order_id"


def test_unsuccessful_answer_with_an_id_and_no_reason_is_unknown() -> None:
    answer = success(success=False, errorMsg="")
    assert (answer.kind, answer.code) == (K.UNKNOWN, "no_reason")


@pytest.mark.parametrize(
    "odd",
    [
        {"code": 400},
        {"code": None},
        {"code": {"name": "x"}},
        {"retry_after_seconds": "soon"},
        {"retry_after_seconds": [1]},
        {"error_msg": None},
    ],
)
def test_odd_members_of_a_refusal_do_not_hide_its_words(odd: dict[str, object]) -> None:
    body = {"error": f"order {ID} is invalid. Duplicated.", **odd}
    answer = classify(400, json.dumps(body).encode())
    assert (answer.kind, answer.wait_ms) == (K.REGISTERED, None)


def test_page_of_a_host_that_is_not_the_venues_needs_a_person() -> None:
    answer = classify(404, b"<!DOCTYPE html><title>Not Found</title>")
    assert (answer.kind, answer.code) == (K.BLOCKED, "unrecognized_refusal")


def test_words_inside_an_object_are_read() -> None:
    body = {"error": {"message": f"order {ID} is invalid. Duplicated."}}
    assert classify(400, json.dumps(body).encode()).kind is K.REGISTERED


def test_answer_with_anothers_id_is_unknown() -> None:
    assert success(orderID="0x12").code == "foreign_order_id"


@pytest.mark.parametrize("body", [b"", b"OK", b"[]", b"{", b'{"orderID": 5}', b"\xff\xfe"])
def test_unreadable_success_is_unknown(body: bytes) -> None:
    answer = classify(200, body)
    assert (answer.kind, answer.code) == (K.UNKNOWN, "malformed_answer")


def test_amounts_off_by_a_million_are_seen() -> None:
    assert success(makingAmount="10000000", takingAmount="4000000").code == "accepted_with_odd_amounts"
    assert success(makingAmount="10", takingAmount="9.9").code == "accepted"


def test_buy_at_a_better_price_has_no_odd_amounts() -> None:
    attempt = make_attempt(side=Side.BUY)
    body = json.dumps({"success": True, "orderID": ID, "makingAmount": "4", "takingAmount": "40"}).encode()
    assert answer_of(Reply(200, {}, body), attempt, ID).code == "accepted"


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        (NetworkFault.NOT_SENT, K.TRANSIENT, "network_not_sent"),
        (NetworkFault.TIMED_OUT, K.UNKNOWN, "network_timed_out"),
        (NetworkFault.BROKEN, K.UNKNOWN, "network_broken"),
    ],
)
def test_only_a_request_that_never_left_is_certainly_not_taken(
    fault: NetworkFault, kind: AnswerKind, code: str
) -> None:
    answer = answer_without_reply(fault, ID)
    assert (answer.kind, answer.code) == (kind, code)


def trading_at(url: str, timeout_s: float = 3.0, connections: int = 16) -> PolymarketTrading:
    config = PolymarketConfig(clob_url=url, request_timeout_s=timeout_s, connections=connections)
    return PolymarketTrading(config, credentials(), NoMarketData())


async def test_refused_connection_is_not_sent() -> None:
    async with recording_server(lambda _: Prepared()) as server:
        url = server.url
    trading = trading_at(url)
    answer = await trading.place(make_attempt())
    await trading.aclose()
    assert (answer.kind, answer.code) == (K.TRANSIENT, "network_not_sent")


async def test_silent_venue_times_out_as_unknown() -> None:
    async with recording_server(lambda _: Prepared()) as server:
        server.release.clear()
        trading = trading_at(server.url, timeout_s=0.05)
        answer = await trading.place(make_attempt())
        await trading.aclose()
    assert (answer.kind, answer.code) == (K.UNKNOWN, "network_timed_out")
    assert len(server.requests) == 1


async def test_closed_connection_is_unknown_and_not_repeated() -> None:
    async with recording_server(lambda _: Prepared(hang_up=True)) as server:
        trading = trading_at(server.url)
        answer = await trading.place(make_attempt())
        await trading.aclose()
    assert (answer.kind, answer.code) == (K.UNKNOWN, "network_broken")
    assert len(server.requests) == 1


async def test_connection_is_kept_for_the_next_order() -> None:
    async with recording_server(lambda _: Prepared(400, b'{"error":"invalid signature"}')) as server:
        trading = trading_at(server.url)
        for attempt in range(3):
            await trading.place(make_attempt(attempt=attempt))
        await trading.aclose()
    assert len(server.requests) == 3
    assert server.connections == 1


async def test_stalled_account_does_not_hold_another() -> None:
    def answer(_: RawRequest) -> Prepared:
        return Prepared(400, b'{"error":"invalid signature"}')

    async with recording_server(answer) as slow, recording_server(answer) as fast:
        slow.release.clear()
        stalled, free = trading_at(slow.url, connections=1), trading_at(fast.url, connections=1)
        waiting = [asyncio.create_task(stalled.place(make_attempt(attempt=n))) for n in range(5)]
        while not slow.requests:
            await slow.arrived.wait()
        assert (await free.place(make_attempt())).code == "invalid_signature"
        assert not any(task.done() for task in waiting)
        slow.release.set()
        answers = await asyncio.gather(*waiting)
        await stalled.aclose()
        await free.aclose()
    assert {answer.code for answer in answers} == {"invalid_signature"}
