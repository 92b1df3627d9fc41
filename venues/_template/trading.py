"""One account's session."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime

from pydantic import SecretStr

from domain.fills import Fill
from domain.ids import MarketId, TokenId, VenueOrderId
from domain.orders import Answer, Attempt, VenueOrder, WalletIdentity
from domain.ports import AccountEvent, Balance, CancelOutcome, HeldToken, MarketData
from venues._template.config import TemplateConfig


class TemplateTrading:
    """`Trading` for one wallet."""

    def __init__(
        self,
        config: TemplateConfig,
        wallet: WalletIdentity,
        private_key: SecretStr,
        market_data: MarketData,
    ) -> None:
        self._config = config
        self._wallet = wallet
        self._private_key = private_key
        self._market_data = market_data

    async def aclose(self) -> None:
        """Close the connections."""
        raise NotImplementedError

    def venue_order_id(self, attempt: Attempt) -> VenueOrderId:
        """Return the id that the venue will give the attempt: a pure function of it."""
        raise NotImplementedError

    def prepare(self, attempt: Attempt) -> None:
        """Sign ahead, while the claim is being made; leave it empty where signing costs nothing."""
        raise NotImplementedError

    async def place(self, attempt: Attempt) -> Answer:
        """Sign and post once; classify whatever comes back."""
        raise NotImplementedError

    async def find_order(self, venue_order_id: VenueOrderId, market_id: MarketId) -> VenueOrder | None:
        """Return what the venue knows of an order, from every place where it may know it."""
        raise NotImplementedError

    async def cancel(self, venue_order_id: VenueOrderId) -> CancelOutcome:
        """Cancel one order."""
        raise NotImplementedError

    async def cancel_many(
        self, venue_order_ids: Sequence[VenueOrderId]
    ) -> Mapping[VenueOrderId, CancelOutcome]:
        """Cancel several orders, in as few requests as the venue takes."""
        raise NotImplementedError

    async def open_orders(self, token_id: TokenId | None = None) -> Sequence[VenueOrder]:
        """Return the live orders."""
        raise NotImplementedError

    async def fills(self, *, after: datetime | None, market_id: MarketId | None = None) -> Sequence[Fill]:
        """Return the fills since a time, with exact notional and fee."""
        raise NotImplementedError

    async def holding(self, token_id: TokenId) -> Balance:
        """Return the shares of a token."""
        raise NotImplementedError

    async def collateral(self) -> Balance:
        """Return the USD."""
        raise NotImplementedError

    async def held_tokens(self) -> Sequence[HeldToken]:
        """Return every holding that the venue lists."""
        raise NotImplementedError

    async def refresh_holding(self, token_id: TokenId) -> None:
        """Make the venue look at the chain again, where it keeps a cache."""
        raise NotImplementedError

    def events(self) -> AbstractAsyncContextManager[AsyncIterator[AccountEvent]]:
        """Open the user socket; begin with a gap, and announce each further one."""
        raise NotImplementedError
