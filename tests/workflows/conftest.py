"""A floor per test: each test runs once with workflows cached and once replayed at every task."""

from collections.abc import AsyncGenerator
from contextlib import suppress

import pytest
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

from runtime.temporal import workflow_runner
from tests.fakes.exchange import FakeExchange
from tests.workflows.floor import Floor
from tests.workflows.recording import RECORDER
from workflows.order import Order
from workflows.rule import Rule


@pytest.fixture(params=[100, 0], ids=["cached", "replayed"])
async def floor(
    request: pytest.FixtureRequest, temporal_client: Client, task_queue_prefix: str
) -> AsyncGenerator[Floor]:
    """Rules and orders against a fake exchange; nothing they ever wrote may break the projection's laws."""
    exchange = FakeExchange(temporal_client)
    task_queue = f"{task_queue_prefix}core"
    floor = Floor(temporal_client, exchange, task_queue)
    async with Worker(
        temporal_client,
        task_queue=task_queue,
        workflows=[Rule, Order],
        activities=exchange.activities(),
        workflow_runner=workflow_runner(),
        max_cached_workflows=request.param,
    ):
        yield floor
        recorder = request.config.stash.get(RECORDER, None)
        if recorder is not None:
            await recorder.keep(request.node.originalname, floor.started[0])
        for handle in floor.started:
            with suppress(RPCError):  # most are closed
                await handle.terminate()
    assert exchange.faults == []


@pytest.fixture
def exchange(floor: Floor) -> FakeExchange:
    """The floor's exchange."""
    return floor.exchange
