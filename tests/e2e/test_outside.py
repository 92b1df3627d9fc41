"""Shares that the same wallet buys, sells or moves past Holdfast: positions and rules follow."""

import secrets
from decimal import Decimal

import httpx2
import pytest_asyncio
from eth_account import Account

from bench.client import Json
from tests.e2e.scene import ENTRY, IN_THE_STACKS_LOOP, START_USD, Holdfast, Market, Trader, stop_at
from tests.e2e.waiting import until
from tests.simulator.trader import Trader as OutsideClient

pytestmark = IN_THE_STACKS_LOOP


class Outside:
    """An account of ours and another client of the same wallet, which Holdfast knows nothing of."""

    def __init__(self, trader: Trader, client: OutsideClient) -> None:
        self.trader = trader
        self.client = client

    async def trade(self, market: Market, side: str, shares: str, price: str) -> None:
        """Trades past Holdfast; all of it must fill."""
        trade = self.client.buy if side == "BUY" else self.client.sell
        answer = await trade(market.token_id, price, shares, "FOK")
        assert answer.status == 200, answer.body

    async def move(self, market: Market, shares: str) -> None:
        """Leaves the wallet with so many shares, without any trade (a transfer on the chain)."""
        await self.trader.holdfast.admin.set_wallet(self.trader.address, tokens={market.token_id: shares})

    async def held(self, market: Market, shares: str) -> Json:
        """Waits until the ledger holds so many shares, all of them confirmed."""
        return await until(
            lambda: self.trader.position(market),
            lambda p: p["shares"] == shares and Decimal(p["unconfirmed_shares"]) == 0,
            f"a position of {shares} shares",
        )


@pytest_asyncio.fixture(loop_scope="session")
async def outside(holdfast: Holdfast):
    """A live account whose key a second client has, too."""
    key = "0x" + secrets.token_bytes(32).hex()
    address = Account.from_key(key).address
    await holdfast.admin.set_wallet(address, collateral=START_USD)
    made = await holdfast.api.post("/api/v2/accounts", {"name": "traded from two places"})
    trader = Trader(holdfast, str(made["id"]), address, mode="live")
    await holdfast.api.put(
        f"/api/v2/accounts/{trader.account_id}/credentials", {"private_key": key, "signature_type": 0}
    )
    await trader.go_live()
    async with httpx2.AsyncClient(timeout=30, trust_env=False) as http:
        yield Outside(trader, await OutsideClient(holdfast.stack.simulator_url, key, http).log_in())


async def test_a_stop_sells_what_is_left_after_buying_selling_and_moving_elsewhere(
    holdfast: Holdfast, outside: Outside
) -> None:
    market, trader = await holdfast.open_market(), outside.trader
    await trader.buy(market, "10")
    rule = await trader.arm(market, stop_at("0.50"))
    await market.watched()
    await outside.trade(market, "BUY", "10", ENTRY)
    await outside.held(market, "20")
    await outside.trade(market, "SELL", "5", "0.59")
    await outside.held(market, "15")
    await outside.move(market, "8")
    await outside.held(market, "8")
    await market.quote("0.40")
    row = await rule.done()
    assert row["sold_shares"] == "8"
    assert len(await market.posts()) == 2, "one sale elsewhere, one exit"


async def test_a_rule_ends_when_its_position_is_gone_and_one_that_follows_the_token_protects_the_next(
    holdfast: Holdfast, outside: Outside
) -> None:
    market, trader = await holdfast.open_market(), outside.trader
    await trader.buy(market, "10")
    ends = await trader.arm(market, stop_at("0.50"))
    follows = await trader.arm(market, stop_at("0.45"), follow_token=True)
    await outside.move(market, "0")
    row = await ends.done("CANCELED")
    assert row["detail"] == "position_closed"
    assert (await follows.row())["phase"] == "armed"
    await outside.trade(market, "BUY", "6", ENTRY)
    await outside.held(market, "6")
    await market.watched()
    await market.quote("0.40")
    assert (await follows.done())["sold_shares"] == "6"
    assert await ends.events("rule.triggered") == []


async def test_shares_that_came_without_a_trade_are_found_and_can_be_protected(
    holdfast: Holdfast, outside: Outside
) -> None:
    market, trader = await holdfast.open_market(), outside.trader
    await outside.move(market, "12")
    await outside.held(market, "12")
    rule = await trader.arm(market, stop_at("0.50"))
    await market.watched()
    await market.quote("0.40")
    assert (await rule.done())["sold_shares"] == "12"
