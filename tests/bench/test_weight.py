"""Which process counts for which part."""

import asyncio
import os
import sys
from pathlib import Path

from bench.weight import Scales, _trees, cpu_seconds

IDLE = (sys.executable, "-c", "input()")


async def test_part_below_another_counts_once_and_for_itself() -> None:
    child = await asyncio.create_subprocess_exec(*IDLE, stdin=asyncio.subprocess.PIPE)
    try:
        trees = _trees({"supervisor": os.getpid(), "worker-io": child.pid, "api": None})
        told = {part: {process.pid for process in tree} for part, tree in trees.items()}
        assert os.getpid() in told["supervisor"]
        assert child.pid not in told["supervisor"]
        assert (told["worker-io"], told["api"]) == ({child.pid}, set())
    finally:
        child.kill()
        await child.wait()


def test_processor_time_is_that_of_all_parts() -> None:
    scales = Scales("", Path(), lambda: {"worker-io": os.getpid(), "api": None})
    before = cpu_seconds(scales)
    while cpu_seconds(scales) <= before:
        sum(range(100_000))
    assert cpu_seconds(Scales("", Path(), lambda: {"api": None})) == 0
