"""The stage of a run: markets, accounts with wallets, bought positions, armed rules, moving prices."""

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from eth_account import Account
from pydantic import JsonValue

from bench.chaos.evidence import Touch
from bench.chaos.paths import CENT, START, Row
from bench.chaos.plan import ConditionKind, ConditionPlan, Plan, PositionPlan, RulePlan
from bench.client import Api, Json
from bench.followers import await_followed
from bench.purchases import buy, rest
from bench.side_by_side import side_by_side
from bench.waiting import until
from simulator.client import AdminMarket, SimulatorAdmin

START_USD = Decimal(100_000)
DEPTH = "1000000"
AT_ONCE = 12
ENTRY = str((START + 1) * CENT)
RESTING_PRICE = "0.99"
LEAD_MS = 1_500


@dataclass(slots=True)
class Trader:
    """An account with its wallet."""

    account_id: str
    address: str
    private_key: str
    api: Api


@dataclass(slots=True)
class Armed:
    """A rule that was armed, and what was done to it since."""

    rule_id: str
    trader: Trader
    token_id: str
    plan: RulePlan
    armed_at_ms: int
    versions: list[tuple[ConditionPlan, ...]]
    touch: Touch = Touch.NONE
    patched_at_ms: int | None = None


@dataclass(slots=True)
class Stage:
    """Everything that was set up, by the plan's numbers."""

    admin: SimulatorAdmin
    operator: Api
    plan: Plan
    traders: list[Trader] = field(default_factory=list[Trader])
    markets: list[AdminMarket] = field(default_factory=list[AdminMarket])
    rules: list[Armed] = field(default_factory=list[Armed])
    tapes: dict[str, str] = field(default_factory=dict[str, str])
    start_ms: int = 0

    def token(self, market: int) -> str:
        """Return the token that is traded in a market."""
        return self.markets[market].token_ids[0]

    async def set_up(self, progress: Callable[[str], None]) -> None:
        """Make everything but the rules that wait for a moment; returns when the feed watches all tokens."""
        progress("markets")
        for number in range(len(self.plan.markets)):
            self.markets.append(await self._open_market(number))
        progress("accounts")
        names = random.Random(f"{self.plan.seed}:wallets")
        keys = [names.randbytes(32) for _ in range(self.plan.accounts)]
        self.traders = await side_by_side((self._open_account(key) for key in keys), AT_ONCE)
        progress("positions")
        await side_by_side((self._buy(position) for position in self.plan.positions), AT_ONCE)
        progress("rules")
        await side_by_side((self._arm_all(p, timed=False) for p in self.plan.positions), AT_ONCE)
        await self._await_watching()

    async def begin(self) -> None:
        """Arm the rules that wait for a moment, and let the prices move."""
        self.start_ms = now_ms() + LEAD_MS
        await side_by_side((self._arm_all(p, timed=True) for p in self.plan.positions), AT_ONCE)
        await asyncio.sleep(max(0.0, (self.start_ms - now_ms()) / 1000))
        for number, market in enumerate(self.plan.markets):
            token = self.token(number)
            rows = [_tape_row(row) for row in market.rows]
            self.tapes[token] = await self.admin.load_tape(token, rows=rows, speed="1", depth=DEPTH, levels=2)

    async def _open_market(self, number: int) -> AdminMarket:
        fee = str(self.plan.markets[number].fee_rate)
        market = await self.admin.create_market(f"Chaos {self.plan.seed}.{number}", fee_rate=fee)
        price = START * CENT
        await self.admin.set_book(market.token_ids[0], [(str(price), DEPTH)], [(ENTRY, DEPTH)])
        return market

    async def _open_account(self, key: bytes) -> Trader:
        address = str(Account.from_key(key).address)
        await self.admin.set_wallet(address, collateral=str(START_USD))
        account = await self.operator.call("POST", "/api/v2/accounts", {"name": "chaos"})
        account_id = str(account["id"])
        path = f"/api/v2/accounts/{account_id}"
        await self.operator.call("PATCH", path, {"mode": "live", "acknowledge_live": True})
        trader = Trader(account_id, address, "0x" + key.hex(), self.operator.as_account(account_id))
        await self.store_key(trader)
        return trader

    async def store_key(self, trader: Trader) -> None:
        """Store the wallet's key; the API derives credentials at the venue."""
        secret: Json = {"private_key": trader.private_key, "signature_type": 0}
        await self.operator.call("PUT", f"/api/v2/accounts/{trader.account_id}/credentials", secret)

    async def _buy(self, position: PositionPlan) -> None:
        api, token = self.traders[position.account].api, self.token(position.market)
        await buy(api, token, Decimal(position.shares), ENTRY)
        if position.resting_sell:
            await rest(api, token, Decimal(position.shares), RESTING_PRICE)

    async def _arm_all(self, position: PositionPlan, *, timed: bool) -> None:
        for rule in position.rules:
            if timed is any(condition.kind is ConditionKind.AT for condition in rule.conditions):
                self.rules.append(await self._arm(position, rule))

    async def _arm(self, position: PositionPlan, rule: RulePlan) -> Armed:
        trader, token = self.traders[position.account], self.token(position.market)
        conditions = self.placed(rule.conditions)
        body: Json = {
            "token_id": token,
            "entry_price": ENTRY,
            "conditions": condition_bodies(conditions),
            "price_source": rule.source.value,
        }
        if rule.amount is not None:
            body["action"] = {"type": "SELL_PARTIAL", "amount": str(rule.amount)}
        answer = await trader.api.call("POST", "/api/v2/rules", body)
        rule_id = str(answer["id"])
        path = f"/api/v2/rules/{rule_id}"
        await until(lambda: trader.api.find(path), _is_armed, "an armed rule")
        return Armed(rule_id, trader, token, rule, now_ms(), [conditions])

    def placed(self, conditions: Iterable[ConditionPlan]) -> tuple[ConditionPlan, ...]:
        """Return conditions with their moments on the wall clock."""
        return tuple(
            condition
            if condition.at_ms is None
            else ConditionPlan(kind=condition.kind, at_ms=self.start_ms + condition.at_ms)
            for condition in conditions
        )

    async def _await_watching(self) -> None:
        """Wait until sockets follow the tokens of all armed rules."""
        await await_followed(self.admin, {rule.token_id for rule in self.rules})


def condition_bodies(conditions: Iterable[ConditionPlan]) -> list[JsonValue]:
    """Return conditions as the API takes them."""
    return [_condition_body(condition) for condition in conditions]


def _condition_body(condition: ConditionPlan) -> JsonValue:
    if condition.at_ms is not None:
        moment = datetime.fromtimestamp(condition.at_ms / 1000, UTC).isoformat()
        return {"type": condition.kind.value, "time": moment}
    if condition.points is not None:
        return {"type": condition.kind.value, "points": str(condition.points)}
    return {"type": condition.kind.value, "price": str(condition.level)}


def _tape_row(row: Row) -> dict[str, str | None]:
    moment = datetime.fromtimestamp(row.at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    prices = {"bid": row.bid, "ask": row.ask, "last": row.last}
    return {"ts": moment, **{name: None if p is None else str(p) for name, p in prices.items()}}


def _is_armed(row: Json | None) -> bool:
    return row is not None and row["phase"] != "arming"


def now_ms() -> int:
    """Return the wall clock, Unix milliseconds."""
    return time.time_ns() // 1_000_000
