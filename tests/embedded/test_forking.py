"""Programs as copies of a fork server: started, told of, killed with it; by themselves where it cannot be."""

import asyncio
import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from runtime.embedded.fork_messages import ANSWER, MESSAGE_BYTES, REQUEST, Declined, ForkRequest
from runtime.embedded.forking import Forking
from runtime.embedded.process import ChildProcess, Command, PidsFile, start_marker
from tests.conftest import REPOSITORY
from tests.embedded.test_supervisor import until_ended

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there are fork servers on Linux only")
PROGRAMS = "tests.embedded.programs"
Serve = Callable[..., Awaitable[Forking]]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1"}


@pytest.fixture
async def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Serve]:
    monkeypatch.chdir(REPOSITORY)
    forking = Forking(PidsFile(tmp_path / "pids.json"), tmp_path / "fork-server.log", environment)

    async def begin(*programs: str) -> Forking:
        forking.begin([f"{PROGRAMS}.{program}" for program in programs])
        return forking

    yield begin
    await forking.stop()


def program(name: str, *arguments: str, **variables: str) -> Command:
    module = f"{PROGRAMS}.{name}"
    argv = (sys.executable, "-m", module, *arguments)
    return Command(argv, {**environment(), **variables}, REPOSITORY, module=module)


async def waiting(forking: Forking, tmp_path: Path) -> ChildProcess:
    return await forking.spawn(program("waiting"), tmp_path / "waiting.log")


async def test_program_runs_as_a_copy_with_what_was_its_own_to_have(serve: Serve, tmp_path: Path) -> None:
    forking = await serve("reporting")
    command = Command(
        (sys.executable, "-m", f"{PROGRAMS}.reporting", "--role", "core"),
        {"HOLDFAST_WORKER_NAME": "one"},
        tmp_path,
        module=f"{PROGRAMS}.reporting",
    )
    child = await forking.spawn(command, tmp_path / "reporting.log")

    assert await child.wait() == 7
    report, other = (tmp_path / "reporting.log").read_text().splitlines()
    assert json.loads(report) == {
        "parent": forking.pid,
        "title": f"{Path(sys.executable).name} -m {PROGRAMS}.reporting --role core",
        "arguments": ["--role", "core"],
        "environment": {"HOLDFAST_WORKER_NAME": "one"},
        "directory": str(tmp_path),
        "leads_its_session": True,
    }
    assert other == "to the other output"


async def test_killed_copy_is_told_with_its_signal(serve: Serve, tmp_path: Path) -> None:
    child = await waiting(await serve("waiting"), tmp_path)
    child.send(signal.SIGKILL)

    assert await child.wait() == -signal.SIGKILL


async def test_copy_that_is_asked_to_stop_ends(serve: Serve, tmp_path: Path) -> None:
    child = await waiting(await serve("waiting"), tmp_path)

    assert await child.stop(10) == -signal.SIGTERM


async def test_program_that_cannot_be_imported_fails_in_its_own_log(serve: Serve, tmp_path: Path) -> None:
    forking = await serve("broken", "waiting")
    child = await forking.spawn(program("broken"), tmp_path / "broken.log")

    assert await child.wait() == 1
    assert "this program is broken" in (tmp_path / "broken.log").read_text()
    assert (await waiting(forking, tmp_path)).exit_code is None


async def test_program_is_started_by_itself_once_an_import_has_started_a_thread(
    serve: Serve, tmp_path: Path
) -> None:
    forking = await serve("threaded")
    child = await forking.spawn(program("threaded", SERVER=str(forking.pid)), tmp_path / "threaded.log")

    assert await child.wait() == 0
    assert (tmp_path / "threaded.log").read_text() == "of its own interpreter\n"


async def test_server_whose_fork_is_refused_declines_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from runtime.embedded.fork_server import ForkServer

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def refused() -> int:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("runtime.embedded.fork_server.os.fork", refused)
    monkeypatch.setattr(
        "runtime.embedded.fork_server._threads", lambda: 1
    )  # those of the tests are none of it
    with ours:
        ours.send(REQUEST.dump_json(ForkRequest(3, "worker", (), {}, "/", "/dev/null", 9)))
        ours.shutdown(socket.SHUT_WR)
        with theirs:
            assert ForkServer(theirs).serve() is None
        answer = ANSWER.validate_json(ours.recv(MESSAGE_BYTES))

    assert isinstance(answer, Declined)
    assert (answer.number, "temporarily unavailable" in answer.reason) == (3, True)


async def test_program_with_a_huge_environment_is_started_by_itself(serve: Serve, tmp_path: Path) -> None:
    forking = await serve("waiting")
    huge = {f"HUGE_{number}": "x" * 100_000 for number in range(2)}
    child = await forking.spawn(program("waiting", **huge), tmp_path / "waiting.log")

    assert psutil.Process(child.pid).ppid() == os.getpid()
    await child.stop(10)


async def test_other_programs_are_started_by_themselves(serve: Serve, tmp_path: Path) -> None:
    forking = await serve("waiting")
    command = Command((sys.executable, "-S", "-c", "print('by itself')"), {}, tmp_path)
    child = await forking.spawn(command, tmp_path / "other.log")

    assert await child.wait() == 0
    assert (tmp_path / "other.log").read_text() == "by itself\n"


async def until_spared(forking: Forking) -> int:
    """Wait for a spare, and return its process id."""
    async with asyncio.timeout(20):
        while (spare := forking.spare_pid) is None:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.005)
    return spare


@dataclass
class Spared:
    """A fork server with a program that waits, and its spare."""

    forking: Forking
    child: ChildProcess
    server: int
    spare: int


@pytest.fixture
async def spared(serve: Serve, tmp_path: Path) -> Spared:
    forking = await serve("waiting")
    child = await waiting(forking, tmp_path)
    assert forking.pid is not None
    return Spared(forking, child, forking.pid, await until_spared(forking))


async def test_copies_die_with_a_killed_fork_server_and_the_next_ones_come_of_its_spare(
    spared: Spared, tmp_path: Path
) -> None:
    os.kill(spared.server, signal.SIGKILL)

    assert await spared.child.wait() == -signal.SIGKILL
    await until_ended(spared.child.pid)
    again = await waiting(spared.forking, tmp_path)
    assert spared.forking.pid == spared.spare
    assert psutil.Process(again.pid).ppid() == spared.spare
    # which has a spare of its own
    assert await until_spared(spared.forking) not in {spared.server, spared.spare}

    os.kill(spared.spare, signal.SIGKILL)
    assert await again.wait() == -signal.SIGKILL
    await until_ended(again.pid)


async def test_killed_spare_costs_no_program_and_the_next_server_imports_anew(
    spared: Spared, tmp_path: Path
) -> None:
    os.kill(spared.spare, signal.SIGKILL)
    await until_ended(spared.spare)
    assert spared.child.exit_code is None

    os.kill(spared.server, signal.SIGKILL)
    assert await spared.child.wait() == -signal.SIGKILL
    again = await waiting(spared.forking, tmp_path)
    assert spared.forking.pid not in {None, spared.server, spared.spare}
    assert psutil.Process(again.pid).ppid() == spared.forking.pid


async def test_stopped_forking_leaves_no_process(spared: Spared, tmp_path: Path) -> None:
    await spared.forking.stop()

    await until_ended(spared.child.pid)
    await until_ended(spared.spare)
    assert start_marker(spared.server) is None
    assert json.loads((tmp_path / "pids.json").read_text()) == []


SUPERVISOR_PROGRAM = f"""
import asyncio, os, pathlib, signal, structlog, sys
from runtime.embedded.forking import Forking
from runtime.embedded.process import Command, PidsFile

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

async def main(folder):
    forking = Forking(PidsFile(folder / "pids.json"), folder / "server.log", lambda: dict(os.environ))
    module = "{PROGRAMS}.waiting"
    forking.begin([module])
    command = Command((sys.executable, "-m", module), {{}}, folder, module=module)
    child = await forking.spawn(command, folder / "child.log")
    while forking.spare_pid is None:
        await asyncio.sleep(0.005)
    if sys.argv[2] == "promoted":
        spare = forking.spare_pid
        os.kill(forking.pid, signal.SIGKILL)
        await child.wait()
        child = await forking.spawn(command, folder / "child.log")
        while forking.spare_pid in (None, spare):
            await asyncio.sleep(0.005)
    print(forking.pid, forking.spare_pid, child.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main(pathlib.Path(sys.argv[1])))
"""


@pytest.mark.parametrize("server", ["first", "promoted"])
async def test_server_spare_and_copies_die_with_their_supervisor(tmp_path: Path, server: str) -> None:
    with subprocess.Popen(  # noqa: ASYNC220 - one line is awaited
        [sys.executable, "-c", SUPERVISOR_PROGRAM, str(tmp_path), server],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    ) as supervisor:
        assert supervisor.stdout is not None
        pids = [int(text) for text in supervisor.stdout.readline().split()]
        assert all(start_marker(pid) is not None for pid in pids)
        supervisor.kill()
    assert len(pids) == 3
    for pid in pids:
        await until_ended(pid)


def test_no_import_of_our_programs_starts_a_thread() -> None:
    imports = "import os, api.__main__, worker.__main__; print(len(os.listdir('/proc/self/task')))"
    done = subprocess.run([sys.executable, "-c", imports], capture_output=True, text=True, cwd=REPOSITORY)

    assert (done.stdout.strip(), done.returncode) == ("1", 0), done.stderr
