"""One account with a funded wallet, and positions to protect, made through the product's own API."""

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import httpx2
from eth_account import Account
from pydantic import JsonValue, TypeAdapter

from bench.waiting import BenchFailed
from simulator.client import SimulatorAdmin

ENTRY = "0.60"
STOP = "0.50"
BELOW = ("0.40", "0.41")
AT_ENTRY = ("0.59", "0.60")
SHARES = "10"
AT_ONCE = 8
LIMIT_S = 60.0

_OBJECT = TypeAdapter(dict[str, JsonValue])


@dataclass(frozen=True, slots=True)
class Protected:
    """A position with an armed stop, and the tape whose next row crosses it."""

    token_id: str
    rule_id: str
    tape_id: str


class Trader:
    """Calls the API as one account."""

    def __init__(self, api_url: str, operator_key: str, admin: SimulatorAdmin) -> None:
        """Take the addresses of a running stack."""
        self._http = httpx2.AsyncClient(base_url=api_url, timeout=30, trust_env=False)
        self._headers = {"Authorization": f"Bearer {operator_key}"}
        self._admin = admin
        self.account_id = ""
        self.address = ""

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def open_account(self, name: str) -> None:
        """Make an account in live mode against the simulator, with a funded wallet."""
        wallet = Account.from_key(secrets.token_bytes(32))
        self.address = str(wallet.address)
        await self._admin.set_wallet(self.address, collateral="1000000")
        account = await self._call("POST", "/api/v2/accounts", {"name": name})
        self.account_id = str(account["id"])
        path = f"/api/v2/accounts/{self.account_id}"
        await self._call("PATCH", path, {"mode": "live", "acknowledge_live": True})
        key = "0x" + bytes(wallet.key).hex()
        await self._call("PUT", f"{path}/credentials", {"private_key": key, "signature_type": 0})
        self._headers["X-Holdfast-Account"] = self.account_id

    async def open_market(self, name: str) -> str:
        """Open a market with a book at the entry price; return its first token."""
        market = await self._admin.create_market(name)
        token = market.token_ids[0]
        bid, ask = AT_ENTRY
        await self._admin.set_book(token, [(bid, "100000")], [(ask, "100000")])
        return token

    async def buy(self, token_id: str, shares: str = SHARES) -> None:
        """Buy at the entry price; returns once the ledger holds it."""
        body: dict[str, JsonValue] = {"token_id": token_id, "side": "BUY", "shares": shares, "price": ENTRY}
        await self._call("POST", "/api/v2/orders", body)
        await self.until(
            f"/api/v2/positions?token_id={token_id}", lambda page: _held(page) >= Decimal(shares)
        )

    async def arm(self, token_id: str, stop: str = STOP, *, amount: str | None = None) -> str:
        """Arm a stop; returns the rule's id."""
        body: dict[str, JsonValue] = {
            "token_id": token_id,
            "entry_price": ENTRY,
            "conditions": [{"type": "stop_loss", "price": stop}],
        }
        if amount is not None:
            body["action"] = {"type": "SELL_PARTIAL", "amount": amount}
        rule = await self._call("POST", "/api/v2/rules", body)
        return str(rule["id"])

    async def protect(self, name: str) -> Protected:
        """Open a market, buy, arm a stop, and load the tape whose only row crosses it."""
        token = await self.open_market(name)
        await self.buy(token)
        rule = await self.arm(token)
        bid, ask = BELOW
        row = {"ts": "2026-01-01T00:00:00.000Z", "bid": bid, "ask": ask, "last": None, "size": None}
        tape = await self._admin.load_tape(token, rows=[row], speed=None)
        return Protected(token, rule, tape)

    async def done(self, rule_id: str) -> None:
        """Wait until a rule is done."""
        await self.until(f"/api/v2/rules/{rule_id}", lambda rule: rule.get("phase") == "done")

    async def until(
        self, path: str, wanted: Callable[[dict[str, JsonValue]], bool], pause_s: float = 0.03
    ) -> None:
        """Read until it is as wanted.

        Raises:
            BenchFailed: It was not within a minute.
        """
        deadline = time.monotonic() + LIMIT_S
        while not wanted(answer := await self._call("GET", path)):
            if time.monotonic() > deadline:
                raise BenchFailed(f"{path} did not come to its end: {answer}")
            await asyncio.sleep(pause_s)

    async def _call(
        self, method: str, path: str, body: dict[str, JsonValue] | None = None
    ) -> dict[str, JsonValue]:
        while True:
            answer = await self._http.request(method, path, json=body, headers=self._headers)
            if answer.status_code == 429:
                await asyncio.sleep(0.1)
                continue
            if not answer.is_success:
                raise BenchFailed(f"{method} {path}: {answer.status_code} {answer.text}")
            return _OBJECT.validate_json(answer.content)


def _held(page: dict[str, JsonValue]) -> Decimal:
    items = page.get("items")
    first = items[0] if isinstance(items, list) and items else None
    return Decimal(str(first["shares"])) if isinstance(first, dict) else Decimal(0)
