"""Run by nautilus_trader's own interpreter: what a quote costs its order emulator, beside so many held stops.

Arguments: numbers of stops. Prints one JSON object. Imports nothing of ours.
"""

import json
import sys
import time

import nautilus_trader
from nautilus_trader.common.component import MessageBus, TestClock
from nautilus_trader.common.factories import OrderFactory
from nautilus_trader.execution.emulator import OrderEmulator
from nautilus_trader.execution.engine import ExecutionEngine
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import OrderSide, TriggerType
from nautilus_trader.model.objects import Price, Quantity
from nautilus_trader.portfolio.portfolio import Portfolio
from nautilus_trader.risk.engine import RiskEngine
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.test_kit.stubs.component import TestComponentStubs
from nautilus_trader.test_kit.stubs.identifiers import TestIdStubs
from nautilus_trader.trading.strategy import Strategy

ROUNDS = 7
BUDGET_S = 1.0
FIRST_BID, BIDS = 0.70, 6


def emulator_with(stops: int) -> tuple[OrderEmulator, object]:
    """Return an emulator that holds so many sell stops, none of them reachable, and their instrument."""
    clock, trader_id = TestClock(), TestIdStubs.trader_id()
    msgbus = MessageBus(trader_id=trader_id, clock=clock)
    cache = TestComponentStubs.cache()
    instrument = TestInstrumentProvider.default_fx_ccy("AUD/USD")
    cache.add_instrument(instrument)
    portfolio = Portfolio(msgbus=msgbus, cache=cache, clock=clock)
    engine = ExecutionEngine(msgbus=msgbus, cache=cache, clock=clock)
    risk = RiskEngine(portfolio=portfolio, msgbus=msgbus, cache=cache, clock=clock)
    emulator = OrderEmulator(portfolio=portfolio, msgbus=msgbus, cache=cache, clock=clock)
    strategy = Strategy()
    strategy.register(trader_id=trader_id, portfolio=portfolio, msgbus=msgbus, cache=cache, clock=clock)
    for part in (engine, risk, emulator):
        part.start()
    orders: OrderFactory = strategy.order_factory
    for number in range(stops):
        order = orders.stop_market(
            instrument_id=instrument.id,
            order_side=OrderSide.SELL,
            quantity=Quantity.from_int(100_000),
            trigger_price=Price.from_str(f"0.{10_000 + number % 40_000:05d}"),
            emulation_trigger=TriggerType.BID_ASK,
        )
        strategy.submit_order(order)
    held = len(emulator.get_submit_order_commands())
    if held != stops:
        raise RuntimeError(f"{held} of {stops} stops are held")
    return emulator, instrument


def quotes_per_s(stops: int) -> float:
    """Return the median of the rounds."""
    emulator, instrument = emulator_with(stops)
    ticks = [_tick(instrument, FIRST_BID + number / 100) for number in range(BIDS)]
    began = time.perf_counter()
    emulator.on_quote_tick(ticks[0])
    count = max(3, min(200_000, int(BUDGET_S / max(1e-7, time.perf_counter() - began))))
    rates: list[float] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for number in range(count):
            emulator.on_quote_tick(ticks[number % BIDS])
        rates.append(count / (time.perf_counter() - began))
    return sorted(rates)[ROUNDS // 2]


def _tick(instrument: object, bid: float) -> QuoteTick:
    return QuoteTick(
        instrument_id=instrument.id,
        bid_price=Price.from_str(f"{bid:.5f}"),
        ask_price=Price.from_str(f"{bid + 0.01:.5f}"),
        bid_size=Quantity.from_int(1),
        ask_size=Quantity.from_int(1),
        ts_event=0,
        ts_init=0,
    )


def main() -> None:
    """Measure each number of stops."""
    rates = {stops: round(quotes_per_s(int(stops))) for stops in sys.argv[1:]}
    sys.stdout.write(json.dumps({"version": nautilus_trader.__version__, "quotes_per_s": rates}) + "\n")


if __name__ == "__main__":
    main()
