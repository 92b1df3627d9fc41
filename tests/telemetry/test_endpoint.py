"""Where metrics are served, and how the place is found."""

import json
import os
import socket
from pathlib import Path

import httpx2
import pytest
from temporalio.runtime import Runtime

from runtime.clock import SystemClock
from runtime.embedded.ports import free_port
from runtime.settings import TelemetrySettings
from runtime.telemetry.endpoint import PATH, announced, metrics_endpoint
from runtime.telemetry.exposition import Exposition
from runtime.telemetry.meters import Meters
from runtime.telemetry.process import ProcessTelemetry
from runtime.telemetry.temporal_sdk import SdkMetrics, measured_runtime
from tests.telemetry.samples import samples_of


async def text() -> bytes:
    return b"up 1\n"


async def test_endpoint_answers_on_a_free_port_and_is_gone_afterwards() -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        async with metrics_endpoint(text, host="127.0.0.1", port=0) as port:
            address = f"http://127.0.0.1:{port}"
            answer = await client.get(address + PATH)
            elsewhere = await client.get(address + "/")
            posted = await client.post(address + PATH)
        with pytest.raises(httpx2.TransportError):
            await client.get(address + PATH)

    assert (answer.status_code, answer.content) == (200, b"up 1\n")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert (elsewhere.status_code, posted.status_code) == (404, 405)


def test_folder_names_the_endpoint_while_it_stands(tmp_path: Path) -> None:
    folder = tmp_path / "metrics"

    with announced(folder, process="worker-core-1", role="core", address="127.0.0.1:9464"):
        named = {path.name: json.loads(path.read_text()) for path in folder.iterdir()}

    labels = {"process": "worker-core-1", "role": "core"}
    assert named == {"worker-core-1.json": [{"targets": ["127.0.0.1:9464"], "labels": labels}]}
    assert list(folder.iterdir()) == []


async def test_process_serves_its_own_and_the_sdks_metrics(tmp_path: Path) -> None:
    settings = TelemetrySettings(dir=tmp_path, process="worker-io")
    telemetry = ProcessTelemetry(settings, role="io")

    async with telemetry.served(), httpx2.AsyncClient(trust_env=False) as client:
        target = json.loads((tmp_path / "worker-io.json").read_text())[0]
        seen = samples_of((await client.get(f"http://{target['targets'][0]}/metrics")).text)

    assert target["labels"] == {"process": "worker-io", "role": "io"}
    assert seen["holdfast_sdk_metrics_read", frozenset()] == 1
    assert seen["process_resident_memory_bytes", frozenset()] > 1_000_000


async def test_taken_port_costs_the_metrics_not_the_process(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = TelemetrySettings(port=other.getsockname()[1], dir=tmp_path)
        async with ProcessTelemetry(settings, role="core").served():
            named = os.listdir(tmp_path)

    assert named == []


async def test_switched_off_metrics_count_and_serve_nothing(tmp_path: Path) -> None:
    telemetry = ProcessTelemetry(TelemetrySettings(enabled=False, dir=tmp_path), role="core")

    async with telemetry.served():
        named = os.listdir(tmp_path)

    assert (telemetry.runtime, telemetry.exposition, named) == (None, None, [])


async def test_port_that_is_taken_at_the_last_moment_is_tried_elsewhere() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        sdk = measured_runtime(lambda tried: free_port(tried) if tried else taken)

    assert sdk is not None
    assert not sdk.url.endswith(f":{taken}/metrics")
    await sdk.read()


def test_process_without_a_port_for_the_sdk_works_without_its_figures() -> None:
    def none_is_free(_: set[int]) -> int:
        raise OSError("no free port on loopback")

    with socket.create_server(("127.0.0.1", 0)) as other:
        assert measured_runtime(lambda _: other.getsockname()[1]) is None
    assert measured_runtime(none_is_free) is None


@pytest.mark.parametrize("absent", [True, False], ids=["not measured", "not answering"])
async def test_without_the_sdks_figures_the_rest_is_served(absent: bool) -> None:
    gone = SdkMetrics(Runtime.default(), f"http://127.0.0.1:{free_port(set())}/metrics")

    seen = samples_of((await Exposition(Meters(SystemClock()), None if absent else gone).render()).decode())

    assert seen["holdfast_sdk_metrics_read", frozenset()] == 0
    assert seen["holdfast_signals_waiting", frozenset()] == 0
