"""The trading activities over fakes."""

from datetime import UTC, datetime

from activities.held_exits import HeldExits
from activities.ingest import Ingest
from activities.trading import TradingActivities
from domain.messages import OrderProjection, OrderRef, PlaceOrder
from domain.orders import Mode, OrderRow, OrderState
from runtime.settings import TuningSettings
from tests.domain.builders import ACCOUNT, MARKET, TOKEN, make_attempt
from tests.fakes.trading import (
    FakeClaims,
    FakeClock,
    FakeInstruments,
    FakeLedger,
    FakeMarketData,
    FakeOrders,
    FakeProjections,
    FakeRules,
    FakeSignals,
    FakeTrading,
    FakeVenues,
    venue_id,
)

HEARD_BY = TuningSettings().heard_by


class Desk:
    """Everything that the activities touch, and the activities."""

    def __init__(self, look_up_limit_s=5.0):
        self.claims = FakeClaims()
        self.projections = FakeProjections()
        self.ledger = FakeLedger()
        self.trading = FakeTrading()
        self.data = FakeMarketData()
        self.venues = FakeVenues(self.trading, self.data)
        self.rules = FakeRules()
        self.signals = FakeSignals()
        self.instruments = FakeInstruments()
        self.clock = FakeClock()
        self.ingest = Ingest(self.ledger, self.rules, self.venues, self.signals, self.projections)
        self.held_exits = HeldExits(
            self.rules,
            FakeOrders(),
            self.signals,
            draw=lambda below: below - 1,
            told_after_s=(0, 0, 0),
        )
        self.activities = TradingActivities(
            claims=self.claims,
            projections=self.projections,
            ledger=self.ledger,
            instruments=self.instruments,
            ingest=self.ingest,
            venues=self.venues,
            signals=self.signals,
            clock=self.clock,
            heard_by=HEARD_BY,
            held_exits=self.held_exits,
            look_up_limit_s=look_up_limit_s,
        )

    async def place(self, attempt=None):
        return await self.activities.place_order(make_request(attempt or make_attempt()))


def make_request(attempt):
    row = OrderRow(
        order_id=attempt.order_id,
        account_id=ACCOUNT,
        host_workflow_id="rule/rul_1",
        rule_id=None,
        venue=attempt.venue,
        mode=attempt.mode,
        market_id=MARKET,
        token_id=TOKEN,
        side=attempt.side,
        purpose=attempt.purpose,
        time_in_force=attempt.time_in_force,
        state=OrderState.PLACING,
        shares=attempt.shares,
        limit_price=attempt.limit_price,
        attempt=attempt.attempt,
        settled_attempt=attempt.attempt - 1,
        filled_shares=attempt.shares * 0,
        proceeds_usd=attempt.shares * 0,
        fee_usd=attempt.shares * 0,
        venue_order_id=None,
        detail="",
        version=1,
    )
    return PlaceOrder(attempt=attempt, order=OrderProjection(order=row))


def make_ref(attempt=None):
    attempt = attempt or make_attempt()
    return OrderRef(
        order_id=attempt.order_id,
        attempt=attempt.attempt,
        account_id=ACCOUNT,
        venue="polymarket",
        mode=Mode.LIVE,
        market_id=MARKET,
        token_id=TOKEN,
        venue_order_id=venue_id(attempt),
        placed_at_ms=int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000),
    )
