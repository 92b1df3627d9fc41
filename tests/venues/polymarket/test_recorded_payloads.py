"""Payloads recorded from the venue, and samples of its documentation: all of them parse."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from domain.fees import taker_fee
from domain.fills import Fill, FillState
from domain.ids import TokenId, VenueOrderId
from domain.money import from_micros
from domain.orders import MarketState, Side, VenueOrderStatus
from domain.ports import CancelOutcome, MarketEventKind
from tests.venues.builders import make_attempt
from venues.polymarket import parsing, schemas
from venues.polymarket.answers import answer_of_payload
from venues.polymarket.cancels import outcome_of
from venues.polymarket.http import Reply
from venues.polymarket.market_frames import FrameCounters, FrameReader, LocalBooks
from venues.polymarket.trades import Owner, fills_of, taker_notional

D = Decimal
Read = Callable[[bytes], object]


def one(model: type[schemas.Payload]) -> Read:
    return lambda body: parsing.read_payload(model, body)


def many(model: type[schemas.Payload]) -> Read:
    return lambda body: parsing.read_payloads(model, body)


def market_frame(body: bytes) -> object:
    books, counters = LocalBooks(), FrameCounters()
    for token in tokens_in(json.loads(body)):
        books.watch(token)
    events = FrameReader(books, counters).read(body, 1)
    assert counters.malformed == counters.absurd == 0
    return events


def tokens_in(event: dict[str, object]) -> list[str]:
    changes = event.get("price_changes", [])
    assert isinstance(changes, list)
    return [str(entry["asset_id"]) for entry in (event, *changes) if "asset_id" in entry]


def user_frame(body: bytes) -> object:
    payload = json.loads(body)
    if parsing.event_type(payload) == "order":
        return parsing.venue_order(parsing.read_value(schemas.OrderPayload, payload))
    assert parsing.event_type(payload) == "trade"
    return parsing.read_value(schemas.TradePayload, payload)


READERS: dict[str, Read] = {
    "clob_book_response.json": one(schemas.BookPayload),
    "clob_book_response_empty_ask.json": one(schemas.BookPayload),
    "py_http_book.json": one(schemas.BookPayload),
    "clob_fee_rate_response_zero.json": one(schemas.FeeRatePayload),
    "clob_market_closed_binary_accepting_false.json": one(schemas.ClobMarketPayload),
    "py_http_markets.json": one(schemas.MarketPagePayload),
    "data_api_positions_response.json": many(schemas.DataPositionPayload),
    "py_http_trades.json": many(schemas.DataTradePayload),
    "gamma_event.json": many(schemas.GammaEventPayload),
    "gamma_market.json": one(schemas.GammaMarketPayload),
    "gamma_market_closed_binary_accepting_true.json": one(schemas.GammaMarketPayload),
    "gamma_market_closed_zero_zero_legacy.json": one(schemas.GammaMarketPayload),
    "http_balance_allowance_collateral.json": one(schemas.BalancePayload),
    "http_batch_cancel_response.json": one(schemas.CancelPayload),
    "http_cancel_response_ok.json": one(schemas.CancelPayload),
    "http_batch_order_response.json": many(schemas.PlacePayload),
    "http_order_response_ok.json": one(schemas.PlacePayload),
    "http_order_response_trade_ids_only.json": one(schemas.PlacePayload),
    "http_order_response_error_500.json": one(schemas.RefusalPayload),
    "http_open_order.json": one(schemas.OrderPayload),
    "http_open_orders_page.json": one(schemas.OrderPagePayload),
    "http_signed_order.json": one(schemas.PostedOrderPayload),
    "http_trade_report.json": one(schemas.TradePayload),
    "py_ws_last_trade_price.json": market_frame,
    "py_ws_price_change.json": market_frame,
    "py_ws_price_change_v2.json": market_frame,
    "ws_market_best_bid_ask_msg.json": market_frame,
    "ws_market_book_msg.json": market_frame,
    "ws_market_last_trade_msg.json": market_frame,
    "ws_market_new_market_msg.json": market_frame,
    "ws_market_price_change_msg.json": market_frame,
    "py_ws_order_placement.json": user_frame,
    "ws_user_order_fok_killed.json": user_frame,
    "ws_user_order_placement.json": user_frame,
    "ws_user_order_update.json": user_frame,
    "py_ws_user_trade1.json": user_frame,
    "py_ws_user_trade2.json": user_frame,
    "ws_user_trade.json": user_frame,
    "ws_user_trade_msg.json": user_frame,
}
NOT_A_PAYLOAD = {"chain_order_filled_taker_fees.json"}  # fee vectors taken from the chain, tested below


@pytest.fixture
def payloads(fixtures_dir: Path) -> Path:
    return fixtures_dir / "polymarket"


def read(payloads: Path, name: str) -> bytes:
    return (payloads / name).read_bytes()


def test_every_recorded_file_has_a_reader(payloads: Path) -> None:
    assert {path.name for path in payloads.glob("*.json")} == set(READERS) | NOT_A_PAYLOAD


@pytest.mark.parametrize("name", READERS)
def test_payload_parses(payloads: Path, name: str) -> None:
    assert READERS[name](read(payloads, name)) is not None


def test_recorded_book_is_turned_best_first(payloads: Path) -> None:
    book = parsing.book(parsing.read_payload(schemas.BookPayload, read(payloads, "py_http_book.json")))
    assert (book.bids[0].price, book.asks[0].price) == (D("0.1"), D("0.14"))
    assert book.venue_timestamp_ms == 1728799418260


def test_book_without_asks_and_last_trade_has_none(payloads: Path) -> None:
    body = read(payloads, "clob_book_response_empty_ask.json")
    book = parsing.book(parsing.read_payload(schemas.BookPayload, body))
    assert book.asks == ()
    assert (book.quote.bid, book.quote.ask, book.quote.last) == (D("0.002"), None, None)
    assert book.tick == D("0.001")


@pytest.mark.parametrize(
    ("name", "state", "payouts"),
    [
        ("gamma_market.json", MarketState.OPEN, [None, None]),
        ("gamma_market_closed_binary_accepting_true.json", MarketState.RESOLVED, [D(1), D(0)]),
        ("gamma_market_closed_zero_zero_legacy.json", MarketState.CLOSED, [None, None]),
    ],
)
def test_state_and_payout_of_gamma_markets(
    payloads: Path, name: str, state: MarketState, payouts: list[Decimal | None]
) -> None:
    gamma = parsing.read_payload(schemas.GammaMarketPayload, read(payloads, name))
    instruments = [parsing.gamma_instrument(TokenId(token), gamma) for token in gamma.token_ids]
    assert {instrument.state for instrument in instruments} == {state}
    assert [instrument.payout for instrument in instruments] == payouts


def test_outcomes_of_a_gamma_market_are_read_out_of_their_strings(payloads: Path) -> None:
    gamma = parsing.read_payload(schemas.GammaMarketPayload, read(payloads, "gamma_market.json"))
    assert gamma.outcomes == ("Up", "Down")
    second = parsing.gamma_instrument(TokenId(gamma.token_ids[1]), gamma)
    assert second.outcome == "Down"
    assert second.ends_at == datetime(2026, 3, 12, 9, 25, tzinfo=UTC)


def test_clob_market_with_a_winner_is_resolved(payloads: Path) -> None:
    body = read(payloads, "clob_market_closed_binary_accepting_false.json")
    market = parsing.read_payload(schemas.ClobMarketPayload, body)
    instruments = [parsing.instrument(TokenId(t.token_id), market, None, None) for t in market.tokens]
    assert [i.payout for i in instruments] == [D(0), D(1)]
    assert {i.state for i in instruments} == {MarketState.RESOLVED}
    assert instruments[0].tick == D("0.001")


def test_killed_order_with_empty_fields_is_canceled_with_nothing_matched(payloads: Path) -> None:
    payload = parsing.read_payload(schemas.OrderPayload, read(payloads, "ws_user_order_fok_killed.json"))
    order = parsing.venue_order(payload)
    assert (order.status, order.matched_shares) == (VenueOrderStatus.CANCELED, D(0))
    assert (order.original_shares, order.created_at) == (None, None)


def test_batch_reply_is_classified_leg_by_leg(payloads: Path) -> None:
    legs = parsing.read_payloads(schemas.PlacePayload, read(payloads, "http_batch_order_response.json"))
    answers = [answer_of_payload(leg, make_attempt(), VenueOrderId("0x" + "1" * 64)) for leg in legs]
    assert [answer.code for answer in answers] == ["accepted", "balance_short", "post_only_would_cross"]


def test_cancel_reply_names_what_was_finished_already(payloads: Path) -> None:
    reply = Reply(200, {}, read(payloads, "http_batch_cancel_response.json"))
    outcomes = [outcome_of(reply, VenueOrderId("0x" + digit * 64)) for digit in "134"]
    assert outcomes == [
        CancelOutcome.CANCELED,
        CancelOutcome.ALREADY_TERMINAL,
        CancelOutcome.NOT_CANCELABLE,
    ]


async def fills(payloads: Path, name: str, owner: Owner) -> tuple[Fill, ...]:
    trade = parsing.read_payload(schemas.TradePayload, read(payloads, name))

    async def rate(_: TokenId) -> Decimal:
        return D("0.05")

    return await fills_of(trade, owner, rate)


async def test_recorded_maker_trade_gives_the_own_order_alone(payloads: Path) -> None:
    owner = Owner(api_key="", wallet="0xa3D82Ed56F4c68d2328Fb8c29e568Ba2cAF7d7c8")
    (fill,) = await fills(payloads, "py_ws_user_trade1.json", owner)
    assert fill.venue_order_id == "0xab679e56242324e15e59cfd488cd0f12e4fd71b153b9bfb57518898b9983145e"
    assert (fill.side, fill.shares, fill.notional_usd) == (Side.SELL, D(5), D("2.59"))
    assert (fill.fee_usd, fill.state) == (D(0), FillState.PROVISIONAL)


async def test_maker_of_the_other_outcome_bought_when_the_taker_bought(payloads: Path) -> None:
    owner = Owner(api_key="", wallet="0xFfd192468b7a05b38c37C82d09fA941289FaEB23")
    (fill,) = await fills(payloads, "py_ws_user_trade1.json", owner)
    assert fill.token_id.startswith("483310433366")
    assert (fill.side, fill.shares, fill.notional_usd) == (Side.BUY, D(10), D("4.82"))


async def test_recorded_taker_trade_pays_the_fee(payloads: Path) -> None:
    owner = Owner(api_key="", wallet="0xa3D82Ed56F4c68d2328Fb8c29e568Ba2cAF7d7c8")
    (fill,) = await fills(payloads, "py_ws_user_trade2.json", owner)
    assert fill.fill_key == "f50e8ab2-652d-4dc8-9c82-8e46197fe98d"
    assert (fill.side, fill.notional_usd) == (Side.BUY, D("2.6"))
    assert fill.fee_usd == taker_fee(D(5), D("0.52"), D("0.05"))


def test_notional_is_the_sum_over_makers_where_they_add_up(payloads: Path) -> None:
    trade = parsing.read_payload(schemas.TradePayload, read(payloads, "py_ws_user_trade1.json"))
    matched = sum(entry.matched_amount for entry in trade.maker_orders)
    assert matched == trade.size
    assert taker_notional(trade) == trade.size * D("0.518")  # the minted part costs 1 - 0.482
    other = parsing.read_payload(schemas.TradePayload, read(payloads, "http_trade_report.json"))
    assert sum(entry.matched_amount for entry in other.maker_orders) != other.size
    assert taker_notional(other) == D("12.5")


def test_socket_book_makes_a_quote(payloads: Path) -> None:
    events = market_frame(read(payloads, "ws_market_book_msg.json"))
    assert isinstance(events, list)
    (event,) = events
    assert event.kind is MarketEventKind.QUOTE
    assert (event.quote.bid, event.quote.ask) == (D("0.50"), D("0.51"))


def test_fees_taken_on_the_chain_are_reproduced(payloads: Path) -> None:
    vectors = json.loads(read(payloads, "chain_order_filled_taker_fees.json"))
    for vector in vectors:
        maker, taker = int(vector["maker_amount_filled"]), int(vector["taker_amount_filled"])
        shares = from_micros(taker if vector["side"] == "BUY" else maker)
        fee = taker_fee(shares, D(vector["price"]), D(vector["fee_rate"]))
        assert fee == from_micros(int(vector["fee"])), vector
