"""`PaperLedger` in memory: one account after another by the event loop itself."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from domain.fills import Fill
from domain.ids import MarketId, TokenId, VenueOrderId
from domain.orders import Side, VenueOrderStatus
from domain.paper import (
    DepthSeen,
    PaperAccount,
    PaperChanges,
    PaperFill,
    PaperOrder,
    Registration,
    UsedDepth,
    bound,
    needed,
    uses_depth,
)
from domain.ports import HeldToken


def _what_counts(order: PaperOrder) -> tuple[object, ...]:
    """What must not have changed since an order was read; its touch is not among it."""
    place = None if order.queue is None else (order.queue.ahead, order.queue.seen_ms)
    return order.matched_shares, order.status, place


class PaperMemory:
    def __init__(self) -> None:
        self._orders: dict[VenueOrderId, tuple[int, PaperOrder]] = {}
        self._fills: list[tuple[int, PaperAccount, PaperFill]] = []
        self._payouts: dict[tuple[PaperAccount, TokenId], Decimal] = {}
        self._place = 0

    async def register(
        self,
        order: PaperOrder,
        fills: Sequence[PaperFill],
        start_usd: Decimal,
        seen: DepthSeen | None = None,
    ) -> Registration:
        if order.venue_order_id in self._orders:
            return Registration.DUPLICATE
        if await self._free(order, start_usd) < needed(order, fills):
            return Registration.SHORT
        if uses_depth(fills) and not await self._is_current(order, seen):
            return Registration.OUTDATED
        self._put(order, fills)
        return Registration.NEW

    async def release(
        self,
        before: PaperOrder,
        after: PaperOrder,
        fills: Sequence[PaperFill],
        start_usd: Decimal,
        seen: DepthSeen,
    ) -> Registration:
        _, known = self._orders[before.venue_order_id]
        if _what_counts(known) != _what_counts(before):
            return Registration.DUPLICATE
        if await self._free(before, start_usd) + bound(before) < needed(after, fills):
            return Registration.SHORT
        if uses_depth(fills) and not await self._is_current(before, seen):
            return Registration.OUTDATED
        self._put(after, fills)
        return Registration.NEW

    async def record(
        self,
        before: PaperOrder,
        after: PaperOrder,
        fills: Sequence[PaperFill],
        seen: DepthSeen | None = None,
    ) -> bool:
        place, known = self._orders[before.venue_order_id]
        if _what_counts(known) != _what_counts(before):
            return False
        if uses_depth(fills) and not await self._is_current(before, seen):
            return False
        after = replace(after, touched_at=known.touched_at or after.touched_at)
        if (before.matched_shares, before.status) == (after.matched_shares, after.status):
            self._orders[after.venue_order_id] = (place, after)
        else:
            self._put(after, fills)
        return True

    async def _is_current(self, order: PaperOrder, seen: DepthSeen | None) -> bool:
        if seen is None:
            return False
        return await self.used_depth(order.account, order.token_id, seen.since) == seen.used

    def _put(self, order: PaperOrder, fills: Sequence[PaperFill]) -> None:
        self._place += 1
        self._orders[order.venue_order_id] = (self._place, order)
        for fill in fills:
            self._place += 1
            self._fills.append((self._place, order.account, fill))

    def paper_fills(self) -> Sequence[PaperFill]:
        return [each for _, _, each in self._fills]

    async def used_depth(self, account: PaperAccount, token_id: TokenId, since: datetime) -> UsedDepth:
        used: dict[tuple[Side, Decimal], Decimal] = {}
        for _, owner, each in self._fills:
            fill, level = each.fill, each.level_price
            if (
                owner == account
                and fill.token_id == token_id
                and fill.traded_at > since
                and level is not None
            ):
                used[fill.side, level] = used.get((fill.side, level), Decimal(0)) + fill.shares
        return used

    async def find(self, account: PaperAccount, venue_order_id: VenueOrderId) -> PaperOrder | None:
        _, order = self._orders.get(venue_order_id, (0, None))
        return order if order is not None and order.account == account else None

    async def open_orders(self, account: PaperAccount, token_id: TokenId | None) -> Sequence[PaperOrder]:
        return [
            order
            for _, order in sorted(self._orders.values(), key=lambda entry: entry[0])
            if order.account == account
            and order.status in (VenueOrderStatus.LIVE, VenueOrderStatus.DELAYED)
            and token_id in (None, order.token_id)
        ]

    async def fills(
        self, account: PaperAccount, after: datetime | None, market_id: MarketId | None
    ) -> Sequence[Fill]:
        return [
            each.fill
            for _, owner, each in self._fills
            if owner == account
            and (after is None or each.fill.traded_at >= after)
            and market_id in (None, each.fill.market_id)
        ]

    async def changes(self, account: PaperAccount, after: int) -> PaperChanges:
        return PaperChanges(
            orders=[o for place, o in self._orders.values() if place > after and o.account == account],
            fills=[each.fill for place, owner, each in self._fills if place > after and owner == account],
            edge=self._place,
        )

    async def edge(self, account: PaperAccount) -> int:
        return self._place

    async def shares(self, account: PaperAccount, token_id: TokenId) -> Decimal:
        if (account, token_id) in self._payouts:
            return Decimal(0)
        own = [e.fill for _, owner, e in self._fills if owner == account and e.fill.token_id == token_id]
        return sum((f.shares if f.side is Side.BUY else -f.shares for f in own), Decimal(0))

    async def cash(self, account: PaperAccount, start_usd: Decimal) -> Decimal:
        total = start_usd + sum(
            (usd for (owner, _), usd in self._payouts.items() if owner == account), Decimal(0)
        )
        for fill in await self.fills(account, None, None):
            total += (fill.notional_usd if fill.side is Side.SELL else -fill.notional_usd) - fill.fee_usd
        return total

    async def held_tokens(self, account: PaperAccount) -> Sequence[HeldToken]:
        tokens = {(e.fill.token_id, e.fill.market_id) for _, owner, e in self._fills if owner == account}
        held = [
            HeldToken(
                market_id=market,
                token_id=token,
                shares=await self.shares(account, token),
                average_entry=None,
            )
            for token, market in sorted(tokens)
        ]
        return [each for each in held if each.shares > 0]

    async def pay_out(self, account: PaperAccount, token_id: TokenId, usd_per_share: Decimal) -> None:
        shares = await self.shares(account, token_id)
        if shares > 0:
            self._payouts[account, token_id] = shares * usd_per_share

    async def _free(self, order: PaperOrder, start_usd: Decimal) -> Decimal:
        resting = await self.open_orders(order.account, None)
        same = [o for o in resting if o.side is order.side]
        if order.side is Side.SELL:
            held = await self.shares(order.account, order.token_id)
            return held - sum((bound(o) for o in same if o.token_id == order.token_id), Decimal(0))
        return await self.cash(order.account, start_usd) - sum((bound(o) for o in same), Decimal(0))
