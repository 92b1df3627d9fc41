"""The session against the exchange when things go wrong: lost answers, lagging look-ups, failing trades."""

import asyncio
import dataclasses
import secrets
from collections.abc import Sequence
from decimal import Decimal

import pytest
from pydantic import SecretStr

from api.ports import ClosedOnlySession
from domain.errors import UnknownToken, VenueBlocked, VenueProtocolError, VenueTransient
from domain.fills import Fill, FillState
from domain.ids import WalletId
from domain.orders import AnswerKind, Attempt, Side, TimeInForce, VenueOrderStatus
from domain.ports import AccountEventKind, CancelOutcome
from tests.venues.builders import CHAIN, make_attempt
from tests.venues.contract import next_of
from tests.venues.exchange import LocalExchange
from tests.venues.polymarket.test_signing import NoMarketData, credentials
from tests.venues.recording_server import Prepared, RawRequest, recording_server
from venues.polymarket.authentication import wallet_identity
from venues.polymarket.config import PolymarketConfig
from venues.polymarket.trading import LISTS_LAG_S, SALES_LAG_S, PolymarketTrading

D = Decimal


@pytest.fixture
async def trading(exchange: LocalExchange) -> PolymarketTrading:
    await exchange.book([("0.50", "30"), ("0.49", "40")], [("0.52", "30")])
    await exchange.fund()
    return await exchange.trading()


def attempt_on(
    exchange: LocalExchange, shares: str = "20", price: str = "0.40", **changes: object
) -> Attempt:
    wallet = wallet_identity(WalletId("wal_1"), SecretStr(exchange.key), chain_id=CHAIN)
    values: dict[str, object] = {
        "market_id": exchange.market_id,
        "token_id": exchange.yes,
        "shares": D(shares),
        "limit_price": D(price),
        "wallet": wallet,
    }
    return make_attempt(**(values | changes))


async def test_lost_answer_is_unknown_and_the_look_up_finds_the_order(
    exchange: LocalExchange, trading: PolymarketTrading
) -> None:
    await exchange.post("/faults", kind="drop_after", method="POST", path="/order")
    attempt = attempt_on(exchange)
    answer = await trading.place(attempt)
    assert answer.kind is AnswerKind.UNKNOWN
    order = await trading.find_order(trading.venue_order_id(attempt), exchange.market_id)
    assert order is not None
    assert (order.status, order.matched_shares) == (VenueOrderStatus.MATCHED, D(20))
    assert (await trading.place(attempt)).kind is AnswerKind.REGISTERED


async def test_account_that_may_only_close_says_so_and_its_exits_go_on(
    exchange: LocalExchange, trading: PolymarketTrading
) -> None:
    assert isinstance(trading, ClosedOnlySession)
    assert not await trading.closed_only()
    address = wallet_identity(WalletId("wal_1"), SecretStr(exchange.key), chain_id=CHAIN).signer
    await exchange.post(f"/wallets/{address}/closed-only")
    assert await trading.closed_only()
    entry = await trading.place(attempt_on(exchange, price="0.52", side=Side.BUY))
    assert (entry.kind, entry.code) == (AnswerKind.BLOCKED, "closed_only")
    assert (await trading.place(attempt_on(exchange))).kind is AnswerKind.ACCEPTED


async def test_revoked_key_cannot_ask_whether_it_may_only_close(
    exchange: LocalExchange, trading: PolymarketTrading
) -> None:
    await exchange.post(
        "/faults",
        kind="status",
        path="/auth/ban-status/closed-only",
        status=401,
        body={"error": "Unauthorized"},
    )
    with pytest.raises(VenueBlocked):
        await trading.closed_only()


async def test_request_lost_on_its_way_left_no_order_and_the_same_bytes_are_taken(
    exchange: LocalExchange, trading: PolymarketTrading
) -> None:
    await exchange.post("/faults", kind="drop_before", method="POST", path="/order")
    attempt = attempt_on(exchange)
    assert (await trading.place(attempt)).kind is AnswerKind.UNKNOWN
    assert await trading.find_order(trading.venue_order_id(attempt), exchange.market_id) is None
    assert (await trading.place(attempt)).kind is AnswerKind.ACCEPTED


@pytest.mark.parametrize("flavour", ["null", "404"])
async def test_order_that_the_single_look_up_hides_is_found_elsewhere(
    exchange: LocalExchange, trading: PolymarketTrading, flavour: str
) -> None:
    attempt = attempt_on(exchange)
    await trading.place(attempt)
    path = f"/data/order/{trading.venue_order_id(attempt)}"
    body = None if flavour == "404" else "null"
    status = 404 if flavour == "404" else 200
    await exchange.post("/faults", kind="status", method="GET", path=path, status=status, body=body, times=1)
    order = await trading.find_order(trading.venue_order_id(attempt), exchange.market_id)
    assert order is not None
    assert order.matched_shares == 20


TRADED_AT = 1725868859


@pytest.mark.parametrize(
    ("side", "age_s", "status"),
    [
        ("SELL", SALES_LAG_S - 1, VenueOrderStatus.LIVE),  # later trades of it must not be sold again
        ("SELL", SALES_LAG_S, VenueOrderStatus.MATCHED),
        ("BUY", 0, VenueOrderStatus.LIVE),  # lists may lag: its rest must not be bought twice
        ("BUY", LISTS_LAG_S - 1, VenueOrderStatus.LIVE),
        ("BUY", LISTS_LAG_S, VenueOrderStatus.MATCHED),
    ],
)
async def test_order_known_by_its_trades_alone_is_over_with_what_it_traded(
    side: str, age_s: int, status: VenueOrderStatus
) -> None:
    order_id = "0x" + "ab" * 32
    trade = {
        "id": "t1",
        "taker_order_id": order_id,
        "market": "0x1",
        "asset_id": "111",
        "side": side,
        "size": "20",
        "price": "0.49",
        "status": "MINED",
        "match_time": str(TRADED_AT),
        "maker_address": credentials().funder,
        "trader_side": "TAKER",
        "maker_orders": [],
    }

    def answer(request: RawRequest) -> Prepared:
        import json

        if request.path.startswith("/data/order/"):
            return Prepared(404, b'{"error":"Order not found"}')
        data = [trade] if request.path.startswith("/data/trades") else []
        return Prepared(body=json.dumps({"data": data, "next_cursor": "LTE="}).encode())

    async with recording_server(answer) as server:
        config = PolymarketConfig(clob_url=server.url)
        trading = PolymarketTrading(config, credentials(), FreeInstruments(), now_s=lambda: TRADED_AT + age_s)
        order = await trading.find_order(order_id, "0x1")  # type: ignore[arg-type]
        await trading.aclose()
    assert order is not None
    assert (order.status, order.matched_shares) == (status, D(20))
    assert (order.price, order.side) == (D("0.49"), Side(side))


class FreeInstruments(NoMarketData):
    """Every token trades without a fee."""

    async def instrument(self, token_id: object) -> object:
        return dataclasses.make_dataclass("Free", [("fee_rate", Decimal)])(D(0))


async def test_lagging_look_ups_say_nothing_for_a_while(
    exchange: LocalExchange, trading: PolymarketTrading
) -> None:
    attempt = attempt_on(exchange)
    await trading.place(attempt)
    fault = await exchange.post("/faults", kind="lookup_missing", delay_ms=60_000, times=None)
    assert await trading.find_order(trading.venue_order_id(attempt), exchange.market_id) is None
    await exchange.admin.delete(f"/faults/{fault['fault_id']}")
    assert await trading.find_order(trading.venue_order_id(attempt), exchange.market_id) is not None


async def test_failed_trade_is_a_reversed_fill(exchange: LocalExchange, trading: PolymarketTrading) -> None:
    await exchange.post("/settings", trade_mode="manual")
    try:
        async with trading.events() as events:
            await next_of(events, AccountEventKind.GAP)
            await trading.place(attempt_on(exchange))
            first = await next_of(events, AccountEventKind.FILL)
            assert first.fill is not None
            assert first.fill.state is FillState.PROVISIONAL
            await exchange.post(f"/trades/{first.fill.fill_key}/status", status="RETRYING")
            retried = await next_of(events, AccountEventKind.FILL)
            await exchange.post(f"/trades/{first.fill.fill_key}/status", status="FAILED")
            failed = await next_of(events, AccountEventKind.FILL)
    finally:
        await exchange.post("/settings", trade_mode="auto")
    assert retried.fill is not None
    assert retried.fill.state is FillState.PROVISIONAL
    assert failed.fill == dataclasses.replace(first.fill, state=FillState.REVERSED)
    (swept,) = await trading.fills(after=None, market_id=exchange.market_id)
    assert swept == failed.fill


async def test_resting_order_hit_by_several_takers_gives_a_fill_each(
    exchange: LocalExchange, trading: PolymarketTrading
) -> None:
    await exchange.fund(exchange.rival_key)
    rival = await exchange.trading(exchange.rival_key)
    resting = attempt_on(exchange, "20", "0.51", time_in_force=TimeInForce.GTC)
    await trading.place(resting)
    wallet = wallet_identity(WalletId("wal_2"), SecretStr(exchange.rival_key), chain_id=CHAIN)
    for number, shares in enumerate(("5", "15")):
        taker = attempt_on(
            exchange,
            shares,
            "0.51",
            side=Side.BUY,
            wallet=wallet,
            attempt=number,
            time_in_force=TimeInForce.FAK,
        )
        assert (await rival.place(taker)).kind is AnswerKind.ACCEPTED
    maker = await fills_of(trading, exchange, resting)
    assert sorted((f.shares, f.notional_usd, f.fee_usd) for f in maker) == [
        (D(5), D("2.55"), D(0)),
        (D(15), D("7.65"), D(0)),
    ]
    assert len({fill.fill_key for fill in maker}) == 2
    taken = await rival.fills(after=None, market_id=exchange.market_id)
    assert {fill.side for fill in taken} == {Side.BUY}
    assert all(fill.fee_usd > 0 for fill in taken)


async def fills_of(trading: PolymarketTrading, exchange: LocalExchange, attempt: Attempt) -> Sequence[Fill]:
    order_id = trading.venue_order_id(attempt)
    fills = await trading.fills(after=None, market_id=exchange.market_id)
    return [fill for fill in fills if fill.venue_order_id == order_id]


async def test_fills_and_fees_add_up_to_the_exchanges_own_balance(
    exchange: LocalExchange, trading: PolymarketTrading
) -> None:
    wallet = f"/wallets/{trading._keys.address}"
    before = await exchange.get(wallet)
    await trading.place(attempt_on(exchange, "62.34", "0.40"))
    fills = await trading.fills(after=None, market_id=exchange.market_id)
    after = await exchange.get(wallet)
    gained = sum((fill.notional_usd - fill.fee_usd for fill in fills), D(0))
    assert D(str(after["collateral"])) - D(str(before["collateral"])) == gained
    assert D(str(after["fees_paid"])) == sum((fill.fee_usd for fill in fills), D(0))


async def test_bought_shares_wait_for_the_venues_cache(
    exchange: LocalExchange, trading: PolymarketTrading
) -> None:
    await exchange.post("/faults", kind="balance_lag", delay_ms=60_000, times=None)
    buy = attempt_on(exchange, "20", "0.52", side=Side.BUY)
    assert (await trading.place(buy)).kind is AnswerKind.ACCEPTED
    answer = await trading.place(attempt_on(exchange, "110", "0.40", attempt=2))
    assert answer.code == "balance_short"
    await exchange.admin.delete("/faults")


async def test_missing_approval_is_blocked_until_it_is_given(exchange: LocalExchange) -> None:
    await exchange.book([("0.50", "30")], [("0.52", "30")])
    await exchange.fund(approved=False)
    trading = await exchange.trading()
    answer = await trading.place(attempt_on(exchange))
    assert (answer.kind, answer.code) == (AnswerKind.BLOCKED, "allowance_short")
    assert (await trading.holding(exchange.yes)).allowance == 0
    await exchange.fund()
    assert (await trading.place(attempt_on(exchange, attempt=2))).kind is AnswerKind.ACCEPTED


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        ({"kind": "engine_restart"}, AnswerKind.UNKNOWN, "engine_restarting"),
        ({"kind": "post_only_window"}, AnswerKind.TRANSIENT, "post_only_mode"),
        ({"kind": "cancel_only"}, AnswerKind.TRANSIENT, "cancel_only"),
        ({"kind": "disabled"}, AnswerKind.UNKNOWN, "trading_disabled"),
        ({"kind": "status", "status": 500, "body": "Internal server error"}, AnswerKind.UNKNOWN, None),
        ({"kind": "status_after_accept", "status": 500}, AnswerKind.UNKNOWN, None),
    ],
)
async def test_state_of_the_venue_is_told_by_the_answer(
    exchange: LocalExchange,
    trading: PolymarketTrading,
    fault: dict[str, object],
    kind: AnswerKind,
    code: str | None,
) -> None:
    await exchange.post("/faults", method="POST", path="/order", **fault)
    answer = await trading.place(attempt_on(exchange))
    assert answer.kind is kind
    assert code in (None, answer.code)


async def test_neg_risk_market_signs_for_its_own_exchange(exchange: LocalExchange) -> None:
    reply = await exchange.post("/markets", question="Who?", neg_risk=True, tick_size="0.001")
    token = next(iter(reply["token_ids"]))  # type: ignore[call-overload]
    await exchange.post(f"/books/{token}", bids=[("0.505", "30")], asks=[])
    await exchange.fund()
    await exchange.post("/wallets", address=(await exchange.credentials()).funder, tokens={token: "50"})
    trading = await exchange.trading()
    attempt = attempt_on(exchange, "20", "0.5", token_id=token, tick=D("0.001"))
    wrong = await trading.place(attempt)
    assert (wrong.kind, wrong.code) == (AnswerKind.BLOCKED, "invalid_signature")
    right = await trading.place(dataclasses.replace(attempt, neg_risk=True))
    assert right.kind is AnswerKind.ACCEPTED


async def test_deposit_wallet_trades_reads_its_balance_and_finds_its_orders(exchange: LocalExchange) -> None:
    await exchange.book([("0.50", "30")], [("0.52", "30")])
    owner, deposit = await exchange.fund(), "0x" + secrets.token_hex(20)
    await exchange.post(
        "/wallets",
        address=deposit,
        signer=owner,
        signature_type=3,
        collateral="70",
        tokens={exchange.yes: "50"},
    )
    account = dataclasses.replace(await exchange.credentials(), funder=deposit, signature_type=3)
    session = PolymarketTrading(exchange.config, account, exchange.market_data)
    wallet = wallet_identity(
        WalletId("wal_1"), SecretStr(exchange.key), chain_id=CHAIN, funder=deposit, signature_type=3
    )
    assert (await session.collateral()).amount == D(70)
    sell = attempt_on(exchange, wallet=wallet)
    answer = await session.place(sell)
    assert (answer.kind, answer.status) == (AnswerKind.ACCEPTED, VenueOrderStatus.MATCHED)
    order = await session.find_order(session.venue_order_id(sell), exchange.market_id)
    assert order is not None
    assert order.matched_shares == D(20)
    assert [fill.shares for fill in await session.fills(after=None)] == [D(20)]
    resting = attempt_on(exchange, price="0.60", time_in_force=TimeInForce.GTC, attempt=2, wallet=wallet)
    assert (await session.place(resting)).kind is AnswerKind.ACCEPTED
    assert await session.cancel(session.venue_order_id(resting)) is CancelOutcome.CANCELED
    await session.aclose()


async def test_wrong_api_credentials_block_orders_and_reads(exchange: LocalExchange) -> None:
    await exchange.fund()
    real = await exchange.credentials()
    stale = dataclasses.replace(real, api=dataclasses.replace(real.api, secret=SecretStr("c2VjcmV0")))
    trading = PolymarketTrading(exchange.config, stale, exchange.market_data)
    answer = await trading.place(attempt_on(exchange))
    assert (answer.kind, answer.code) == (AnswerKind.BLOCKED, "unauthorized")
    with pytest.raises(VenueBlocked):
        await trading.collateral()
    await trading.aclose()


@pytest.mark.parametrize(
    ("prepared", "error"),
    [
        (Prepared(500, b'{"error":"Internal server error"}'), VenueTransient),
        (Prepared(425, b""), VenueTransient),
        (Prepared(429, b"", {"Retry-After": "2"}), VenueTransient),
        (Prepared(403, b"<html>"), VenueTransient),
        (Prepared(hang_up=True), VenueTransient),
        (Prepared(401, b'{"error":"Unauthorized/Invalid api key"}'), VenueBlocked),
        (Prepared(403, b'{"error":"Trading restricted in your region"}'), VenueBlocked),
        (Prepared(200, b"{}"), VenueProtocolError),
        (Prepared(200, b"<html>"), VenueProtocolError),
        (Prepared(418, b""), VenueProtocolError),
    ],
)
async def test_failing_read_says_whether_asking_again_helps(
    prepared: Prepared, error: type[Exception]
) -> None:
    async with recording_server(lambda _: prepared) as server:
        trading = PolymarketTrading(PolymarketConfig(clob_url=server.url), credentials(), NoMarketData())
        with pytest.raises(error):
            await trading.open_orders()
        with pytest.raises(error):
            await trading.collateral()
        await trading.aclose()


async def test_pages_are_followed_to_their_end(exchange: LocalExchange, trading: PolymarketTrading) -> None:
    await exchange.post("/settings", page_size=2)
    try:
        for number in range(5):
            resting = attempt_on(exchange, "5", "0.51", attempt=number, time_in_force=TimeInForce.GTC)
            assert (await trading.place(resting)).kind is AnswerKind.ACCEPTED
        assert len(await trading.open_orders()) == 5
        assert len(await trading.open_orders(exchange.no)) == 0
    finally:
        await exchange.post("/settings", page_size=100)


@pytest.mark.parametrize("cursor", ["MA==", "again"])
async def test_page_whose_cursor_repeats_is_no_endless_loop(cursor: str) -> None:
    body = f'{{"data":[],"next_cursor":"{cursor}"}}'.encode()
    async with recording_server(lambda _: Prepared(body=body)) as server:
        trading = PolymarketTrading(PolymarketConfig(clob_url=server.url), credentials(), NoMarketData())
        with pytest.raises(VenueProtocolError):
            await trading.open_orders()
        await trading.aclose()


@pytest.mark.parametrize(
    ("prepared", "outcome"),
    [
        (Prepared(body=b'{"canceled":["0x1"],"not_canceled":{}}'), CancelOutcome.CANCELED),
        (
            Prepared(body=b'{"canceled":[],"not_canceled":{"0x1":"order already matched"}}'),
            CancelOutcome.ALREADY_TERMINAL,
        ),
        (
            Prepared(body=b'{"canceled":null,"not_canceled":{"0x1":"order not found"}}'),
            CancelOutcome.NOT_FOUND,
        ),
        (
            Prepared(body=b'{"canceled":[],"not_canceled":{"0x1":"order is delayed"}}'),
            CancelOutcome.NOT_CANCELABLE,
        ),
        (Prepared(400, b'{"error":"Invalid orderID"}'), CancelOutcome.NOT_FOUND),
        (Prepared(404, b'{"error":"Order not found"}'), CancelOutcome.NOT_FOUND),
        (Prepared(503, b'{"error":"Trading is currently disabled"}'), VenueTransient),
        (Prepared(425, b""), VenueTransient),
    ],
)
async def test_answer_to_a_cancel_is_classified(
    prepared: Prepared, outcome: CancelOutcome | type[Exception]
) -> None:
    async with recording_server(lambda _: prepared) as server:
        trading = PolymarketTrading(PolymarketConfig(clob_url=server.url), credentials(), NoMarketData())
        try:
            if isinstance(outcome, CancelOutcome):
                assert await trading.cancel("0x1") is outcome  # type: ignore[arg-type]
            else:
                with pytest.raises(outcome):
                    await trading.cancel("0x1")  # type: ignore[arg-type]
        finally:
            await trading.aclose()


async def test_burst_of_orders_is_taken_over_kept_connections(
    exchange: LocalExchange, trading: PolymarketTrading
) -> None:
    attempts = [
        attempt_on(exchange, "5", "0.51", attempt=n, time_in_force=TimeInForce.GTC) for n in range(20)
    ]
    answers = await asyncio.gather(*(trading.place(attempt) for attempt in attempts))
    assert {answer.kind for answer in answers} == {AnswerKind.ACCEPTED}
    assert len(await trading.open_orders(exchange.yes)) == 20


class FailingMarketData(NoMarketData):
    """The public reads fail, one way or another."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def instrument(self, token_id: object) -> object:
        raise self.error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (UnknownToken("no market lists it"), AnswerKind.FINAL),
        (VenueTransient("no answer"), AnswerKind.TRANSIENT),
        (TimeoutError(), AnswerKind.TRANSIENT),
    ],
)
async def test_end_of_a_market_that_cannot_be_seen_is_not_believed(
    error: Exception, kind: AnswerKind
) -> None:
    gone = Prepared(400, b'{"error":"the orderbook does not exist"}')
    async with recording_server(lambda _: gone) as server:
        config = PolymarketConfig(clob_url=server.url)
        trading = PolymarketTrading(config, credentials(), FailingMarketData(error))  # type: ignore[arg-type]
        assert (await trading.place(make_attempt())).kind is kind
        await trading.aclose()
