"""The venues as activities and the API see them: sessions by account, credentials looked at again.

A session keeps its connections while its credentials stay the same; every `credential_cache` they are
looked at anew, so a rotated key comes into use and a revoked one goes out of it.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Self

from domain.errors import CredentialsMissing
from domain.ids import AccountId, WalletId
from domain.orders import Mode, WalletIdentity
from domain.paper import PaperAccount
from domain.ports import Clock, MarketData, Trading
from storage.repositories.credentials import Credentials, api_credentials_record, wallet_key_record
from storage.repositories.paper_orders import PaperOrders
from storage.repositories.wallets import Wallets
from venues.adapter import ClosableMarketData, ClosableTrading, VenueAdapter
from venues.paper.trading import PaperTrading
from venues.registry import adapter_named

PAPER_WALLET = WalletIdentity(
    wallet_id=WalletId("paper"), signer="paper", funder="paper", signature_type=0, chain_id=0
)
# Longer than any request of a session: what is under way when credentials rotate ends before it closes.
CLOSE_AFTER_S = 10.0

Place = tuple[AccountId, str]


@dataclass(slots=True)
class _Session:
    trading: ClosableTrading
    wallet: WalletIdentity
    versions: tuple[tuple[str, int], ...]
    looked_at: float


class AccountVenues:
    """Implements `domain.ports.Venues`. Sessions are made on first use, one for each account and venue."""

    def __init__(
        self,
        adapters: Mapping[str, VenueAdapter],
        *,
        wallets: Wallets,
        credentials: Credentials,
        paper_orders: PaperOrders,
        clock: Clock,
        credential_cache: timedelta,
    ) -> None:
        """Take what sessions are made from."""
        self._adapters = adapters
        self._wallets = wallets
        self._credentials = credentials
        self._paper_orders = paper_orders
        self._clock = clock
        self._cache_s = credential_cache.total_seconds()
        self._data: dict[str, ClosableMarketData] = {}
        self._live: dict[Place, _Session] = {}
        self._paper: dict[Place, PaperTrading] = {}
        self._opening = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every session."""
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        for session in self._live.values():
            await session.trading.aclose()
        for data in self._data.values():
            await data.aclose()
        self._live.clear()
        self._data.clear()

    def market_data(self, venue: str) -> MarketData:
        """Return the public reads of a venue, one instance for all accounts."""
        known = self._data.get(venue)
        if known is None:
            known = self._data[venue] = adapter_named(self._adapters, venue).open_market_data()
        return known

    async def trading(self, account_id: AccountId, venue: str, mode: Mode) -> Trading:
        """Return an account's session; paper goes to the paper venue, whatever the account's mode is now."""
        data, place = self.market_data(venue), (account_id, venue)
        if mode is Mode.PAPER:
            if place not in self._paper:
                account = PaperAccount(account_id=account_id, venue=venue)
                self._paper[place] = PaperTrading(account, data, self._paper_orders, self._clock)
            return self._paper[place]
        return (await self._session(place)).trading

    async def wallet(self, account_id: AccountId, venue: str, mode: Mode) -> WalletIdentity:
        """Return the public identity that new orders of this account are signed for."""
        adapter_named(self._adapters, venue)
        if mode is Mode.PAPER:
            return PAPER_WALLET
        return (await self._session((account_id, venue))).wallet

    async def _session(self, place: Place) -> _Session:
        known = self._live.get(place)
        if known is not None and time.monotonic() - known.looked_at < self._cache_s:
            return known
        async with self._opening:
            known = self._live.get(place)
            if known is None or time.monotonic() - known.looked_at >= self._cache_s:
                known = await self._look_again(place, known)
            return known

    async def _look_again(self, place: Place, known: _Session | None) -> _Session:
        """Keep the session whose credentials did not change, or open one with the new ones."""
        began = time.monotonic()
        facts = await self._credentials.of_account(place[0])
        versions = tuple((fact.record_id, fact.version) for fact in facts)
        if known is not None and known.versions == versions:
            known.looked_at = began
            return known
        session = await self._open(place, versions, began)
        self._live[place] = session
        if known is not None:
            self._close_later(known.trading)
        return session

    async def _open(self, place: Place, versions: tuple[tuple[str, int], ...], began: float) -> _Session:
        account_id, venue = place
        wallet = await self._wallets.current(account_id, venue)
        if wallet is None:
            raise CredentialsMissing("the account has no wallet at this venue")
        key = await self._credentials.open(account_id, wallet_key_record(wallet.wallet_id))
        document = await self._credentials.open(account_id, api_credentials_record(venue, wallet.wallet_id))
        trading = adapter_named(self._adapters, venue).open_trading(
            wallet, key, document, self.market_data(venue)
        )
        return _Session(trading, wallet, versions, began)

    def _close_later(self, trading: ClosableTrading) -> None:
        """Close a replaced session once what it has under way has ended."""

        async def close() -> None:
            await asyncio.sleep(CLOSE_AFTER_S)
            await trading.aclose()

        task = asyncio.create_task(close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
