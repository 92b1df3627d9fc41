"""Some of many things at a time."""

import asyncio

import pytest

from bench.side_by_side import side_by_side


async def test_at_most_so_many_run_at_once_and_answers_keep_their_order() -> None:
    running = most = 0

    async def job(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return number

    assert await side_by_side((job(n) for n in range(10)), 3) == list(range(10))
    assert most == 3


async def test_a_failure_ends_those_that_run_and_those_that_wait() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    async def endless() -> None:
        await asyncio.Event().wait()

    with pytest.raises(ValueError, match="no"):
        await side_by_side([endless(), fails(), endless(), endless()], 2)
    assert asyncio.all_tasks() == {asyncio.current_task()}
