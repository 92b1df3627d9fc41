"""The floor: a bare workflow whose signal starts an eager activity. Run as a process of its own.

Same server, same settings, same sandbox and worker options as the product; nothing but Temporal in between.
"""

import asyncio
import signal
import sys
import time
from dataclasses import dataclass
from datetime import timedelta

import uvloop
from temporalio import activity, workflow
from temporalio.worker import Worker

from bench.settings import stack_settings
from runtime.temporal import connect, workflow_runner

QUEUE = "bench-floor"
WORKFLOW = "BenchFloor"


@dataclass(frozen=True, slots=True)
class Started:
    """When the activity's body began, on the host's monotonic clock."""

    monotonic_ns: int


@activity.defn
async def take_time() -> Started:
    """Return the time at which this body began."""
    return Started(time.monotonic_ns())


@workflow.defn(name=WORKFLOW)
class BenchFloor:
    """Runs one activity for each signal."""

    @workflow.init
    def __init__(self) -> None:
        """Begin idle."""
        self._signalled = 0
        self._answered: list[int] = []
        self._ended = False

    @workflow.run
    async def run(self) -> None:
        """Serve signals until told to end."""
        while not self._ended:
            await workflow.wait_condition(lambda: self._ended or self._signalled > len(self._answered))
            if not self._ended:
                started = await workflow.execute_activity(
                    take_time, start_to_close_timeout=timedelta(seconds=4)
                )
                self._answered.append(started.monotonic_ns)

    @workflow.signal
    def go(self) -> None:
        """Ask for one activity."""
        self._signalled += 1

    @workflow.signal
    def end(self) -> None:
        """End the workflow."""
        self._ended = True

    @workflow.update
    async def answered(self, count: int) -> int:
        """Return when the body of the activity number `count` began, once it did."""
        await workflow.wait_condition(lambda: len(self._answered) >= count)
        return self._answered[count - 1]


async def _serve() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    client = await connect(stack_settings().temporal)
    async with Worker(
        client,
        task_queue=QUEUE,
        workflows=[BenchFloor],
        activities=[take_time],
        workflow_runner=workflow_runner(),
        max_concurrent_workflow_tasks=16,
    ):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())
