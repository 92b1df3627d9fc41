"""Control port: markets, wallets, books, orders, trades."""

import hashlib
from typing import Annotated

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from simulator import wire
from simulator.balances import Wallet
from simulator.events import Json
from simulator.exchange import Exchange, HouseUpdate
from simulator.markets import TICKS, Market
from simulator.money import MICRO, AmountError, to_micro, to_text
from simulator.orders import Order
from simulator.publication import Print
from simulator.rest_account import SPENDERS, UNLIMITED
from simulator.settlement import IllegalTransitionError
from simulator.signatures import checksum
from simulator.trades import COLLATERAL, Trade, TradeStatus


def _decimal_text(value: object) -> object:
    """Numbers are taken as well as strings; both are judged as exact decimals."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Amount = Annotated[str, BeforeValidator(_decimal_text)]
AddressText = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewMarket(_Body):
    """A market to be opened."""

    question: str
    outcomes: list[str] = Field(default_factory=lambda: ["Yes", "No"], min_length=2, max_length=2)
    tick_size: Amount = "0.01"
    min_order_size: Amount = "5"
    neg_risk: bool = False
    fee_rate: Amount = "0"
    end_date: str | None = None
    slug: str | None = None
    token_ids: list[str] | None = Field(default=None, min_length=2, max_length=2)


class MarketState(_Body):
    """Flags of a market to change."""

    active: bool | None = None
    closed: bool | None = None
    accepting_orders: bool | None = None
    enable_order_book: bool | None = None


class TickChange(_Body):
    """A new tick."""

    tick_size: Amount


class Resolution(_Body):
    """The end of a market: the winning token, or none with what each share of the first outcome pays."""

    winner: str | None = None
    payout: Amount | None = None


class WalletSpec(_Body):
    """A funder wallet; balances given here are set, not added."""

    address: AddressText
    signer: AddressText | None = None
    signature_type: int = Field(default=0, ge=0, le=2)
    collateral: Amount | None = None
    tokens: dict[str, Amount] = Field(default_factory=dict[str, str])
    approved: bool = True


class Approval(_Body):
    """Whether the wallet has approved the exchange."""

    approved: bool


class Standing(_Body):
    """Switches a restriction."""

    value: bool = True


class BookLevels(_Body):
    """The house's levels of one token."""

    bids: list[tuple[Amount, Amount]] = Field(default_factory=list[tuple[str, str]])
    asks: list[tuple[Amount, Amount]] = Field(default_factory=list[tuple[str, str]])
    last: Amount | None = None


class NewStatus(_Body):
    """The status a trade is to have."""

    status: TradeStatus


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
                prints.append(Print(index, _micro(levels.last), market.minimum_size, "BUY"))
            exchange.publisher.depth(market, prints=prints)
        return wire.book_json(market, index, wire.depth_of(state.books[market.condition_id], index))

    router.add_api_route("/markets", open_market, methods=["POST"])
    router.add_api_route("/markets", list_markets, methods=["GET"])
    router.add_api_route("/markets/{condition_id}/state", set_state, methods=["POST"])
    router.add_api_route("/markets/{condition_id}/tick-size", set_tick, methods=["POST"])
    router.add_api_route("/markets/{condition_id}/resolve", resolve, methods=["POST"])
    router.add_api_route("/books/{token_id}", set_book, methods=["POST"])
    router.include_router(_wallet_routes(exchange))
    router.include_router(_record_routes(exchange))
    return router


def _wallet_routes(exchange: Exchange) -> APIRouter:
    router, state = APIRouter(), exchange.state

    def wallet_of(address: str) -> Wallet:
        wallet = state.wallets.get(address.lower())
        if wallet is None:
            raise HTTPException(404, "unknown wallet")
        return wallet

    async def set_wallet(spec: WalletSpec) -> Json:
        unknown = [token for token in spec.tokens if token not in state.market_of_token]
        if unknown:
            raise HTTPException(422, "unknown token in tokens")
        wallet = state.wallet(checksum(spec.address.lower()))
        wallet.signer = checksum((spec.signer or spec.address).lower())
        wallet.signature_type, wallet.approved = spec.signature_type, spec.approved
        if spec.collateral is not None:
            wallet.holdings[COLLATERAL] = _micro(spec.collateral)
        for token_id, amount in spec.tokens.items():
            wallet.holdings[token_id] = _micro(amount)
        exchange.change_wallet(wallet)
        return wallet_json(wallet)

    async def get_wallet(address: str) -> Json:
        return wallet_json(wallet_of(address))

    async def approve(address: str, approval: Approval) -> Json:
        wallet = wallet_of(address)
        wallet.approved = approval.approved
        exchange.change_wallet(wallet)
        return wallet_json(wallet)

    async def closed_only(address: str, standing: Standing | None = None) -> Json:
        wallet = wallet_of(address)
        wallet.closed_only = standing is None or standing.value
        exchange.change_wallet(wallet)
        return wallet_json(wallet)

    async def banned(address: str, standing: Standing | None = None) -> Json:
        wallet = wallet_of(address)
        wallet.banned = standing is None or standing.value
        exchange.change_wallet(wallet)
        return wallet_json(wallet)

    router.add_api_route("/wallets", set_wallet, methods=["POST"])
    router.add_api_route("/wallets/{address}", get_wallet, methods=["GET"])
    router.add_api_route("/wallets/{address}/approve", approve, methods=["POST"])
    router.add_api_route("/wallets/{address}/closed-only", closed_only, methods=["POST"])
    router.add_api_route("/wallets/{address}/banned", banned, methods=["POST"])
    return router


def _record_routes(exchange: Exchange) -> APIRouter:
    router, state = APIRouter(), exchange.state

    async def orders(address: str | None = None) -> Json:
        chosen = [
            order
            for order in state.orders.values()
            if address is None or address.lower() in (order.wallet.lower(), order.account.lower())
        ]
        return {"orders": [admin_order_json(exchange, order) for order in chosen]}

    async def trades(address: str | None = None) -> Json:
        chosen = [
            trade
            for trade in sorted(state.trades.values(), key=lambda trade: trade.number)
            if address is None or _took_part(trade, address.lower())
        ]
        return {"trades": [admin_trade_json(trade) for trade in chosen]}

    async def set_status(trade_id: str, change: NewStatus) -> Json:
        trade = state.trades.get(trade_id)
        if trade is None:
            raise HTTPException(404, "unknown trade")
        try:
            exchange.set_trade_status(trade, change.status)
        except IllegalTransitionError as error:
            raise HTTPException(409, str(error)) from error
        return admin_trade_json(trade)

    router.add_api_route("/orders", orders, methods=["GET"])
    router.add_api_route("/trades", trades, methods=["GET"])
    router.add_api_route("/trades/{trade_id}/status", set_status, methods=["POST"])
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
        "resolved": market.resolved,
        "winner": market.winner,
        "last_prices": list(market.last_prices),
    }


def wallet_json(wallet: Wallet) -> Json:
    """Returns balances as decimal strings."""
    return {
        "address": wallet.address,
        "signer": wallet.signer,
        "signature_type": wallet.signature_type,
        "collateral": to_text(wallet.holding(COLLATERAL)),
        "tokens": {asset: to_text(n) for asset, n in wallet.holdings.items() if asset != COLLATERAL},
        "approved": wallet.approved,
        "allowances": dict.fromkeys(SPENDERS, UNLIMITED if wallet.approved else "0"),
        "fees_paid": to_text(wallet.fees_paid),
        "closed_only": wallet.closed_only,
        "banned": wallet.banned,
    }


def admin_order_json(exchange: Exchange, order: Order) -> Json:
    """Returns an order with what REST does not show."""
    body = wire.order_json(order, exchange.state.markets[order.condition_id], exchange.state.settings)
    fees = sum(
        trade.fee
        for trade_id in order.trade_ids
        if (trade := exchange.state.trades[trade_id]).taker_order_id == order.id
    )
    return {
        **body,
        "token_id": order.signed.token_id,
        "signer": order.account,
        "salt": order.signed.salt,
        "shares": to_text(order.signed.shares),
        "usd_matched": to_text(order.usd_filled),
        "fees": to_text(fees),
        "post_only": order.post_only,
        "reason": order.reason,
        "created_at_ms": order.created_ms,
        "sequence": order.sequence,
    }


def admin_trade_json(trade: Trade) -> Json:
    """Returns a trade with its fee and both sides."""
    return {
        "id": trade.id,
        "status": trade.status.value,
        "market": trade.condition_id,
        "token_id": trade.token_id,
        "outcome": trade.outcome,
        "side": trade.side.value,
        "size": to_text(trade.shares),
        "price": to_text(trade.price),
        "usd": to_text(trade.usd),
        "fee": to_text(trade.fee),
        "taker_order_id": trade.taker_order_id,
        "taker_address": trade.taker_wallet,
        "maker_orders": [wire.maker_json(maker) for maker in trade.makers],
        "transaction_hash": trade.transaction_hash,
        "matched_at_ms": trade.matched_ms,
        "updated_at_ms": trade.updated_ms,
    }


def _took_part(trade: Trade, address: str) -> bool:
    sides = {trade.taker_wallet.lower(), trade.taker_account.lower()}
    for maker in trade.makers:
        sides |= {maker.wallet.lower(), maker.account.lower()}
    return address in sides


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
        min_order_size=to_text(_micro(spec.min_order_size)),
        neg_risk=spec.neg_risk,
        fee_rate=to_text(_micro(spec.fee_rate)),
        created_ms=exchange.clock.now_ms(),
        end_date=spec.end_date,
        stamp_ms=exchange.clock.now_ms(),
    )


def _payouts(market: Market, resolution: Resolution) -> list[str]:
    if resolution.winner is not None:
        if resolution.winner not in market.token_ids:
            raise HTTPException(422, "the winner is no token of this market")
        return ["1" if token == resolution.winner else "0" for token in market.token_ids]
    first = _micro(resolution.payout or "0.5")
    if not 0 <= first <= MICRO:
        raise HTTPException(422, "payout lies outside 0..1")
    return [to_text(first), to_text(MICRO - first)]


def _levels(levels: list[tuple[str, str]], market: Market) -> dict[int, int]:
    parsed = {_micro(price): _micro(size) for price, size in levels}
    for price, size in parsed.items():
        if not market.fits_tick(price):
            raise HTTPException(422, f"price {to_text(price)} does not fit the tick {market.tick_size}")
        if size <= 0:
            raise HTTPException(422, "sizes must be positive")
    return parsed


def _tick(text: str) -> str:
    tick = to_text(_micro(text))
    if tick not in TICKS:
        raise HTTPException(422, f"tick_size must be one of {', '.join(TICKS)}")
    return tick


def _micro(text: str) -> int:
    try:
        return to_micro(text)
    except AmountError as error:
        raise HTTPException(422, str(error)) from error


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
