"""The scene of the end-to-end tests: a running stack, an account with a wallet, a market, rules on it.

Everything is done through the product's API and seen through it; the simulator's control port moves prices,
plants faults, and is asked afterwards what really happened.
"""

import asyncio
import secrets
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal

import asyncpg
import httpx2
import pytest
from eth_account import Account
from temporalio.client import Client, WorkflowExecutionDescription

from bench.client import Api, Json
from domain.ids import RuleId, rule_workflow_id
from runtime.embedded.stack import EmbeddedStack, Part
from runtime.temporal import connect
from simulator.client import AdminMarket, AdminOrder, LedgerEntry, SimulatorAdmin
from tests.e2e.waiting import LIMIT_S, until

IN_THE_STACKS_LOOP = pytest.mark.asyncio(loop_scope="session")
START_USD = "100000"
ENTRY = "0.60"
DEEP = "100000"
KILLED = "no orders found to match"
TICK = Decimal("0.01")
CORE_WORKERS = (Part.WORKER_CORE_1, Part.WORKER_CORE_2)


class Holdfast:
    """A running stack and its clients."""

    def __init__(self, stack: EmbeddedStack, admin: SimulatorAdmin, api: Api, temporal: Client) -> None:
        self.stack = stack
        self.admin = admin
        self.api = api
        self.temporal = temporal

    @classmethod
    @asynccontextmanager
    async def on(cls, stack: EmbeddedStack) -> AsyncGenerator["Holdfast"]:
        """Connects the clients of a stack that runs."""
        key = stack.admin_key.get_secret_value()
        http = httpx2.AsyncClient(base_url=stack.api_url, timeout=30, trust_env=False)
        async with SimulatorAdmin(stack.simulator_admin_url) as admin, http:
            yield cls(stack, admin, Api(http, key), await connect(stack.settings().temporal, lazy=True))

    # -- actors ---------------------------------------------------------------------------------

    async def open_trader(self, *, live: bool = True) -> "Trader":
        """Makes an account with a funded wallet; live means: against the simulator."""
        wallet = Account.from_key(secrets.token_bytes(32))
        await self.admin.set_wallet(wallet.address, collateral=START_USD)
        account = await self.api.post("/api/v2/accounts", {"name": "end to end"})
        key = "0x" + bytes(wallet.key).hex()
        trader = Trader(self, str(account["id"]), wallet.address, mode="live" if live else "paper", key=key)
        await trader.store_key()
        if live:
            await trader.go_live()
        return trader

    async def open_market(self, *, fee_rate: str = "0.04", bid: str = "0.59", ask: str = ENTRY) -> "Market":
        """Opens a market with a deep book around the entry price."""
        market = Market(self, await self.admin.create_market("Will it hold?", fee_rate=fee_rate))
        await market.quote(bid, ask)
        return market

    async def protected(self, *conditions: Json, shares: str = "10", **extra: object) -> "Protected":
        """Opens account and market, buys, arms a rule (a stop at 0.50 unless said), feed watching."""
        trader, market = await self.open_trader(), await self.open_market()
        await trader.buy(market, shares)
        rule = await trader.arm(market, *(conditions or (stop_at("0.50"),)), **extra)
        await market.watched()
        return Protected(trader, market, rule)

    # -- faults ---------------------------------------------------------------------------------

    async def kill(self, *parts: Part) -> None:
        """Kills parts and waits until the supervisor has brought all of them back."""
        generations = {part: self.kill_only(part) for part in parts}
        for part, generation in generations.items():
            await self.stack.wait_healthy(part, after=generation)

    def kill_only(self, part: Part) -> int:
        """Kills a part; returns the generation after which it is the new one."""
        generation = self.stack.supervisor.generation(part)
        self.stack.kill(part)
        return generation

    @asynccontextmanager
    async def kept_away(self, part: Part, port: int) -> AsyncGenerator[None]:
        """Kills a part and sits on its port, so that it cannot come back before the block ends."""
        generation = self.kill_only(part)
        seat = await until(lambda: _seat(port), bool, f"the port of {part}")
        assert seat is not None
        loop = asyncio.get_running_loop()
        loop.add_reader(seat, lambda: seat.accept()[0].close())  # hangs up on everybody
        try:
            yield
        finally:
            loop.remove_reader(seat)
            seat.close()
            await self.stack.wait_healthy(part, after=generation)

    async def hold(self, market: "Market", point: str, **where: str) -> "Barrier":
        """Raises a barrier for requests about a market's token (orders only: others name no token)."""
        token = None if "path" in where else market.token_id
        return Barrier(self.admin, await self.admin.raise_barrier(point, token_id=token, **where))

    @asynccontextmanager
    async def database(self) -> AsyncGenerator[asyncpg.Connection]:
        """Opens a connection of the test's own, past the product."""
        connection = await asyncpg.connect(self.stack.database_url, ssl=False)
        try:
            yield connection
        finally:
            await connection.close()

    async def found(self, query: str, *arguments: object) -> None:
        """Waits until a query finds a row."""
        async with self.database() as connection:
            await until(lambda: connection.fetchrow(query, *arguments), bool, query)

    async def attempts_of_activity(self, workflow_id: str) -> int:
        """Returns at which attempt the pending activity of a workflow is; 0 when none is pending."""
        described = await self.temporal.get_workflow_handle(workflow_id).describe()
        return max((a.attempt for a in described.raw_description.pending_activities), default=0)

    @asynccontextmanager
    async def claims_locked(self, market: "Market") -> AsyncGenerator[None]:
        """Locks a token's claims in Postgres: whoever wants to write down an answer waits."""
        async with self.database() as connection, connection.transaction():
            query = "SELECT 1 FROM claims WHERE token_id = $1 FOR UPDATE"
            assert await connection.fetch(query, market.token_id), "there is no claim to lock"
            yield


class Barrier:
    """A raised barrier of the simulator."""

    def __init__(self, admin: SimulatorAdmin, barrier_id: str) -> None:
        self._admin = admin
        self._id = barrier_id

    async def arrival(self) -> None:
        """Waits until it holds a request."""

        async def held() -> int:
            return (await self._admin.barrier(self._id, wait_ms=5_000)).taken

        await until(held, lambda taken: taken > 0, "a request at the barrier")

    async def release(self) -> None:
        """Lets it go on."""
        await self._admin.release_barrier(self._id)


class Market:
    """One market; tests trade its first token."""

    def __init__(self, holdfast: Holdfast, market: AdminMarket) -> None:
        self._admin = holdfast.admin
        self._market = market
        self.condition_id = market.condition_id
        self.token_id = market.token_ids[0]

    def on(self, holdfast: Holdfast) -> "Market":
        """Returns the same market on another stack."""
        return Market(holdfast, self._market)

    async def quote(self, bid: str, ask: str | None = None, *, size: str = DEEP) -> None:
        """Moves the house's book; the ask is one tick above the bid unless said."""
        above = ask or str(Decimal(bid) + TICK)
        await self._admin.set_book(self.token_id, [(bid, size)], [(above, size)])

    async def watched(self) -> None:
        """Waits until a market socket follows the token."""
        await until(self._followed, lambda followed: followed, "the feed's subscription")

    async def _followed(self) -> bool:
        sockets = await self._admin.open_sockets()
        market = sockets["market"]
        assert isinstance(market, list)
        return any(isinstance(s, dict) and self.token_id in str(s["token_ids"]) for s in market)

    async def posts(self, side: str = "SELL") -> list[LedgerEntry]:
        """Returns every POST of an order of one side that arrived."""
        return [e for e in await self._admin.ledger(token_id=self.token_id) if e.side == side]

    async def await_posts(self, count: int, side: str = "SELL") -> list[LedgerEntry]:
        """Waits for so many POSTs."""
        return await until(lambda: self.posts(side), lambda posts: len(posts) >= count, f"{count} POSTs")

    async def orders(self, side: str = "SELL") -> list[AdminOrder]:
        """Returns every order of one side that the exchange registered, without those it killed unfilled."""
        mine = [o for o in await self._admin.orders() if o.token_id == self.token_id and o.side == side]
        return [o for o in mine if not o.reason.startswith(KILLED)]


class Rule:
    """A rule of one account."""

    def __init__(self, trader: "Trader", rule_id: str) -> None:
        self._holdfast = trader.holdfast
        self._api = trader.api
        self.id = rule_id
        self.path = f"/api/v2/rules/{rule_id}"

    @property
    def workflow_id(self) -> str:
        """Id of its workflow."""
        return rule_workflow_id(RuleId(self.id))

    def of(self, trader: "Trader") -> "Rule":
        """Returns the same rule as another stack's account sees it."""
        return Rule(trader, self.id)

    async def signalled(self, name: str = "crossed") -> None:
        """Waits until a signal stands in its history."""
        handle = self._holdfast.temporal.get_workflow_handle(self.workflow_id)

        async def signals() -> int:
            history = await handle.fetch_history()
            named = [e.workflow_execution_signaled_event_attributes.signal_name for e in history.events]
            return named.count(name)

        await until(signals, lambda count: count > 0, f"the signal {name} in the history")

    async def row(self) -> Json:
        """Returns the rule as the API shows it."""
        return await self._api.get(self.path)

    async def phase(self, *phases: str, limit_s: float = LIMIT_S) -> Json:
        """Waits for one of these phases, also while parts behind the API are away."""
        row = await until(
            lambda: self._api.get_or_none(self.path),
            lambda row: row is not None and row["phase"] in phases,
            f"phase {' or '.join(phases)}",
            limit_s=limit_s,
        )
        assert row is not None
        return row

    async def done(self, status: str = "TRIGGERED", *, limit_s: float = LIMIT_S) -> Json:
        """Waits until the rule is done, with this status."""
        row = await self.phase("done", limit_s=limit_s)
        assert row["status"] == status, row
        return row

    async def events(self, kind: str | None = None) -> list[Json]:
        """Returns its log, oldest first."""
        page = await self._api.get("/api/v2/rules/events", rule_id=self.id, limit=200)
        return [e for e in reversed(page["items"]) if kind in (None, e["type"])]

    async def event(self, kind: str) -> Json:
        """Waits for an event of a kind."""
        found = await until(lambda: self.events(kind), bool, f"an event {kind}")
        return found[0]


class Trader:
    """One account."""

    def __init__(
        self, holdfast: Holdfast, account_id: str, address: str, *, mode: str, key: str = ""
    ) -> None:
        self.holdfast = holdfast
        self.key = key
        self.account_id = account_id
        self.address = address
        self.mode = mode
        self.api = holdfast.api.as_account(account_id)

    def on(self, holdfast: Holdfast) -> "Trader":
        """Returns the same account on another stack."""
        return Trader(holdfast, self.account_id, self.address, mode=self.mode, key=self.key)

    async def store_key(self) -> None:
        """Stores the wallet's key: the API credentials are derived from it, anew each time."""
        secret = {"private_key": self.key, "signature_type": 0}
        await self.holdfast.api.put(f"/api/v2/accounts/{self.account_id}/credentials", secret)

    async def go_live(self) -> None:
        """Switches the account to live mode."""
        self.mode = "live"
        await self.api.patch(
            f"/api/v2/accounts/{self.account_id}", {"mode": "live", "acknowledge_live": True}
        )

    async def buy(self, market: Market, shares: str = "10", price: str = ENTRY) -> None:
        """Buys; returns once the ledger holds it, confirmed."""
        await self.order(market, "BUY", shares, price)
        await until(
            lambda: self.position(market),
            lambda p: p["shares"] == shares and Decimal(p["unconfirmed_shares"]) == 0,
            "the bought position",
        )

    async def order(self, market: Market, side: str, shares: str, price: str, tif: str = "FAK") -> str:
        """Places an order of one's own; returns its id."""
        body = {
            "token_id": market.token_id,
            "side": side,
            "shares": shares,
            "price": price,
            "time_in_force": tif,
        }
        return str((await self.api.post("/api/v2/orders", body))["id"])

    async def arm(self, market: Market, *conditions: Json, **extra: object) -> Rule:
        """Arms a rule; returns once it is armed."""
        body = {"token_id": market.token_id, "entry_price": ENTRY, "conditions": list(conditions), **extra}
        answer = await self.api.post("/api/v2/rules", body)
        rule = Rule(self, str(answer["id"]))
        await rule.phase("armed", "exiting", "waiting", "done")
        return rule

    async def position(self, market: Market, mode: str | None = None) -> Json:
        """Returns the position in a token as the ledger folds it; zero when there is none."""
        page = await self.api.get("/api/v2/positions", token_id=market.token_id)
        nothing = {"shares": "0", "fees_usd": "0", "unconfirmed_shares": "0"}
        return next((p for p in page["items"] if p["mode"] == (mode or self.mode)), nothing)

    async def ledger(self, market: Market) -> list[Json]:
        """Returns the entries of the fills ledger."""
        page = await self.api.get("/api/v2/fills", token_id=market.token_id, limit=200)
        return [entry for entry in page["items"] if entry["mode"] == self.mode]

    async def standing_fills(self, market: Market) -> list[Json]:
        """Returns the fills that no reversal took back."""
        entries = await self.ledger(market)
        taken_back = {e["fill_key"] for e in entries if e["kind"] == "reversal"}
        return [e for e in entries if e["kind"] == "fill" and e["fill_key"] not in taken_back]

    async def audit(self, market: Market, *rules: Rule, sells: int, left: str = "0") -> None:
        """Compares venue, projection and Temporal to the last digit.

        Args:
            market: The token's market.
            rules: The rules that were armed, done or still open.
            sells: Orders to sell that the exchange must have registered, each of them once.
            left: Shares that must be left.
        """
        await self._audit_books(market, Decimal(left))
        await self._audit_orders(market, sells)
        for rule in rules:
            await self._audit_workflow(rule)

    async def _audit_books(self, market: Market, left: Decimal) -> None:
        await until(lambda: self._books(market), lambda b: b[0] == b[1], "venue and projection being equal")
        venue, _ = await self._books(market)
        assert venue[0] == left, f"{venue[0]} shares are left, {left} were expected"

    async def _books(self, market: Market) -> tuple[tuple[Decimal, ...], tuple[Decimal, ...]]:
        """Returns shares, collateral and fees: the venue's, and what the projection says."""
        wallet = await self.holdfast.admin.wallet(self.address)
        fills = await self.standing_fills(market)
        fees = sum((Decimal(f["fee_usd"]) for f in fills), Decimal(0))
        cash = sum((_signed(f) * Decimal(f["notional_usd"]) for f in fills), Decimal(START_USD)) - fees
        position = await self.position(market)
        shares = -sum((_signed(f) * Decimal(f["shares"]) for f in fills), Decimal(0))
        assert shares == Decimal(position["shares"]), "the position is not the fold of its fills"
        venue = Decimal(wallet.tokens.get(market.token_id, "0")), Decimal(wallet.collateral)
        return (*venue, Decimal(wallet.fees_paid)), (shares, cash, fees)

    async def _audit_orders(self, market: Market, sells: int) -> None:
        registered = await market.orders()
        assert len(registered) == sells, f"{sells} sells were expected: {registered}"
        accepted = [p.order_id for p in await market.posts() if p.outcome == "accepted"]
        assert len(accepted) == len(set(accepted)), "an order was registered twice"
        trades = [t for t in await self.holdfast.admin.trades(self.address) if t.token_id == market.token_id]
        bought, sold = (
            sum(Decimal(t.size) for t in trades if t.side == side and t.status != "FAILED")
            for side in ("BUY", "SELL")
        )
        assert sold <= bought, f"{sold} sold, {bought} bought"

    async def _audit_workflow(self, rule: Rule) -> None:
        handle = self.holdfast.temporal.get_workflow_handle(rule.workflow_id)

        async def seen() -> tuple[bool, WorkflowExecutionDescription]:
            # A task that is done again shows its steps once more: row and workflow are read together.
            return (await rule.row())["phase"] == "done", await handle.describe()

        closed, status = await until(
            seen, lambda both: (both[1].close_time is not None) == both[0], "row and workflow being one"
        )
        assert status.status is not None
        assert status.status.name == ("COMPLETED" if closed else "RUNNING"), status.status
        if closed:
            result = await handle.result()
            assert isinstance(result, dict)
            same = ("status", "phase", "version", "detail")
            told = [result[name] for name in same]
            await until(rule.row, lambda row: [row[name] for name in same] == told, f"the row {told}")


@dataclass(frozen=True, slots=True)
class Protected:
    """A bought position with a rule over it."""

    trader: Trader
    market: Market
    rule: Rule

    async def audit(self, *, sells: int = 1, left: str = "0") -> None:
        """Compares all books of this one position."""
        await self.trader.audit(self.market, self.rule, sells=sells, left=left)


def stop_at(price: str) -> Json:
    """Returns a stop-loss condition."""
    return {"type": "stop_loss", "price": price}


def target_at(price: str) -> Json:
    """Returns a take-profit condition."""
    return {"type": "take_profit", "price": price}


def posts_by_id(posts: Sequence[LedgerEntry]) -> dict[str, list[str]]:
    """Returns the outcomes of POSTs, in order, by order id."""
    found: dict[str, list[str]] = {}
    for post in posts:
        found.setdefault(post.order_id or "", []).append(post.outcome)
    return found


async def _seat(port: int) -> socket.socket | None:
    """Listens on a port; None while somebody else does."""
    seat = socket.socket()
    seat.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        seat.bind(("127.0.0.1", port))
        seat.listen()
    except OSError:
        seat.close()
        return None
    seat.setblocking(False)
    return seat


def _signed(fill: Json) -> int:
    return 1 if fill["side"] == "SELL" else -1
