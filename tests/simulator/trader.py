"""A trader with a throw-away key: the real client in a thread, and raw requests where it is too polite."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any, TypeVar

import httpx2
from py_clob_client_v2.client import ClobClient
from py_clob_client_v2.clob_types import ApiCreds, RequestArgs
from py_clob_client_v2.config import get_contract_config
from py_clob_client_v2.headers.headers import create_level_2_headers
from py_clob_client_v2.order_utils.exchange_order_builder_v2 import ExchangeOrderBuilderV2
from py_clob_client_v2.order_utils.model.order_data_v2 import (
    OrderDataV2,
    SignedOrderV2,
    order_to_json_v2,
)
from py_clob_client_v2.order_utils.model.side import Side
from py_clob_client_v2.signer import Signer

T = TypeVar("T")
CHAIN = 137
KEY = "0x" + "11" * 32
ADDRESS = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
OTHER_KEY = "0x" + "22" * 32
_salts = count(1)


def exchange_address(neg_risk: bool = False) -> str:
    contracts = get_contract_config(CHAIN)
    return contracts.neg_risk_exchange_v2 if neg_risk else contracts.exchange_v2


def sign(
    key: str,
    token_id: str,
    side: str,
    maker_amount: int,
    taker_amount: int,
    *,
    neg_risk: bool = False,
    maker: str | None = None,
    signature_type: int = 0,
    expiration: int = 0,
    salt: int | None = None,
    timestamp: int | None = None,
    chain_id: int = CHAIN,
    exchange: str | None = None,
    domain_version: str = "2",
    order_signer: str | None = None,
) -> SignedOrderV2:
    """Signs exact integer amounts, as the reference tells adapters to."""
    signer = Signer(key, chain_id)
    salt = next(_salts) if salt is None else salt
    builder = ExchangeOrderBuilderV2(
        exchange or exchange_address(neg_risk),
        chain_id,
        signer,
        generate_salt=lambda: str(salt),
        domain_version=domain_version,
    )
    data = OrderDataV2(
        maker=maker or signer.address(),
        signer=order_signer or signer.address(),
        tokenId=token_id,
        makerAmount=str(maker_amount),
        takerAmount=str(taker_amount),
        side=Side.BUY if side == "BUY" else Side.SELL,
        signatureType=signature_type,
        timestamp=str(timestamp or time.time_ns() // 1_000_000),
        expiration=str(expiration),
    )
    return builder.build_signed_order(data)


def limit(key: str, token_id: str, side: str, price: str, shares: str, **options: Any) -> SignedOrderV2:
    """Signs a limit order of ``shares`` at ``price``."""
    size = round(float(shares) * 1e6)
    usd = round(size * float(price))
    maker, taker = (usd, size) if side == "BUY" else (size, usd)
    return sign(key, token_id, side, maker, taker, **options)


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    headers: dict[str, str]

    @property
    def error(self) -> str:
        return self.body["error"]


class Trader:
    """One key at one simulator."""

    def __init__(self, url: str, key: str, http: httpx2.AsyncClient) -> None:
        self.url = url
        self.key = key
        self.http = http
        self.client = ClobClient(url, CHAIN, key=key)
        self.address = self.client.get_address()

    async def log_in(self) -> "Trader":
        creds = await self.run(lambda: self.client.create_or_derive_api_key())
        self.client.set_api_creds(creds)
        return self

    @property
    def creds(self) -> ApiCreds:
        return self.client.creds

    async def run(self, call: Callable[[], T]) -> T:
        """Runs a blocking call of the real client beside the event loop."""
        return await asyncio.to_thread(call)

    def limit(self, token_id: str, side: str, price: str, shares: str, **options: Any) -> SignedOrderV2:
        return limit(self.key, token_id, side, price, shares, **options)

    def payload(
        self, order: SignedOrderV2, order_type: str = "GTC", *, post_only: bool = False
    ) -> dict[str, Any]:
        return order_to_json_v2(order, self.creds.api_key, order_type, post_only, False)

    async def post(self, order: SignedOrderV2, order_type: str = "GTC", *, post_only: bool = False) -> Answer:
        return await self.call("POST", "/order", self.payload(order, order_type, post_only=post_only))

    async def buy(self, token_id: str, price: str, shares: str, order_type: str = "GTC") -> Answer:
        return await self.post(self.limit(token_id, "BUY", price, shares), order_type)

    async def sell(self, token_id: str, price: str, shares: str, order_type: str = "GTC") -> Answer:
        return await self.post(self.limit(token_id, "SELL", price, shares), order_type)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        sent_body: str | None = None,
    ) -> Answer:
        """Sends an authenticated request; ``sent_body`` replaces the body after it was signed."""
        text = None if body is None else json.dumps(body, separators=(",", ":"))
        signed_path = path.partition("?")[0]
        l2 = create_level_2_headers(
            self.client.signer, self.creds, RequestArgs(method, signed_path, body, text)
        )
        content = sent_body if sent_body is not None else text
        response = await self.http.request(
            method, self.url + path, content=content, headers={**l2, **(headers or {})}
        )
        return Answer(response.status_code, response.json(), dict(response.headers))


def as_fields(order: SignedOrderV2) -> dict[str, Any]:
    return asdict(order)
