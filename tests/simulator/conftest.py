import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from simulator.app import Running, serve
from simulator.client import AdminMarket, SimulatorAdmin
from tests.simulator.trader import KEY, OTHER_KEY, Trader


@pytest.fixture(scope="session")
def fixtures() -> Path:
    root = Path(__file__).parents[2]
    folder = Path(os.environ.get("HOLDFAST_FIXTURES", root.parent / "shared" / "fixtures"))
    if not folder.is_dir():
        pytest.skip("recorded data is not here (HOLDFAST_FIXTURES)")
    return folder


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    async with serve(None) as running:
        yield running


@pytest.fixture
async def admin(running: Running) -> AsyncIterator[SimulatorAdmin]:
    async with SimulatorAdmin(running.admin_url) as admin:
        yield admin


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=10, trust_env=False) as client:
        yield client


@pytest.fixture
async def market(admin: SimulatorAdmin) -> AdminMarket:
    return await admin.create_market("Will it rain?", fee_rate="0.05")


@pytest.fixture
def token(market: AdminMarket) -> str:
    return market.token_ids[0]


@pytest.fixture
async def trader(
    running: Running, admin: SimulatorAdmin, http: httpx2.AsyncClient, market: AdminMarket
) -> Trader:
    """Holds 1,000 pUSD and 100 shares of each outcome."""
    trader = await Trader(running.url, KEY, http).log_in()
    await admin.set_wallet(trader.address, collateral="1000", tokens=dict.fromkeys(market.token_ids, "100"))
    return trader


@pytest.fixture
async def other(
    running: Running, admin: SimulatorAdmin, http: httpx2.AsyncClient, market: AdminMarket
) -> Trader:
    """A second trader with the same holdings."""
    trader = await Trader(running.url, OTHER_KEY, http).log_in()
    await admin.set_wallet(trader.address, collateral="1000", tokens=dict.fromkeys(market.token_ids, "100"))
    return trader
