"""Control port: markets, books."""

import hashlib

from fastapi import APIRouter, HTTPException
from pydantic import Field

from simulator import wire
from simulator.admin_amounts import Amount, Body, micro
from simulator.events import Json
from simulator.exchange import Exchange, HouseUpdate
from simulator.markets import TICKS, Market
from simulator.money import MICRO, to_text
from simulator.publication import Print


class NewMarket(Body):
    """A market to be opened."""

    question: str
    outcomes: list[str] = Field(default_factory=lambda: ["Yes", "No"], min_length=2, max_length=2)
    tick_size: Amount = "0.01"
    min_order_size: Amount = "5"
    neg_risk: bool = False
    fee_rate: Amount = "0"
    end_date: str | None = None
    slug: str | None = None
    seconds_delay: int = Field(default=0, ge=0)
    short_hold: bool = False
    token_ids: list[str] | None = Field(default=None, min_length=2, max_length=2)


class MarketState(Body):
    """Flags and holds of a market to change."""

    active: bool | None = None
    closed: bool | None = None
    accepting_orders: bool | None = None
    enable_order_book: bool | None = None
    uma_statuses: list[str] | None = None
    seconds_delay: int | None = Field(default=None, ge=0)
    short_hold: bool | None = None


class TickChange(Body):
    """A new tick."""

    tick_size: Amount


class Resolution(Body):
    """The end of a market: the winning token, or none with what each share of the first outcome pays."""

    winner: str | None = None
    payout: Amount | None = None


class BookLevels(Body):
    """The house's levels of one token."""

    bids: list[tuple[Amount, Amount]] = Field(default_factory=list[tuple[str, str]])
    asks: list[tuple[Amount, Amount]] = Field(default_factory=list[tuple[str, str]])
    last: Amount | None = None


def venue_routes(exchange: Exchange) -> APIRouter:
    """Returns the routes; all run on the event loop, so each is atomic."""
    router, state = APIRouter(), exchange.state

    def market_of(condition_id: str) -> Market:
        market = state.markets.get(condition_id)
        if market is None:
            raise HTTPException(404, "unknown market")
        return market

    async def open_market(spec: NewMarket) -> Json:
        market = _new_market(exchange, spec)
        with exchange.transaction():
            state.save_market(market)
            exchange.publisher.announce_to_all(_new_market_json(market))
        return admin_market_json(market)

    async def list_markets() -> list[Json]:
        return [admin_market_json(market) for market in state.markets.values()]

    async def set_state(condition_id: str, change: MarketState) -> Json:
        market = market_of(condition_id)
        with exchange.transaction():
            for name, value in change.model_dump(exclude_none=True).items():
                setattr(market, name, value)
            state.save_market(market)
        return admin_market_json(market)

    async def set_tick(condition_id: str, change: TickChange) -> Json:
        market = market_of(condition_id)
        exchange.set_tick(market, _tick(change.tick_size))
        return admin_market_json(market)

    async def resolve(condition_id: str, resolution: Resolution) -> Json:
        market = market_of(condition_id)
        exchange.resolve(market, resolution.winner, _payouts(market, resolution))
        return admin_market_json(market)

    async def set_book(token_id: str, levels: BookLevels) -> Json:
        market = state.market_of_token.get(token_id)
        if market is None:
            raise HTTPException(404, "unknown token")
        index = market.index_of(token_id)
        update = HouseUpdate(_levels(levels.bids, market), _levels(levels.asks, market))
        with exchange.transaction():
            prints = exchange.set_house(market, index, update)
            if levels.last is not None:
                prints.append(Print(index, micro(levels.last), market.minimum_size, "BUY"))
            exchange.publisher.depth(market, prints=prints)
        return wire.book_json(market, index, wire.depth_of(state.books[market.condition_id], index))

    router.add_api_route("/markets", open_market, methods=["POST"])
    router.add_api_route("/markets", list_markets, methods=["GET"])
    router.add_api_route("/markets/{condition_id}/state", set_state, methods=["POST"])
    router.add_api_route("/markets/{condition_id}/tick-size", set_tick, methods=["POST"])
    router.add_api_route("/markets/{condition_id}/resolve", resolve, methods=["POST"])

    async def release_held() -> Json:
        return {"released": exchange.release_held()}

    router.add_api_route("/books/{token_id}", set_book, methods=["POST"])
    router.add_api_route("/holds/release", release_held, methods=["POST"])
    return router


def admin_market_json(market: Market) -> Json:
    """Returns a market with every flag."""
    return {
        "id": str(market.id),
        "condition_id": market.condition_id,
        "token_ids": list(market.token_ids),
        "question": market.question,
        "outcomes": list(market.outcomes),
        "slug": market.slug,
        "tick_size": market.tick_size,
        "min_order_size": market.min_order_size,
        "neg_risk": market.neg_risk,
        "fee_rate": market.fee_rate,
        "end_date": market.end_date,
        "active": market.active,
        "closed": market.closed,
        "accepting_orders": market.accepting_orders,
        "enable_order_book": market.enable_order_book,
        "uma_statuses": list(market.uma_statuses),
        "seconds_delay": market.seconds_delay,
        "short_hold": market.short_hold,
        "resolved": market.resolved,
        "winner": market.winner,
        "last_prices": list(market.last_prices),
    }


def _new_market(exchange: Exchange, spec: NewMarket) -> Market:
    state = exchange.state
    state.meta.market_number += 1
    state.save_meta()
    number = state.meta.market_number
    condition_id = "0x" + _digest(f"{state.meta.seed}:market:{number}")
    token_ids = spec.token_ids or [str(int(_digest(f"{condition_id}:{index}"), 16)) for index in range(2)]
    if any(token in state.market_of_token for token in token_ids) or len(set(token_ids)) != 2:
        raise HTTPException(409, "a token of that id exists")
    return Market(
        id=number,
        condition_id=condition_id,
        question_id="0x" + _digest(f"{condition_id}:question"),
        question=spec.question,
        slug=spec.slug or f"market-{number}",
        outcomes=spec.outcomes,
        token_ids=token_ids,
        tick_size=_tick(spec.tick_size),
        min_order_size=to_text(micro(spec.min_order_size)),
        neg_risk=spec.neg_risk,
        fee_rate=to_text(micro(spec.fee_rate)),
        created_ms=exchange.clock.now_ms(),
        end_date=spec.end_date,
        seconds_delay=spec.seconds_delay,
        short_hold=spec.short_hold,
        stamp_ms=exchange.clock.now_ms(),
    )


def _payouts(market: Market, resolution: Resolution) -> list[str]:
    if resolution.winner is not None:
        if resolution.winner not in market.token_ids:
            raise HTTPException(422, "the winner is no token of this market")
        return ["1" if token == resolution.winner else "0" for token in market.token_ids]
    first = micro(resolution.payout or "0.5")
    if not 0 <= first <= MICRO:
        raise HTTPException(422, "payout lies outside 0..1")
    return [to_text(first), to_text(MICRO - first)]


def _levels(levels: list[tuple[str, str]], market: Market) -> dict[int, int]:
    parsed = {micro(price): micro(size) for price, size in levels}
    for price, size in parsed.items():
        if not market.fits_tick(price):
            raise HTTPException(422, f"price {to_text(price)} does not fit the tick {market.tick_size}")
        if size <= 0:
            raise HTTPException(422, "sizes must be positive")
    return parsed


def _tick(text: str) -> str:
    tick = to_text(micro(text))
    if tick not in TICKS:
        raise HTTPException(422, f"tick_size must be one of {', '.join(TICKS)}")
    return tick


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _new_market_json(market: Market) -> Json:
    event: Json = {
        "id": str(market.id),
        "ticker": market.slug,
        "slug": market.slug,
        "title": market.question,
        "description": market.question,
    }
    return {
        "event_type": "new_market",
        "id": str(market.id),
        "question": market.question,
        "market": market.condition_id,
        "slug": market.slug,
        "description": market.question,
        "assets_ids": list(market.token_ids),
        "outcomes": list(market.outcomes),
        "event_message": event,
        "timestamp": str(market.created_ms),
        "tags": [],
        "condition_id": market.condition_id,
        "active": market.active,
        "clob_token_ids": list(market.token_ids),
        "sports_market_type": "",
        "line": "",
        "game_start_time": "",
        "order_price_min_tick_size": market.tick_size,
        "group_item_title": "",
    }
