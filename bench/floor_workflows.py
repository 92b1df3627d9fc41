"""The floors: bare workflows beside the product; nothing but Temporal in between."""

import time
from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity, workflow

QUEUE = "bench-floor"
WORKFLOW = "BenchFloor"
BURST = "BenchBurst"
CREATED = "BenchCreated"
POST = "bench_post"
LIMIT = timedelta(seconds=4)


@dataclass(frozen=True, slots=True)
class Started:
    """When something was done, on the host's monotonic clock."""

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
                started = await workflow.execute_activity(take_time, start_to_close_timeout=LIMIT)
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


@workflow.defn(name=BURST)
class BenchBurst:
    """Waits for one signal, posts once, and ends."""

    @workflow.init
    def __init__(self) -> None:
        """Begin idle."""
        self._signalled = False

    @workflow.run
    async def run(self) -> int:
        """Return when the answer to the POST was there."""
        await workflow.wait_condition(lambda: self._signalled)
        posted = await workflow.execute_activity(POST, result_type=Started, start_to_close_timeout=LIMIT)
        return posted.monotonic_ns

    @workflow.signal
    def go(self) -> None:
        """Ask for the POST."""
        self._signalled = True


@workflow.defn(name=CREATED)
class BenchCreated:
    """Answers the update that it was started with, and stays."""

    @workflow.run
    async def run(self) -> None:
        """Wait for ever."""
        await workflow.wait_condition(lambda: False)

    @workflow.update
    async def create(self) -> bool:
        """Answer at once."""
        return True
