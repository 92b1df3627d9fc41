"""The server accepts unknown dynamic config silently: each key is seen by what it does, or in the program."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from temporalio.client import Client

from bench.cluster import tuning
from bench.cluster.tuning import Effect, knows
from runtime.cluster.programs import SERVER, present
from runtime.embedded.temporal_binary import default_search
from runtime.embedded.temporal_server import TemporalServer
from runtime.temporal_tuning import SEARCH_ATTRIBUTES, TUNED_DYNAMIC_CONFIG


@pytest.fixture(scope="module")
def binary() -> Path:
    return default_search().resolve(lambda _text: None).path


@pytest.mark.parametrize("key", TUNED_DYNAMIC_CONFIG)
def test_server_knows_the_key(key: str, binary: Path) -> None:
    assert knows(binary, key)


@pytest.mark.parametrize("key", TUNED_DYNAMIC_CONFIG)
def test_server_of_the_deployment_knows_the_key(key: str) -> None:
    program = present(SERVER)
    if program is None:
        pytest.skip("it was never built here: make demo-cluster")
    assert knows(program, key)


def test_a_made_up_key_is_not_found(binary: Path) -> None:
    assert not knows(binary, "history.transferProcessorMaxPollRPSs")


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


def test_user_interface_is_told_of_the_codec_only_where_there_is_one(tmp_path: Path) -> None:
    server = TemporalServer(tmp_path / "temporal", tmp_path / "t.db", 7233, 8233, 1, 2)
    endpoint = "http://127.0.0.1:8080/codec"
    argv = replace(server, codec_endpoint=endpoint).command().argv
    assert argv[argv.index("--ui-codec-endpoint") + 1] == endpoint
    assert "--ui-codec-endpoint" not in server.command().argv


# How long a hop takes is left to the benchmarks: a loaded machine makes an untuned server of a tuned one.
@pytest.mark.parametrize("look", [tuning.timers, tuning.eagerness, tuning.partitions, tuning.fairness])
async def test_tuning_has_its_effect(
    look: Callable[[Client], Awaitable[Effect]], temporal_client: Client
) -> None:
    effect = await look(temporal_client)
    assert effect.tuned, effect.seen
    assert set(effect.keys) <= set(TUNED_DYNAMIC_CONFIG)
