"""One account with a funded wallet, and positions to protect, made through the product's own API."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Self

import httpx2
from eth_account import Account

from bench.client import Api, Json
from bench.purchases import buy
from bench.waiting import until
from simulator.client import SimulatorAdmin

ENTRY = "0.60"
STOP = "0.50"
BELOW = ("0.40", "0.41")
AT_ENTRY = ("0.59", "0.60")
DEPTH = "1000000"
SHARES = "10"
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Protected:
    """A position with an armed stop, and the tape whose next row crosses it."""

    token_id: str
    rule_id: str
    tape_id: str


class Trader:
    """Calls the API as one account; use it as `async with`, or close it."""

    def __init__(self, api_url: str, operator_key: str, admin: SimulatorAdmin) -> None:
        """Take the addresses of a running stack."""
        self._http = httpx2.AsyncClient(base_url=api_url, timeout=30, trust_env=False)
        self._operator = Api(self._http, operator_key, patient=True)
        self._admin = admin
        self.api = self._operator
        self.account_id = ""
        self.address = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def open_account(self, name: str) -> None:
        """Make an account in live mode against the simulator, with a funded wallet."""
        wallet = Account.from_key(secrets.token_bytes(32))
        self.address = str(wallet.address)
        await self._admin.set_wallet(self.address, collateral="1000000")
        account = await self._operator.post("/api/v2/accounts", {"name": name})
        self.account_id = str(account["id"])
        path = f"/api/v2/accounts/{self.account_id}"
        await self._operator.patch(path, {"mode": "live", "acknowledge_live": True})
        key = "0x" + bytes(wallet.key).hex()
        await self._operator.put(f"{path}/credentials", {"private_key": key, "signature_type": 0})
        self.api = self._operator.as_account(self.account_id)

    async def open_market(self, name: str) -> str:
        """Open a market with a book at the entry price; return its first token."""
        market = await self._admin.create_market(name)
        token = market.token_ids[0]
        bid, ask = AT_ENTRY
        await self._admin.set_book(token, [(bid, DEPTH)], [(ask, DEPTH)])
        return token

    async def buy(self, token_id: str, shares: str = SHARES) -> None:
        """Buy at the entry price; returns once the ledger holds it, confirmed."""
        await buy(self.api, token_id, Decimal(shares), ENTRY)

    async def arm(self, token_id: str, stop: str = STOP, *, amount: str | None = None) -> str:
        """Arm a stop; returns the rule's id once it is armed."""
        return await self.arm_as(stop_body(token_id, stop, amount))

    async def arm_as(self, body: Json) -> str:
        """Arm any rule; returns its id once it is armed.

        Raises:
            Refused: The API refused it.
            NeverCame: It was not armed in time.
        """
        rule_id = str((await self.api.post("/api/v2/rules", body))["id"])
        await self._phase(rule_id, lambda phase: phase != "arming", "an armed rule")
        return rule_id

    async def load_crossing(self, token_id: str) -> str:
        """Load the tape whose only row crosses `STOP`; return its id."""
        bid, ask = BELOW
        row = {"ts": "2026-01-01T00:00:00.000Z", "bid": bid, "ask": ask, "last": None, "size": None}
        return await self._admin.load_tape(token_id, rows=[row], speed=None, depth=DEPTH)

    async def protect(self, name: str) -> Protected:
        """Open a market, buy, arm a stop, and load the tape whose only row crosses it."""
        token = await self.open_market(name)
        await self.buy(token)
        rule = await self.arm(token)
        return Protected(token, rule, await self.load_crossing(token))

    async def done(self, rule_id: str) -> None:
        """Wait until a rule is done.

        Raises:
            NeverCame: It never was.
        """
        await self._phase(rule_id, lambda phase: phase == "done", f"the end of {rule_id}")

    async def _phase(self, rule_id: str, wanted: Callable[[str], bool], what: str) -> None:
        path = f"/api/v2/rules/{rule_id}"
        await until(
            lambda: self.api.find(path), lambda row: row is not None and wanted(str(row["phase"])), what
        )


def stop_body(token_id: str, stop: str, amount: str | None = None) -> Json:
    """Return the body of a rule with a stop; `amount` sells only so many shares."""
    body: Json = {
        "token_id": token_id,
        "entry_price": ENTRY,
        "conditions": [{"type": "stop_loss", "price": stop}],
    }
    if amount is not None:
        body["action"] = {"type": "SELL_PARTIAL", "amount": amount}
    return body
