"""`holdfast up` as a user runs it: started, asked again, stopped by Ctrl-C."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from runtime.embedded.ports import free_port
from tests.conftest import REPOSITORY, traversable_folder

pytestmark = pytest.mark.serial
STORES = ("--part", "postgres", "--part", "temporal")


def command(data_dir: Path, *arguments: str) -> list[str]:
    ports = ["temporal", "ui", "api", "simulator", "simulator-admin", "postgres"]
    chosen = [text for name in ports if f"--{name}-port" not in arguments for text in (f"--{name}-port", "0")]
    return [sys.executable, "-m", "cli.app", "up", "--data-dir", str(data_dir), *chosen, *arguments]


@contextmanager
def running(data_dir: Path) -> Generator[tuple[subprocess.Popen[str], dict[str, str]]]:
    with (
        (data_dir / "up.log").open("w") as log,
        subprocess.Popen(
            command(data_dir, *STORES, "--json"),
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, (data_dir / "up.log").read_text()
            yield process, json.loads(line)
        finally:
            if process.poll() is None:
                process.kill()


@pytest.fixture
def data_dir() -> Generator[Path]:
    with traversable_folder() as folder:
        yield folder


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_runs_until_asked_to_stop_and_leaves_nothing_behind(
    data_dir: Path, number: signal.Signals
) -> None:
    with running(data_dir) as (process, places):
        children = psutil.Process(process.pid).children(recursive=True)
        assert {"temporal", "postgres", "temporal_ui"} <= set(places)
        assert Path(places["env_file"]).stat().st_mode & 0o077 == 0
        process.send_signal(number)
        assert process.wait(60) == 0
    _gone, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []


def test_second_up_is_refused_with_the_pid_of_the_first(data_dir: Path) -> None:
    with running(data_dir) as (process, _places):
        second = subprocess.run(
            command(data_dir, *STORES), cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
        assert second.returncode == 1
        assert f"process {process.pid}" in second.stderr
        assert "Traceback" not in second.stderr


def test_killed_up_takes_its_children_along_and_the_next_starts(data_dir: Path) -> None:
    with running(data_dir) as (process, _places):
        children = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        gone, alive = psutil.wait_procs(children, timeout=20)
        assert (len(gone), alive) == (len(children), [])
    with running(data_dir) as (process, places):
        assert places["temporal"]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_busy_port_is_named_with_its_option(data_dir: Path) -> None:
    port = free_port(set())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        outcome = subprocess.run(
            command(data_dir, *STORES, "--temporal-port", str(port)),
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
    assert outcome.returncode == 1
    assert f"port {port} (temporal) is in use" in outcome.stderr
    assert "--temporal-port" in outcome.stderr
