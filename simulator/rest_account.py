"""CLOB REST: API keys, balances and the account's standing."""

from simulator import refusals
from simulator.auth import make_api_key, verify_l1
from simulator.balances import Wallet
from simulator.exchange import Exchange
from simulator.refusals import Refusal, bad
from simulator.requests import Reply, Request, Routes
from simulator.rest_orders import OrderRoutes
from simulator.signatures import NEG_RISK_ADAPTER, NEG_RISK_EXCHANGE, STANDARD_EXCHANGE
from simulator.trades import COLLATERAL, TradeStatus

UNLIMITED = str(2**256 - 1)
SPENDERS = (STANDARD_EXCHANGE, NEG_RISK_EXCHANGE, NEG_RISK_ADAPTER)


class AccountRoutes:
    """Calls about who one is and what one has."""

    def __init__(self, exchange: Exchange, orders: OrderRoutes) -> None:
        self._exchange = exchange
        self._state = exchange.state
        self._orders = orders

    def add_to(self, routes: Routes) -> None:
        """Adds these routes to a table."""
        routes.add("POST", "/auth/api-key", self.create_key)
        routes.add("GET", "/auth/derive-api-key", self.derive_key)
        routes.add("GET", "/auth/api-keys", self.list_keys)
        routes.add("DELETE", "/auth/api-key", self.delete_key)
        routes.add("GET", "/auth/ban-status/closed-only", self.closed_only)
        routes.add("GET", "/balance-allowance", self.balance)
        routes.add("GET", "/balance-allowance/update", self.update_balance)

    def create_key(self, request: Request) -> Reply:
        """Creates the API key of an address and nonce; a second time is refused."""
        address, nonce = self._signed_by(request)
        key = make_api_key(self._state.meta.seed, address, nonce)
        known = self._state.api_keys.get(key.key)
        if known is not None and not known.revoked:
            raise bad(refusals.KEY_EXISTS)
        self._state.save_api_key(key)
        return Reply(key.credentials())

    def derive_key(self, request: Request) -> Reply:
        """Returns the API key of an address and nonce that was created before."""
        address, nonce = self._signed_by(request)
        key = self._state.api_keys.get(make_api_key(self._state.meta.seed, address, nonce).key)
        if key is None or key.revoked:
            raise bad(refusals.KEY_MISSING)
        return Reply(key.credentials())

    def list_keys(self, request: Request) -> Reply:
        """Returns the ids of the address's keys."""
        address = self._orders.key_of(request).address
        keys = [
            key.key for key in self._state.api_keys.values() if key.address == address and not key.revoked
        ]
        return Reply({"apiKeys": keys})

    def delete_key(self, request: Request) -> Reply:
        """Revokes the key that signed the request."""
        key = self._orders.key_of(request)
        key.revoked = True
        self._state.save_api_key(key)
        return Reply("OK")

    def closed_only(self, request: Request) -> Reply:
        """Tells whether the address may only close positions."""
        address = self._orders.key_of(request).address
        return Reply({"closed_only": any(w.closed_only for w in self._wallets_of(address))})

    def balance(self, request: Request) -> Reply:
        """Returns the cached balance, which may lag behind the chain, and the allowances."""
        wallet, asset = self._asked(request)
        visible = wallet.visible(asset, self._exchange.clock.now_ms())
        allowance = UNLIMITED if wallet.approved else "0"
        return Reply({"balance": str(visible), "allowances": dict.fromkeys(SPENDERS, allowance)})

    def update_balance(self, request: Request) -> Reply:
        """Refreshes the cache from the chain: what is mined by now is seen from here on."""
        wallet, _ = self._asked(request)
        for credit in list(wallet.credits):
            trade = self._state.trades.get(credit.trade_id)
            if trade is None or trade.status in (TradeStatus.MINED, TradeStatus.CONFIRMED):
                wallet.forget_credits(trade_id=credit.trade_id)
        self._state.save_wallet(wallet)
        return self.balance(request)

    def _signed_by(self, request: Request) -> tuple[str, int]:
        signed = verify_l1(
            request.headers,
            self._state.meta.chain_id,
            self._exchange.clock.now_ms(),
            self._state.settings.hmac_window_s,
        )
        return signed.address, signed.nonce

    def _asked(self, request: Request) -> tuple[Wallet, str]:
        address = self._orders.key_of(request).address
        signature_type = request.argument("signature_type") or "0"
        wallet = next(
            (w for w in self._wallets_of(address) if str(w.signature_type) == signature_type),
            None,
        )
        match request.argument("asset_type"):
            case "COLLATERAL":
                asset = COLLATERAL
            case "CONDITIONAL":
                asset = request.argument("token_id") or ""
            case _:
                raise Refusal(400, "Invalid asset type")
        if asset != COLLATERAL and asset not in self._state.market_of_token:
            raise Refusal(400, "Invalid token id")
        return wallet or Wallet(address, address, 0, approved=False), asset

    def _wallets_of(self, signer: str) -> list[Wallet]:
        return [wallet for wallet in self._state.wallets.values() if wallet.signer.lower() == signer.lower()]
