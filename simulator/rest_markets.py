"""CLOB REST: public market data."""

from collections.abc import Callable

from pydantic import BaseModel, TypeAdapter, ValidationError

from simulator import refusals, wire
from simulator.book import TokenDepth
from simulator.events import Json
from simulator.exchange import Exchange
from simulator.history import PriceHistory
from simulator.markets import Market
from simulator.money import to_number, to_text
from simulator.refusals import Refusal, bad
from simulator.requests import Handler, Reply, Request, Routes
from simulator.rest_orders import page
from simulator.settings import PriceSide


class _TokenQuery(BaseModel):
    token_id: str
    side: str = ""


_QUERIES = TypeAdapter(list[_TokenQuery])
Read = Callable[[Market, int, str], Json]
"""(market, token index, side) → answer for one token."""


class MarketRoutes:
    """Calls that need no key."""

    def __init__(self, exchange: Exchange, history: PriceHistory) -> None:
        self._exchange = exchange
        self._state = exchange.state
        self._history = history

    def add_to(self, routes: Routes) -> None:
        """Adds these routes to a table."""
        routes.add("GET", "/ok", lambda _: Reply("OK"))
        routes.add("GET", "/time", lambda _: Reply(self._exchange.clock.now_ms() // 1000))
        routes.add("GET", "/version", lambda _: Reply({"version": 2}))
        routes.add("GET", "/api/geoblock", lambda _: Reply(_GEOBLOCK))
        routes.add("GET", "/prices-history", self.prices_history)
        routes.add("GET", "/markets-by-token/", self.market_of_token)
        routes.add("GET", "/markets/", self._of_market(wire.market_json))
        routes.add("GET", "/clob-markets/", self._of_market(wire.compact_market_json))
        for path in ("/markets", "/sampling-markets"):
            routes.add("GET", path, self.markets)
        self._add_token_reads(routes)

    def _add_token_reads(self, routes: Routes) -> None:
        singles: dict[str, Read] = {
            "/book": self._book,
            "/midpoint": self._midpoint,
            "/spread": self._spread,
            "/price": self._price,
            "/last-trade-price": self._last_trade,
            "/tick-size": lambda market, _, __: {"minimum_tick_size": to_number(market.tick)},
            "/neg-risk": lambda market, _, __: {"neg_risk": market.neg_risk},
            "/fee-rate": lambda market, _, __: {"base_fee": 1000 if market.rate else 0},
        }
        for path, read in singles.items():
            routes.add("GET", path, self._single(read))
        routes.add("POST", "/books", self._list(self._book))
        routes.add("POST", "/last-trades-prices", self._list(self._last_trade))
        for name, read in (("mid", self._midpoint), ("spread", self._spread)):
            path = "/midpoints" if name == "mid" else "/spreads"
            routes.add("POST", path, self._table(read, name))
        routes.add("POST", "/prices", self.prices)

    def market_of_token(self, request: Request) -> Reply:
        """Returns the condition of a token and its two token ids."""
        market = self._state.market_of_token.get(request.param)
        if market is None:
            raise Refusal(404, refusals.MARKET_NOT_FOUND)
        first, second = market.token_ids
        return Reply(
            {
                "condition_id": market.condition_id,
                "primary_token_id": first,
                "secondary_token_id": second,
            }
        )

    def markets(self, request: Request) -> Reply:
        """Returns a page of all markets, oldest first."""
        rows = [wire.market_json(market) for market in self._ordered()]
        return Reply(page(rows, request.argument("next_cursor"), self._state.settings.page_size))

    def prices(self, request: Request) -> Reply:
        """Returns token → side → price."""
        answer: dict[str, dict[str, object]] = {}
        for query in _queries(request):
            market, index = self._token(query.token_id)
            price = self._price(market, index, query.side)["price"]
            answer.setdefault(query.token_id, {})[query.side] = price
        return Reply(answer)

    def prices_history(self, request: Request) -> Reply:
        """Returns executions of a token as points; ``market`` takes a token id."""
        token_id = request.argument("market") or ""
        self._token(token_id)
        now_s = self._exchange.clock.now_ms() // 1000
        interval = request.argument("interval")
        start, end = request.integer("startTs", -1), request.integer("endTs", -1)
        if interval is not None:
            if interval not in _INTERVALS:
                raise bad("invalid interval")
            start, end = now_s - (_INTERVALS[interval] or now_s), now_s
        elif start < 0 or end < 0:
            raise bad("interval or startTs and endTs are required")
        step_s = request.integer("fidelity", 1) * 60
        points = self._history.points(token_id, start, end, step_s)
        return Reply({"history": [{"t": t, "p": to_number(price)} for t, price in points]})

    def _single(self, read: Read) -> Handler:
        def handle(request: Request) -> Reply:
            market, index = self._token(request.argument("token_id") or "")
            return Reply(read(market, index, request.argument("side") or ""))

        return handle

    def _list(self, read: Read) -> Handler:
        def handle(request: Request) -> Reply:
            queries = _queries(request)
            known = [query for query in queries if query.token_id in self._state.market_of_token]
            return Reply([read(*self._token(query.token_id), query.side) for query in known])

        return handle

    def _table(self, read: Read, member: str) -> Handler:
        def handle(request: Request) -> Reply:
            return Reply(
                {
                    query.token_id: read(*self._token(query.token_id), query.side)[member]
                    for query in _queries(request)
                }
            )

        return handle

    def _of_market(self, view: Callable[[Market], Json]) -> Handler:
        def handle(request: Request) -> Reply:
            market = self._state.markets.get(request.param)
            if market is None:
                raise Refusal(404, refusals.MARKET_NOT_FOUND)
            return Reply(view(market))

        return handle

    def _token(self, token_id: str) -> tuple[Market, int]:
        market = self._state.market_of_token.get(token_id)
        if market is None or not market.enable_order_book or market.resolved:
            raise Refusal(404, refusals.NO_BOOK)
        return market, market.index_of(token_id)

    def _ordered(self) -> list[Market]:
        return sorted(self._state.markets.values(), key=lambda market: market.id)

    def _depth(self, market: Market, index: int) -> TokenDepth:
        return wire.depth_of(self._state.books[market.condition_id], index)

    def _book(self, market: Market, index: int, _side: str) -> Json:
        return wire.book_json(market, index, self._depth(market, index))

    def _midpoint(self, market: Market, index: int, _side: str) -> Json:
        bid, ask = self._both_sides(market, index)
        return {"mid": to_text((bid + ask) // 2)}

    def _spread(self, market: Market, index: int, _side: str) -> Json:
        bid, ask = self._both_sides(market, index)
        return {"spread": to_text(ask - bid)}

    def _both_sides(self, market: Market, index: int) -> tuple[int, int]:
        depth = self._depth(market, index)
        if depth.best_bid is None or depth.best_ask is None:
            raise Refusal(404, refusals.NO_BOOK)
        return depth.best_bid, depth.best_ask

    def _price(self, market: Market, index: int, side: str) -> Json:
        if side not in ("BUY", "SELL"):
            raise bad("Invalid side")
        depth = self._depth(market, index)
        paid = self._state.settings.price_side is PriceSide.PAID
        price = depth.best_ask if (side == "BUY") == paid else depth.best_bid
        if price is None:
            raise Refusal(404, refusals.NO_BOOK)
        return {"price": to_text(price)}

    def _last_trade(self, market: Market, index: int, _side: str) -> Json:
        price, side = market.last_prices[index], market.last_sides[index]
        return {"price": price, "side": side, "token_id": market.token_ids[index]}


_INTERVALS: dict[str, int | None] = {"max": None, "1w": 604_800, "1d": 86_400, "6h": 21_600, "1h": 3_600}
_GEOBLOCK: Json = {"blocked": False, "ip": "127.0.0.1", "country": "CH", "region": "ZH"}


def _queries(request: Request) -> list[_TokenQuery]:
    try:
        return _QUERIES.validate_json(request.body)
    except ValidationError as error:
        raise bad("Invalid payload") from error
