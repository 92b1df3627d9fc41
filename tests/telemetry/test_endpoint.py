"""Where metrics are served, and how the place is found."""

import json
import os
import socket
from pathlib import Path

import httpx2
import pytest

from runtime.settings import TelemetrySettings
from runtime.telemetry.endpoint import PATH, announced, metrics_endpoint
from runtime.telemetry.process import ProcessTelemetry
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
