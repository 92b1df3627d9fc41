"""One account's session: sign and post, look up, cancel, balances, fills."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import datetime
from decimal import Decimal

import orjson
import structlog

from domain.errors import UnknownToken, VenueError, VenueProtocolError, VenueTransient
from domain.fills import Fill
from domain.ids import MarketId, TokenId, VenueOrderId
from domain.money import from_micros
from domain.orders import Answer, AnswerKind, Attempt, Instrument, Side, VenueOrder, VenueOrderStatus
from domain.ports import AccountEvent, Balance, CancelOutcome, HeldToken, MarketData
from venues.polymarket import parsing
from venues.polymarket.answers import (
    MARKET_GONE,
    answer_of,
    answer_of_no_book,
    answer_of_pause,
    answer_without_reply,
)
from venues.polymarket.cancels import outcome_of, outcomes_of
from venues.polymarket.config import PolymarketConfig
from venues.polymarket.credentials import VenueCredentials
from venues.polymarket.heartbeat import Heartbeat
from venues.polymarket.holdings import held_tokens
from venues.polymarket.http import HttpSession, NetworkFailure, Reply
from venues.polymarket.limits import Bucket, LimiterPauses
from venues.polymarket.paging import pages
from venues.polymarket.reads import checked, send
from venues.polymarket.schemas import (
    BalancePayload,
    ClosedOnlyPayload,
    OrderPagePayload,
    OrderPayload,
    TradePagePayload,
    TradePayload,
)
from venues.polymarket.signing import KeyPair, SignedOrder, WrongWallet, exchange_address, venue_order_id
from venues.polymarket.trades import Owner, fills_of
from venues.polymarket.user_socket import UserSocket

_ORDER = "/order"
_BATCH = "/orders"
_ORDER_LOOKUP = "/data/order/"
_ORDERS = "/data/orders"
_TRADES = "/data/trades"
_BALANCE = "/balance-allowance"
_REFRESH = "/balance-allowance/update"
_CLOSED_ONLY = "/auth/ban-status/closed-only"
_SIGNED_AHEAD = 256
LISTS_LAG_S = 30
"""How long an order that has traded may stand though the venue's look-ups do not show it."""
SALES_LAG_S = 5
"""The same for a sale: an exit waits for it, and the venue itself refuses shares that are not there."""
_SECOND_LOOK_S = 1.0  # a POST and this look must fit into one try of the activity
_NOT_FOUND = frozenset({400, 404})
_log = structlog.get_logger(__name__)


class PolymarketTrading:
    """`Trading` at Polymarket for one wallet.

    Args:
        config: hosts and limits.
        credentials: key, API credentials, funder.
        market_data: instruments (fee rates, neg-risk flags); shared between sessions.
        session: requests of this account alone; made from `config` when left out.
        now_s: Unix seconds for the authentication headers.
    """

    def __init__(
        self,
        config: PolymarketConfig,
        credentials: VenueCredentials,
        market_data: MarketData,
        session: HttpSession | None = None,
        now_s: Callable[[], int] = lambda: int(time.time()),
    ) -> None:
        self._config = config
        self._credentials = credentials
        self._keys = KeyPair(credentials.private_key, config.chain_id)
        self._market_data = market_data
        self._session = session or HttpSession(config.clob_url, config)
        self._now_s = now_s
        self._data = HttpSession(config.data_url, config)
        self._owner = Owner(
            api_key=credentials.api.api_key.get_secret_value(),
            wallet=credentials.funder or self._keys.address,
        )
        self._instruments: dict[TokenId, Instrument] = {}
        self._signed: dict[Attempt, SignedOrder] = {}
        self._pauses = LimiterPauses(lambda: time.monotonic_ns() // 1_000_000)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._session.aclose()
        await self._data.aclose()

    def venue_order_id(self, attempt: Attempt) -> VenueOrderId:
        """Return the id that the venue will give this attempt: its EIP-712 digest."""
        return venue_order_id(attempt)

    def prepare(self, attempt: Attempt) -> None:
        """Sign ahead: the signature is a pure function of the attempt and the wallet's key."""
        if len(self._signed) >= _SIGNED_AHEAD:
            self._signed.clear()  # attempts that were never placed
        try:
            self._signed[attempt] = self._sign(attempt)
        except WrongWallet as error:
            _log.info("order.not_signed_ahead", order_id=attempt.order_id, error=str(error))

    def _sign(self, attempt: Attempt) -> SignedOrder:
        # The key alone cannot tell: it also signs for other wallets of its owner, deposit wallets above all.
        if attempt.wallet.funder.lower() != self._owner.wallet.lower():
            raise WrongWallet("the order is for another wallet than the session's")
        return self._keys.sign(attempt)

    async def place(self, attempt: Attempt) -> Answer:
        """Sign and post once. Never raises for an answer of the venue or a network failure."""
        order_id = venue_order_id(attempt)
        pause_ms = self._pauses.left_ms(Bucket.ORDERS)
        if pause_ms:
            return answer_of_pause(pause_ms, order_id)
        try:
            signed = self._signed.pop(attempt, None) or self._sign(attempt)
        except WrongWallet as error:
            return Answer(
                kind=AnswerKind.BLOCKED, code="wrong_wallet", detail=str(error), venue_order_id=order_id
            )
        body = signed.body(self._owner.api_key)
        headers = self._headers("POST", _ORDER, body)
        try:
            reply = await self._session.request("POST", _ORDER, body=body, headers=headers)
        except NetworkFailure as failure:
            return answer_without_reply(failure.fault, order_id)
        self._pauses.learn(Bucket.ORDERS, reply)
        answer = answer_of(reply, attempt, order_id)
        if answer.code == "accepted_with_odd_amounts":
            _log.error("order.odd_amounts", venue_order_id=order_id, body=reply.text[:300])
        return await self._gone_for_good(attempt, answer) if answer.code == MARKET_GONE else answer

    async def _gone_for_good(self, attempt: Attempt, answer: Answer) -> Answer:
        """Believe the end of a market, which ends an exit for ever, only where the market itself shows it.

        The book is also away while a closed market's outcome is disputed, and around the venue's restarts.
        """
        try:
            async with asyncio.timeout(_SECOND_LOOK_S):
                instrument = await self._market_data.instrument(attempt.token_id)
        except UnknownToken:
            return answer
        except (VenueError, TimeoutError) as error:
            _log.warning("order.market_not_seen", venue_order_id=answer.venue_order_id, error=str(error))
            return answer_of_no_book(answer)
        return answer if instrument.state.is_final else answer_of_no_book(answer)

    async def find_order(self, venue_order_id: VenueOrderId, market_id: MarketId) -> VenueOrder | None:
        """Return what the venue knows of an order: single look-up, else list, else its trades, else None.

        The single look-up may answer null or 404 for orders that are filled or killed, so silence there
        proves nothing.
        """
        return (
            await self._look_up(venue_order_id)
            or await self._look_up_in_list(venue_order_id)
            or await self._look_up_in_trades(venue_order_id, market_id)
        )

    async def cancel(self, venue_order_id: VenueOrderId) -> CancelOutcome:
        """Cancel one order; repeating it is harmless."""
        return outcome_of(await self._delete(_ORDER, {"orderID": venue_order_id}), venue_order_id)

    async def cancel_many(
        self, venue_order_ids: Sequence[VenueOrderId]
    ) -> Mapping[VenueOrderId, CancelOutcome]:
        """Cancel orders in as few requests as the venue takes; repeating it is harmless."""
        outcomes: dict[VenueOrderId, CancelOutcome] = {}
        size = self._config.cancels_per_request
        for start in range(0, len(venue_order_ids), size):
            chunk = venue_order_ids[start : start + size]
            outcomes |= outcomes_of(await self._delete(_BATCH, list(chunk)), chunk)
        return outcomes

    async def _delete(self, path: str, payload: Mapping[str, str] | list[VenueOrderId]) -> Reply:
        """Send a cancel, unless the limiter's pause for cancels is not over."""
        pause_ms = self._pauses.left_ms(Bucket.CANCELS)
        if pause_ms:
            raise VenueTransient("the limiter's pause is not over", code="rate_limited", wait_ms=pause_ms)
        body = orjson.dumps(payload)
        headers = self._headers("DELETE", path, body)
        reply = await send(self._session, "DELETE", path, body=body, headers=headers)
        self._pauses.learn(Bucket.CANCELS, reply)
        return reply

    async def open_orders(self, token_id: TokenId | None = None) -> Sequence[VenueOrder]:
        """Return the account's live orders."""
        params = {} if token_id is None else {"asset_id": token_id}
        orders = [parsing.venue_order(payload) for payload in await self._orders(params)]
        return [order for order in orders if not order.status.is_terminal]

    async def fills(self, *, after: datetime | None, market_id: MarketId | None = None) -> Sequence[Fill]:
        """Return the account's fills since a time, in every state."""
        params: dict[str, str] = {}
        if market_id is not None:
            params["market"] = market_id
        if after is not None:
            params["after"] = str(int(after.timestamp()))
        return [fill for trade in await self._trades(params) for fill in await self.fills_of_trade(trade)]

    async def fills_of_trade(self, trade: TradePayload) -> tuple[Fill, ...]:
        """Return the account's own fills in a trade."""
        return await fills_of(trade, self._owner, self._fee_rate)

    async def holding(self, token_id: TokenId) -> Balance:
        """Return the shares of a token that the venue sees, and the allowance of the market's exchange."""
        neg_risk = (await self._instrument(token_id)).neg_risk
        payload = await self._balance({"asset_type": "CONDITIONAL", "token_id": token_id})
        return _balance(payload, [exchange_address(neg_risk, self._config.chain_id)])

    async def collateral(self) -> Balance:
        """Return the pUSD that the venue sees, and the lower allowance of the two exchanges."""
        payload = await self._balance({"asset_type": "COLLATERAL"})
        exchanges = [exchange_address(neg_risk, self._config.chain_id) for neg_risk in (False, True)]
        return _balance(payload, exchanges)

    async def held_tokens(self) -> Sequence[HeldToken]:
        """Return the wallet's positions by the venue's index, which lags the exchange."""
        return await held_tokens(self._data, self._owner.wallet)

    async def refresh_holding(self, token_id: TokenId) -> None:
        """Ask the venue to refresh its cache of the chain for this token."""
        checked(await self._get(_REFRESH, self._asset({"asset_type": "CONDITIONAL", "token_id": token_id})))

    async def closed_only(self) -> bool:
        """Return whether the venue takes only closing orders from this account (region, or its own ban)."""
        reply = checked(await self._get(_CLOSED_ONLY, {}))
        return parsing.read_payload(ClosedOnlyPayload, reply.body).closed_only

    def events(self) -> AbstractAsyncContextManager[AsyncIterator[AccountEvent]]:
        """Open the user socket; it reconnects by itself and announces gaps."""
        return self._listen()

    @asynccontextmanager
    async def _listen(self) -> AsyncGenerator[AsyncIterator[AccountEvent]]:
        """Open the socket, and beat while it is open where the venue's dead man's switch is wanted."""
        async with AsyncExitStack() as parts:
            if self._config.heartbeat_s is not None:
                heartbeat = Heartbeat(self._session, self._headers, self._config.heartbeat_s)
                await parts.enter_async_context(heartbeat)
            socket = UserSocket(self._config, self._credentials.api, self.fills_of_trade)
            yield await parts.enter_async_context(socket)

    async def _look_up(self, venue_order_id: VenueOrderId) -> VenueOrder | None:
        reply = await self._get(_ORDER_LOOKUP + venue_order_id, {})
        if reply.status in _NOT_FOUND or checked(reply).body.strip() in (b"null", b""):
            return None
        return parsing.venue_order(parsing.read_payload(OrderPayload, reply.body))

    async def _look_up_in_list(self, venue_order_id: VenueOrderId) -> VenueOrder | None:
        for payload in await self._orders({"id": venue_order_id}):
            if payload.id == venue_order_id:
                return parsing.venue_order(payload)
        return None

    async def _look_up_in_trades(
        self, venue_order_id: VenueOrderId, market_id: MarketId
    ) -> VenueOrder | None:
        fills = await self.fills(after=None, market_id=market_id)
        own = [fill for fill in fills if fill.venue_order_id == venue_order_id]
        if not own:
            return None
        shares = sum((fill.shares for fill in own), Decimal(0))
        notional = sum((fill.notional_usd for fill in own), Decimal(0))
        return VenueOrder(
            venue_order_id=venue_order_id,
            market_id=market_id,
            token_id=own[0].token_id,
            side=own[0].side,
            status=self._status_by_trades(own),
            original_shares=None,
            matched_shares=shares,
            price=notional / shares,
        )

    def _status_by_trades(self, own: Sequence[Fill]) -> VenueOrderStatus:
        """Return what an order is that trades and stands in no list: it works no more.

        It is believed to only some time after its last trade, since lists and trades may lag: the rest of
        a BUY that still stands would be bought twice, trades of a SELL that come late would be sold again.
        """
        age_s = self._now_s() - max(fill.traded_at for fill in own).timestamp()
        lag_s = LISTS_LAG_S if own[0].side is Side.BUY else SALES_LAG_S
        return VenueOrderStatus.LIVE if age_s < lag_s else VenueOrderStatus.MATCHED

    async def _orders(self, params: Mapping[str, str]) -> list[OrderPayload]:
        found: list[OrderPayload] = []
        async for body in pages(lambda cursor: self._page(_ORDERS, params, cursor)):
            found.extend(parsing.read_payload(OrderPagePayload, body).data)
        return found

    async def _trades(self, params: Mapping[str, str]) -> list[TradePayload]:
        found: list[TradePayload] = []
        async for body in pages(lambda cursor: self._page(_TRADES, params, cursor)):
            found.extend(parsing.read_payload(TradePagePayload, body).data)
        return found

    async def _page(self, path: str, params: Mapping[str, str], cursor: str) -> bytes:
        return checked(await self._get(path, {**params, "next_cursor": cursor})).body

    async def _balance(self, params: Mapping[str, str]) -> BalancePayload:
        reply = checked(await self._get(_BALANCE, self._asset(params)))
        return parsing.read_payload(BalancePayload, reply.body)

    def _asset(self, params: Mapping[str, str]) -> dict[str, str]:
        return {**params, "signature_type": str(self._credentials.signature_type)}

    async def _get(self, path: str, params: Mapping[str, str]) -> Reply:
        return await send(
            self._session, "GET", path, params=params or None, headers=self._headers("GET", path, None)
        )

    def _headers(self, method: str, path: str, body: bytes | None) -> dict[str, str]:
        return self._keys.level_2_headers(
            self._credentials.api, method=method, path=path, body=body, timestamp_s=self._now_s()
        )

    async def _instrument(self, token_id: TokenId) -> Instrument:
        # Only what never changes for a token is taken from here: its fee rate and its exchange.
        known = self._instruments.get(token_id)
        if known is None:
            known = self._instruments[token_id] = await self._market_data.instrument(token_id)
        return known

    async def _fee_rate(self, token_id: TokenId) -> Decimal:
        return (await self._instrument(token_id)).fee_rate


def _balance(payload: BalancePayload, exchanges: Sequence[str]) -> Balance:
    allowances = {spender.lower(): amount for spender, amount in payload.allowances.items()}
    amounts = [allowances[name.lower()] for name in exchanges if name.lower() in allowances]
    if not amounts:
        amounts = [payload.allowance] if payload.allowance is not None else list(allowances.values())
    if not amounts:
        raise VenueProtocolError("the venue shows no allowance")
    return Balance(amount=from_micros(payload.balance), allowance=from_micros(min(amounts)))
