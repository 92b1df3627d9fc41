"""The short profile of chaos, as a user starts it."""

import asyncio
import json
import sys

import pytest

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
}


@pytest.mark.serial
async def test_twenty_exits_under_kills_lose_nothing_and_send_nothing_twice() -> None:
    profile = ["--exits", "20", "--seed", "2", "--minutes", "0.25", "--pace", "fast", "--faults", "none"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.chaos",
        *profile,
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
    assert process.returncode == 0, told.decode()
    figures = json.loads(output)
    assert figures.keys() == KEYS
    assert figures["orders_at_venue"] >= figures["exits_expected"] > 0
    assert figures["seed"] == 2
