"""Control port: wallets, orders, trades."""

from fastapi import APIRouter, HTTPException
from pydantic import Field

from simulator import wire
from simulator.admin_amounts import AddressText, Amount, Body, micro
from simulator.balances import Wallet
from simulator.events import Json
from simulator.exchange import Exchange
from simulator.money import to_text
from simulator.orders import Order
from simulator.rest_account import SPENDERS, UNLIMITED
from simulator.settlement import IllegalTransitionError
from simulator.signatures import checksum
from simulator.trades import COLLATERAL, Trade, TradeStatus


class WalletSpec(Body):
    """A funder wallet; balances given here are set, not added."""

    address: AddressText
    signer: AddressText | None = None
    signature_type: int = Field(default=0, ge=0, le=3)
    collateral: Amount | None = None
    tokens: dict[str, Amount] = Field(default_factory=dict[str, str])
    approved: bool = True


class Approval(Body):
    """Whether the wallet has approved the exchange."""

    approved: bool


class Standing(Body):
    """Switches a restriction."""

    value: bool = True


class NewStatus(Body):
    """The status a trade is to have."""

    status: TradeStatus


def account_routes(exchange: Exchange) -> APIRouter:
    """Returns the routes; all run on the event loop, so each is atomic."""
    router = APIRouter()
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
            wallet.holdings[COLLATERAL] = micro(spec.collateral)
        for token_id, amount in spec.tokens.items():
            wallet.holdings[token_id] = micro(amount)
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
