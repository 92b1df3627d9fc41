"""Whatever traders and the house do, money is neither made nor lost and no crossed book is left."""

from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.balances import Wallet
from simulator.events import MarketFrame, UserEvent
from simulator.exchange import Exchange, HouseUpdate
from simulator.journal import Journal
from simulator.markets import Market
from simulator.money import MICRO
from simulator.orders import OrderStatus, OrderType, Side, SignedOrder, Submission
from simulator.refusals import Refusal
from simulator.settlement import HOUSE_WALLET
from simulator.state import State
from simulator.trades import COLLATERAL, TradeStatus
from tests.simulator.clock import ManualClock

WALLETS = [f"0x{number:040x}" for number in (0xA1, 0xA2, 0xA3)]
START_USD = 500 * MICRO
START_SHARES = 100 * MICRO


@dataclass(frozen=True)
class Instruction:
    trader: int
    outcome: int
    side: Side
    order_type: OrderType
    cents: int
    shares: int


@dataclass(frozen=True)
class Quote:
    outcome: int
    bid: int
    ask: int
    depth: int


@dataclass(frozen=True)
class Failure:
    pick: int


@dataclass(frozen=True)
class Wait:
    """Time passes, and with it holds."""

    by_ms: int


INSTRUCTIONS = st.builds(
    Instruction,
    trader=st.integers(0, 2),
    outcome=st.integers(0, 1),
    side=st.sampled_from(Side),
    order_type=st.sampled_from([OrderType.GTC, OrderType.FAK, OrderType.FOK]),
    cents=st.integers(40, 60),
    shares=st.integers(5, 40),
)
QUOTES = st.builds(
    Quote,
    outcome=st.integers(0, 1),
    bid=st.integers(35, 52),
    ask=st.integers(50, 65),
    depth=st.integers(1, 30),
)
FAILURES = st.builds(Failure, pick=st.integers(0, 5))
WAITS = st.builds(Wait, by_ms=st.integers(0, 1_500))


class Nowhere:
    def market(self, frame: MarketFrame) -> None: ...

    def user(self, event: UserEvent) -> None: ...


class Bench:
    """An exchange whose signatures are not looked at: this is about matching and money."""

    def __init__(self, *, seconds_delay: int = 0) -> None:
        self.clock = ManualClock()
        state = State(Journal(None), chain_id=137)
        self.exchange = Exchange(state, Nowhere(), self.clock)
        self.market = Market(
            id=1,
            condition_id="0xc0",
            question_id="0xq0",
            question="?",
            slug="m",
            outcomes=["Yes", "No"],
            token_ids=["1", "2"],
            tick_size="0.01",
            min_order_size="5",
            neg_risk=False,
            fee_rate="0.07",
            created_ms=0,
            seconds_delay=seconds_delay,
        )
        state.save_market(self.market)
        for address in WALLETS:
            holdings = {COLLATERAL: START_USD, "1": START_SHARES, "2": START_SHARES}
            state.save_wallet(Wallet(address, address, 0, holdings=holdings))
        self.orders = 0

    def act(self, move: Instruction | Quote | Failure | Wait) -> None:
        match move:
            case Instruction():
                self._place(move)
            case Quote():
                self._quote(move)
            case Failure():
                self._fail(move)
            case Wait():
                self.clock.advance(move.by_ms)

    def _place(self, move: Instruction) -> None:
        self.orders += 1
        shares, usd = move.shares * MICRO, move.shares * move.cents * 10_000
        buys = move.side is Side.BUY
        signed = SignedOrder(
            salt=str(self.orders),
            maker=WALLETS[move.trader],
            signer=WALLETS[move.trader],
            token_id=self.market.token_ids[move.outcome],
            maker_amount=usd if buys else shares,
            taker_amount=shares if buys else usd,
            side=move.side,
            signature_type=0,
            timestamp="1",
            metadata="0x" + "00" * 32,
            builder="0x" + "00" * 32,
            expiration=0,
            signature="0x",
        )
        submission = Submission(signed, "owner", move.order_type, post_only=False)
        try:
            self.exchange.place_verified(submission, WALLETS[move.trader], f"0x{self.orders:064x}")
        except Refusal:
            return

    def _quote(self, move: Quote) -> None:
        depth = move.depth * MICRO
        update = HouseUpdate(bids={move.bid * 10_000: depth}, asks={move.ask * 10_000: depth})
        with self.exchange.transaction():
            self.exchange.set_house(self.market, move.outcome, update)

    def _fail(self, move: Failure) -> None:
        unsettled = [t for t in self.exchange.state.trades.values() if not t.status.final]
        if unsettled:
            self.exchange.set_trade_status(unsettled[move.pick % len(unsettled)], TradeStatus.FAILED)

    def check_money(self) -> None:
        state = self.exchange.state
        wallets = [*(state.wallet(address) for address in WALLETS), state.wallet(HOUSE_WALLET)]
        usd = sum(wallet.holding(COLLATERAL) for wallet in wallets) + state.meta.fees + state.meta.pairs
        assert usd == START_USD * len(WALLETS)
        for token in ("1", "2"):
            held = sum(wallet.holding(token) for wallet in wallets)
            assert held == START_SHARES * len(WALLETS) + state.meta.pairs

    def check_book(self) -> None:
        book = self.exchange.state.books[self.market.condition_id]
        bids, asks = book.order_prices(bids=True), book.order_prices(bids=False)
        if bids and asks:
            assert bids[0] < asks[0], "traders' orders cross"
        for house_bids, prices in ((True, asks), (False, bids)):
            levels = book.house.side(house_bids)
            if levels and prices:
                best = max(levels) if house_bids else min(levels)
                assert best < prices[0] if house_bids else best > prices[0], "the house crosses a trader"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(INSTRUCTIONS, INSTRUCTIONS, INSTRUCTIONS, QUOTES, FAILURES), max_size=25))
def test_money_is_conserved_and_books_never_stay_crossed(moves: list[Instruction | Quote | Failure]) -> None:
    bench = Bench()
    for move in moves:
        bench.act(move)
        bench.check_money()
        bench.check_book()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(INSTRUCTIONS, INSTRUCTIONS, QUOTES, FAILURES, WAITS), max_size=25))
def test_holds_neither_make_nor_lose_money_and_all_of_them_end(
    moves: list[Instruction | Quote | Failure | Wait],
) -> None:
    bench = Bench(seconds_delay=1)
    for move in [*moves, Wait(1_000)]:
        bench.act(move)
        bench.check_money()
        bench.check_book()
    orders = bench.exchange.state.orders.values()
    assert not [order for order in orders if order.status is OrderStatus.DELAYED]
    assert all(order.remaining >= 0 for order in orders)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(INSTRUCTIONS, QUOTES), max_size=20))
def test_nobody_pays_worse_than_the_limit_or_fills_more_than_asked(moves: list[Instruction | Quote]) -> None:
    bench = Bench()
    for move in moves:
        bench.act(move)
    for order in bench.exchange.state.orders.values():
        assert order.filled >= 0
        assert order.remaining >= 0
        worth = order.signed.usd * order.filled
        if order.signed.side is Side.BUY:
            assert order.usd_filled * order.signed.shares <= worth + order.signed.shares
        else:
            dust = len(order.trade_ids) * 3 * order.signed.shares
            assert order.usd_filled * order.signed.shares >= worth - dust
