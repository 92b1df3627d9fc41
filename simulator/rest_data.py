"""Data API: positions, trades and value of a funder wallet.

The first version has camelCase and bare lists, the second (since 2026-09-04) snake_case and pages by cursor;
of the second there are the positions alone.
"""

from decimal import Decimal

from simulator import wire
from simulator.balances import Wallet
from simulator.events import Json
from simulator.exchange import Exchange
from simulator.markets import Market
from simulator.money import MICRO, AmountError, notional, to_micro, to_number
from simulator.orders import Side
from simulator.refusals import bad
from simulator.requests import Reply, Request, Routes
from simulator.trades import COLLATERAL, Trade, TradeStatus

_NAMES_V2 = {
    "proxyWallet": "proxy_wallet",
    "asset": "token_id",
    "conditionId": "condition_id",
    "size": "current_size",
    "avgPrice": "avg_price",
    "initialValue": "entry_cost_usdc",
    "currentValue": "current_value",
    "cashPnl": "unrealized_pnl",
    "percentPnl": "percent_pnl",
    "totalBought": "total_size",
    "realizedPnl": "realized_pnl",
    "percentRealizedPnl": "percent_realized_pnl",
    "curPrice": "current_price",
    "redeemable": "redeemable",
    "mergeable": "mergeable",
    "title": "title",
    "slug": "slug",
    "eventSlug": "event_slug",
    "outcome": "outcome",
    "outcomeIndex": "outcome_index",
    "oppositeOutcome": "opposite_outcome",
    "oppositeAsset": "opposite_token_id",
    "negativeRisk": "negative_risk",
}
"""Members that both versions have, by their first names."""


class DataRoutes:
    """Reads by wallet; nobody has to sign."""

    def __init__(self, exchange: Exchange) -> None:
        self._state = exchange.state

    def add_to(self, routes: Routes) -> None:
        """Adds these routes to a table."""
        routes.add("GET", "/positions", self.positions)
        routes.add("GET", "/trades", self.trades)
        routes.add("GET", "/value", self.value)
        routes.add("GET", "/v2/positions", self.positions_v2)

    def positions(self, request: Request) -> Reply:
        """Returns a wallet's holdings; ``sizeThreshold`` is 1 unless given, which hides small ones."""
        wallet = self._wallet(request)
        try:
            threshold = to_micro(request.argument("sizeThreshold") or "1")
        except AmountError as error:
            raise bad("invalid sizeThreshold") from error
        held = self._held(wallet, request.argument("market"), threshold)
        return Reply([self._position(wallet, market, index) for market, index in held])

    def positions_v2(self, request: Request) -> Reply:
        """Returns a page of a wallet's holdings, small ones too; a cursor is the place of the next row."""
        wallet = self._wallet(request)
        rows = [
            _position_v2(self._position(wallet, market, index))
            for market, index in self._held(wallet, request.argument("condition_id"), threshold=1)
        ]
        offset, limit = request.integer("cursor", 0), request.integer("limit", 100)
        has_more = offset + limit < len(rows)
        pagination: Json = {
            "limit": limit,
            "offset": offset,
            "has_more": has_more,
            "next_cursor": str(offset + limit) if has_more else None,
        }
        return Reply({"data": rows[offset : offset + limit], "pagination": pagination})

    def _held(self, wallet: Wallet, conditions: str | None, threshold: int) -> list[tuple[Market, int]]:
        """Returns market and outcome of each holding of at least ``threshold`` millionths."""
        return [
            (market, market.index_of(token_id))
            for token_id, shares in wallet.holdings.items()
            if token_id != COLLATERAL
            and shares > 0
            and shares >= threshold
            and (market := self._state.market_of_token[token_id])
            and (conditions is None or market.condition_id in conditions.split(","))
        ]

    def trades(self, request: Request) -> Reply:
        """Returns a wallet's executions, newest first; failed ones are left out."""
        wallet = self._wallet(request).address.lower()
        rows = [
            row
            for trade in sorted(self._state.trades.values(), key=lambda trade: -trade.number)
            if trade.status is not TradeStatus.FAILED
            for row in self._trade_rows(trade, wallet)
        ]
        limit, offset = request.integer("limit", 100), request.integer("offset", 0)
        return Reply(rows[offset : offset + limit])

    def value(self, request: Request) -> Reply:
        """Returns what a wallet's positions are worth."""
        wallet = self._wallet(request)
        total = 0
        for token_id, shares in wallet.holdings.items():
            market = self._state.market_of_token.get(token_id)
            if market is not None:
                total += notional(shares, self._price(market, market.index_of(token_id)))
        return Reply([{"user": wallet.address.lower(), "value": to_number(total)}])

    def _wallet(self, request: Request) -> Wallet:
        user = request.argument("user")
        if user is None:
            raise bad("required query param 'user' not provided")
        return self._state.wallets.get(user.lower()) or Wallet(user, user, 0)

    def _price(self, market: Market, index: int) -> int:
        if market.resolved:
            return to_micro(market.payouts[index])
        depth = wire.depth_of(self._state.books[market.condition_id], index)
        if depth.best_bid is not None and depth.best_ask is not None:
            return (depth.best_bid + depth.best_ask) // 2
        return to_micro(market.last_prices[index] or "0")

    def _position(self, wallet: Wallet, market: Market, index: int) -> Json:
        token_id = market.token_ids[index]
        shares, cost = wallet.holding(token_id), wallet.costs.get(token_id, 0)
        price = self._price(market, index)
        worth = notional(shares, price)
        bought = max(wallet.bought.get(token_id, 0), shares)
        return {
            "proxyWallet": wallet.address.lower(),
            "asset": token_id,
            "conditionId": market.condition_id,
            "size": to_number(shares),
            "avgPrice": to_number(cost * MICRO // shares),
            "initialValue": to_number(cost),
            "currentValue": to_number(worth),
            "cashPnl": to_number(worth - cost),
            "percentPnl": to_number((worth - cost) * 100 * MICRO // cost) if cost else 0,
            "totalBought": to_number(bought),
            "realizedPnl": to_number(wallet.realized.get(token_id, 0)),
            "percentRealizedPnl": 0,
            "curPrice": to_number(price),
            "redeemable": market.resolved,
            "mergeable": wallet.holding(market.token_ids[1 - index]) > 0,
            "title": market.question,
            "slug": market.slug,
            "icon": "",
            "eventSlug": market.slug,
            "outcome": market.outcomes[index],
            "outcomeIndex": index,
            "oppositeOutcome": market.outcomes[1 - index],
            "oppositeAsset": market.token_ids[1 - index],
            "endDate": (market.end_date or "")[:10],
            "negativeRisk": market.neg_risk,
        }

    def _trade_rows(self, trade: Trade, wallet: str) -> list[Json]:
        sides = [(trade.taker_wallet, trade.side, trade.token_id, trade.shares, trade.price)]
        sides += [(m.wallet, m.side, m.token_id, m.shares, m.price) for m in trade.makers]
        return [
            self._trade_row(trade, owner, side, token_id, shares, price)
            for owner, side, token_id, shares, price in sides
            if owner.lower() == wallet
        ]

    def _trade_row(
        self, trade: Trade, owner: str, side: Side, token_id: str, shares: int, price: int
    ) -> Json:
        market = self._state.markets[trade.condition_id]
        index = market.index_of(token_id)
        return {
            "proxyWallet": owner.lower(),
            "side": side.value,
            "asset": token_id,
            "conditionId": trade.condition_id,
            "size": to_number(shares),
            "price": to_number(price),
            "timestamp": trade.matched_ms // 1000,
            "title": market.question,
            "slug": market.slug,
            "icon": "",
            "eventSlug": market.slug,
            "outcome": market.outcomes[index],
            "outcomeIndex": index,
            "name": "",
            "pseudonym": "",
            "transactionHash": trade.transaction_hash,
        }


def _position_v2(row: Json) -> Json:
    """Returns a position of the first version as the second one shows it."""
    shown: Json = {name: row[former] for former, name in _NAMES_V2.items()}
    total_pnl = Decimal(str(row["cashPnl"])) + Decimal(str(row["realizedPnl"]))
    return {
        **shown,
        "entry_fees_usdc": 0,
        "total_cost_usdc": row["initialValue"],
        "total_pnl": float(total_pnl),
        "status": "REDEEMABLE" if row["redeemable"] else "OPEN",
        "end_date": row["endDate"] or None,
        "archived": False,
        "verified": False,
    }
