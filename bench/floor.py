"""The floors as a benchmark drives them: bare Temporal, measured in turn with the product."""

import asyncio
import os
import sys
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle
from temporalio.common import Priority, WorkflowIDConflictPolicy

from bench.floor_workflows import BURST, CREATED, QUEUE, WORKFLOW, BenchFloor
from bench.side_by_side import side_by_side
from bench.waiting import BenchFailed
from runtime.embedded.local_stack import LocalStack
from runtime.temporal import connect

TASK_TIMEOUT = timedelta(seconds=10)
SIGNALS_AT_ONCE = 64
"""As many as a feed sends side by side."""
STARTS_AT_ONCE = 16
SAMPLES_OF_A_WORKFLOW = 500
"""A server takes two thousand updates of one workflow."""


@asynccontextmanager
async def floor_client(stack: LocalStack, workers: int = 1) -> AsyncGenerator[Client]:
    """Yield a client of the stack's Temporal while so many workers serve the floors."""
    async with AsyncExitStack() as running:
        for _ in range(workers):
            await running.enter_async_context(_worker(stack))
        yield await connect(stack.settings().temporal)


@asynccontextmanager
async def _worker(stack: LocalStack) -> AsyncGenerator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.floor_worker",
        env={**os.environ, "HOLDFAST_ENV_FILE": str(stack.data_dir.env_file), "PYTHONUNBUFFERED": "1"},
        stdin=asyncio.subprocess.PIPE,  # it ends with it, however this process ends
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C ends it in its turn, after what it serves
    )
    try:
        if process.stdout is None or not await process.stdout.readline():
            raise BenchFailed("a worker of the floor did not start")
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


class Floor:
    """Measures signal → eager activity, one at a time."""

    def __init__(self, client: Client) -> None:
        """Take a client of the same server."""
        self._client = client
        self._count = 0

    async def start(self) -> None:
        """Start the bare workflow."""
        self._count = 0
        self._handle = await self._client.start_workflow(
            WORKFLOW, id=f"bench-floor-{uuid.uuid4().hex}", task_queue=QUEUE
        )

    async def sample_ms(self) -> float:
        """Signal once and return the milliseconds until the activity's body began."""
        if self._count == SAMPLES_OF_A_WORKFLOW:
            await self.end()
            await self.start()
            await self._sample_ms()  # the first of a new workflow waits for its start
        return await self._sample_ms()

    async def _sample_ms(self) -> float:
        self._count += 1
        began = time.monotonic_ns()
        await self._handle.signal(BenchFloor.go)
        answered: int = await self._handle.execute_update(  # pyright: ignore[reportUnknownMemberType]  # partly untyped in the SDK
            "answered", self._count, result_type=int
        )
        return (answered - began) / 1e6

    async def end(self) -> None:
        """End the workflow."""
        await self._handle.signal(BenchFloor.end)


class BurstFloor:
    """Measures how long many bare workflows take that are signalled at once and post once each."""

    def __init__(self, client: Client, count: int) -> None:
        """Take a client and the number of workflows."""
        self._client = client
        self._count = count
        self._handles: list[WorkflowHandle[object, int]] = []

    async def start(self) -> None:
        """Start the workflows and let them settle."""
        self._handles = await side_by_side((self._started(n) for n in range(self._count)), STARTS_AT_ONCE)

    async def seconds(self) -> float:
        """Signal all of them; return the seconds until the answer to the last POST."""
        began = time.monotonic_ns()
        await side_by_side((handle.signal("go") for handle in self._handles), SIGNALS_AT_ONCE)
        posted = await asyncio.gather(*(handle.result() for handle in self._handles))
        return (max(posted) - began) / 1e9

    async def _started(self, number: int) -> "WorkflowHandle[object, int]":
        handle: WorkflowHandle[object, int] = await self._client.start_workflow(
            BURST,
            id=f"bench-burst-{uuid.uuid4().hex}",
            task_queue=QUEUE,
            result_type=int,
            priority=Priority(priority_key=1, fairness_key=f"floor {number % 20}"),
        )
        return handle


async def create_bare_ms(client: Client) -> float:
    """Start a bare workflow with an update; return the milliseconds until the answer."""
    operation = WithStartWorkflowOperation[object, object](
        CREATED,
        id=f"bench-created-{uuid.uuid4().hex}",
        task_queue=QUEUE,
        task_timeout=TASK_TIMEOUT,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        priority=Priority(priority_key=1, fairness_key="floor"),
    )
    began = time.monotonic_ns()
    await client.execute_update_with_start_workflow(  # pyright: ignore[reportUnknownMemberType]  # partly untyped in the SDK
        "create", start_workflow_operation=operation, result_type=bool
    )
    return (time.monotonic_ns() - began) / 1e6
