"""What the paper venue needs to remember, and where."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from domain.fills import Fill
from domain.ids import MarketId, TokenId, VenueOrderId
from domain.paper import (
    DepthSeen,
    PaperAccount,
    PaperChanges,
    PaperFill,
    PaperOrder,
    Registration,
    UsedDepth,
)
from domain.ports import HeldToken


class PaperLedger(Protocol):
    """Paper orders and fills. Everything of one account happens one after another, in any process."""

    async def register(
        self,
        order: PaperOrder,
        fills: Sequence[PaperFill],
        start_usd: Decimal,
        seen: DepthSeen | None = None,
    ) -> Registration:
        """Take a new order with its first fills, if its id is new and the account can cover it.

        What it needs is `domain.paper.needed`; shares and collateral bound by open orders
        (`domain.paper.bound`) are not free. `start_usd` is the collateral that the account began with.
        Fills that use depth are taken only while nobody has used more of it than `seen` says.
        """
        ...

    async def record(
        self,
        before: PaperOrder,
        after: PaperOrder,
        fills: Sequence[PaperFill],
        seen: DepthSeen | None = None,
    ) -> bool:
        """Change an order and add its fills, unless it has changed since `before` was read.

        As with `register`, fills that use depth are taken only while `seen` stands.
        Returns whether it was changed. A new place in the queue alone is no change that `changes` tells.
        """
        ...

    async def release(
        self,
        before: PaperOrder,
        after: PaperOrder,
        fills: Sequence[PaperFill],
        start_usd: Decimal,
        seen: DepthSeen,
    ) -> Registration:
        """Let a held order become what it came to, as `register` takes a new one.

        What it kept from others during its hold is free for itself. DUPLICATE: it has changed since `before`
        was read, and nothing was.
        """
        ...

    async def used_depth(self, account: PaperAccount, token_id: TokenId, since: datetime) -> UsedDepth:
        """Return what fills since a time have used of the token's live levels."""
        ...

    async def find(self, account: PaperAccount, venue_order_id: VenueOrderId) -> PaperOrder | None:
        """Return one order."""
        ...

    async def open_orders(self, account: PaperAccount, token_id: TokenId | None) -> Sequence[PaperOrder]:
        """Return the orders that rest or are held, oldest first."""
        ...

    async def fills(
        self, account: PaperAccount, after: datetime | None, market_id: MarketId | None
    ) -> Sequence[Fill]:
        """Return fills since a time, oldest first."""
        ...

    async def changes(self, account: PaperAccount, after: int) -> PaperChanges:
        """Return what changed after a place in the account's sequence (0: from the beginning)."""
        ...

    async def edge(self, account: PaperAccount) -> int:
        """Return the end of the account's sequence."""
        ...

    async def shares(self, account: PaperAccount, token_id: TokenId) -> Decimal:
        """Return the shares held, those bound by open sells included."""
        ...

    async def cash(self, account: PaperAccount, start_usd: Decimal) -> Decimal:
        """Return the collateral, that bound by open buys included."""
        ...

    async def held_tokens(self, account: PaperAccount) -> Sequence[HeldToken]:
        """Return the tokens of which shares are held, by token; no average entry is kept."""
        ...

    async def pay_out(self, account: PaperAccount, token_id: TokenId, usd_per_share: Decimal) -> None:
        """Turn the shares of a resolved token into collateral; repeating it changes nothing."""
        ...
