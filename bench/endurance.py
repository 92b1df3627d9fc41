"""What programs that run for long have in common: looks at the stack, an old tape to compact, the logs."""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
from rich.console import Console

from bench.program import Say
from bench.waiting import BenchFailed, missed, until
from bench.weight import Scales, Weight, weigh

LOOKS = 40
SHORTEST_LOOK_S, LONGEST_LOOK_S = 2.0, 30.0
PLANTED_AGE = timedelta(days=3)
PLANTED_ROWS = 360
PLANTED_TOKEN = "bench: what a past day left"
COMPACTED_WITHIN_S = 180.0
UNFINISHED = "unfinished"
_PLANT = """
    INSERT INTO tape (venue, token_id, ts, bid, ask, last)
    SELECT 'polymarket', $1, $2::timestamptz + n * interval '10 seconds', 0.5, 0.51, 0.5
    FROM generate_series(1, $3) AS n
"""
_PLANTED_LEFT = "SELECT count(*) FROM tape WHERE token_id = $1"
_CANDLES = "SELECT coalesce(sum(changes), 0) FROM candles WHERE token_id = $1"


async def look_often(
    scales: Scales, seconds: float, going_on: "asyncio.Task[None]", say: Say
) -> tuple[Weight, ...]:
    """Weigh a stack again and again while something goes on in it.

    Raises:
        BenchFailed: What was to go on ended; its own failure is raised instead where it had one.
    """
    weights: list[Weight] = []
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        say(f"prices move: {passed / 60:.1f} of {seconds / 60:.1f} minutes, {len(weights)} looks")
        weights.append(await weigh(scales))
        await asyncio.wait([going_on], timeout=min(LONGEST_LOOK_S, max(SHORTEST_LOOK_S, seconds / LOOKS)))
        if going_on.done():
            going_on.result()  # raises what stopped it
            raise BenchFailed("the prices stopped")
    return tuple(weights)


async def plant_old_tape(database_url: str) -> None:
    """Write what a feed of three days ago would have left."""
    connection = await asyncpg.connect(database_url, ssl=False)
    try:
        await connection.execute(_PLANT, PLANTED_TOKEN, datetime.now(UTC) - PLANTED_AGE, PLANTED_ROWS)
    finally:
        await connection.close()


async def is_compacted(database_url: str) -> bool:
    """Say whether the old part of the tape becomes candles in time, with every change counted."""
    connection = await asyncpg.connect(database_url, ssl=False)

    async def left() -> int:
        return int(str(await connection.fetchval(_PLANTED_LEFT, PLANTED_TOKEN)))

    try:
        gone = until(left, lambda rows: rows == 0, "the tape's compaction", limit_s=COMPACTED_WITHIN_S)
        if await missed(gone):
            return False
        return int(str(await connection.fetchval(_CANDLES, PLANTED_TOKEN))) == PLANTED_ROWS
    finally:
        await connection.close()


def unfinished(logs: Path) -> tuple[str, ...]:
    """Return the lines of the logs that tell of handlers left unfinished."""
    found: list[str] = []
    for log in sorted(logs.glob("worker*.log")):
        lines = log.read_text(errors="replace").splitlines()
        found += [f"{log.stem}: {line[:300]}" for line in lines if UNFINISHED in line.lower()]
    return tuple(found)


def show_memory(memory_mb: Mapping[str, tuple[float, float]], console: Console) -> None:
    """Print the memory of each part in the second quarter of a run and in its last."""
    for part, (before, now) in sorted(memory_mb.items()):
        words = f"  {part}: memory {before:.1f} MB, then {now:.1f} MB ({now - before:+.1f})"
        console.print(words, highlight=False)


def tape_row(at_s: float, bid: str | None, ask: str | None, last: str | None = None) -> dict[str, str | None]:
    """Return a row of the simulator's tape, so many seconds after its beginning."""
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=at_s)
    return {"ts": at.isoformat(timespec="milliseconds"), "bid": bid, "ask": ask, "last": last}
