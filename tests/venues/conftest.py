"""One simulator for a test process; each test has a market, wallets and faults of its own."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import Future

import pytest

from simulator.app import Running, serve
from tests.venues.exchange import LocalExchange, local_exchange


@pytest.fixture(scope="session")
def simulator() -> Generator[Running]:
    """A simulator on a loop of its own, in memory."""
    started: Future[tuple[Running, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def run() -> None:
        stop = asyncio.Event()
        async with serve() as running:
            started.set_result((running, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="simulator")
    thread.start()
    running, loop, stop = started.result(timeout=30)
    yield running
    loop.call_soon_threadsafe(stop.set)
    thread.join(timeout=30)


@pytest.fixture
async def exchange(simulator: Running) -> AsyncGenerator[LocalExchange]:
    """A market with an empty book; faults are gone afterwards."""
    async with local_exchange(simulator) as local:
        yield local
