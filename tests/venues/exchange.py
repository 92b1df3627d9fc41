"""A running local exchange with a market, a funded wallet and sessions on it."""

import secrets
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx2
from eth_account import Account
from pydantic import SecretStr

from domain.ids import MarketId, TokenId
from domain.orders import Instrument
from simulator.app import Running
from tests.venues.builders import CHAIN
from venues.polymarket.authentication import derive_api_credentials
from venues.polymarket.config import PolymarketConfig
from venues.polymarket.credentials import VenueCredentials
from venues.polymarket.http import HttpSession
from venues.polymarket.market_data import PolymarketMarketData
from venues.polymarket.trading import PolymarketTrading


@dataclass
class LocalExchange:
    """A market with a Yes and a No token on a simulator, and two wallets' keys that nobody else uses."""

    running: Running
    admin: httpx2.AsyncClient
    config: PolymarketConfig
    market_data: PolymarketMarketData
    market_id: MarketId
    yes: TokenId
    no: TokenId
    cleanup: AsyncExitStack
    key: str
    rival_key: str

    async def post(self, path: str, /, **body: object) -> dict[str, object]:
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

    async def market(self, **changes: object) -> None:
        """Changes flags and holds of the market."""
        await self.post(f"/markets/{self.market_id}/state", **changes)

    async def release_holds(self) -> None:
        await self.post("/holds/release")

    async def instrument(self, token_id: TokenId | None = None) -> Instrument:
        return await self.market_data.instrument(token_id or self.yes)

    async def open_market(self, **terms: object) -> tuple[MarketId, TokenId]:
        """Opens another market; returns it with its first token."""
        reply = await self.post("/markets", question="And this one?", **terms)
        token_ids = reply["token_ids"]
        assert isinstance(token_ids, list)
        return MarketId(str(reply["condition_id"])), TokenId(str(token_ids[0]))

    async def fund(
        self, key: str | None = None, *, collateral: str = "1000", tokens: str = "100", approved: bool = True
    ) -> str:
        address = address_of(key or self.key)
        await self.post(
            "/wallets",
            address=address,
            collateral=collateral,
            tokens={self.yes: tokens, self.no: tokens},
            approved=approved,
        )
        return address

    async def credentials(self, key: str | None = None) -> VenueCredentials:
        key = key or self.key
        async with HttpSession(self.config.clob_url, self.config) as session:
            api = await derive_api_credentials(SecretStr(key), session, chain_id=CHAIN)
        return VenueCredentials(private_key=SecretStr(key), api=api, funder=address_of(key))

    async def trading(self, key: str | None = None) -> PolymarketTrading:
        session = PolymarketTrading(self.config, await self.credentials(key), self.market_data)
        self.cleanup.push_async_callback(session.aclose)
        return session


def address_of(key: str) -> str:
    return str(Account.from_key(key).address)


@asynccontextmanager
async def local_exchange(
    running: Running, *, tick: str = "0.01", fee_rate: str = "0.05", neg_risk: bool = False
) -> AsyncGenerator[LocalExchange]:
    async with AsyncExitStack() as cleanup:
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
        cleanup.push_async_callback(admin.delete, "/faults")
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
            running=running,
            admin=admin,
            config=config,
            market_data=market_data,
            market_id=MarketId(market["condition_id"]),
            yes=yes,
            no=no,
            cleanup=cleanup,
            key="0x" + secrets.token_hex(32),
            rival_key="0x" + secrets.token_hex(32),
        )
