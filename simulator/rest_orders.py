"""CLOB REST: placing, cancelling and reading orders and trades."""

import base64

from pydantic import BaseModel, TypeAdapter, ValidationError

from simulator import refusals, wire
from simulator.auth import ApiKey, verify_l2
from simulator.events import Json
from simulator.exchange import Cancellation, Exchange, Placement
from simulator.gate import judge
from simulator.ledger import Outcome
from simulator.limits import Bucket, SignerLimits
from simulator.money import to_text
from simulator.orders import Order, Side
from simulator.refusals import Refusal, bad
from simulator.requests import Reply, Request, Routes
from simulator.trades import Trade

FIRST_CURSOR = "MA=="
END_CURSOR = "LTE="


class _OneId(BaseModel):
    orderID: str


class _MarketFilter(BaseModel):
    market: str = ""
    asset_id: str = ""


_IDS = TypeAdapter(list[str])


class OrderRoutes:
    """Private calls that deal with orders; all need an API key's HMAC."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._state = exchange.state
        self._limits = SignerLimits(exchange.state, exchange.clock)

    def add_to(self, routes: Routes) -> None:
        """Adds these routes to a table."""
        routes.add("POST", "/order", self.post_order)
        routes.add("POST", "/orders", self.post_orders)
        routes.add("DELETE", "/order", self.cancel_order)
        routes.add("DELETE", "/orders", self.cancel_orders)
        routes.add("DELETE", "/cancel-all", self.cancel_all)
        routes.add("DELETE", "/cancel-market-orders", self.cancel_market)
        routes.add("GET", "/v1/user/rate-limit-tier", self.limit_tier)
        routes.add("GET", "/data/order/", self.get_order)
        routes.add("GET", "/data/orders", self.get_orders)
        routes.add("GET", "/data/trades", self.get_trades)

    def key_of(self, request: Request) -> ApiKey:
        """Returns the API key that signed a request.

        Raises:
            Refusal: 401.
        """
        return verify_l2(
            request.headers,
            self._state.api_keys,
            request.method,
            request.path,
            request.body,
            self._exchange.clock.now_ms(),
            self._state.settings.hmac_window_s,
        )

    def post_order(self, request: Request) -> Reply:
        """Places one order."""
        key = self._charged(request, Bucket.ORDERS, 1)
        return Reply(placement_json(self._place(request, 0, key)))

    def post_orders(self, request: Request) -> Reply:
        """Places up to fifteen orders; each leg has its own fate, the answer is 200."""
        key = self.key_of(request)
        first = request.submissions[0]
        if isinstance(first, Refusal) and len(request.submissions) == 1:
            raise first
        if len(request.submissions) > self._state.settings.batch_limit:
            raise refusals.too_many(len(request.submissions), self._state.settings.batch_limit)
        self._charge(request, key, Bucket.ORDERS, len(request.submissions))
        return Reply([self._place_leg(request, index, key) for index in range(len(request.submissions))])

    def cancel_order(self, request: Request) -> Reply:
        """Cancels one order."""
        key = self._charged(request, Bucket.CANCELS, 1)
        try:
            order_id = _OneId.model_validate_json(request.body).orderID
        except ValidationError as error:
            raise bad(refusals.INVALID_PAYLOAD) from error
        return self._cancel(key, [order_id])

    def cancel_orders(self, request: Request) -> Reply:
        """Cancels a list of orders."""
        key = self.key_of(request)
        try:
            order_ids = _IDS.validate_json(request.body)
        except ValidationError as error:
            raise bad(refusals.INVALID_PAYLOAD) from error
        limit = self._state.settings.cancel_limit
        if len(order_ids) > limit:
            raise refusals.too_many(len(order_ids), limit)
        self._charge(request, key, Bucket.CANCELS, len(order_ids))
        return self._cancel(key, order_ids)

    def cancel_all(self, request: Request) -> Reply:
        """Cancels every open order of the account."""
        return self._cancel_where(request, self.key_of(request))

    def cancel_market(self, request: Request) -> Reply:
        """Cancels the open orders of a market and/or a token."""
        key = self.key_of(request)
        try:
            chosen = _MarketFilter.model_validate_json(request.body)
        except ValidationError as error:
            raise bad(refusals.INVALID_PAYLOAD) from error
        return self._cancel_where(request, key, chosen)

    def limit_tier(self, request: Request) -> Reply:
        """Returns the signer's tier; the venue documents no more than the path."""
        self.key_of(request)
        return Reply({"tier": self._state.settings.signer_tier})

    def get_order(self, request: Request) -> Reply:
        """Returns one order of the account, or null as the venue does for one it does not know."""
        key = self.key_of(request)
        order = self._state.orders.get(request.param)
        if order is None or order.account != key.address:
            raise Refusal(404, "Order not found")
        if self._young(order.created_ms, request):
            if request.stale_flavour == "404":
                raise Refusal(404, "Order not found")
            return Reply(self._as_placed(order) if request.stale_flavour == "stale" else None)
        return Reply(self._order_json(order))

    def get_orders(self, request: Request) -> Reply:
        """Returns open orders; asked for by id also finished ones."""
        key = self.key_of(request)
        wanted_id = request.argument("id")
        market, token_id = request.argument("market"), request.argument("asset_id")
        rows = [
            self._order_json(order)
            for order in self._state.orders_of[key.address]
            if (order.open if wanted_id is None else order.id == wanted_id)
            and market in (None, order.condition_id)
            and token_id in (None, order.signed.token_id)
            and not self._young(order.created_ms, request)
        ]
        return Reply(self._page(rows, request))

    def get_trades(self, request: Request) -> Reply:
        """Returns the account's trades, newest first."""
        key = self.key_of(request)
        rows = [
            wire.trade_json(trade, key.address)
            for trade in reversed(self._state.trades_of[key.address])
            if _trade_wanted(trade, request) and not self._young(trade.matched_ms, request)
        ]
        return Reply(self._page(rows, request))

    def _place(self, request: Request, index: int, key: ApiKey) -> Placement:
        submission = request.submissions[index]
        if isinstance(submission, Refusal):
            raise submission
        placement = self._exchange.place(submission, key.address, key.key)
        request.entries[index].outcome = Outcome.ACCEPTED
        return placement

    def _place_leg(self, request: Request, index: int, key: ApiKey) -> Json:
        try:
            return placement_json(self._place(request, index, key))
        except Refusal as refusal:
            judge(request.entries[index], refusal)
            return {"success": True, "orderID": "", "errorMsg": refusal.text}

    def _cancel_where(self, request: Request, key: ApiKey, chosen: _MarketFilter | None = None) -> Reply:
        """Costs one and another for each order; documented for cancel-all, taken for its narrower form."""
        chosen = chosen or _MarketFilter()
        order_ids = self._exchange.open_where(key.address, chosen.market, chosen.asset_id)
        self._charge(request, key, Bucket.CANCELS, 1 + len(order_ids))
        return Reply(cancellation_json(self._exchange.cancel(key.address, order_ids)))

    def _charged(self, request: Request, bucket: Bucket, cost: int) -> ApiKey:
        key = self.key_of(request)
        self._charge(request, key, bucket, cost)
        return key

    def _charge(self, request: Request, key: ApiKey, bucket: Bucket, cost: int) -> None:
        request.reply_headers |= self._limits.charge(key.address, bucket, cost)

    def _cancel(self, key: ApiKey, order_ids: list[str]) -> Reply:
        if any(not _is_order_id(order_id) for order_id in order_ids):
            raise bad(refusals.INVALID_ORDER_ID)
        return Reply(cancellation_json(self._exchange.cancel(key.address, order_ids)))

    def _order_json(self, order: Order) -> Json:
        return wire.order_json(order, self._state.markets[order.condition_id], self._state.settings)

    def _as_placed(self, order: Order) -> Json:
        body = self._order_json(order)
        return {**body, "status": "LIVE", "size_matched": "0", "associate_trades": []}

    def _young(self, born_ms: int, request: Request) -> bool:
        if request.stale_ms is None:
            return False
        return self._exchange.clock.now_ms() - born_ms < request.stale_ms

    def _page(self, rows: list[Json], request: Request) -> Json:
        return page(rows, request.argument("next_cursor"), self._state.settings.page_size)


def page(rows: list[Json], cursor: str | None, size: int) -> Json:
    """Returns one page; a cursor is the base64 of an offset, the last one ``LTE=``.

    Raises:
        Refusal: a cursor this exchange never gave.
    """
    try:
        offset = int(base64.b64decode(cursor or FIRST_CURSOR, validate=True))
    except ValueError as error:
        raise bad("invalid next_cursor") from error
    if offset < 0:
        return {"data": [], "next_cursor": END_CURSOR, "limit": size, "count": 0}
    part = rows[offset : offset + size]
    after = offset + len(part)
    following = END_CURSOR if after >= len(rows) else base64.b64encode(str(after).encode()).decode()
    return {"data": part, "next_cursor": following, "limit": size, "count": len(part)}


def placement_json(placement: Placement) -> Json:
    """Returns the reply of an accepted order; since 2026-07-24 matched ones carry trade ids alone."""
    order = placement.order
    making, taking = "", ""
    if order.filled and placement.trades:
        shares = to_text(sum(trade.shares for trade in placement.trades))
        usd = to_text(sum(trade.usd for trade in placement.trades))
        making, taking = (usd, shares) if order.signed.side is Side.BUY else (shares, usd)
    body: Json = {
        "success": True,
        "errorMsg": "",
        "orderID": order.id,
        "takingAmount": taking,
        "makingAmount": making,
        "status": "matched" if placement.trades else order.status.value.lower(),
    }
    if placement.trades:
        body["tradeIDs"] = [trade.id for trade in placement.trades]
    return body


def cancellation_json(outcome: Cancellation) -> Json:
    """Returns the reply of every cancelling call."""
    return {"canceled": outcome.canceled, "not_canceled": outcome.not_canceled}


def _is_order_id(text: str) -> bool:
    if len(text) != 66 or not text.startswith("0x"):
        return False
    return all(digit in "0123456789abcdefABCDEF" for digit in text[2:])


def _trade_wanted(trade: Trade, request: Request) -> bool:
    wallet, token_id = request.argument("maker_address"), request.argument("asset_id")
    wallets = {trade.taker_wallet.lower(), *(maker.wallet.lower() for maker in trade.makers)}
    tokens = {trade.token_id, *(maker.token_id for maker in trade.makers)}
    matched_s = trade.matched_ms // 1000
    return (
        request.argument("id") in (None, trade.id)
        and request.argument("market") in (None, trade.condition_id)
        and (token_id is None or token_id in tokens)
        and request.integer("after", 0) <= matched_s <= request.integer("before", matched_s)
        and (wallet is None or wallet.lower() in wallets)
    )
