"""The venue's JSON shapes, built from the exchange's records."""

import hashlib
from datetime import UTC, datetime

import orjson

from simulator.book import Book, TokenDepth, token_depth
from simulator.events import Json
from simulator.markets import Market
from simulator.money import to_number, to_text
from simulator.orders import Order
from simulator.settings import Settings
from simulator.trades import MakerFill, Trade


def iso(ms: int) -> str:
    """Returns UTC with seconds and Z."""
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def levels_json(levels: list[tuple[int, int]]) -> list[Json]:
    """Returns levels worst first: the best is the last of the list, as every recorded book shows."""
    return [{"price": to_text(price), "size": to_text(shares)} for price, shares in reversed(levels)]


def depth_of(book: Book, token_index: int) -> TokenDepth:
    """Returns the public depth of one token."""
    return token_depth(book.totals(bids=True), book.totals(bids=False), token_index)


def book_json(market: Market, token_index: int, depth: TokenDepth) -> Json:
    """Returns the REST book with its SHA-1 hash over the same object with an empty hash."""
    body: Json = {
        "market": market.condition_id,
        "asset_id": market.token_ids[token_index],
        "timestamp": str(market.stamp_ms),
        "hash": "",
        "bids": levels_json(depth.bids),
        "asks": levels_json(depth.asks),
        "min_order_size": market.min_order_size,
        "tick_size": market.tick_size,
        "neg_risk": market.neg_risk,
        "last_trade_price": market.last_prices[token_index],
    }
    body["hash"] = book_hash(body)
    return body


def book_hash(body: Json) -> str:
    """Returns SHA-1 over the compact JSON in wire order with ``hash`` empty."""
    return hashlib.sha1(orjson.dumps({**body, "hash": ""}), usedforsecurity=False).hexdigest()


def book_event(book: Json) -> Json:
    """Returns the socket's ``book``: it leaves out two members that still enter the hash."""
    shown = {name: value for name, value in book.items() if name not in ("min_order_size", "neg_risk")}
    return {"event_type": "book", **shown}


def original_size(order: Order, settings: Settings) -> int:
    """Returns ``original_size``: shares, or for FOK/FAK BUY the pUSD budget (reported by integrators)."""
    if order.spends_budget and settings.budget_as_original_size:
        return order.signed.usd
    return order.signed.shares


def order_json(order: Order, market: Market, settings: Settings) -> Json:
    """Returns the order object of the REST reads."""
    return {
        "id": order.id,
        "status": order.status.value,
        "owner": order.owner,
        "maker_address": order.wallet,
        "market": order.condition_id,
        "asset_id": order.signed.token_id,
        "side": order.signed.side.value,
        "original_size": to_text(original_size(order, settings)),
        "size_matched": to_text(order.filled),
        "price": to_text(order.price),
        "outcome": market.outcomes[order.token_index],
        "expiration": str(order.signed.expiration),
        "order_type": order.order_type.value,
        "associate_trades": list(order.trade_ids),
        "created_at": order.created_ms // 1000,
    }


def order_event(order: Order, market: Market, settings: Settings, kind: str, stamp_ms: int) -> Json:
    """Returns the user channel's ``order`` event; a killed order carries its reason in the status."""
    body = order_json(order, market, settings)
    body["created_at"] = str(order.created_ms // 1000)
    if order.reason:
        body["status"] = f"{order.status.value}_{order.reason}"
    if order.reason and not order.filled:
        body |= {"size_matched": "", "created_at": "", "outcome": ""}
    return {
        "event_type": "order",
        **body,
        "order_owner": order.owner,
        "type": kind,
        "timestamp": str(stamp_ms),
    }


def maker_json(maker: MakerFill) -> Json:
    """Returns one entry of ``maker_orders``."""
    return {
        "order_id": maker.order_id,
        "owner": maker.owner,
        "maker_address": maker.wallet,
        "matched_amount": to_text(maker.shares),
        "price": to_text(maker.price),
        "fee_rate_bps": "0",
        "asset_id": maker.token_id,
        "outcome": maker.outcome,
        "side": maker.side.value,
    }


def trade_json(trade: Trade, account: str) -> Json:
    """Returns the trade as an account sees it: the top level is the taker's, whoever looks."""
    body: Json = {
        "id": trade.id,
        "taker_order_id": trade.taker_order_id,
        "market": trade.condition_id,
        "asset_id": trade.token_id,
        "side": trade.side.value,
        "size": to_text(trade.shares),
        "fee_rate_bps": "0",
        "price": to_text(trade.price),
        "status": trade.status.value,
        "match_time": str(trade.matched_ms // 1000),
        "last_update": str(trade.updated_ms // 1000),
        "outcome": trade.outcome,
        "bucket_index": trade.bucket_index,
        "owner": trade.taker_owner,
        "maker_address": trade.taker_wallet,
        "maker_orders": [maker_json(maker) for maker in trade.makers],
        "trader_side": "TAKER" if trade.taker_account == account else "MAKER",
    }
    if trade.transaction_hash:
        body["transaction_hash"] = trade.transaction_hash
    return body


def trade_event(trade: Trade, account: str, trade_owner: str, stamp_ms: int) -> Json:
    """Returns the user channel's ``trade`` event, sent again at every change of status."""
    return {
        "event_type": "trade",
        **trade_json(trade, account),
        "type": "TRADE",
        "trade_owner": trade_owner,
        "timestamp": str(stamp_ms),
    }


def market_json(market: Market) -> Json:
    """Returns the CLOB's full market."""
    return {
        "enable_order_book": market.enable_order_book,
        "active": market.active,
        "closed": market.closed,
        "archived": False,
        "accepting_orders": market.accepting_orders,
        "accepting_order_timestamp": iso(market.created_ms),
        "minimum_order_size": to_number(market.minimum_size),
        "minimum_tick_size": to_number(market.tick),
        "condition_id": market.condition_id,
        "question_id": market.question_id,
        "question": market.question,
        "description": market.question,
        "market_slug": market.slug,
        "end_date_iso": market.end_date,
        "game_start_time": None,
        "seconds_delay": market.seconds_delay,
        "fpmm": "",
        "maker_base_fee": 0,
        "taker_base_fee": 0,
        "notifications_enabled": True,
        "neg_risk": market.neg_risk,
        "neg_risk_market_id": market.question_id if market.neg_risk else "",
        "neg_risk_request_id": "",
        "rewards": {"rates": None, "min_size": 0, "max_spread": 0},
        "is_50_50_outcome": market.resolved and market.winner is None,
        "tokens": [_token_json(market, index) for index in range(2)],
        "tags": [],
    }


def _token_json(market: Market, index: int) -> Json:
    token_id = market.token_ids[index]
    price = market.payouts[index] if market.resolved else market.last_prices[index] or "0.5"
    return {
        "token_id": token_id,
        "outcome": market.outcomes[index],
        "price": float(price),
        "winner": market.winner == token_id,
    }


def compact_market_json(market: Market) -> Json:
    """Returns ``/clob-markets``: false flags are left out, as the venue does."""
    body: Json = {
        "t": [
            {"t": token_id, "o": outcome}
            for token_id, outcome in zip(market.token_ids, market.outcomes, strict=True)
        ],
        "mts": to_number(market.tick),
        "mos": to_number(market.minimum_size),
        "mbf": 0,
        "tbf": 0,
        "fd": {"r": float(market.fee_rate), "e": 1, "to": True},
        "sd": market.seconds_delay,
        "oas": 0,
    }
    if market.neg_risk:
        body["nr"] = True
    if market.short_hold:
        body["itode"] = True
    return body
