"""Beats beside an activity's work: none for what is quick, one after the other for what takes long."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio.testing import ActivityEnvironment

from activities.heartbeats import beating


@pytest.fixture
def beats() -> asyncio.Queue[None]:
    return asyncio.Queue()


@pytest.fixture
def activity(beats: asyncio.Queue[None]) -> ActivityEnvironment:
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, heartbeat_timeout=timedelta(seconds=0.06))
    environment.on_heartbeat = lambda *details: beats.put_nowait(None)
    return environment


async def test_work_that_is_quick_asks_for_no_beat(
    activity: ActivityEnvironment, beats: asyncio.Queue[None]
) -> None:
    @beating()
    async def quick() -> int:
        await asyncio.sleep(0)
        return 7

    assert await activity.run(quick) == 7
    assert beats.empty()


async def test_work_that_takes_long_goes_on_beating(
    activity: ActivityEnvironment, beats: asyncio.Queue[None]
) -> None:
    @beating()
    async def slow() -> None:
        for _ in range(3):
            await beats.get()

    async with asyncio.timeout(10):
        await activity.run(slow)


async def test_work_without_a_heartbeat_time_out_never_beats(beats: asyncio.Queue[None]) -> None:
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, heartbeat_timeout=None)
    environment.on_heartbeat = lambda *details: beats.put_nowait(None)

    @beating()
    async def quick() -> None:
        await asyncio.sleep(0)

    await environment.run(quick)
    assert beats.empty()
