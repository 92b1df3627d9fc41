"""A running local exchange with a market, a funded wallet and sessions on it."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx2
from pydantic import SecretStr

from domain.ids import MarketId, TokenId
from simulator.app import Running, serve
from tests.venues.builders import ADDRESS, CHAIN, KEY
from venues.polymarket.authentication import derive_api_credentials
from venues.polymarket.config import PolymarketConfig
from venues.polymarket.credentials import VenueCredentials
from venues.polymarket.http import HttpSession
from venues.polymarket.market_data import PolymarketMarketData
from venues.polymarket.trading import PolymarketTrading

RIVAL_KEY = "0x" + "22" * 32


@dataclass
class LocalExchange:
    """The simulator, its control port, and one market with a Yes and a No token."""

    running: Running
    admin: httpx2.AsyncClient
    config: PolymarketConfig
    market_data: PolymarketMarketData
    market_id: MarketId
    yes: TokenId
    no: TokenId
    cleanup: AsyncExitStack

    async def post(self, path: str, **body: object) -> dict[str, object]:
        reply = await self.admin.post(path, json=body)
        assert reply.status_code < 300, reply.text
        return dict(reply.json())

    async def get(self, path: str) -> dict[str, object]:
        reply = await self.admin.get(path)
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    async def ledger(self) -> list[dict[str, object]]:
        return list((await self.get("/ledger"))["entries"])  # type: ignore[call-overload]

    async def book(self, bids: list[tuple[str, str]], asks: list[tuple[str, str]], **more: object) -> None:
        await self.post(f"/books/{self.yes}", bids=bids, asks=asks, **more)

    async def fund(self, key: str = KEY, *, collateral: str = "1000", tokens: str = "100") -> str:
        address = address_of(key)
        await self.post(
            "/wallets",
            address=address,
            collateral=collateral,
            tokens={self.yes: tokens, self.no: tokens},
            approved=True,
        )
        return address

    async def credentials(self, key: str = KEY) -> VenueCredentials:
        async with HttpSession(self.config.clob_url, self.config) as session:
            api = await derive_api_credentials(SecretStr(key), session, chain_id=CHAIN)
        return VenueCredentials(private_key=SecretStr(key), api=api, funder=address_of(key))

    async def trading(self, key: str = KEY) -> PolymarketTrading:
        session = PolymarketTrading(self.config, await self.credentials(key), self.market_data)
        self.cleanup.push_async_callback(session.aclose)
        return session


def address_of(key: str) -> str:
    from eth_account import Account

    return ADDRESS if key == KEY else str(Account.from_key(key).address)


@asynccontextmanager
async def local_exchange(
    *, tick: str = "0.01", fee_rate: str = "0.05", neg_risk: bool = False
) -> AsyncGenerator[LocalExchange]:
    async with AsyncExitStack() as cleanup:
        running = await cleanup.enter_async_context(serve())
        admin = await cleanup.enter_async_context(
            httpx2.AsyncClient(base_url=running.admin_url, trust_env=False)
        )
        config = PolymarketConfig(
            clob_url=running.url,
            gamma_url=f"{running.url}/gamma",
            data_url=f"{running.url}/data-api",
            ws_url=running.ws_url,
            reconnect_first_s=0.01,
            reconnect_cap_s=0.05,
        )
        market_data = PolymarketMarketData(config)
        cleanup.push_async_callback(market_data.aclose)
        reply = await admin.post(
            "/markets",
            json={
                "question": "Will it hold?",
                "tick_size": tick,
                "fee_rate": fee_rate,
                "neg_risk": neg_risk,
                "end_date": "2027-01-01T00:00:00Z",
            },
        )
        assert reply.status_code < 300, reply.text
        market = reply.json()
        yes, no = (TokenId(token) for token in market["token_ids"])
        yield LocalExchange(
            running, admin, config, market_data, MarketId(market["condition_id"]), yes, no, cleanup
        )
