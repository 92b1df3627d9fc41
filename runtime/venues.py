"""The registry of venues as activities and the API see it: sessions by account, credentials read anew.

A session keeps its connections while its credentials stay the same; every `credential_cache` they are
looked at again, so a rotated key comes into use and a revoked one goes out of it.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Protocol, Self

from domain.errors import CredentialsMissing, UnknownVenue
from domain.ids import AccountId, WalletId
from domain.orders import Mode, WalletIdentity
from domain.paper import PaperAccount
from domain.ports import Clock, MarketData, Trading
from runtime.api_credentials import read_api_credentials
from storage.repositories.credentials import Credentials, api_credentials_record, wallet_key_record
from storage.repositories.paper_orders import PaperOrders
from storage.repositories.wallets import Wallets
from venues.paper.trading import PaperTrading
from venues.polymarket.config import VENUE as POLYMARKET
from venues.polymarket.config import PolymarketConfig
from venues.polymarket.credentials import VenueCredentials
from venues.polymarket.market_data import PolymarketMarketData
from venues.polymarket.trading import PolymarketTrading

PAPER_WALLET = WalletIdentity(
    wallet_id=WalletId("paper"), signer="paper", funder="paper", signature_type=0, chain_id=0
)


class ClosableTrading(Trading, Protocol):
    """A session that holds connections."""

    async def aclose(self) -> None:
        """Close the connections."""
        ...


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
        config: PolymarketConfig,
        *,
        wallets: Wallets,
        credentials: Credentials,
        paper_orders: PaperOrders,
        clock: Clock,
        credential_cache: timedelta,
    ) -> None:
        """Take what sessions are made from."""
        self._config = config
        self._wallets = wallets
        self._credentials = credentials
        self._paper_orders = paper_orders
        self._clock = clock
        self._cache_s = credential_cache.total_seconds()
        self._polymarket = PolymarketMarketData(config)
        self._live: dict[AccountId, _Session] = {}
        self._paper: dict[AccountId, PaperTrading] = {}
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every session."""
        sessions, self._live = list(self._live.values()), {}
        for session in sessions:
            await session.trading.aclose()
        await self._polymarket.aclose()

    def market_data(self, venue: str) -> MarketData:
        """Return the public reads of a venue."""
        if venue != POLYMARKET:
            raise UnknownVenue(f"no venue is called {venue}")
        return self._polymarket

    async def trading(self, account_id: AccountId, venue: str, mode: Mode) -> Trading:
        """Return an account's session; paper goes to the paper venue, whatever the account's mode is now."""
        data = self.market_data(venue)
        if mode is Mode.PAPER:
            if account_id not in self._paper:
                account = PaperAccount(account_id=account_id, venue=venue)
                self._paper[account_id] = PaperTrading(account, data, self._paper_orders, self._clock)
            return self._paper[account_id]
        return (await self._session(account_id, venue)).trading

    async def wallet(self, account_id: AccountId, venue: str, mode: Mode) -> WalletIdentity:
        """Return the public identity that new orders of this account are signed for."""
        self.market_data(venue)
        if mode is Mode.PAPER:
            return PAPER_WALLET
        return (await self._session(account_id, venue)).wallet

    async def _session(self, account_id: AccountId, venue: str) -> _Session:
        known = self._live.get(account_id)
        if known is not None and time.monotonic() - known.looked_at < self._cache_s:
            return known
        async with self._opening:
            known = self._live.get(account_id)
            if known is None or time.monotonic() - known.looked_at >= self._cache_s:
                known = await self._look_again(account_id, venue, known)
            return known

    async def _look_again(self, account_id: AccountId, venue: str, known: _Session | None) -> _Session:
        """Keep the session whose credentials did not change, or open one with the new ones."""
        began = time.monotonic()
        facts = await self._credentials.of_account(account_id)
        versions = tuple((fact.record_id, fact.version) for fact in facts)
        if known is not None and known.versions == versions:
            known.looked_at = began
            return known
        session = await self._open(account_id, venue, versions, began)
        self._live[account_id] = session
        if known is not None:
            await known.trading.aclose()
        return session

    async def _open(
        self, account_id: AccountId, venue: str, versions: tuple[tuple[str, int], ...], began: float
    ) -> _Session:
        wallet = await self._wallets.current(account_id, venue)
        if wallet is None:
            raise CredentialsMissing("the account has no wallet at this venue")
        key = await self._credentials.open(account_id, wallet_key_record(wallet.wallet_id))
        sealed = await self._credentials.open(account_id, api_credentials_record(venue, wallet.wallet_id))
        credentials = VenueCredentials(
            private_key=key,
            api=read_api_credentials(sealed),
            funder=wallet.funder,
            signature_type=wallet.signature_type,
        )
        trading = PolymarketTrading(self._config, credentials, self._polymarket)
        return _Session(trading, wallet, versions, began)
