"""The short profile of chaos, as a user starts it."""

import asyncio
import json
import sys

import pytest

from bench.program import EXIT_FAILED
from bench.stack import NOT_STARTED

KEYS = {
    "exits_expected",
    "orders_at_venue",
    "duplicates",
    "lost",
    "wrong_quantity",
    "wrong_final_state",
    "projection_differences",
    "oversold",
    "recovery_s_max",
    "stuck",
    "seed",
    "recovery",
    "fault_strikes",
}


PROFILE = ("--exits", "20", "--seed", "2", "--minutes", "0.25", "--pace", "fast", "--faults", "none")
BUDGET_S = "60"
"""Loaded machines are slow; what hangs until the end of the run is none of that."""


async def chaos() -> tuple[int | None, bytes, str]:
    """Runs the short profile; returns exit code, figures and words."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.chaos",
        *PROFILE,
        "--recovery-budget",
        BUDGET_S,
        "--json",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, told = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    return process.returncode, output, told.decode()


@pytest.mark.serial
@pytest.mark.timeout(
    600
)  # under 45 s on a machine of one's own; on a loaded one only what never ends may fail
async def test_twenty_exits_under_kills_lose_nothing_and_send_nothing_twice() -> None:
    code, output, told = await chaos()
    if code == EXIT_FAILED and NOT_STARTED in told:  # whatever else ended it may be the product's fault
        code, output, told = await chaos()
    assert code == 0, told
    figures = json.loads(output)
    assert figures.keys() == KEYS
    assert figures["orders_at_venue"] >= figures["exits_expected"] > 0
    assert figures["seed"] == 2
