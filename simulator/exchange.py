"""The exchange: takes signed orders, matches them, keeps the house's levels, resolves markets."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from simulator import refusals, validation
from simulator.admission import Admission
from simulator.balances import Wallet
from simulator.book import HiddenLevel, Levels, mirrored
from simulator.clock import Clock
from simulator.coverage import Coverage, asset_given, reserved_by
from simulator.events import Outlet
from simulator.markets import Market
from simulator.matching import Plan, crosses, plan_matches
from simulator.money import MICRO
from simulator.orders import Order, OrderStatus, OrderType, SignedOrder, Submission
from simulator.publication import Print, Publisher
from simulator.refusals import Refusal, bad
from simulator.settings import Settings
from simulator.settlement import Settlement
from simulator.state import State
from simulator.trades import Trade, TradeStatus


@dataclass(frozen=True, slots=True)
class Placement:
    """What became of an accepted order at once."""

    order: Order
    trades: list[Trade] = field(default_factory=list[Trade])


@dataclass(frozen=True, slots=True)
class Cancellation:
    """Which orders were cancelled, and why others were not."""

    canceled: list[str] = field(default_factory=list[str])
    not_canceled: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class HouseUpdate:
    """New levels of the house for one token, in that token's price space."""

    bids: Levels
    asks: Levels
    hidden_bid: HiddenLevel | None = None
    hidden_ask: HiddenLevel | None = None


class Exchange:
    """Synchronous and single-threaded: each public call is one transaction of its own."""

    def __init__(self, state: State, outlet: Outlet, clock: Clock) -> None:
        self.state = state
        self.clock = clock
        self.publisher = Publisher(state, outlet, clock)
        self.settlement = Settlement(state, self.publisher, clock)
        self.admission = Admission(state)
        self._depth = 0
        self._touched: set[str] = set()
        """Markets whose depth may have changed since it was last published."""

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Writes the journal, then lets the frames go: nobody learns what a kill could undo.

        Nested transactions end with the outermost. A refusal commits as well, since it may have
        occupied an id.
        """
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                self.state.journal.commit()
                self.publisher.flush()

    def resume(self) -> None:
        """Restarts timers after a start; overdue ones fire at once."""
        self._schedule_trades()
        for orders in list(self.state.open_orders.values()):
            for order in list(orders.values()):
                self._schedule_expiry(order)
                if order.status is OrderStatus.DELAYED:
                    self._schedule_release(order)

    def change_settings(self, settings: Settings) -> None:
        """Replaces the switches; trades that fell due while nobody moved them go on at once."""
        with self.transaction():
            self.state.save_settings(settings)
        self._schedule_trades()

    def identify(self, signed: SignedOrder) -> str | None:
        """Returns the id the order has here, or None for an unknown token."""
        market = self.state.market_of_token.get(signed.token_id)
        if market is None:
            return None
        return self.admission.digest(signed, market)[1]

    def short_hold_ms(self, submission: Submission) -> int:
        """Returns how long the call must wait before this order may meet the book; zero for most."""
        signed = submission.signed
        market = self.state.market_of_token.get(signed.token_id)
        if market is None or not market.short_hold:
            return 0
        book, index = self.state.books[market.condition_id], market.index_of(signed.token_id)
        held = crosses(book, signed, index, immediate=submission.order_type.immediate)
        return self.state.settings.short_hold_ms if held else 0

    def place(self, submission: Submission, account: str, owner: str) -> Placement:
        """Takes a signed order.

        Args:
            submission: parsed body.
            account: signer address of the API key.
            owner: the API key.

        Raises:
            Refusal: the order is not placed; a killed FOK or FAK keeps its id all the same.
        """
        with self.transaction():
            market = self.admission.market_for(submission, account, owner)
            order_id = self.admission.order_id_of(submission, market)
            return self.place_verified(submission, account, order_id)

    def place_verified(self, submission: Submission, account: str, order_id: str) -> Placement:
        """Takes an order whose signature, owner and novelty stand; see ``place``.

        Raises:
            Refusal: standing, terms, balance, or nothing to match.
        """
        with self.transaction():
            market = self.state.market_of_token[submission.signed.token_id]
            self.admission.check_standing(submission.signed)
            now_ms = self.clock.now_ms()
            price = validation.check_terms(submission, market, self.state.settings, order_id, now_ms)
            order = self._new_order(submission, market, order_id, price, account)
            plan = plan_matches(self.state.books[market.condition_id], order, Coverage(self.state).covers)
            self._check_plan(order, plan, market)
            if plan.steps and market.seconds_delay:
                return self._hold(order, market)
            self._register(order)
            self.publisher.order(order, "PLACEMENT")
            return self._execute(order, plan, market)

    def cancel(self, account: str, order_ids: list[str]) -> Cancellation:
        """Cancels orders by id; foreign and unknown ones are reported as not found."""
        outcome = Cancellation()
        with self.transaction():
            for order_id in order_ids:
                order = self.state.orders.get(order_id)
                if order is None or order.account != account:
                    outcome.not_canceled[order_id] = refusals.ORDER_NOT_FOUND
                elif order.status is OrderStatus.DELAYED:
                    outcome.not_canceled[order_id] = refusals.ORDER_HELD
                elif not order.open:
                    outcome.not_canceled[order_id] = refusals.ALREADY_DONE
                else:
                    self._close(order, OrderStatus.CANCELED)
                    outcome.canceled.append(order_id)
            self._publish_depths()
        return outcome

    def open_where(self, account: str, market: str = "", token_id: str = "") -> list[str]:
        """Returns the ids of every open order of an account, or of those of a market or token."""
        return [
            order.id
            for order in self.state.orders_of[account]
            if order.open and market in ("", order.condition_id) and token_id in ("", order.signed.token_id)
        ]

    def set_house(self, market: Market, token_index: int, update: HouseUpdate) -> list[Print]:
        """Replaces the house's levels of a token, inside the caller's transaction.

        Resting orders that the new levels cross trade with the house. The caller publishes the depth
        together with the prints returned here, so that all of it leaves as one frame.
        """
        house = self.state.books[market.condition_id].house
        mirror = token_index == 1
        bids, asks = (mirrored(update.asks), mirrored(update.bids)) if mirror else (update.bids, update.asks)
        house.bids, house.asks = dict(bids), dict(asks)
        house.hidden_bid = _mirrored_level(update.hidden_ask) if mirror else update.hidden_bid
        house.hidden_ask = _mirrored_level(update.hidden_bid) if mirror else update.hidden_ask
        prints = self._sweep(market)
        self.state.save_house(market)
        self._touched.discard(market.condition_id)
        self._publish_depths()
        return prints

    def set_trade_status(self, trade: Trade, status: TradeStatus) -> None:
        """Moves a trade by hand.

        Raises:
            IllegalTransitionError: the life cycle knows no such step.
        """
        with self.transaction():
            self.settlement.set_status(trade, status)
            if status is TradeStatus.FAILED:
                self._recheck({trade.taker_wallet, *(maker.wallet for maker in trade.makers)})
                self._publish_depths()
        self._schedule(trade)

    def release_held(self) -> int:
        """Ends every hold now, without waiting for its time; returns how many there were."""
        held = [
            order
            for orders in self.state.open_orders.values()
            for order in orders.values()
            if order.status is OrderStatus.DELAYED
        ]
        for order in sorted(held, key=lambda order: order.sequence):
            self._release(order)
        return len(held)

    def set_tick(self, market: Market, tick_size: str) -> None:
        """Changes the tick; resting orders off the new grid stay where they are, as at the venue."""
        with self.transaction():
            old, market.tick_size = market.tick_size, tick_size
            payload: dict[str, object] = {
                "event_type": "tick_size_change",
                "market": market.condition_id,
                "old_tick_size": old,
                "new_tick_size": tick_size,
            }
            for token_id in market.token_ids:
                self.publisher.announce(market, {**payload, "asset_id": token_id}, custom=False)
            self.publisher.depth(market, with_book=True)
            self.state.save_market(market)

    def resolve(self, market: Market, winner: str | None, payouts: list[str]) -> None:
        """Ends a market: remainders are cancelled, positions become redeemable."""
        with self.transaction():
            market.resolved = market.closed = True
            market.accepting_orders = False
            market.winner, market.payouts = winner, payouts
            for order in self._open_in(market):
                self._close(order, OrderStatus.CANCELED_MARKET_RESOLVED)
            house = self.state.books[market.condition_id].house
            house.bids, house.asks, house.hidden_bid, house.hidden_ask = {}, {}, None, None
            self._touched.add(market.condition_id)
            self.state.save_house(market)
            self._publish_depths()
            self.publisher.announce(market, _resolved_json(market), custom=True)

    def change_wallet(self, wallet: Wallet) -> None:
        """Saves a wallet changed from outside and cancels what it no longer covers."""
        with self.transaction():
            self.state.save_wallet(wallet)
            self._recheck({wallet.address})
            self._publish_depths()

    def _new_order(
        self, submission: Submission, market: Market, order_id: str, price: int, account: str
    ) -> Order:
        return Order(
            id=order_id,
            signed=submission.signed,
            owner=submission.owner,
            account=account,
            wallet=self.state.wallet(submission.signed.maker).address,
            condition_id=market.condition_id,
            token_index=market.index_of(submission.signed.token_id),
            order_type=submission.order_type,
            post_only=submission.post_only,
            price=price,
            sequence=self.state.meta.order_sequence + 1,
            created_ms=self.clock.now_ms(),
        )

    def _check_plan(self, order: Order, plan: Plan, market: Market) -> None:
        settings = self.state.settings
        if order.post_only and plan.steps:
            self._refuse(order, bad(refusals.POST_ONLY_CROSSES, keeps_id=settings.post_only_refusal_keeps_id))
        if plan.steps or order.order_type.immediate:
            validation.check_marketable_minimum(order.signed, settings)
        refusal = self._balance_refusal(order, plan, market)
        if refusal is not None:
            self._refuse(order, refusal)
        killed = _kill_text(order, plan)
        if killed:
            self._kill(order, killed)

    def _balance_refusal(self, order: Order, plan: Plan, market: Market) -> Refusal | None:
        keeps_id = self.state.settings.balance_refusal_keeps_id
        wallet = self.state.wallet(order.wallet)
        amount = order.signed.maker_amount + self.settlement.fees_of(plan, order, market)
        visible = wallet.visible(asset_given(order), self.clock.now_ms())
        active = sum(
            reserved_by(other)
            for other in self.state.open_orders[order.wallet.lower()].values()
            if other is not order
            and other.condition_id == order.condition_id
            and asset_given(other) == asset_given(order)
        )
        if visible - active < amount:
            return refusals.short_balance(visible, active, amount, keeps_id=keeps_id)
        return None if wallet.approved else refusals.short_allowance(amount, keeps_id=keeps_id)

    def _refuse(self, order: Order, refusal: Refusal) -> None:
        """Raises the refusal; where its switch says so the id is occupied from now on."""
        if refusal.keeps_id:
            order.status, order.reason = OrderStatus.INVALID, refusal.text
            self._register(order)
        raise refusal

    def _kill(self, order: Order, text: str) -> None:
        """A killed order was processed: its id is indexed and its account hears of it."""
        order.status, order.reason = OrderStatus.CANCELED, text
        self._register(order)
        self.publisher.order(order, "CANCELLATION")
        raise bad(text, keeps_id=True)

    def _register(self, order: Order) -> None:
        self.state.meta.order_sequence = order.sequence
        self.state.save_meta()
        self.state.save_order(order)

    def _hold(self, order: Order, market: Market) -> Placement:
        """Registers a marketable order that meets the book later, as it stands then."""
        order.status = OrderStatus.DELAYED
        order.held_until_ms = order.created_ms + market.seconds_delay * 1000
        self._register(order)
        self.publisher.order(order, "PLACEMENT")
        self._schedule_release(order)
        return Placement(order)

    def _schedule_release(self, order: Order) -> None:
        self.clock.call_later(order.held_until_ms - self.clock.now_ms(), lambda: self._release(order))

    def _release(self, order: Order) -> None:
        """Lets a held order meet the book; what would refuse a new order now ends it."""
        if order.status is not OrderStatus.DELAYED:
            return
        market = self.state.markets[order.condition_id]
        with self.transaction():
            plan = plan_matches(self.state.books[market.condition_id], order, Coverage(self.state).covers)
            if self._ends_at_release(order, plan, market):
                self._close(order, order.status)
                self._publish_depths()
                return
            # It stands behind those that came to rest during its hold.
            order.sequence = self.state.meta.order_sequence + 1
            order.status = OrderStatus.LIVE if plan.steps else OrderStatus.UNMATCHED
            self._register(order)
            self._execute(order, plan, market)

    def _ends_at_release(self, order: Order, plan: Plan, market: Market) -> bool:
        """Writes why a held order ends without meeting the book, if it does."""
        refusal = self._balance_refusal(order, plan, market)
        if not market.active or not market.accepting_orders or market.closed:
            order.status, order.reason = OrderStatus.INVALID, refusals.NOT_READY
        elif refusal is not None:
            order.status, order.reason = OrderStatus.INVALID, refusal.text
        elif text := _kill_text(order, plan):
            order.status, order.reason = OrderStatus.CANCELED, text
        return not order.open

    def _execute(self, order: Order, plan: Plan, market: Market) -> Placement:
        """Settles the planned fills of a registered order, and lets its rest stand or end."""
        for stale in plan.uncovered:
            self._close(stale, OrderStatus.INVALID)
        trades = self.settlement.execute(market, order, plan.steps)
        makers = {step.maker.id: step.maker for step in plan.steps if step.maker is not None}
        for maker in makers.values():
            self._after_fill(maker)
        self._finish_taker(order, market)
        self._recheck({order.wallet, *(maker.wallet for maker in makers.values())} if trades else set())
        prints = [Print(order.token_index, trade.price, trade.shares, trade.side.value) for trade in trades]
        self._publish_depths(market, prints)
        for trade in trades:
            self._schedule(trade)
        return Placement(order, trades)

    def _finish_taker(self, order: Order, market: Market) -> None:
        if order.remaining <= 0:
            order.status = OrderStatus.MATCHED
        elif order.order_type.immediate:
            # The rest is killed; the order itself counts as matched (venue documentation).
            order.status = OrderStatus.MATCHED
        else:
            self.state.books[market.condition_id].rest(order)
            self._schedule_expiry(order)
        self.state.save_order(order)
        if order.filled or order.status is OrderStatus.UNMATCHED:
            self.publisher.order(order, "UPDATE")

    def _after_fill(self, maker: Order) -> None:
        if maker.remaining <= 0:
            maker.status = OrderStatus.MATCHED
            self.state.books[maker.condition_id].remove(maker)
        self.state.save_order(maker)
        self.publisher.order(maker, "UPDATE")

    def _close(self, order: Order, status: OrderStatus) -> None:
        order.status = status
        self._touched.add(order.condition_id)
        self.state.books[order.condition_id].remove(order)
        self.state.save_order(order)
        self.publisher.order(order, "CANCELLATION")

    def _sweep(self, market: Market) -> list[Print]:
        """Lets the house take resting orders that its new levels cross."""
        book = self.state.books[market.condition_id]
        trades: list[Trade] = []
        prints: list[Print] = []
        for house_bids in (True, False):
            for price in book.order_prices(not house_bids):
                for order in book.orders_at(not house_bids, price):
                    shares = self._house_takes(market, order, house_bids)
                    if shares <= 0:
                        continue
                    trade = self.settlement.execute_house(market, order, shares)
                    self._after_fill(order)
                    trades.append(trade)
                    prints.append(Print(order.token_index, trade.price, shares, trade.side.value))
        self._recheck({trade.makers[0].wallet for trade in trades})
        for trade in trades:
            self._schedule(trade)
        return prints

    def _house_takes(self, market: Market, order: Order, house_bids: bool) -> int:
        """Takes house depth at prices that cross the order; returns the shares taken."""
        house = self.state.books[market.condition_id].house
        wanted = order.remaining
        if not Coverage(self.state).covers(order, wanted, wanted * order.price // MICRO):
            self._close(order, OrderStatus.INVALID)
            return 0
        levels = house.side(house_bids)
        crossing = [p for p in levels if (p >= order.book_price if house_bids else p <= order.book_price)]
        taken = 0
        for price in sorted(crossing, reverse=house_bids):
            shares = min(wanted - taken, levels[price])
            house.take(house_bids, price, shares)
            taken += shares
            if taken == wanted:
                break
        return taken

    def _recheck(self, wallets: set[str]) -> None:
        """Cancels resting orders, newest first, that their wallets no longer cover."""
        for address in wallets:
            wallet = self.state.wallet(address)
            reserved: dict[tuple[str, str], int] = {}
            for order in list(self.state.open_orders[address.lower()].values()):
                key = order.condition_id, asset_given(order)
                reserved[key] = reserved.get(key, 0) + reserved_by(order)
                if reserved[key] > wallet.holding(key[1]):
                    reserved[key] -= reserved_by(order)
                    self._close(order, OrderStatus.INVALID)

    def _open_in(self, market: Market) -> list[Order]:
        return [
            order
            for orders in self.state.open_orders.values()
            for order in orders.values()
            if order.condition_id == market.condition_id
        ]

    def _publish_depths(self, market: Market | None = None, prints: list[Print] | None = None) -> None:
        """Publishes the traded market's frame, and depth changes that cancellations left elsewhere."""
        if market is not None:
            with_book = bool(prints) and self.state.settings.book_after_trade
            self.publisher.depth(market, prints=prints or (), with_book=with_book)
            self._touched.discard(market.condition_id)
        for condition_id in sorted(self._touched):
            self.publisher.depth(self.state.markets[condition_id])
        self._touched.clear()

    def _schedule_trades(self) -> None:
        for trade in list(self.state.trades.values()):
            if not trade.status.final:
                self._schedule(trade)

    def _schedule(self, trade: Trade) -> None:
        step = self.settlement.next_step(trade)
        if step is not None:
            self.clock.call_later(step[0] - self.clock.now_ms(), lambda: self._advance(trade))

    def _advance(self, trade: Trade) -> None:
        """Moves an automatic trade on; one that was moved by hand in between is left alone."""
        step = self.settlement.next_step(trade)
        if step is None or step[0] > self.clock.now_ms() + 1:
            return
        with self.transaction():
            self.settlement.set_status(trade, step[1])
        self._schedule(trade)

    def _schedule_expiry(self, order: Order) -> None:
        if order.order_type is OrderType.GTD:
            due_ms = (order.signed.expiration - self.state.settings.gtd_early_s) * 1000
            self.clock.call_later(due_ms - self.clock.now_ms(), lambda: self._expire(order))

    def _expire(self, order: Order) -> None:
        if order.open:
            with self.transaction():
                self._close(order, OrderStatus.CANCELED)
                self._publish_depths()


def _kill_text(order: Order, plan: Plan) -> str:
    """Returns why an immediate order ends without a fill; an empty text when it does not."""
    filled = plan.usd if order.spends_budget else plan.shares
    if order.order_type is OrderType.FOK and filled != order.remaining:
        return refusals.FOK_KILLED
    if order.order_type is OrderType.FAK and not plan.steps:
        return refusals.FAK_UNMATCHED
    return ""


def _mirrored_level(level: HiddenLevel | None) -> HiddenLevel | None:
    return None if level is None else HiddenLevel(MICRO - level.price, level.shares)


def _resolved_json(market: Market) -> dict[str, object]:
    outcome = "" if market.winner is None else market.outcomes[market.index_of(market.winner)]
    return {
        "event_type": "market_resolved",
        "id": str(market.id),
        "market": market.condition_id,
        "assets_ids": list(market.token_ids),
        "winning_asset_id": market.winner or "",
        "winning_outcome": outcome,
        "event_message": {
            "id": str(market.id),
            "ticker": market.slug,
            "slug": market.slug,
            "title": market.question,
            "description": market.question,
        },
        "tags": [],
    }
