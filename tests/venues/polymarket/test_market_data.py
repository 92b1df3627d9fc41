"""Public reads against the exchange, and against venues that know only half."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from domain.errors import UnknownToken, VenueProtocolError, VenueTransient
from domain.ids import TokenId
from domain.orders import MarketState
from tests.venues.exchange import LocalExchange
from tests.venues.recording_server import Prepared, RawRequest, recording_server
from venues.polymarket.config import PolymarketConfig
from venues.polymarket.market_data import PolymarketMarketData
from venues.polymarket.parsing import gamma_instrument
from venues.polymarket.schemas import GammaMarketPayload

D = Decimal
NOTHING = Prepared(404, b'{"error":"not found"}')


async def test_instrument_holds_what_the_venue_trades_by(exchange: LocalExchange) -> None:
    yes, no = [await exchange.market_data.instrument(token) for token in (exchange.yes, exchange.no)]
    assert (yes.market_id, yes.tick, yes.min_shares) == (exchange.market_id, D("0.01"), D(5))
    assert (yes.fee_rate, yes.neg_risk, yes.state) == (D("0.05"), False, MarketState.OPEN)
    assert (yes.outcome, no.outcome, yes.payout) == ("Yes", "No", None)
    assert yes.ends_at == datetime(2027, 1, 1, tzinfo=UTC)
    assert yes.question == "Will it hold?"


@pytest.mark.parametrize(
    ("flags", "state"),
    [
        ({"accepting_orders": False}, MarketState.NOT_ACCEPTING),
        ({"enable_order_book": False}, MarketState.NOT_ACCEPTING),
        ({"active": False}, MarketState.PAUSED),
        ({"closed": True}, MarketState.CLOSED),
        ({"closed": True, "accepting_orders": True}, MarketState.CLOSED),
    ],
)
async def test_flags_of_the_market_become_one_of_six_states(
    exchange: LocalExchange, flags: dict[str, bool], state: MarketState
) -> None:
    await exchange.post(f"/markets/{exchange.market_id}/state", **flags)
    assert (await exchange.market_data.instrument(exchange.yes)).state is state


@pytest.mark.parametrize(
    ("terms", "hold_ms"),
    [
        ({}, 0),
        ({"seconds_delay": 3}, 3_000),
        ({"short_hold": True}, 150),
        ({"seconds_delay": 3, "short_hold": True}, 3_000),
    ],
)
async def test_market_tells_how_long_it_holds_what_would_trade(
    exchange: LocalExchange, terms: dict[str, object], hold_ms: int
) -> None:
    await exchange.market(**terms)
    assert (await exchange.instrument()).hold_ms == hold_ms


@pytest.mark.parametrize(
    ("statuses", "closed", "state"),
    [
        (["proposed", "disputed"], False, MarketState.OPEN),
        (["proposed", "disputed"], True, MarketState.NOT_ACCEPTING),
        (["proposed", "disputed", "proposed"], True, MarketState.NOT_ACCEPTING),
        (["proposed"], True, MarketState.CLOSED),
        (["proposed", "disputed", "resolved"], True, MarketState.CLOSED),
    ],
)
async def test_disputed_market_is_not_at_its_end(
    exchange: LocalExchange, statuses: list[str], closed: bool, state: MarketState
) -> None:
    await exchange.market(uma_statuses=statuses, closed=closed)
    assert (await exchange.instrument()).state is state


async def test_disputed_market_that_the_clob_no_longer_lists_is_not_at_its_end() -> None:
    gamma = {"id": "1", "conditionId": "0xc", "clobTokenIds": '["111", "222"]', "outcomes": '["Yes", "No"]'}
    gamma |= {"closed": True, "umaResolutionStatuses": '["proposed", "disputed"]'}  # type: ignore[dict-item]
    payload = GammaMarketPayload.model_validate(gamma)
    assert gamma_instrument(TokenId("111"), payload).state is MarketState.NOT_ACCEPTING


async def test_dispute_ends_with_the_resolution(exchange: LocalExchange) -> None:
    await exchange.market(uma_statuses=["proposed", "disputed"])
    await exchange.post(f"/markets/{exchange.market_id}/resolve", winner=exchange.no)
    assert (await exchange.instrument()).state is MarketState.RESOLVED


async def test_resolved_market_names_what_each_outcome_pays(exchange: LocalExchange) -> None:
    await exchange.post(f"/markets/{exchange.market_id}/resolve", winner=exchange.no)
    yes, no = [await exchange.market_data.instrument(token) for token in (exchange.yes, exchange.no)]
    assert (yes.state, yes.payout, no.payout) == (MarketState.RESOLVED, D(0), D(1))


async def test_new_tick_is_read_anew(exchange: LocalExchange) -> None:
    assert (await exchange.market_data.instrument(exchange.yes)).tick == D("0.01")
    await exchange.post(f"/markets/{exchange.market_id}/tick-size", tick_size="0.001")
    assert (await exchange.market_data.instrument(exchange.yes)).tick == D("0.001")


@pytest.mark.parametrize("token", ["123456789", "not a number", "", "0x12"])
async def test_token_that_the_venue_does_not_know_is_unknown(exchange: LocalExchange, token: str) -> None:
    with pytest.raises(UnknownToken):
        await exchange.market_data.instrument(TokenId(token))


async def test_book_of_an_unknown_token_is_unknown(exchange: LocalExchange) -> None:
    with pytest.raises(UnknownToken):
        await exchange.market_data.book(TokenId("123456789"))


async def test_book_comes_best_first(exchange: LocalExchange) -> None:
    await exchange.book([("0.40", "10"), ("0.45", "20")], [("0.60", "10"), ("0.50", "20")], last="0.47")
    book = await exchange.market_data.book(exchange.yes)
    assert [level.price for level in book.bids] == [D("0.45"), D("0.40")]
    assert [level.price for level in book.asks] == [D("0.50"), D("0.60")]
    assert (book.last, book.tick) == (D("0.47"), D("0.01"))


async def test_books_come_in_few_requests_and_unknown_tokens_are_left_out(exchange: LocalExchange) -> None:
    await exchange.book([("0.45", "20")], [("0.50", "20")])
    books = await exchange.market_data.books([exchange.yes, TokenId("123456789"), exchange.no])
    assert {book.token_id for book in books} == {exchange.yes, exchange.no}
    assert list(await exchange.market_data.books([])) == []


async def test_many_books_are_asked_for_in_chunks() -> None:
    def answer(request: RawRequest) -> Prepared:
        books = [
            {"asset_id": entry["token_id"], "bids": [], "asks": [], "timestamp": "1"}
            for entry in json.loads(request.body)
        ]
        return Prepared(body=json.dumps(books).encode())

    async with reads_from(answer) as (data, server):
        tokens = [TokenId(str(number)) for number in range(250)]
        assert {book.token_id for book in await data.books(tokens)} == set(tokens)
        assert sorted(len(json.loads(request.body)) for request in server.requests) == [50, 100, 100]


async def test_clock_of_the_exchange_is_near_ours(exchange: LocalExchange) -> None:
    skew = await exchange.market_data.server_time_ms() - datetime.now(UTC).timestamp() * 1000
    assert abs(skew) < 5_000


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"1795246965", 1795246965000),
        (b'"1795246965"', 1795246965000),
        (b"1795246965626", 1795246965626),
        (b'{"time":1795246965}', 1795246965000),
        (b'{"timestamp":"1795246965"}', 1795246965000),
    ],
)
async def test_clock_is_read_in_every_form(body: bytes, expected: int) -> None:
    async with reads_from(lambda _: Prepared(body=body)) as (data, _):
        assert await data.server_time_ms() == expected


@pytest.mark.parametrize("body", [b"", b"now", b"{}", b"[]"])
async def test_unreadable_clock_is_a_protocol_error(body: bytes) -> None:
    async with reads_from(lambda _: Prepared(body=body)) as (data, _):
        with pytest.raises(VenueProtocolError):
            await data.server_time_ms()


GAMMA = {
    "id": "1",
    "conditionId": "0xc0",
    "clobTokenIds": '["111","222"]',
    "outcomes": '["Yes","No"]',
    "outcomePrices": '["1","0"]',
    "closed": True,
    "feeSchedule": {"rate": 0.07, "exponent": 1, "takerOnly": True},
    "orderPriceMinTickSize": 0.001,
    "orderMinSize": 5,
}
CLOB = {
    "condition_id": "0xc0",
    "minimum_tick_size": 0.01,
    "minimum_order_size": 5,
    "tokens": [{"token_id": "111", "outcome": "Yes"}, {"token_id": "222", "outcome": "No"}],
}


def respond(**bodies: object) -> Callable[[RawRequest], Prepared]:
    """Answer by path: gamma, token, market, compact; what is left out is 404, an int is a status."""

    def answer(request: RawRequest) -> Prepared:
        path, _, query = request.path.partition("?")
        if path.startswith("/gamma/"):
            body = bodies.get("gamma_closed") if "closed=true" in query else bodies.get("gamma")
            body = [] if body is None else body
        else:
            kinds = {"markets-by-token": "token", "markets": "market", "clob-markets": "compact"}
            body = bodies.get(kinds[path.split("/")[1]])
        if isinstance(body, int):
            return Prepared(body, b"{}")
        return NOTHING if body is None else Prepared(body=json.dumps(body).encode())

    return answer


class reads_from:
    """Market data on a recording server."""

    def __init__(self, answering: Callable[[RawRequest], Prepared]) -> None:
        self._server = recording_server(answering)

    async def __aenter__(self):  # type: ignore[no-untyped-def]
        server = await self._server.__aenter__()
        config = PolymarketConfig(clob_url=server.url, gamma_url=f"{server.url}/gamma")
        self._data = PolymarketMarketData(config)
        return self._data, server

    async def __aexit__(self, *error: object) -> None:
        await self._data.aclose()
        await self._server.__aexit__(None, None, None)


async def test_closed_market_that_the_clob_dropped_is_read_from_gamma() -> None:
    async with reads_from(respond(gamma_closed=[GAMMA])) as (data, _):
        instrument = await data.instrument(TokenId("222"))
    assert (instrument.state, instrument.payout, instrument.outcome) == (MarketState.RESOLVED, D(0), "No")
    assert (instrument.tick, instrument.fee_rate) == (D("0.001"), D("0.07"))


async def test_new_market_without_tokens_at_the_clob_is_read_from_gamma() -> None:
    fresh = {**GAMMA, "closed": False, "outcomePrices": '["0.5","0.5"]'}
    clob = {**CLOB, "tokens": []}
    async with reads_from(respond(gamma=[fresh], token={"condition_id": "0xc0"}, market=clob)) as (data, _):
        assert (await data.instrument(TokenId("111"))).state is MarketState.OPEN


async def test_gamma_out_of_order_does_not_stop_the_clobs_answer() -> None:
    answer = respond(
        gamma=500, token={"condition_id": "0xc0"}, market=CLOB, compact={"fd": {"r": 0.04, "e": 1}}
    )
    async with reads_from(answer) as (data, _):
        instrument = await data.instrument(TokenId("111"))
    assert (instrument.tick, instrument.fee_rate, instrument.state) == (
        D("0.01"),
        D("0.04"),
        MarketState.OPEN,
    )


async def test_closed_market_is_not_called_final_while_nobody_tells_of_disputes() -> None:
    closed = {**CLOB, "closed": True}
    answer = respond(gamma=500, token={"condition_id": "0xc0"}, market=closed)
    async with reads_from(answer) as (data, _):
        with pytest.raises(VenueTransient):
            await data.instrument(TokenId("111"))
    answer = respond(gamma_closed=[GAMMA | {"outcomePrices": '["0.5","0.5"]'}], market=closed)
    async with reads_from(answer) as (data, _):
        assert (await data.instrument(TokenId("111"))).state is MarketState.CLOSED


async def test_market_with_a_winner_is_resolved_whoever_else_can_be_read() -> None:
    won = {"token_id": "111", "outcome": "Yes", "winner": True}
    closed = {**CLOB, "closed": True, "tokens": [won, CLOB["tokens"][1]]}
    async with reads_from(respond(gamma=500, token={"condition_id": "0xc0"}, market=closed)) as (data, _):
        instrument = await data.instrument(TokenId("111"))
    assert (instrument.state, instrument.payout) == (MarketState.RESOLVED, D(1))


@pytest.mark.parametrize("clob", [{}, {"token": {"condition_id": "0xc0"}}])
async def test_token_that_the_clob_does_not_list_is_not_unknown_while_gamma_cannot_be_read(
    clob: dict[str, object],
) -> None:
    async with reads_from(respond(gamma=500, **clob)) as (data, _):
        with pytest.raises(VenueTransient):
            await data.instrument(TokenId("111"))
    async with reads_from(respond(**clob)) as (data, _):
        with pytest.raises(UnknownToken):
            await data.instrument(TokenId("111"))


async def test_fee_comes_from_the_schedule_where_the_clob_has_none() -> None:
    fresh = {**GAMMA, "closed": False}
    answer = respond(gamma=[fresh], token={"condition_id": "0xc0"}, market=CLOB, compact={"t": []})
    async with reads_from(answer) as (data, _):
        assert (await data.instrument(TokenId("111"))).fee_rate == D("0.07")


async def test_clob_out_of_order_is_transient() -> None:
    async with reads_from(respond(gamma=[GAMMA], token=503)) as (data, _):
        with pytest.raises(VenueTransient):
            await data.instrument(TokenId("111"))


async def test_market_without_tick_is_a_protocol_error() -> None:
    clob = {**CLOB, "minimum_tick_size": None}
    async with reads_from(respond(token={"condition_id": "0xc0"}, market=clob)) as (data, _):
        with pytest.raises(VenueProtocolError):
            await data.instrument(TokenId("111"))


async def test_tie_pays_half() -> None:
    clob = {**CLOB, "closed": True, "is_50_50_outcome": True}
    async with reads_from(respond(token={"condition_id": "0xc0"}, market=clob)) as (data, _):
        instrument = await data.instrument(TokenId("111"))
    assert (instrument.state, instrument.payout) == (MarketState.RESOLVED, D("0.5"))
