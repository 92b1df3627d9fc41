"""Whether a Temporal server is tuned as it was told: by what it does, and by the words in its program.

The server accepts unknown keys silently, so neither a start without an error nor its configuration file says
anything. What has an effect that can be seen in a second is seen; the limits that only matter to thousands of
calls a second are looked up in the program.
"""

import asyncio
import mmap
import os
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from temporalio import activity, workflow
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, ListTaskQueuePartitionsRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.common import Priority
from temporalio.worker import Worker

from runtime.temporal_tuning import NAMESPACE_RETENTION

HOPS = 30
TIMERS = 5
CROWD = 40
AMONG_FIRST = 10
HOP_LIMIT_S = 0.07
TIMERS_LIMIT_S = 4.0


@dataclass(frozen=True, slots=True)
class Effect:
    """What one or several keys do, as it was seen.

    Attributes:
        keys: The keys that it shows.
        seen: In words, with the figure.
        tuned: Whether it is as tuned.
    """

    keys: tuple[str, ...]
    seen: str
    tuned: bool


@activity.defn(name="TuningStep")
async def step() -> int:
    """Say which process ran it."""
    return os.getpid()


@workflow.defn(name="TuningHops", sandboxed=False)
class Hops:
    """Runs activities one after another, each through a task queue and back."""

    @workflow.run
    async def run(self) -> float:
        """Return the seconds of the fastest one after a limiter's first burst, by the server's clock."""
        took = list[float]()
        for _ in range(HOPS):
            began = workflow.now()
            await workflow.execute_activity(step, start_to_close_timeout=timedelta(seconds=10))
            took.append((workflow.now() - began).total_seconds())
        return min(took[HOPS // 2 :])


@workflow.defn(name="TuningTimers", sandboxed=False)
class Timers:
    """Waits several times for 20 ms."""

    @workflow.run
    async def run(self) -> float:
        """Return the seconds that it took by the server's clock."""
        began = workflow.now()
        for _ in range(TIMERS):
            await workflow.sleep(timedelta(milliseconds=20))
        return (workflow.now() - began).total_seconds()


@workflow.defn(name="TuningGuest", sandboxed=False)
class Guest:
    """Ends at once; what counts is when its turn comes."""

    @workflow.run
    async def run(self) -> None:
        """End."""


def knows(program: Path, key: str) -> bool:
    """Tell whether a server's program holds the name of a key."""
    with program.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        return text.find(key.encode()) >= 0


async def effects(client: Client) -> list[Effect]:
    """Look at everything on one server; some two seconds."""
    return [await look(client) for look in LOOKS]


async def hops(client: Client) -> Effect:
    """Time the way from a workflow to an activity and back: a limiter of 20 reads a second shows here.

    The fastest counts, since a loaded machine makes most of them slow.
    """
    async with _worker(client, eager=False) as queue:
        took_s = await _timed(client, "TuningHops", queue)
    seen = f"the fastest of {HOPS // 2} hops through the queue took {took_s * 1000:.0f} ms"
    return Effect(("history.transferProcessorMaxPollRPS",), seen, took_s < HOP_LIMIT_S)


async def timers(client: Client) -> Effect:
    """Time short timers: untuned, the server looks for due ones once a second."""
    async with _worker(client) as queue:
        took_s = await _timed(client, "TuningTimers", queue)
    seen = f"{TIMERS} timers of 20 ms took {took_s:.2f} s"
    keys = ("history.timerProcessorMaxTimeShift", "history.timerProcessorMaxPollRPS")
    return Effect(keys, seen, took_s < TIMERS_LIMIT_S)


async def eagerness(client: Client) -> Effect:
    """See whether a worker gets its own workflow's activities at once, though another polls for them."""
    ran_elsewhere = 0

    @activity.defn(name="TuningStep")
    async def stranger() -> int:
        nonlocal ran_elsewhere
        ran_elsewhere += 1
        return 0

    # Two workers of one connection may not share a queue.
    other = await Client.connect(client.service_client.config.target_host, namespace=client.namespace)
    async with _worker(client) as queue, Worker(other, task_queue=queue, activities=[stranger]):
        await _timed(client, "TuningHops", queue)
    seen = f"{HOPS - ran_elsewhere} of {HOPS} activities ran where their workflow runs"
    return Effect(("system.enableActivityEagerExecution",), seen, ran_elsewhere == 0)


async def partitions(client: Client) -> Effect:
    """Count the partitions of a task queue."""
    answer = await client.workflow_service.list_task_queue_partitions(
        ListTaskQueuePartitionsRequest(namespace=client.namespace, task_queue=TaskQueue(name=_fresh_name()))
    )
    found = {len(answer.activity_task_queue_partitions), len(answer.workflow_task_queue_partitions)}
    keys = ("matching.numTaskqueueReadPartitions", "matching.numTaskqueueWritePartitions")
    return Effect(keys, f"partitions of a task queue: {sorted(found)}", found == {1})


async def fairness(client: Client) -> Effect:
    """See how many of a crowd are served before a lone workflow of another fairness key, started last."""
    queue = _fresh_name()
    crowd = [await _start_guest(client, queue, "crowd") for _ in range(CROWD)]
    lone = await _start_guest(client, queue, "lone")
    async with Worker(
        client, task_queue=queue, workflows=[Guest], max_concurrent_workflow_tasks=2, max_cached_workflows=2
    ):
        await asyncio.gather(*(guest.result() for guest in (lone, *crowd)))
    served = (await lone.describe()).close_time
    others = [(await guest.describe()).close_time for guest in crowd]
    before = sum(1 for other in others if served is None or other is None or other < served)
    keys = ("matching.useNewMatcher", "matching.enableFairness")
    return Effect(keys, f"a lone workflow was served behind {before} of {CROWD}", before < AMONG_FIRST)


async def retention(client: Client) -> Effect:
    """Read how long the namespace keeps closed workflows, which the first boot sets."""
    described = await client.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace=client.namespace)
    )
    kept = described.config.workflow_execution_retention_ttl.ToTimedelta()
    return Effect(
        ("namespace retention",), f"closed workflows stay {kept.days} days", kept == NAMESPACE_RETENTION
    )


LOOKS: tuple[Callable[[Client], Awaitable[Effect]], ...] = (
    hops,
    timers,
    eagerness,
    partitions,
    fairness,
    retention,
)


@asynccontextmanager
async def _worker(client: Client, *, eager: bool = True) -> AsyncGenerator[str]:
    """Serve a fresh task queue, and yield its name."""
    queue = _fresh_name()
    async with Worker(
        client,
        task_queue=queue,
        workflows=[Hops, Timers],
        activities=[step],
        disable_eager_activity_execution=not eager,
    ):
        yield queue


async def _timed(client: Client, workflow_name: str, queue: str) -> float:
    return await client.execute_workflow(workflow_name, id=_fresh_name(), task_queue=queue, result_type=float)


async def _start_guest(client: Client, queue: str, fairness_key: str) -> WorkflowHandle[Guest, None]:
    name = _fresh_name()
    return await client.start_workflow(
        Guest.run, id=name, task_queue=queue, priority=Priority(fairness_key=fairness_key)
    )


def _fresh_name() -> str:
    return f"tuning-{uuid.uuid4().hex[:12]}"
