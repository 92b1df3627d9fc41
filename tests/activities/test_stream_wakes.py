"""When an account's stream is woken, and when it is taken to be awake."""

from datetime import timedelta

import pytest

from activities.stream_wakes import AWAKE_MS, StreamWakes
from domain.orders import Mode
from tests.domain.builders import ACCOUNT
from tests.fakes.trading import FakeClock, FakeSignals


@pytest.fixture
def signals() -> FakeSignals:
    return FakeSignals()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def wakes(signals: FakeSignals, clock: FakeClock) -> StreamWakes:
    return StreamWakes(signals, clock)


async def test_orders_that_follow_each_other_wake_their_stream_once(wakes, signals):
    for _ in range(5):
        await wakes.wake(ACCOUNT, "polymarket", Mode.LIVE)

    assert signals.woken == [(ACCOUNT, "polymarket", Mode.LIVE)]


async def test_an_order_after_a_while_wakes_the_stream_again(wakes, signals, clock):
    await wakes.wake(ACCOUNT, "polymarket", Mode.LIVE)
    clock.time += timedelta(milliseconds=AWAKE_MS)
    await wakes.wake(ACCOUNT, "polymarket", Mode.LIVE)

    assert len(signals.woken) == 2


async def test_modes_and_venues_have_streams_of_their_own(wakes, signals):
    await wakes.wake(ACCOUNT, "polymarket", Mode.LIVE)
    await wakes.wake(ACCOUNT, "polymarket", Mode.PAPER)
    await wakes.wake(ACCOUNT, "kalshi", Mode.LIVE)

    assert len(signals.woken) == 3


async def test_a_wake_that_temporal_did_not_take_is_sent_with_the_next_order(wakes, signals):
    signals.away = True
    await wakes.wake(ACCOUNT, "polymarket", Mode.LIVE)
    signals.away = False
    await wakes.wake(ACCOUNT, "polymarket", Mode.LIVE)

    assert len(signals.woken) == 1
