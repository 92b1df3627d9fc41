"""A program of `bench` that is stopped from outside leaves nothing behind."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.conftest import traversable_folder
from tests.e2e.waiting import until

ENDLESS = ("--exits", "6", "--seed", "1", "--minutes", "60", "--pace", "fast", "--faults", "none")


async def chaos(folder: Path) -> asyncio.subprocess.Process:
    """Starts an endless run whose folders lie below a given one."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.chaos", *ENDLESS,
        env={**os.environ, "TMPDIR": str(folder)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


def recorded(folder: Path) -> dict[str, int]:
    """Returns the process ids of a run's stack, by part."""
    files = list(folder.glob("*/data/pids.json"))
    records = json.loads(files[0].read_text()) if files else []
    return {record["part"]: record["pid"] for record in records}


async def children_with(folder: Path, part: str) -> list[psutil.Process]:
    """Returns the processes of a run's stack, once the part is among them."""
    pids = await until(lambda: asyncio.to_thread(recorded, folder), lambda pids: part in pids, part)
    return [psutil.Process(pid) for pid in pids.values()]


@pytest.mark.serial
@pytest.mark.parametrize(
    ("number", "once_there"),
    [(signal.SIGINT, "postgres"), (signal.SIGTERM, "worker-core-1")],
    ids=["ctrl-c while the stores start", "sigterm while the workers start"],
)
async def test_a_signal_ends_every_process_and_tells_what_became_of_the_folder(
    number: signal.Signals, once_there: str
) -> None:
    with traversable_folder() as folder:
        process = await chaos(folder)
        try:
            started = await children_with(folder, once_there)
            process.send_signal(number)
            process.send_signal(number)  # impatience must not cut the stopping short
            _, told = await asyncio.wait_for(process.communicate(), 60)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        words = told.decode()
        assert process.returncode == 130, words
        assert "seed 1: stopped" in words
        assert f"{folder}" in words
        assert "was removed" in words
        assert "Traceback" not in words
        assert os.listdir(folder) == []
        assert [p for p in started if p.is_running()] == []
