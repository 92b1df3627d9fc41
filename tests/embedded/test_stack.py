"""The embedded stack: start, second start, kills, strays, stop."""

import asyncio

import asyncpg
import psutil
import pytest
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.worker import Worker

from runtime.embedded.layout import StackAlreadyRunning
from runtime.embedded.stack import STORES, EmbeddedStack, Part, StackOptions
from runtime.temporal_tuning import NAMESPACE_RETENTION, SEARCH_ATTRIBUTES
from tests.conftest import StartOwnStack, traversable_folder
from tests.embedded.remember import Remember


async def test_second_start_on_the_same_data_is_refused_and_names_the_pid(own_stack: StartOwnStack) -> None:
    stack = await own_stack(parts=frozenset({Part.TEMPORAL}))
    second = EmbeddedStack(StackOptions(stack.data_dir.root, parts=frozenset({Part.TEMPORAL})))
    with pytest.raises(StackAlreadyRunning, match=f"process {psutil.Process().pid}"):
        await second.start()


async def test_postgres_killed_comes_back_with_its_data(own_stack: StartOwnStack) -> None:
    stack = await own_stack(parts=frozenset({Part.POSTGRES}), migrate=False)
    connection = await asyncpg.connect(stack.database_url, ssl=False)
    await connection.execute("CREATE TABLE kept (word text)")
    await connection.execute("INSERT INTO kept VALUES ('before the kill')")
    stack.kill(Part.POSTGRES)
    await stack.wait_healthy(Part.POSTGRES, after=1)
    connection.terminate()
    again = await asyncpg.connect(stack.database_url, ssl=False)
    assert await again.fetchval("SELECT word FROM kept") == "before the kill"
    await again.close()


async def test_temporal_killed_comes_back_with_its_workflows(own_stack: StartOwnStack) -> None:
    stack = await own_stack(parts=frozenset({Part.TEMPORAL}))
    client = await Client.connect(stack.temporal_address)
    handle = await client.start_workflow(Remember.run, id="remember", task_queue="kept")
    await handle.signal(Remember.tell, "before the kill")
    stack.kill(Part.TEMPORAL)
    await stack.wait_healthy(Part.TEMPORAL, after=1)
    reconnected = await Client.connect(stack.temporal_address)
    again = reconnected.get_workflow_handle("remember", result_type=list[str])
    await again.signal(Remember.tell, "end")
    async with Worker(reconnected, task_queue="kept", workflows=[Remember]):
        assert await asyncio.wait_for(again.result(), 20) == ["before the kill", "end"]


async def test_namespace_has_retention_and_search_attributes_also_after_a_restart(
    own_stack: StartOwnStack,
) -> None:
    stack = await own_stack(parts=frozenset({Part.TEMPORAL}))
    for _ in range(2):
        client = await Client.connect(stack.temporal_address)
        described = await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace="default")
        )
        assert described.config.workflow_execution_retention_ttl.ToTimedelta() == NAMESPACE_RETENTION
        listed = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace="default")
        )
        assert set(SEARCH_ATTRIBUTES) <= set(listed.custom_attributes)
        await stack.restart(Part.TEMPORAL)


async def test_stop_leaves_no_process_and_a_next_start_finds_the_data() -> None:
    with traversable_folder() as folder:
        options = StackOptions(folder, parts=STORES, migrate=False, fsync=False, ui=False)
        before = {child.pid for child in psutil.Process().children(recursive=True)}
        async with EmbeddedStack(options) as stack:
            connection = await asyncpg.connect(stack.database_url, ssl=False)
            await connection.execute("CREATE TABLE kept (word text)")
            await connection.close()
        left = {child.pid for child in psutil.Process().children(recursive=True)} - before
        assert not left
        async with EmbeddedStack(options) as again:
            connection = await asyncpg.connect(again.database_url, ssl=False)
            assert await connection.fetchval("SELECT count(*) FROM kept") == 0
            await connection.close()
