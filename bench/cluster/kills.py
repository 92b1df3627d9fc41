"""Kills while a price crosses, on a cluster: each exit goes out exactly once, and how soon.

Every round protects three positions and kills at three moments: when the venue has accepted the order of the
first and its answer is still held back, when the frame that crosses the second has just been handed out, and
before the frame that crosses the third is.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from temporalio.client import Client
from temporalio.service import RPCError

from bench.client import Json
from bench.followers import await_followed
from bench.market import SHARES, Protected, Trader
from bench.waiting import NeverCame, missed, until
from domain.ids import feed_workflow_id
from runtime.cluster.stack import API, NODES, ClusterStack, temporal_part, worker_part
from runtime.embedded.supervisor import PartFailed
from simulator.client import SimulatorAdmin

BUDGET_S = 10.0
"""Within this time after its crossing an exit has been sent, whatever was killed."""


@dataclass(frozen=True, slots=True)
class Victims:
    """What a round kills.

    Attributes:
        name: In words.
        find: Returns the parts, asked right before they die.
    """

    name: str
    find: Callable[["Arena"], Awaitable[tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class Round:
    """What came of a round.

    Attributes:
        victims: What was killed, in words.
        parts: The parts.
        orders: Exit orders that the venue registered, of three expected.
        differences: In words, what is not as it must be, but for the times.
        crossed_to_post_s: From the frame handed out just before the kill to its POST; None: none came.
        away_to_post_s: The same for the frame handed out when the parts were dead.
        all_back_s: From the kill until every part was healthy again.
    """

    victims: str
    parts: tuple[str, ...]
    orders: int
    differences: tuple[str, ...]
    crossed_to_post_s: float | None
    away_to_post_s: float | None
    all_back_s: float

    @property
    def late(self) -> tuple[str, ...]:
        """In words, the exits whose first POST came later than the budget, or never."""
        waited = {"just before": self.crossed_to_post_s, "just after": self.away_to_post_s}
        return tuple(
            f"the exit that crossed {when} the kill was "
            + ("never sent" if s is None else f"sent after {s:g} s")
            for when, s in waited.items()
            if s is None or s > BUDGET_S
        )


class Arena:
    """A running cluster with one trader in it."""

    def __init__(self, stack: ClusterStack, admin: SimulatorAdmin, trader: Trader, temporal: Client) -> None:
        """Take what runs; `temporal` is only asked while both servers are there."""
        self.stack = stack
        self.admin = admin
        self.trader = trader
        self.temporal = temporal

    async def kill_round(self, victims: Victims) -> Round:
        """Protect, cross, kill, wait for all to be back, and look at the venue's books.

        Raises:
            BenchFailed: The round could not be set up. What the cluster owed from then on, and what did not
                come, is among the round's differences.
        """
        sent, crossed, away = await self._protect(victims.name)
        parts = await victims.find(self)
        try:
            release = await hold_after_accept(
                self.admin, sent.token_id, lambda: self.admin.step_tape(sent.tape_id)
            )
        except NeverCame as never:
            return Round(victims.name, parts, 0, (str(never),), None, None, 0.0)
        generations = {part: self.stack.supervisor.generation(part) for part in parts}
        await self.admin.step_tape(crossed.tape_id)
        killed = time.monotonic()
        for part in parts:
            self.stack.kill(part)
        await self.admin.step_tape(away.tape_id)
        await release()
        gone: list[str] = []
        for part, generation in generations.items():
            gone += await self._stays_away(part, generation)
        back_s = time.monotonic() - killed
        done = await self._round(victims.name, parts, (sent, crossed, away), back_s)
        return replace(done, differences=(*gone, *done.differences))

    async def _stays_away(self, part: str, generation: int) -> tuple[str, ...]:
        """Wait for a killed part; return nothing once it is back, else the words that it is not."""
        try:
            await self.stack.wait_healthy(part, 180.0, after=generation)
        except PartFailed as failed:
            return (str(failed),)
        return ()

    async def _protect(self, name: str) -> tuple[Protected, Protected, Protected]:
        sent, crossed, away = [await self.trader.protect(f"{name}, {n}") for n in ("sent", "crossed", "away")]
        await await_followed(self.admin, [protected.token_id for protected in (sent, crossed, away)])
        return sent, crossed, away

    async def _round(
        self, name: str, parts: tuple[str, ...], all_three: Sequence[Protected], back_s: float
    ) -> Round:
        differences: list[str] = []
        orders = 0
        for protected in all_three:
            unended = await missed(self.trader.done(protected.rule_id))
            registered, wrong = await self._audit(protected)
            differences += unended
            orders += registered
            differences += wrong
        _, crossed, away = all_three
        return Round(
            victims=name,
            parts=parts,
            orders=orders,
            differences=tuple(differences),
            crossed_to_post_s=await self._to_post_s(crossed),
            away_to_post_s=await self._to_post_s(away),
            all_back_s=round(back_s, 1),
        )

    async def _audit(self, protected: Protected) -> tuple[int, list[str]]:
        """Return how many sells the venue registered for a token, and what is wrong with its books."""
        token = protected.token_id
        entries = [e for e in await self.admin.ledger(token_id=token) if e.side == "SELL"]
        accepted = [entry.order_id for entry in entries if entry.outcome == "accepted"]
        wrong: list[str] = []
        if len(accepted) != 1:
            wrong.append(f"{token[:12]}: {len(accepted)} orders accepted where one had to be")
        sold = sum(
            (
                Decimal(trade.size)
                for trade in await self.admin.trades(self.trader.address)
                if trade.token_id == token and trade.side == "SELL" and trade.status != "FAILED"
            ),
            Decimal(0),
        )
        if sold != Decimal(SHARES):
            wrong.append(f"{token[:12]}: {sold} shares sold of {SHARES}")
        left = (await self.admin.wallet(self.trader.address)).tokens.get(token, "0")
        if Decimal(left) != 0:
            wrong.append(f"{token[:12]}: {left} shares are left")
        positions = until(
            lambda: self.trader.api.get("/api/v2/positions", token_id=token), is_empty, "an empty position"
        )
        wrong += await missed(positions)
        return len(set(accepted)), wrong

    async def _to_post_s(self, protected: Protected) -> float | None:
        """Return the seconds from the frame that crossed, heard by anybody or not, to the first POST."""
        frame = (await self.admin.tape(protected.tape_id)).frames[0]
        entries = await self.admin.ledger(token_id=protected.token_id)
        posts = [entry.received_at_ms for entry in entries if entry.side == "SELL"]
        return round((min(posts) - frame.timestamp_ms) / 1000, 2) if posts else None


async def hold_after_accept(
    admin: SimulatorAdmin, token_id: str, cross: Callable[[], Awaitable[object]]
) -> Callable[[], Awaitable[None]]:
    """Cross a token's price and wait until the venue has accepted the order, its answer held back.

    Returns what lets the answer go.
    """
    barrier = await admin.raise_barrier("after_accept", token_id=token_id)
    await cross()

    async def taken() -> int:
        return (await admin.barrier(barrier, wait_ms=1_000)).taken

    await until(taken, bool, "an order at the barrier")
    return lambda: admin.release_barrier(barrier)


def is_empty(page: Json) -> bool:
    """Tell whether a page of positions holds no shares."""
    items = page.get("items")
    first = items[0] if isinstance(items, list) and items else None
    return not isinstance(first, dict) or Decimal(str(first["shares"])) == 0


async def _feed_in_charge(arena: Arena) -> tuple[str, ...]:
    """Return the worker whose activity feeds the index now; both when Temporal does not tell."""
    feeds = tuple(worker_part("feed", node) for node in NODES)
    handle = arena.temporal.get_workflow_handle(feed_workflow_id("polymarket", 0))
    try:
        pending = (await handle.describe()).raw_description.pending_activities
    except RPCError:
        return feeds
    identities = {activity.last_worker_identity.partition("@")[0] for activity in pending}
    found = tuple(part for part in feeds if str(arena.stack.supervisor.pid(part)) in identities)
    return found or feeds


def _fixed(*parts: str) -> Callable[[Arena], Awaitable[tuple[str, ...]]]:
    async def find(arena: Arena) -> tuple[str, ...]:
        del arena
        return parts

    return find


ROUNDS = (
    Victims("one core worker", _fixed(worker_part("core", 1))),
    Victims("both core workers", _fixed(*(worker_part("core", node) for node in NODES))),
    Victims("the feed in charge", _feed_in_charge),
    Victims("both feeds", _fixed(*(worker_part("feed", node) for node in NODES))),
    Victims("both io workers", _fixed(*(worker_part("io", node) for node in NODES))),
    Victims("Temporal server 1", _fixed(temporal_part(1))),
    Victims("Temporal server 2", _fixed(temporal_part(2))),
    Victims("both Temporal servers", _fixed(*(temporal_part(node) for node in NODES))),
    Victims("the API", _fixed(API)),
)


async def kills(arena: Arena, say: Callable[[str], None]) -> list[Round]:
    """Run every round, one after another."""
    rounds: list[Round] = []
    for victims in ROUNDS:
        say(f"killing {victims.name} while prices cross")
        rounds.append(await arena.kill_round(victims))
    return rounds
