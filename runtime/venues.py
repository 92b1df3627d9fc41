"""The venues as activities and the API see them: sessions by wallet, credentials looked at again.

An account may have several wallets at a venue: new orders go to the one stored last, an order in flight goes
on with the one that signed it. A session keeps its connections while its wallet's credentials stay the same;
every `credential_cache` they are looked at anew, so a rotated key comes into use and a revoked one goes out
of it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Self

from activities.wallets import ask_wallets
from domain.errors import CredentialsMissing
from domain.ids import AccountId, TokenId, WalletId
from domain.orders import Mode, WalletIdentity
from domain.paper import PaperAccount
from domain.ports import Clock, MarketData, Trading
from storage.repositories.credentials import Credentials, api_credentials_record, wallet_key_record
from storage.repositories.paper_orders import PaperOrders
from storage.repositories.wallets import Wallets
from venues.adapter import ClosableMarketData, ClosableTrading, VenueAdapter
from venues.paper.trading import PaperConfig, PaperTrading
from venues.registry import adapter_named

PAPER_WALLET = WalletIdentity(
    wallet_id=WalletId("paper"), signer="paper", funder="paper", signature_type=0, chain_id=0
)
# Longer than any request of a session: what is under way when credentials rotate ends before it closes.
CLOSE_AFTER_S = 10.0

Place = tuple[AccountId, str]


@dataclass(frozen=True, slots=True)
class _Holder:
    """An account's wallets at a venue, the one in use last, and the versions of its credentials."""

    wallets: tuple[WalletIdentity, ...]
    versions: Mapping[str, int]
    looked_at: float

    @property
    def current(self) -> WalletIdentity:
        """The wallet that new orders are signed for. Raises CredentialsMissing."""
        if not self.wallets:
            raise CredentialsMissing("the account has no wallet at this venue")
        return self.wallets[-1]

    def wallet(self, wallet_id: WalletId | None) -> WalletIdentity | None:
        """One of the wallets by its id, the current one for None."""
        if wallet_id is None:
            return self.current
        return next((wallet for wallet in self.wallets if wallet.wallet_id == wallet_id), None)

    def usable(self, venue: str) -> list[WalletIdentity]:
        """The wallet of new orders, then every former one with its credentials. Raises CredentialsMissing."""
        former = [w for w in self.wallets[-2::-1] if None not in self.versions_of(venue, w)]
        return [self.current, *former]

    def versions_of(self, venue: str, wallet: WalletIdentity) -> tuple[int | None, int | None]:
        """The versions of one wallet's key and API credentials; None where there are none."""
        return (
            self.versions.get(wallet_key_record(wallet.wallet_id)),
            self.versions.get(api_credentials_record(venue, wallet.wallet_id)),
        )


@dataclass(frozen=True, slots=True)
class _Session:
    trading: ClosableTrading
    versions: tuple[int | None, int | None]


class AccountVenues:
    """Implements `domain.ports.Venues`. Sessions are made on first use, one for each wallet."""

    def __init__(
        self,
        adapters: Mapping[str, VenueAdapter],
        *,
        wallets: Wallets,
        credentials: Credentials,
        paper_orders: PaperOrders,
        clock: Clock,
        credential_cache: timedelta,
        paper_config: PaperConfig | None = None,
    ) -> None:
        """Take what sessions are made from."""
        self._adapters = adapters
        self._wallets = wallets
        self._credentials = credentials
        self._paper_orders = paper_orders
        self._clock = clock
        self._paper_config = paper_config
        self._cache_s = credential_cache.total_seconds()
        self._data: dict[str, ClosableMarketData] = {}
        self._holders: dict[Place, _Holder] = {}
        self._changes: Counter[Place] = Counter()
        self._live: dict[tuple[AccountId, str, WalletId], _Session] = {}
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
        self._holders.clear()
        self._data.clear()

    def market_data(self, venue: str) -> MarketData:
        """Return the public reads of a venue, one instance for all accounts."""
        known = self._data.get(venue)
        if known is None:
            known = self._data[venue] = adapter_named(self._adapters, venue).open_market_data()
        return known

    async def trading(
        self, account_id: AccountId, venue: str, mode: Mode, wallet_id: WalletId | None = None
    ) -> Trading:
        """Return a wallet's session; paper goes to the paper venue, whatever the account's mode is now.

        Raises:
            CredentialsMissing: The account has no such wallet, or the wallet no usable credentials.
        """
        if mode is Mode.PAPER:
            return self._paper_session((account_id, venue))
        place = (account_id, venue)
        holder = await self._holder(place)
        wallet = holder.wallet(wallet_id)
        if wallet is None:  # stored by another process since
            holder = await self._look_again(place)
            wallet = holder.wallet(wallet_id)
        if wallet is None:
            raise CredentialsMissing("the account has no such wallet at this venue")
        return await self._session(place, holder, wallet)

    async def sessions(self, account_id: AccountId, venue: str, mode: Mode) -> Sequence[Trading]:
        """Return the sessions of every wallet that can trade, that of new orders first.

        Raises:
            CredentialsMissing: The wallet of new orders has no usable credentials.
        """
        if mode is Mode.PAPER:
            return [self._paper_session((account_id, venue))]
        place = (account_id, venue)
        holder = await self._holder(place)
        return [await self._session(place, holder, wallet) for wallet in holder.usable(venue)]

    async def wallet(
        self, account_id: AccountId, venue: str, mode: Mode, *, holding: TokenId | None = None
    ) -> WalletIdentity:
        """Return the public identity that new orders of this account are signed for.

        With `holding` it is the wallet that holds most of that token: shares stay with the wallet that bought
        them when a newer one comes into use, and only its key can sell them. One whose key the venue refuses
        can sell nothing and is passed over.

        Raises:
            CredentialsMissing: The wallet of new orders has no usable credentials.
            VenueBlocked: The venue refuses every one of several wallets.
            VenueError: The venue could not say now what one of several wallets holds.
        """
        if mode is Mode.PAPER:
            adapter_named(self._adapters, venue)
            return PAPER_WALLET
        place = (account_id, venue)
        holder = await self._holder(place)
        sessions = [(w, await self._session(place, holder, w)) for w in holder.usable(venue)]
        if holding is None or len(sessions) == 1:
            return holder.current
        asked = await ask_wallets(sessions, lambda pair: pair[1].holding(holding))
        (most, _), balance = max(asked.given, key=lambda each: each[1].amount)
        return most if balance.amount > 0 else holder.current

    def wallets_changed(self, account_id: AccountId, venue: str) -> None:
        """Look again at the wallets before the next order; other processes do so within a minute."""
        place = (account_id, venue)
        self._changes[place] += 1  # a look that is under way has seen the former ones
        self._holders.pop(place, None)

    def _paper_session(self, place: Place) -> PaperTrading:
        account_id, venue = place
        data = self.market_data(venue)
        if place not in self._paper:
            account = PaperAccount(account_id=account_id, venue=venue)
            self._paper[place] = PaperTrading(
                account, data, self._paper_orders, self._clock, self._paper_config
            )
        return self._paper[place]

    async def _holder(self, place: Place) -> _Holder:
        adapter_named(self._adapters, place[1])
        known = self._holders.get(place)
        if known is not None and time.monotonic() - known.looked_at < self._cache_s:
            return known
        async with self._opening:
            latest = self._holders.get(place)
            if latest is not None and latest is not known:
                return latest  # somebody else has looked meanwhile
            return await self._look(place)

    async def _look_again(self, place: Place) -> _Holder:
        async with self._opening:
            return await self._look(place)

    async def _look(self, place: Place) -> _Holder:
        began, changes = time.monotonic(), self._changes[place]
        account_id, venue = place
        # Secrets are stored before their wallet is, so whoever sees the wallet sees them too.
        wallets = await self._wallets.all_of(account_id, venue)
        facts = await self._credentials.of_account(account_id)
        holder = _Holder(tuple(wallets), {fact.record_id: fact.version for fact in facts}, began)
        if changes == self._changes[place]:
            self._holders[place] = holder
        return holder

    async def _session(self, place: Place, holder: _Holder, wallet: WalletIdentity) -> ClosableTrading:
        """Return the session whose credentials did not change, or open one with the new ones."""
        name, versions = (*place, wallet.wallet_id), holder.versions_of(place[1], wallet)
        known = self._live.get(name)
        if known is not None and known.versions == versions:
            return known.trading
        async with self._opening:
            known = self._live.get(name)
            if known is not None and known.versions == versions:
                return known.trading
            trading = await self._open(place, wallet)
            self._live[name] = _Session(trading, versions)
            if known is not None:
                self._close_later(known.trading)
            return trading

    async def _open(self, place: Place, wallet: WalletIdentity) -> ClosableTrading:
        account_id, venue = place
        adapter = adapter_named(self._adapters, venue)
        key = await self._credentials.open(account_id, wallet_key_record(wallet.wallet_id))
        document = await self._credentials.open(account_id, api_credentials_record(venue, wallet.wallet_id))
        return adapter.open_trading(wallet, key, document, self.market_data(venue))

    def _close_later(self, trading: ClosableTrading) -> None:
        """Close a replaced session once what it has under way has ended."""

        async def close() -> None:
            await asyncio.sleep(CLOSE_AFTER_S)
            await trading.aclose()

        task = asyncio.create_task(close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
