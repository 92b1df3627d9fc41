"""The rules of a simulated day: of every kind, some never reached, the others armed anew as they end."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import asyncpg
from pydantic import JsonValue

from bench.client import Json, Refused
from bench.market import ENTRY, Trader
from bench.program import Say
from bench.purchases import buy, enter, held
from bench.side_by_side import side_by_side

AT_ONCE = 12
SOLD_AT_A_TIME = "5"
SHARES = Decimal(1_000)
LOOK_S = 2.0
ANY_PRICE = "0.99"
_ENDED = "SELECT rule_id, status FROM rules WHERE phase = 'done' AND rule_id = ANY($1::text[])"
_UNSETTLED = "SELECT phase, count(*) AS rules FROM rules WHERE phase NOT IN ('armed', 'done') GROUP BY phase"

Kind = Callable[[Random, float], Json]


def _stop(price: str) -> JsonValue:
    return {"type": "stop_loss", "price": price}


def _target(price: str) -> JsonValue:
    return {"type": "take_profit", "price": price}


def _trail(points: str, **more: str) -> JsonValue:
    return {"type": "trailing_stop", "points": points, **more}


def _cents(random: Random, first: int, last: int) -> str:
    return f"0.{random.randint(first, last):02d}"


def _soon(random: Random, length_s: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=random.uniform(0.1, 0.4) * length_s)


KINDS: dict[str, Kind] = {
    "far stop": lambda r, _: {"conditions": [_stop(_cents(r, 10, 30))]},
    "far target": lambda r, _: {"conditions": [_target(_cents(r, 90, 97))]},
    "far trail": lambda r, _: {"conditions": [_trail(_cents(r, 45, 49))]},
    "far pair": lambda r, _: {"conditions": [{"type": "stop_loss", "percent": "80"}, _target("0.98")]},
    "stop": lambda r, _: {"conditions": [_stop(_cents(r, 42, 50))]},
    "stop of two updates": lambda r, _: {"conditions": [_stop(_cents(r, 42, 50))], "confirm": {"updates": 2}},
    "target": lambda r, _: {"conditions": [_target(_cents(r, 70, 76))]},
    "trail": lambda r, _: {"conditions": [_trail(_cents(r, 15, 19))]},
    "trail from a price on": lambda r, _: {"conditions": [_trail("0.15", activation_price="0.62")]},
    "pair": lambda r, _: {"conditions": [_stop(_cents(r, 42, 50)), _target(_cents(r, 70, 76))]},
    "bid stop": lambda r, _: {"conditions": [_stop(_cents(r, 42, 50))], "price_source": "bid"},
    "moment": lambda r, s: {"conditions": [{"type": "at", "time": _soon(r, s).isoformat()}]},
    "expiring": lambda r, s: {
        "conditions": [_stop(_cents(r, 10, 30))],
        "expires_at": _soon(r, s).isoformat(),
    },
}
"""By name; each takes the source of chance and the real length of the run in seconds."""


@dataclass(frozen=True, slots=True)
class Standing:
    """An armed rule: whose, on what, of which kind, and whether it sells all."""

    trader: Trader
    token_id: str
    kind: str
    sells_all: bool


@dataclass(frozen=True, slots=True)
class Waiting:
    """A rule that is to be armed, and since when (the event loop's clock)."""

    standing: Standing
    since: float


@dataclass(slots=True)
class DayRules:
    """Keeps a number of rules armed: what ends is armed anew.

    Attributes:
        database_url: Of the projection, where ends are read.
        length_s: How long the run takes, real seconds.
        random: The source of all chance.
    """

    database_url: str
    length_s: float
    random: Random
    armed: dict[str, Standing] = field(default_factory=dict[str, Standing])
    kinds: dict[str, str] = field(default_factory=dict[str, str])
    """Of every rule that was ever armed."""
    ended: Counter[str] = field(default_factory=Counter[str])
    refused: Counter[str] = field(default_factory=Counter[str])
    _waiting: list[Waiting] = field(default_factory=list["Waiting"])

    async def set_up(self, traders: Sequence[Trader], tokens: Sequence[str], rules: int, say: Say) -> None:
        """Buy, and arm; the first trader's rules sell all of a position, the others' a part.

        Raises:
            BenchFailed: A position or a rule did not come about.
        """
        say("positions")
        await side_by_side((buy(t.api, token, SHARES, ENTRY) for t in traders for token in tokens), AT_ONCE)
        kinds = sorted(KINDS)
        for token in tokens:
            self._wait(Standing(traders[0], token, self.random.choice(kinds), True))
        others = traders[1:]
        for number in range(max(0, rules - len(tokens))):
            token = tokens[number // len(others) % len(tokens)]
            self._wait(Standing(others[number % len(others)], token, kinds[number % len(kinds)], False))
        say("rules")
        await self._arm_waiting()

    async def keep_armed(self) -> None:
        """Arm anew whatever ends, for ever."""
        connection = await asyncpg.connect(self.database_url, ssl=False)
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                await self._take_ended(connection)
                await self._arm_waiting()
        finally:
            await connection.close()

    async def count_ended(self) -> None:
        """Count what has ended since the last look."""
        connection = await asyncpg.connect(self.database_url, ssl=False)
        try:
            await self._take_ended(connection)
        finally:
            await connection.close()

    def waiting_since(self, seconds: float) -> tuple[str, ...]:
        """Return the kinds of rules that have been waiting to be armed for longer than this."""
        before = asyncio.get_running_loop().time() - seconds
        return tuple(waiting.standing.kind for waiting in self._waiting if waiting.since < before)

    async def unsettled(self) -> dict[str, int]:
        """Return how many rules are neither armed nor done, by phase."""
        connection = await asyncpg.connect(self.database_url, ssl=False)
        try:
            return {str(row["phase"]): int(str(row["rules"])) for row in await connection.fetch(_UNSETTLED)}
        finally:
            await connection.close()

    async def _take_ended(self, connection: asyncpg.Connection) -> None:
        for row in await connection.fetch(_ENDED, list(self.armed)):
            standing = self.armed.pop(str(row["rule_id"]))
            self.ended[f"{standing.kind}: {row['status']}"] += 1
            self._wait(standing)

    def _wait(self, standing: Standing) -> None:
        self._waiting.append(Waiting(standing, asyncio.get_running_loop().time()))

    async def _arm_waiting(self) -> None:
        await side_by_side([self._arm(waiting) for waiting in self._waiting], AT_ONCE)

    async def _arm(self, waiting: Waiting) -> None:
        """Arm one; where its level is reached already it waits for the next look."""
        standing = waiting.standing
        body: Json = {"token_id": standing.token_id, "entry_price": ENTRY}
        body |= KINDS[standing.kind](self.random, self.length_s)
        if not standing.sells_all:
            body["action"] = {"type": "SELL_PARTIAL", "amount": SOLD_AT_A_TIME}
        try:
            if standing.sells_all:
                await self._refill(standing)
            rule_id = await standing.trader.arm_as(body)
        except Refused as refused:
            self.refused[refused.code or str(refused.status)] += 1
        else:
            self._waiting.remove(waiting)
            self.armed[rule_id] = standing
            self.kinds[rule_id] = standing.kind

    async def _refill(self, standing: Standing) -> None:
        """Buy again what a rule sold whole; what the price of the moment gives is enough."""
        api, token = standing.trader.api, standing.token_id
        if await held(api, token) == (0, 0):
            await enter(api, token, SHARES, ANY_PRICE)
