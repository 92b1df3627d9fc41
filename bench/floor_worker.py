"""A worker of the floors in a process of its own: server, settings, sandbox and options are the product's."""

import asyncio
import signal
import sys
import time

import httpx2
import uvloop
from temporalio import activity
from temporalio.worker import Worker

from bench.floor_workflows import POST, QUEUE, BenchBurst, BenchCreated, BenchFloor, Started, take_time
from bench.settings import stack_settings
from runtime.temporal import connect, workflow_runner

BODY_BYTES = 900
"""About as long as a signed order."""
TASKS_AT_ONCE, ACTIVITIES_AT_ONCE = 16, 200
"""As the product's workers have them."""


class Poster:
    """Posts what an order's POST would carry, and lets the exchange refuse it at the door."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        """Take a client with the exchange's base URL."""
        self._http = http

    @activity.defn(name=POST)
    async def post(self) -> Started:
        """Post once; returns when the answer was there."""
        await self._http.post("/order", json={"order": "0" * BODY_BYTES})
        return Started(time.monotonic_ns())


async def _serve() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stop.set)  # nothing comes but its end
    settings = stack_settings()
    client = await connect(settings.temporal)
    http = httpx2.AsyncClient(base_url=settings.polymarket.clob_url, trust_env=False)
    async with (
        http,
        Worker(
            client,
            task_queue=QUEUE,
            workflows=[BenchFloor, BenchBurst, BenchCreated],
            activities=[take_time, Poster(http).post],
            workflow_runner=workflow_runner(),
            max_concurrent_workflow_tasks=TASKS_AT_ONCE,
            max_concurrent_activities=ACTIVITIES_AT_ONCE,
            max_cached_workflows=settings.tuning.max_cached_workflows,
            sticky_queue_schedule_to_start_timeout=settings.tuning.sticky_timeout,
        ),
    ):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())
