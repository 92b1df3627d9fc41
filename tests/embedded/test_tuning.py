"""The server accepts unknown dynamic config silently, so each key is looked up in the program itself."""

import json
import mmap
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import Worker

from runtime.embedded.temporal_binary import default_search
from runtime.embedded.temporal_server import TemporalServer
from runtime.temporal_tuning import SEARCH_ATTRIBUTES, TUNED_DYNAMIC_CONFIG


@pytest.fixture(scope="module")
def binary() -> Path:
    return default_search().resolve(lambda _text: None).path


@pytest.mark.parametrize("key", TUNED_DYNAMIC_CONFIG)
def test_server_knows_the_key(key: str, binary: Path) -> None:
    with (
        binary.open("rb") as program,
        mmap.mmap(program.fileno(), 0, access=mmap.ACCESS_READ) as text,
    ):
        assert text.find(key.encode()) >= 0


def test_a_made_up_key_is_not_found(binary: Path) -> None:
    with (
        binary.open("rb") as program,
        mmap.mmap(program.fileno(), 0, access=mmap.ACCESS_READ) as text,
    ):
        assert text.find(b"history.transferProcessorMaxPollRPSs") < 0


def test_server_is_started_with_every_key_and_bound_to_loopback(tmp_path: Path) -> None:
    server = TemporalServer(tmp_path / "temporal", tmp_path / "t.db", 7233, None, 1, 2)
    argv = server.command().argv
    given = {argv[at + 1] for at, flag in enumerate(argv) if flag == "--dynamic-config-value"}
    assert given == {f"{key}={json.dumps(value)}" for key, value in TUNED_DYNAMIC_CONFIG.items()}
    assert argv[argv.index("--ip") + 1] == "127.0.0.1"
    for name in SEARCH_ATTRIBUTES:
        assert f"{name}=Keyword" in argv
    assert "synchronous=full" in argv
    assert "journal_mode=wal" in argv


@workflow.defn(name="ShortTimers", sandboxed=False)
class ShortTimers:
    """Waits five times for 20 ms and counts the server's own clock."""

    @workflow.run
    async def run(self) -> float:
        began = workflow.now()
        for _ in range(5):
            await workflow.sleep(timedelta(milliseconds=20))
        return (workflow.now() - began).total_seconds()


async def test_short_timers_are_short(temporal_client: Client, task_queue_prefix: str) -> None:
    queue = f"{task_queue_prefix}timers"
    async with Worker(temporal_client, task_queue=queue, workflows=[ShortTimers]):
        took_s = await temporal_client.execute_workflow("ShortTimers", id=queue, task_queue=queue)
    # Untuned the server looks for due timers once a second: five of them take five seconds.
    assert took_s < 4
