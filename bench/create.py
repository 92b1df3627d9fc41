"""`python -m bench.create`: rules a second through the API, what a creation costs, what an idle rule costs.

Product: POST /api/v2/rules → 201, the rule armed. Floor: update-with-start of a bare workflow that answers
at once, by as many callers. HTTP: the same POST with a body that validation refuses, so that the API does no
more than read, authenticate and answer. The three are taken in turn: by one client sample by sample, which
keeps creations well below the pace that the API holds starts to (in bulk they would starve the crossings of
rules that stand), so that the budget's ratio is free of it; by many clients round by round: it is this pace
that is measured then, and answers 429 are counted. Idle cost: growth of Postgres, of Temporal's file and of
the workers' memory, over the rules armed.
"""

import argparse
import asyncio
import json
import statistics
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path

import httpx2
from rich.console import Console
from rich.table import Table
from temporalio.client import Client

import runtime.logging
from bench.client import Api, Refused
from bench.figures import Series, series
from bench.floor import create_bare_ms, floor_client
from bench.market import Trader, stop_body
from bench.program import Say, prefixed, with_a_folder
from bench.side_by_side import side_by_side
from bench.stack import measured, running
from bench.waiting import BenchFailed
from bench.weight import Weight, cpu_seconds, scales_of, weigh
from runtime.embedded.stack import EmbeddedStack
from simulator.client import SimulatorAdmin

NAME = "create"
CLIENTS = (1, 16, 64)
STEPS = (1_000, 10_000)
FLOOR_WORKERS = 2
FILLING_AT_ONCE = 32
SETTLED_S = 3.0
QUIET_S = 60.0
"""Passes come once a minute."""
TOO_MANY_PAUSE_S = 0.1
TURN_S = 0.04
"""A turn of a single client takes so long at least: creations stay well below the API's pace."""

Sample = Callable[[], Coroutine[object, object, float]]


@dataclass(frozen=True, slots=True)
class Creation:
    """What so many clients at once found; rates are medians of the rounds, latencies are of all of them.

    A single client takes turns with the floor and waits below the API's pace: its rate counts the time of its
    own requests alone.
    """

    clients: int
    rules_per_s: float
    floor_per_s: float
    create_ms: Series
    floor_ms: Series
    http_ms: Series
    ratio_p50: float
    ratio_p50_without_http: float
    too_many: int


@dataclass(frozen=True, slots=True)
class IdleCost:
    """What so many idle rules add to an empty stack, a rule, and what the whole stack burns meanwhile."""

    rules: int
    postgres_bytes: int
    temporal_bytes: int
    worker_bytes: int
    server_bytes: int
    """Postgres and Temporal together."""
    cpu_percent: float
    """Of one core, by all processes, over a minute in which nothing happens."""
    empty_cpu_percent: float
    """The same of the stack with a single rule."""


@dataclass(frozen=True, slots=True)
class Report:
    """What one run found."""

    creations: tuple[Creation, ...]
    idle: tuple[IdleCost, ...]


class Caller:
    """Creates rules that never fire, as an impatient client that waits only where it is told to."""

    def __init__(self, api: Api, token_id: str) -> None:
        """Take an account's client and a token that it holds."""
        self._api = api
        self._token = token_id
        self._count = 0
        self.too_many = 0

    async def create_ms(self) -> float:
        """Create one; return the milliseconds until it was armed, waits after a 429 included.

        Raises:
            BenchFailed: It was not armed in time.
        """
        self._count += 1
        body = stop_body(self._token, f"0.{10 + self._count % 30:02d}")
        key, began = uuid.uuid4().hex, time.monotonic_ns()
        while True:
            try:
                answer = await self._api.post("/api/v2/rules", body, key)
            except Refused as refused:
                if refused.status != HTTPStatus.TOO_MANY_REQUESTS:
                    raise
                self.too_many += 1
                await asyncio.sleep(TOO_MANY_PAUSE_S)
                continue
            if "phase" not in answer:
                raise BenchFailed(f"a rule was not armed in time: {answer}")
            return (time.monotonic_ns() - began) / 1e6

    async def http_ms(self) -> float:
        """Send a body that is refused; return the milliseconds until the answer.

        Raises:
            BenchFailed: It was not refused.
        """
        began = time.monotonic_ns()
        try:
            await self._api.post("/api/v2/rules", {"token_id": self._token})
        except Refused as refused:
            if refused.status == HTTPStatus.UNPROCESSABLE_ENTITY:
                return (time.monotonic_ns() - began) / 1e6
            raise
        raise BenchFailed("a rule without conditions was created")


async def measure(
    clients: Sequence[int], per_round: int, rounds: int, steps: Sequence[int], folder: Path, say: Say
) -> Report:
    """Run the whole measurement, each half on a stack of its own.

    Raises:
        BenchFailed: The run could not be carried through.
    """
    creations: list[Creation] = []
    if clients:
        async with (
            running(measured(folder / "creation")) as stack,
            _trader(stack) as trader,
            floor_client(stack, FLOOR_WORKERS) as floor,
            httpx2.AsyncClient(base_url=stack.api_url, timeout=60, limits=_LIMITS, trust_env=False) as http,
        ):
            token = await _token(trader, "creation")
            api = Api(http, stack.admin_key.get_secret_value(), trader.account_id)
            for count in clients:
                told = prefixed(say, f"{count} clients: ")
                creations.append(await _creation(Caller(api, token), floor, count, per_round, rounds, told))
    return Report(tuple(creations), tuple(await _idle(steps, folder / "idle", say)) if steps else ())


_LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=None)


async def _creation(
    caller: Caller, floor: Client, clients: int, per_round: int, rounds: int, say: Say
) -> Creation:
    made: list[float] = []
    bare: list[float] = []
    http: list[float] = []
    rates: list[float] = []
    floor_rates: list[float] = []
    for number in range(-1, rounds):  # the first warms up and is left out
        say(f"round {number + 1} of {rounds}")
        samples = (caller.create_ms, lambda: create_bare_ms(floor), caller.http_ms)
        if clients == 1:
            taken, floors, refused = await _in_turn(samples, per_round)
        else:
            taken, floors, refused = [await _batch(sample, clients, per_round) for sample in samples]
        if number >= 0:
            made, bare, http = made + taken.took_ms, bare + floors.took_ms, http + refused.took_ms
            rates.append(taken.per_s)
            floor_rates.append(floors.per_s)
    created, floored, asked = series(made), series(bare), series(http)
    return Creation(
        clients=clients,
        rules_per_s=round(statistics.median(rates), 1),
        floor_per_s=round(statistics.median(floor_rates), 1),
        create_ms=created,
        floor_ms=floored,
        http_ms=asked,
        ratio_p50=round(created.p50_ms / floored.p50_ms, 3),
        ratio_p50_without_http=round((created.p50_ms - asked.p50_ms) / floored.p50_ms, 3),
        too_many=caller.too_many,
    )


@dataclass(frozen=True, slots=True)
class _Taken:
    """Samples in milliseconds, and how many of them came in a second."""

    took_ms: list[float]
    per_s: float


async def _batch(sample: Sample, clients: int, count: int) -> _Taken:
    """Take so many samples by so many clients."""
    began = time.monotonic()
    took_ms = await side_by_side((sample() for _ in range(count)), clients)
    return _Taken(took_ms, count / (time.monotonic() - began))


async def _in_turn(samples: Sequence[Sample], count: int) -> list[_Taken]:
    """Take one sample of each in turn, so many times, none in less than `TURN_S`."""
    taken: list[list[float]] = []
    for _ in range(count):
        began = time.monotonic()
        taken.append([await sample() for sample in samples])
        await asyncio.sleep(max(0.0, TURN_S - (time.monotonic() - began)))
    return [_Taken(list(column), 1000 * count / sum(column)) for column in zip(*taken, strict=True)]


async def _idle(steps: Sequence[int], folder: Path, say: Say) -> list[IdleCost]:
    async with running(measured(folder)) as stack, _trader(stack) as trader:
        token = await _token(trader, "idle rules")
        await trader.arm(token, "0.10")  # what the first rule brings along is not what a rule costs
        empty, empty_cpu = await _settled(stack), await _idle_cpu_percent(stack, say)
        armed, costs = 0, list[IdleCost]()

        async def arm(number: int) -> None:
            nonlocal armed
            await trader.arm(token, f"0.{10 + number % 30:02d}")
            armed += 1
            say(f"idle rules: {armed} of {steps[-1]}")

        for step in steps:
            await side_by_side((arm(number) for number in range(armed, step)), FILLING_AT_ONCE)
            now = await _settled(stack)
            costs.append(_cost(step, empty, now, await _idle_cpu_percent(stack, say), empty_cpu))
        return costs


async def _idle_cpu_percent(stack: EmbeddedStack, say: Say) -> float:
    """Return what the stack's processes burn while nothing happens, as a share of one core."""
    say(f"idle rules: watching the processors for {QUIET_S:g} s")
    began, before = time.monotonic(), cpu_seconds(scales_of(stack))
    await asyncio.sleep(QUIET_S)
    spent = cpu_seconds(scales_of(stack)) - before
    return round(100 * spent / (time.monotonic() - began), 2)


async def _settled(stack: EmbeddedStack) -> Weight:
    await asyncio.sleep(SETTLED_S)
    return await weigh(scales_of(stack))


def _cost(rules: int, before: Weight, now: Weight, cpu: float, empty_cpu: float) -> IdleCost:
    postgres = (now.postgres_bytes - before.postgres_bytes) // rules
    temporal = (now.temporal_bytes - before.temporal_bytes) // rules
    workers = (now.worker_bytes - before.worker_bytes) // rules
    return IdleCost(rules, postgres, temporal, workers, postgres + temporal, cpu, empty_cpu)


@asynccontextmanager
async def _trader(stack: EmbeddedStack) -> AsyncGenerator[Trader]:
    async with (
        SimulatorAdmin(stack.simulator_admin_url) as admin,
        Trader(stack.api_url, stack.admin_key.get_secret_value(), admin) as trader,
    ):
        await trader.open_account("create")
        yield trader


async def _token(trader: Trader, name: str) -> str:
    token = await trader.open_market(name)
    await trader.buy(token)
    return token


def show(report: Report, console: Console) -> None:
    """Print the figures as tables."""
    if report.creations:
        console.print(_creations(report.creations))
    if report.idle:
        console.print(_costs(report.idle))


def _creations(rows: Sequence[Creation]) -> Table:
    table = Table(title="Rules through the API, against bare update-with-start")
    names = ("clients", "/s", "floor/s", "p50 ms", "p99", "floor p50", "http p50", "ratio", "no http")
    for name in (*names, "429"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            *map(
                str,
                (
                    row.clients,
                    row.rules_per_s,
                    row.floor_per_s,
                    row.create_ms.p50_ms,
                    row.create_ms.p99_ms,
                    row.floor_ms.p50_ms,
                    row.http_ms.p50_ms,
                    row.ratio_p50,
                    row.ratio_p50_without_http,
                    row.too_many,
                ),
            )
        )
    return table


def _costs(rows: Sequence[IdleCost]) -> Table:
    table = Table(title="An idle rule, bytes; the whole stack, % of a core")
    for name in ("rules", "Postgres", "Temporal", "both", "workers' memory", "CPU %", "with one rule"):
        table.add_column(name, justify="right")
    for row in rows:
        figures = (row.rules, row.postgres_bytes, row.temporal_bytes, row.server_bytes, row.worker_bytes)
        shares = (row.cpu_percent, row.empty_cpu_percent)
        table.add_row(*(f"{figure:,}" for figure in figures), *map(str, shares))
    return table


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m bench.create", description=__doc__)
    made.add_argument("--clients", type=int, nargs="*", default=list(CLIENTS), help="numbers of clients")
    made.add_argument("--per-round", type=int, default=200, help="rules of a round")
    made.add_argument("--rounds", type=int, default=3, help="rounds, after one that warms up")
    words = "numbers of idle rules at which the stack is weighed; none leaves it out"
    made.add_argument("--idle", type=int, nargs="*", default=list(STEPS), help=words)
    made.add_argument("--data-dir", type=Path, default=None, help="keep the stacks' data and logs here")
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return made


def main() -> None:
    """Measure and print."""
    given = parser().parse_args()
    runtime.logging.configure(level=40)
    report = with_a_folder(
        NAME,
        given.data_dir,
        lambda folder, say: measure(
            given.clients, given.per_round, given.rounds, sorted(given.idle), folder, say
        ),
    )
    if given.json:
        print(json.dumps(asdict(report)))
    else:
        show(report, Console())


if __name__ == "__main__":
    main()
