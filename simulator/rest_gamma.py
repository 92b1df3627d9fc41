"""Gamma API: markets and events as the venue's catalogue shows them (payloads recorded 2026-03)."""

import orjson

from simulator import wire
from simulator.book import TokenDepth
from simulator.events import Json
from simulator.exchange import Exchange
from simulator.markets import Market
from simulator.money import MICRO, to_number, to_text
from simulator.refusals import Refusal
from simulator.requests import Reply, Request, Routes


class GammaRoutes:
    """Catalogue reads; lists inside a market are strings that hold JSON."""

    def __init__(self, exchange: Exchange) -> None:
        self._state = exchange.state

    def add_to(self, routes: Routes) -> None:
        """Adds these routes to a table."""
        routes.add("GET", "/markets", self.markets)
        routes.add("GET", "/markets/", self.market)
        routes.add("GET", "/events", self.events)
        routes.add("GET", "/events/", self.event)

    def markets(self, request: Request) -> Reply:
        """Returns markets by filter; closed ones only when asked for."""
        return Reply([self._market_json(market, with_event=True) for market in self._chosen(request)])

    def market(self, request: Request) -> Reply:
        """Returns one market by its number."""
        return Reply(self._market_json(self._by_number(request.param), with_event=True))

    def events(self, request: Request) -> Reply:
        """Returns events; here every market is an event of its own."""
        return Reply([self._event_json(market) for market in self._chosen(request)])

    def event(self, request: Request) -> Reply:
        """Returns one event by its number."""
        return Reply(self._event_json(self._by_number(request.param)))

    def _by_number(self, number: str) -> Market:
        for market in self._state.markets.values():
            if str(market.id) == number:
                return market
        raise Refusal(404, "id not found")

    def _chosen(self, request: Request) -> list[Market]:
        arguments = request.arguments()
        slugs = set(arguments.get("slug", ()))
        conditions = _listed(arguments.get("condition_ids", ()))
        tokens = _listed(arguments.get("clob_token_ids", ()))
        closed = request.argument("closed") == "true"
        active = request.argument("active")
        chosen = [
            market
            for market in sorted(self._state.markets.values(), key=lambda market: market.id)
            if (not slugs or market.slug in slugs)
            and (not conditions or market.condition_id in conditions)
            and (not tokens or tokens.intersection(market.token_ids))
            and market.closed == closed
            and (active is None or market.active == (active == "true"))
        ]
        offset, limit = request.integer("offset", 0), request.integer("limit", 100)
        return chosen[offset : offset + limit]

    def _market_json(self, market: Market, *, with_event: bool) -> Json:
        depth = wire.depth_of(self._state.books[market.condition_id], 0)
        body: Json = {
            "id": str(market.id),
            "question": market.question,
            "conditionId": market.condition_id,
            "questionID": market.question_id,
            "slug": market.slug,
            "description": market.question,
            "resolutionSource": "",
            "startDate": wire.iso(market.created_ms),
            "createdAt": wire.iso(market.created_ms),
            "updatedAt": wire.iso(max(market.created_ms, market.stamp_ms)),
            "outcomes": _text(market.outcomes),
            "outcomePrices": _text(_outcome_prices(market, depth)),
            "clobTokenIds": _text(market.token_ids),
            "active": market.active,
            "closed": market.closed,
            "archived": False,
            "acceptingOrders": market.accepting_orders,
            "enableOrderBook": market.enable_order_book,
            "negRisk": market.neg_risk,
            "orderPriceMinTickSize": to_number(market.tick),
            "orderMinSize": to_number(market.minimum_size),
            "makerBaseFee": 1000,
            "takerBaseFee": 1000,
            "umaResolutionStatuses": _text(market.uma_statuses + (["resolved"] if market.resolved else [])),
            "volume": "0",
            "volumeNum": 0,
            "liquidity": "0",
            "liquidityNum": 0,
            **_fees(market),
            **_prices(market, depth),
        }
        if market.end_date is not None:
            body |= {"endDate": market.end_date, "endDateIso": market.end_date[:10]}
        if market.neg_risk:
            body |= {"negRiskMarketID": market.question_id, "negRiskRequestID": ""}
        if with_event:
            body["events"] = [_event_head(market)]
        return body

    def _event_json(self, market: Market) -> Json:
        return {**_event_head(market), "markets": [self._market_json(market, with_event=False)]}


def _event_head(market: Market) -> Json:
    return {
        "id": str(market.id),
        "ticker": market.slug,
        "slug": market.slug,
        "title": market.question,
        "description": market.question,
        "startDate": wire.iso(market.created_ms),
        "endDate": market.end_date,
        "active": market.active,
        "closed": market.closed,
        "archived": False,
        "negRisk": market.neg_risk,
    }


def _fees(market: Market) -> Json:
    if not market.rate:
        return {"feesEnabled": False, "feeType": None}
    schedule: Json = {"rate": float(market.fee_rate), "exponent": 1, "takerOnly": True, "rebateRate": 0}
    return {"feesEnabled": True, "feeType": "general_fees", "feeSchedule": schedule}


def _prices(market: Market, depth: TokenDepth) -> Json:
    bid = 0 if depth.best_bid is None else depth.best_bid
    ask = MICRO if depth.best_ask is None else depth.best_ask
    prices: Json = {"bestBid": to_number(bid), "bestAsk": to_number(ask), "spread": to_number(ask - bid)}
    if market.last_prices[0]:
        prices["lastTradePrice"] = float(market.last_prices[0])
    return prices


def _outcome_prices(market: Market, depth: TokenDepth) -> list[str]:
    if market.resolved:
        return market.payouts
    if depth.best_bid is None or depth.best_ask is None:
        return ["0.5", "0.5"]
    middle = (depth.best_bid + depth.best_ask) // 2
    return [to_text(middle), to_text(MICRO - middle)]


def _listed(values: list[str] | tuple[str, ...]) -> set[str]:
    """Repeated arguments and comma-separated ones mean the same."""
    return {part for value in values for part in value.split(",") if part}


def _text(values: list[str]) -> str:
    return orjson.dumps(values).decode()
