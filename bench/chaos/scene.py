"""What acts work with: the running stack, the stage on it, and the record of what was done."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import asyncpg
import httpx2
from temporalio.client import Client
from temporalio.service import RPCError

from bench.chaos.outages import Outages
from bench.chaos.plan import Act
from bench.chaos.stage import Stage, now_ms
from runtime.embedded.stack import EmbeddedStack

T = TypeVar("T")
PATIENCE_S = 60.0
_AWAY = (httpx2.TransportError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError, RPCError)


@dataclass(slots=True)
class Scene:
    """One run while it goes on."""

    stack: EmbeddedStack
    stage: Stage
    outages: Outages
    temporal: Client
    deeds: list[str] = field(default_factory=list[str])
    strikes: Counter[str] = field(default_factory=Counter[str])
    """How often the faults of each trouble of the venue met something."""
    by_people: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever changes rules by hand, and while Temporal's file is rolled back beneath them."""

    by_operator: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while the kill switch is thrown: whoever threw it again would have it lifted too early."""

    def note(self, words: str) -> None:
        """Keep what was done, with its second."""
        self.deeds.append(f"{(now_ms() - self.stage.start_ms) / 1000:6.1f} s  {words}")

    def struck(self, act: Act, times: int) -> None:
        """Count how often an act's faults met something; one that met nothing counts as 0."""
        self.strikes[str(act.trouble)] += times

    async def execute(self, *statements: str) -> None:
        """Run statements in Postgres past the product, as soon as it is there."""

        async def once() -> None:
            connection = await asyncpg.connect(self.stack.database_url, ssl=False, timeout=5)
            try:
                for statement in statements:
                    await connection.execute(statement, timeout=10)
            finally:
                await connection.close()

        await patiently(once)


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Return what a call returns, as soon as the part that it goes to is there.

    Raises:
        TimeoutError: It was not within a minute.
    """
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await call()
            except _AWAY:
                await asyncio.sleep(0.1)
