"""Executions: money and shares move, trades walk their life cycle, failures move all back."""

import hashlib
import uuid
from collections.abc import Iterable
from itertools import groupby

from simulator.balances import Wallet
from simulator.clock import Clock
from simulator.markets import Market
from simulator.matching import Plan, Step
from simulator.money import MICRO, taker_fee
from simulator.orders import Order, Side
from simulator.publication import Publisher
from simulator.settings import TradeMode
from simulator.state import State
from simulator.trades import (
    COLLATERAL,
    FEES,
    NEXT_STATUSES,
    PAIRS,
    MakerFill,
    Trade,
    TradeStatus,
    Transfer,
)

HOUSE_WALLET = "0x00000000000000000000000000000000000005E5"
HOUSE_OWNER = "00000000-0000-0000-0000-0000000005e5"
TRADE_NAMESPACE = uuid.UUID("3f1dfc5d-18a2-4b43-9a0e-0c8f6d1c7a55")


class IllegalTransitionError(ValueError):
    """The trade cannot go from its status to the wanted one."""


class Settlement:
    """Turns planned fills into trades and keeps holdings in step with them."""

    def __init__(self, state: State, publisher: Publisher, clock: Clock) -> None:
        self._state = state
        self._publisher = publisher
        self._clock = clock
        self.lag_ms = self._configured_lag

    def execute(self, market: Market, taker: Order, steps: Iterable[Step]) -> list[Trade]:
        """Executes an order's planned fills: one trade for each price, best first."""
        trades: list[Trade] = []
        for _, level in groupby(steps, key=lambda step: step.book_price):
            trade = self._taker_trade(market, taker, list(level))
            self._register(trade, [taker])
            trades.append(trade)
        return trades

    def execute_house(self, market: Market, maker: Order, shares: int) -> Trade:
        """Executes the house as taker against one resting order, at that order's price."""
        usd = shares * maker.price // MICRO
        trade = self._new_trade(
            market, maker.token_index, maker.signed.side.opposite, shares, maker.price, usd, fee=0
        )
        trade.taker_order_id = house_order_id(trade.id)
        trade.makers.append(self._maker_fill(market, maker, shares))
        trade.transfers += _swap(HOUSE_WALLET, maker.wallet, trade.side, trade.token_id, shares, usd)
        _fill(maker, trade, shares, usd)
        self._register(trade, [])
        return trade

    def fees_of(self, plan: Plan, order: Order, market: Market) -> int:
        """Returns the pUSD a taker pays on top of planned buys; sells pay out of their proceeds."""
        if order.signed.side is Side.SELL:
            return 0
        levels = groupby(plan.steps, key=lambda step: step.price)
        return sum(taker_fee(sum(s.shares for s in level), price, market.rate) for price, level in levels)

    def set_status(self, trade: Trade, status: TradeStatus) -> None:
        """Moves a trade along its life cycle; FAILED takes its transfers back.

        Raises:
            IllegalTransitionError: the life cycle knows no such step.
        """
        if status not in NEXT_STATUSES[trade.status]:
            raise IllegalTransitionError(f"a trade cannot go from {trade.status} to {status}")
        trade.status = status
        trade.updated_ms = self._clock.now_ms()
        if status in (TradeStatus.MINED, TradeStatus.CONFIRMED) and not trade.transaction_hash:
            trade.transaction_hash = "0x" + hashlib.sha256(f"{trade.id}:tx".encode()).hexdigest()
        if status is TradeStatus.FAILED:
            self._move(trade.transfers, trade, direction=-1)
            self._state.wallet(trade.taker_wallet).fees_paid -= trade.fee
        self._state.save_trade(trade)
        self._publisher.trade(trade)

    def next_step(self, trade: Trade) -> tuple[int, TradeStatus] | None:
        """Returns the Unix ms at which an automatic trade moves on, and where to; None: never."""
        settings = self._state.settings
        if settings.trade_mode is TradeMode.MANUAL:
            return None
        if trade.status is TradeStatus.MATCHED:
            return trade.matched_ms + settings.trade_mined_ms, TradeStatus.MINED
        if trade.status is TradeStatus.MINED:
            return trade.matched_ms + settings.trade_confirmed_ms, TradeStatus.CONFIRMED
        return None

    def _configured_lag(self, wallet: str, asset: str) -> int:
        return self._state.settings.balance_lag_ms

    def _taker_trade(self, market: Market, taker: Order, level: list[Step]) -> Trade:
        shares, usd = sum(step.shares for step in level), sum(step.usd for step in level)
        price = level[0].price
        fee = taker_fee(shares, price, market.rate)
        trade = self._new_trade(market, taker.token_index, taker.signed.side, shares, price, usd, fee)
        trade.taker_order_id, trade.taker_owner = taker.id, taker.owner
        trade.taker_account, trade.taker_wallet = taker.account, taker.wallet
        for step in level:
            self._settle_step(market, trade, taker, step)
        if fee:
            trade.transfers += [Transfer(taker.wallet, COLLATERAL, -fee), Transfer(FEES, COLLATERAL, fee)]
        _fill(taker, trade, shares, usd)
        return trade

    def _settle_step(self, market: Market, trade: Trade, taker: Order, step: Step) -> None:
        side, token_id = taker.signed.side, trade.token_id
        if step.maker is None:
            self._state.books[market.condition_id].house.take(not taker.bids, step.book_price, step.shares)
            self._state.save_house(market)
            trade.makers.append(self._house_fill(market, trade, step))
            trade.transfers += _swap(taker.wallet, HOUSE_WALLET, side, token_id, step.shares, step.usd)
            return
        maker = step.maker
        trade.makers.append(self._maker_fill(market, maker, step.shares))
        if maker.token_index == taker.token_index:
            maker_usd = step.usd
            trade.transfers += _swap(taker.wallet, maker.wallet, side, token_id, step.shares, step.usd)
        else:
            maker_usd = step.shares - step.usd
            trade.transfers += _pair(
                taker.wallet, maker.wallet, side, token_id, maker.signed.token_id, step.shares, step.usd
            )
        _fill(maker, trade, step.shares, maker_usd)

    def _new_trade(
        self, market: Market, token_index: int, side: Side, shares: int, price: int, usd: int, fee: int
    ) -> Trade:
        meta = self._state.meta
        meta.trade_number += 1
        self._state.save_meta()
        now_ms = self._clock.now_ms()
        return Trade(
            id=str(uuid.uuid5(TRADE_NAMESPACE, f"{meta.seed}:{meta.trade_number}")),
            number=meta.trade_number,
            condition_id=market.condition_id,
            token_id=market.token_ids[token_index],
            outcome=market.outcomes[token_index],
            side=side,
            shares=shares,
            price=price,
            usd=usd,
            fee=fee,
            taker_order_id="",
            taker_owner=HOUSE_OWNER,
            taker_account="",
            taker_wallet=HOUSE_WALLET,
            makers=[],
            transfers=[],
            matched_ms=now_ms,
            updated_ms=now_ms,
        )

    def _house_fill(self, market: Market, trade: Trade, step: Step) -> MakerFill:
        return MakerFill(
            order_id=house_order_id(f"{market.condition_id}:{step.book_price}"),
            owner=HOUSE_OWNER,
            account="",
            wallet=HOUSE_WALLET,
            token_id=trade.token_id,
            outcome=trade.outcome,
            side=trade.side.opposite,
            shares=step.shares,
            price=step.price,
        )

    def _maker_fill(self, market: Market, maker: Order, shares: int) -> MakerFill:
        return MakerFill(
            order_id=maker.id,
            owner=maker.owner,
            account=maker.account,
            wallet=maker.wallet,
            token_id=maker.signed.token_id,
            outcome=market.outcomes[maker.token_index],
            side=maker.signed.side,
            shares=shares,
            price=maker.price,
        )

    def _register(self, trade: Trade, takers: list[Order]) -> None:
        self._move(trade.transfers, trade, direction=1)
        wallet = self._state.wallet(trade.taker_wallet)
        wallet.fees_paid += trade.fee
        self._state.save_trade(trade)
        for order in takers:
            self._state.save_order(order)
        self._publisher.trade(trade)

    def _move(self, transfers: list[Transfer], trade: Trade, direction: int) -> None:
        """Moves every transfer; sums by account and asset so that averages see whole amounts."""
        sums: dict[tuple[str, str], int] = {}
        for transfer in transfers:
            key = transfer.account, transfer.asset
            sums[key] = sums.get(key, 0) + transfer.amount * direction
        accounts = {account for account, _ in sums}
        for account in accounts:
            self._move_account(
                account, {a: n for (who, a), n in sums.items() if who == account}, trade, direction
            )

    def _move_account(self, account: str, amounts: dict[str, int], trade: Trade, direction: int) -> None:
        meta = self._state.meta
        if account in (FEES, PAIRS):
            meta.fees += amounts[COLLATERAL] if account == FEES else 0
            meta.pairs += amounts[COLLATERAL] if account == PAIRS else 0
            self._state.save_meta()
            return
        wallet = self._state.wallet(account)
        # Average prices are without fees, as the Data API shows them.
        fee = trade.fee * direction if account == trade.taker_wallet else 0
        usd = amounts.get(COLLATERAL, 0) + fee
        for token_id, shares in amounts.items():
            if token_id == COLLATERAL:
                continue
            if shares > 0:
                wallet.note_buy(token_id, shares, -usd)
            elif shares < 0:
                wallet.note_sell(token_id, -shares, usd)
        for asset, amount in amounts.items():
            self._credit(wallet, asset, amount, trade, direction)
        self._state.save_wallet(wallet)

    def _credit(self, wallet: Wallet, asset: str, amount: int, trade: Trade, direction: int) -> None:
        wallet.move(asset, amount)
        now_ms = self._clock.now_ms()
        wallet.forget_credits(trade_id=trade.id if direction < 0 else None, before_ms=now_ms)
        lag_ms = self.lag_ms(wallet.address, asset)
        if direction > 0 and amount > 0 and lag_ms > 0:
            wallet.hide(asset, amount, now_ms + lag_ms, trade.id)


def house_order_id(name: str) -> str:
    """Returns the stable id of an order of the house."""
    return "0x" + hashlib.sha256(f"house:{name}".encode()).hexdigest()


def _fill(order: Order, trade: Trade, shares: int, usd: int) -> None:
    order.filled += shares
    order.usd_filled += usd
    order.trade_ids.append(trade.id)


def _swap(taker: str, maker: str, side: Side, token_id: str, shares: int, usd: int) -> list[Transfer]:
    sign = 1 if side is Side.BUY else -1
    return [
        Transfer(taker, COLLATERAL, -sign * usd),
        Transfer(taker, token_id, sign * shares),
        Transfer(maker, COLLATERAL, sign * usd),
        Transfer(maker, token_id, -sign * shares),
    ]


def _pair(
    taker: str, maker: str, side: Side, token_id: str, other_id: str, shares: int, usd: int
) -> list[Transfer]:
    """Mint for two buyers, merge for two sellers: one pUSD stands behind a pair of outcomes."""
    sign = 1 if side is Side.BUY else -1
    return [
        Transfer(taker, COLLATERAL, -sign * usd),
        Transfer(taker, token_id, sign * shares),
        Transfer(maker, COLLATERAL, -sign * (shares - usd)),
        Transfer(maker, other_id, sign * shares),
        Transfer(PAIRS, COLLATERAL, sign * shares),
    ]
