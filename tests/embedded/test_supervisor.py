"""Supervision with small stand-ins: what dies comes back, what is stopped stays away, strays are ended."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from runtime.embedded.probes import file_exists
from runtime.embedded.process import ChildProcess, Command, PidsFile, ProcessRecord, run_to_end, start_marker
from runtime.embedded.supervisor import (
    Observer,
    Pace,
    PartEvent,
    PartFailed,
    PartSpec,
    PartState,
    Supervisor,
)

FAST = Pace(probe_interval=0.01, first_backoff=0.01, longest_backoff=0.05, steady_after=60)
# Says that it is ready, then waits for a signal.
READY = "import pathlib, signal, sys; pathlib.Path(sys.argv[1]).touch(); signal.pause()"
# The same with a child of its own, whose pid stands in the file.
READY_WITH_CHILD = """
import pathlib, signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
pathlib.Path(sys.argv[1] + ".child").write_text(str(child.pid))
pathlib.Path(sys.argv[1]).touch()
signal.pause()
"""
DEAF = """
import pathlib, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).touch()
while True:
    signal.pause()
"""


def stand_in(
    tmp_path: Path, name: str, code: str = READY, *, after: frozenset[str] = frozenset()
) -> PartSpec:
    ready = tmp_path / f"{name}.ready"
    return PartSpec(
        name=name,
        command=Command((sys.executable, "-S", "-c", code, str(ready)), dict(os.environ), tmp_path),
        log_file=tmp_path / f"{name}.log",
        probe=file_exists(ready),
        before_start=lambda: ready.unlink(missing_ok=True),
        start_limit=20,
        grace=5,
        restart_after=after,
    )


@asynccontextmanager
async def supervising(
    tmp_path: Path, observe: Observer | None = None, pace: Pace = FAST
) -> AsyncGenerator[Supervisor]:
    supervisor = Supervisor(PidsFile(tmp_path / "pids.json"), observe=observe, pace=pace)
    try:
        yield supervisor
    finally:
        await supervisor.stop_all()


async def test_killed_part_comes_back(tmp_path: Path) -> None:
    async with supervising(tmp_path) as supervisor:
        await supervisor.start(stand_in(tmp_path, "worker"))
        first = supervisor.pid("worker")
        supervisor.kill("worker")
        await supervisor.wait_healthy("worker", 20, after=1)
        assert supervisor.pid("worker") not in {None, first}


async def test_dead_part_that_waits_for_its_next_start_is_not_healthy(tmp_path: Path) -> None:
    dead = asyncio.Event()

    def observe(event: PartEvent) -> None:
        if event.state is PartState.RESTARTING:
            dead.set()

    async with supervising(
        tmp_path, observe, replace(FAST, first_backoff=60, longest_backoff=60)
    ) as supervisor:
        await supervisor.start(stand_in(tmp_path, "temporal"))
        supervisor.kill("temporal")
        async with asyncio.timeout(20):
            await dead.wait()
        assert supervisor.state("temporal") is PartState.RESTARTING
        assert supervisor.pid("temporal") is None


async def test_kill_takes_the_whole_tree(tmp_path: Path) -> None:
    async with supervising(tmp_path) as supervisor:
        await supervisor.start(stand_in(tmp_path, "worker", READY_WITH_CHILD))
        child = int((tmp_path / "worker.ready.child").read_text())
        supervisor.kill("worker")
        await supervisor.wait_healthy("worker", 20, after=1)
        await until_ended(child)
        # A part that is asked to stop ends its own children; this one does not.
        os.kill(int((tmp_path / "worker.ready.child").read_text()), signal.SIGKILL)


def ended(pid: int) -> bool:
    """Tells whether a process that is nobody's child here has ended, reaped or not."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def until_ended(pid: int) -> None:
    async with asyncio.timeout(20):
        while not ended(pid):  # noqa: ASYNC110 - the kernel announces it to nobody
            await asyncio.sleep(0.005)


async def test_paused_part_stands_still_and_goes_on(tmp_path: Path) -> None:
    async with supervising(tmp_path) as supervisor:
        await supervisor.start(stand_in(tmp_path, "feed"))
        pid = supervisor.pid("feed")
        assert pid is not None
        supervisor.pause("feed")
        await wait_for_status(pid, psutil.STATUS_STOPPED)
        assert supervisor.state("feed") is PartState.PAUSED
        supervisor.resume("feed")
        await wait_for_status(pid, psutil.STATUS_SLEEPING)
        assert supervisor.state("feed") is PartState.HEALTHY


async def wait_for_status(pid: int, status: str) -> None:
    async with asyncio.timeout(10):
        while psutil.Process(pid).status() != status:  # noqa: ASYNC110 - the kernel announces it to nobody
            await asyncio.sleep(0.005)


async def test_paused_part_can_be_stopped(tmp_path: Path) -> None:
    async with supervising(tmp_path) as supervisor:
        await supervisor.start(stand_in(tmp_path, "feed"))
        pid = supervisor.pid("feed")
        assert pid is not None
        supervisor.pause("feed")
        await asyncio.wait_for(supervisor.stop("feed"), 10)
        assert start_marker(pid) is None


async def test_workers_restart_when_temporal_came_back_from_a_death(tmp_path: Path) -> None:
    async with supervising(tmp_path) as supervisor:
        await supervisor.start(stand_in(tmp_path, "temporal"))
        await supervisor.start(stand_in(tmp_path, "worker", after=frozenset({"temporal"})))
        await supervisor.start(stand_in(tmp_path, "api"))
        supervisor.kill("temporal")
        await supervisor.wait_healthy("worker", 20, after=1)
        assert supervisor.generation("temporal") == 2
        assert supervisor.generation("api") == 1


async def test_worker_that_is_wanted_first_stands_again_before_the_others_are_restarted(
    tmp_path: Path,
) -> None:
    told: list[PartEvent] = []
    async with supervising(tmp_path, told.append) as supervisor:
        await supervisor.start(stand_in(tmp_path, "temporal"))
        last = stand_in(tmp_path, "spare", after=frozenset({"temporal"}))
        await supervisor.start(replace(last, restart_last=True))
        await supervisor.start(stand_in(tmp_path, "worker", after=frozenset({"temporal"})))
        told.clear()
        supervisor.kill("temporal")
        await supervisor.wait_healthy("spare", 20, after=1)

    again = [(event.part, event.state, event.asked) for event in told if event.part != "temporal"]
    restarted = {("worker", PartState.RESTARTING, True), ("spare", PartState.RESTARTING, True)}
    assert set(again[:2]) == restarted  # none of them goes on with what it remembers
    assert again[2:4] == [("worker", PartState.HEALTHY, False), ("spare", PartState.HEALTHY, False)]


async def test_worker_that_waits_for_the_dead_temporal_is_not_waited_for(tmp_path: Path) -> None:
    async with supervising(tmp_path) as supervisor:
        await supervisor.start(stand_in(tmp_path, "temporal"))
        deaf = stand_in(tmp_path, "worker", DEAF, after=frozenset({"temporal"}))
        await supervisor.start(replace(deaf, grace=60, restart_grace=0.05))
        supervisor.kill("temporal")
        await supervisor.wait_healthy("worker", 20, after=1)
        supervisor.kill("worker")


async def test_part_deaf_to_the_request_is_killed_after_its_grace(tmp_path: Path) -> None:
    async with supervising(tmp_path) as supervisor:
        spec = stand_in(tmp_path, "worker", DEAF)
        await supervisor.start(
            PartSpec(spec.name, spec.command, spec.log_file, spec.probe, spec.start_limit, grace=0.05)
        )
        pid = supervisor.pid("worker")
        assert pid is not None
        await supervisor.stop("worker")
        assert start_marker(pid) is None
        assert supervisor.state("worker") is PartState.STOPPED


async def test_part_that_cannot_start_fails_with_the_end_of_its_log(tmp_path: Path) -> None:
    async with supervising(tmp_path) as supervisor:
        with pytest.raises(PartFailed, match="no such table") as failure:
            await supervisor.start(stand_in(tmp_path, "api", "raise SystemExit('no such table')"))
        assert "exit code 1" in str(failure.value)


async def test_part_that_is_stopped_while_it_waits_to_be_healthy_says_so(tmp_path: Path) -> None:
    async with supervising(tmp_path) as supervisor:
        supervisor.add(stand_in(tmp_path, "api", "import signal; signal.pause()"))
        waiting = asyncio.create_task(supervisor.wait_healthy("api", 20))
        async with asyncio.timeout(10):
            while supervisor.pid("api") is None:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        await supervisor.stop("api")
        with pytest.raises(PartFailed, match="was stopped"):
            await waiting


async def test_ordered_restart_does_not_count_as_a_death(tmp_path: Path) -> None:
    async with supervising(tmp_path) as supervisor:
        await supervisor.start(stand_in(tmp_path, "worker"))
        await supervisor.restart("worker", 20)
        assert supervisor.generation("worker") == 2
        assert supervisor.state("worker") is PartState.HEALTHY


async def test_part_whose_program_is_missing_fails_with_the_reason(tmp_path: Path) -> None:
    spec = stand_in(tmp_path, "worker")
    missing = replace(spec.command, argv=(str(tmp_path / "no-such-program"),))
    async with supervising(tmp_path) as supervisor:
        with pytest.raises(PartFailed, match=r"could not be started: .*no-such-program"):
            await supervisor.start(replace(spec, command=missing))


async def test_part_that_the_machine_did_not_let_start_is_started_once_it_does(tmp_path: Path) -> None:
    refusals = [OSError(errno.EAGAIN, "Resource temporarily unavailable")] * 2

    async def spawn(command: Command, log_file: Path) -> ChildProcess:
        if refusals:
            raise refusals.pop()
        return await ChildProcess.spawn(command, log_file)

    supervisor = Supervisor(PidsFile(tmp_path / "pids.json"), pace=FAST, spawn=spawn)
    try:
        await supervisor.start(stand_in(tmp_path, "worker"))
        assert (refusals, supervisor.generation("worker")) == ([], 1)
    finally:
        await supervisor.stop_all()


async def test_part_comes_back_while_nothing_can_be_written(tmp_path: Path) -> None:
    unwritable = tmp_path / "away" / "pids.json"
    supervisor = Supervisor(PidsFile(unwritable), pace=FAST)
    try:
        await supervisor.start(stand_in(tmp_path, "worker"))
        supervisor.kill("worker")
        await supervisor.wait_healthy("worker", 20, after=1)
    finally:
        await supervisor.stop_all()


SUPERVISOR_PROGRAM = """
import asyncio, pathlib, sys
from runtime.embedded.process import ChildProcess, Command, PidsFile

async def main(folder):
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_DFL); signal.pause()"
    command = Command((sys.executable, "-S", "-c", code), {}, folder)
    child = await ChildProcess.spawn(command, folder / "child.log")
    PidsFile(folder / "pids.json").add(child.record("worker"))
    print(child.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main(pathlib.Path(sys.argv[1])))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's death signal is Linux's")
async def test_children_die_with_their_supervisor(tmp_path: Path) -> None:
    with subprocess.Popen(  # noqa: ASYNC220 - one line is awaited
        [sys.executable, "-c", SUPERVISOR_PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as supervisor:
        assert supervisor.stdout is not None
        child = int(supervisor.stdout.readline())
        assert start_marker(child) is not None
        supervisor.kill()
    await until_ended(child)


async def test_stray_of_a_dead_supervisor_is_ended(tmp_path: Path) -> None:
    pids = tmp_path / "pids.json"
    program = [sys.executable, "-S", "-c", "import signal; signal.pause()"]
    with subprocess.Popen(program) as stray:  # noqa: ASYNC220 - returns at once
        marker = start_marker(stray.pid)
        assert marker is not None
        PidsFile(pids).add(ProcessRecord("worker", stray.pid, marker))
        strays = await PidsFile(pids).end_strays()
        assert [record.pid for record in strays] == [stray.pid]
        assert stray.wait(10) == -signal.SIGTERM
    assert PidsFile(pids).strays() == []


async def test_another_process_with_a_recorded_pid_is_left_alone(tmp_path: Path) -> None:
    pids = tmp_path / "pids.json"
    PidsFile(pids).add(ProcessRecord("worker", os.getpid(), "12345"))
    assert await PidsFile(pids).end_strays() == []


async def test_unreadable_pids_file_names_no_strays(tmp_path: Path) -> None:
    (tmp_path / "pids.json").write_text('[{"pid"')
    assert PidsFile(tmp_path / "pids.json").strays() == []


async def test_one_shot_program_tells_its_code_and_both_outputs(tmp_path: Path) -> None:
    code = "import sys; print('out', flush=True); print('err', file=sys.stderr); sys.exit(3)"
    ended = await run_to_end(Command((sys.executable, "-S", "-c", code), dict(os.environ), tmp_path))
    assert (ended.code, ended.output) == (3, "out\nerr")


async def test_one_shot_program_ends_with_its_children_when_nobody_waits_any_more(tmp_path: Path) -> None:
    program = stand_in(tmp_path, "step", READY_WITH_CHILD)
    step = asyncio.create_task(run_to_end(program.command))
    while not await program.probe():  # noqa: ASYNC110 - another process makes the file
        await asyncio.sleep(0.01)
    child = psutil.Process(int((tmp_path / "step.ready.child").read_text()))
    (parent,) = (each for each in psutil.Process().children() if each.pid == child.ppid())
    step.cancel()
    await asyncio.gather(step, return_exceptions=True)
    assert step.cancelled()
    assert psutil.wait_procs([parent, child], timeout=10)[1] == []
