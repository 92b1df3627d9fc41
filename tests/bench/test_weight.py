"""Which process counts for which part."""

import asyncio
import os
import sys

from bench.weight import _trees

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
