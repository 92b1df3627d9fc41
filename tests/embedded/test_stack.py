"""The embedded stack: start, second start, kills, strays, stop."""

import asyncio
import json
import sys
from pathlib import Path

import asyncpg
import psutil
import pytest
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.worker import Worker

from runtime.embedded import env_file
from runtime.embedded.layout import StackAlreadyRunning
from runtime.embedded.ports import Ports
from runtime.embedded.postgres import PostgresUnusable
from runtime.embedded.stack import STORES, EmbeddedStack, Part, StackOptions
from runtime.embedded.supervisor import Pace, PartFailed
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


def _command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has ended
        return ""


async def test_stop_leaves_no_process_and_a_next_start_finds_the_data() -> None:
    with traversable_folder() as folder:
        options = StackOptions(folder, parts=STORES, migrate=False, fsync=False, ui=False)
        # Not the children of children: Postgres of another stack starts and ends its own as it likes.
        before = {child.pid for child in psutil.Process().children()}
        async with EmbeddedStack(options) as stack:
            connection = await asyncpg.connect(stack.database_url, ssl=False)
            await connection.execute("CREATE TABLE kept (word text)")
            await connection.close()
        left = {child.pid for child in psutil.Process().children()} - before
        assert not left
        assert not [process.pid for process in psutil.process_iter() if str(folder) in _command_of(process)]
        async with EmbeddedStack(options) as again:
            connection = await asyncpg.connect(again.database_url, ssl=False)
            assert await connection.fetchval("SELECT count(*) FROM kept") == 0
            await connection.close()


async def test_env_file_of_another_cluster_is_refused_with_the_way_out() -> None:
    with traversable_folder() as folder:
        options = StackOptions(
            folder, parts=frozenset({Part.POSTGRES}), migrate=False, fsync=False, ports=Ports()
        )
        async with EmbeddedStack(options) as stack:
            kept = stack.data_dir.env_file
        kept.unlink()
        with pytest.raises(PostgresUnusable, match="restore the env file"):
            await EmbeddedStack(options).start()


async def test_cluster_of_another_major_version_is_left_alone() -> None:
    with traversable_folder() as folder:
        (folder / "postgres").mkdir()
        (folder / "postgres" / "PG_VERSION").write_text("15\n")
        options = StackOptions(folder, parts=frozenset({Part.POSTGRES}), migrate=False)
        with pytest.raises(PostgresUnusable, match="belongs to PostgreSQL 15"):
            await EmbeddedStack(options).start()


async def test_program_that_dies_at_start_ends_the_whole_start_with_its_log(tmp_path: Path) -> None:
    with traversable_folder() as folder:
        broken = (sys.executable, "-S", "-c", "raise SystemExit('no such market')")
        options = StackOptions(
            folder,
            parts=frozenset({Part.SIMULATOR}),
            commands={Part.SIMULATOR: broken},
            pace=Pace(first_backoff=0.01, longest_backoff=0.01),
        )
        with pytest.raises(PartFailed, match="no such market"):
            await EmbeddedStack(options).start()


async def test_worker_is_ready_when_it_says_so_and_restarts_after_temporal(own_stack: StartOwnStack) -> None:
    code = (
        "import os, pathlib, signal; "
        "pathlib.Path(os.environ['HOLDFAST_READY_FILE']).write_text(os.environ['HOLDFAST_WORKER_NAME']); "
        "signal.pause()"
    )
    stack = await own_stack(
        parts=frozenset({Part.TEMPORAL, Part.WORKER_CORE_1, Part.WORKER_CORE_2}),
        commands=dict.fromkeys((Part.WORKER_CORE_1, Part.WORKER_CORE_2), (sys.executable, "-S", "-c", code)),
    )
    assert (stack.data_dir.ready / "worker-core-2").read_text() == "worker-core-2"
    stack.kill(Part.WORKER_CORE_1)
    await stack.wait_healthy(Part.WORKER_CORE_1, after=1)
    assert stack.supervisor.generation(Part.WORKER_CORE_2) == 1
    stack.kill(Part.TEMPORAL)
    await stack.wait_healthy(Part.WORKER_CORE_1, after=2)
    await stack.wait_healthy(Part.WORKER_CORE_2, after=1)


async def test_workers_count_up_from_a_fixed_port_of_metrics_and_stale_places_are_forgotten(
    own_stack: StartOwnStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_METRICS_PORT", "21464")
    code = (
        "import os, pathlib, signal; names = ('DIR', 'PORT', 'PROCESS'); "
        "told = ' '.join(os.environ['HOLDFAST_METRICS_' + name] for name in names); "
        "pathlib.Path(os.environ['HOLDFAST_METRICS_DIR'], told.split()[2] + '.json').write_text(told); "
        "pathlib.Path(os.environ['HOLDFAST_READY_FILE']).touch(); signal.pause()"
    )
    workers = (Part.WORKER_CORE_1, Part.WORKER_CORE_2, Part.WORKER_IO)
    stack = await own_stack(
        parts=frozenset(workers), commands=dict.fromkeys(workers, (sys.executable, "-S", "-c", code))
    )

    folder = stack.data_dir.metrics
    told = {path.stem: path.read_text() for path in sorted(folder.iterdir())}
    assert told == {name: f"{folder} {21464 + n} {name}" for n, name in enumerate(workers)}
    stack.data_dir.forget_endpoints()
    assert list(folder.iterdir()) == []


async def test_children_read_secrets_from_the_env_file_not_from_their_environment(
    own_stack: StartOwnStack,
) -> None:
    code = (
        "import json, os, pathlib, signal; "
        "ready = pathlib.Path(os.environ['HOLDFAST_READY_FILE']); "
        "ready.with_suffix('.json').write_text(json.dumps(dict(os.environ))); ready.touch(); signal.pause()"
    )
    stack = await own_stack(
        parts=frozenset({Part.WORKER_IO}), commands={Part.WORKER_IO: (sys.executable, "-S", "-c", code)}
    )
    seen = json.loads((stack.data_dir.ready / "worker-io.json").read_text())
    assert seen["HOLDFAST_ENV_FILE"] == str(stack.data_dir.env_file)
    assert seen["HOLDFAST_TUNING_TASK_TIMEOUT"] == "1.0"
    kept = env_file.read_env_file(stack.data_dir.env_file)
    for name in env_file.generated_secrets():
        assert name not in seen
        assert kept[name] not in seen.values()
