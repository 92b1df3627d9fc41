"""One child process: started with its own log file, dying with its parent, ended as a whole tree."""

import asyncio
import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import psutil
import structlog

log = structlog.stdlib.get_logger(__name__)

_PR_SET_PDEATHSIG = 1
# Loaded before any fork: a child between fork and exec must not import.
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class SystemUser:
    """An unprivileged user to run a child as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Command:
    """What to run.

    Attributes:
        argv: Program and arguments.
        environment: The whole environment of the child.
        directory: Working directory.
        user: User to run as; None keeps this one.
        stop_signal: Signal that asks it to stop.
        orphan_signal: Signal that the kernel sends it when its supervisor dies.
        module: Of a program of ours, its package: `argv` is the interpreter, `-m`, this and its arguments.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path
    user: SystemUser | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL
    module: str | None = None

    @property
    def arguments(self) -> tuple[str, ...]:
        """Of a program of ours, what follows its package."""
        return self.argv[3:]


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """A child as written to the pids file; `started` tells it from a later process with the same pid."""

    part: str
    pid: int
    started: str


def start_marker(pid: int) -> str | None:
    """Returns a text that is unique for one life of `pid`, or None when no such process lives."""
    try:
        # Ticks since boot, exact; psutil's wall-clock time moves when the clock is set.
        stat = Path(f"/proc/{pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        pass
    if sys.platform == "linux":
        return None
    try:
        return str(int(psutil.Process(pid).create_time()))
    except psutil.NoSuchProcess:
        return None


class Running(Protocol):
    """A process that runs, however it was made."""

    @property
    def pid(self) -> int:
        """Its process id."""
        ...

    @property
    def returncode(self) -> int | None:
        """Exit code once it ended (negative: the signal), else None."""
        ...

    async def wait(self) -> int:
        """Wait for its end and return the exit code."""
        ...


class ChildProcess:
    """A running child."""

    def __init__(self, process: Running, command: Command) -> None:
        self._process = process
        self.command = command
        self._started = start_marker(process.pid)

    @classmethod
    async def spawn(cls, command: Command, log_file: Path, *, pass_fds: Sequence[int] = ()) -> "ChildProcess":
        """Starts `command` in its own session, with both outputs appended to `log_file`.

        The child must be started by a thread that lives as long as its supervisor, since the kernel's death
        signal follows the thread.
        """
        user = command.user
        log_file.parent.mkdir(parents=True, exist_ok=True)
        with log_file.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *command.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(command.environment),
                cwd=command.directory,
                start_new_session=True,
                pass_fds=pass_fds,
                preexec_fn=die_with_parent(os.getpid(), command.orphan_signal),
                user=None if user is None else user.uid,
                group=None if user is None else user.gid,
                extra_groups=None if user is None else [],
            )
        return cls(process, command)

    @property
    def pid(self) -> int:
        """Process id of the child itself."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Exit code once it ended (negative: the signal), else None."""
        return self._process.returncode

    async def wait(self) -> int:
        """Waits for its end and returns the exit code."""
        return await self._process.wait()

    def record(self, part: str) -> ProcessRecord:
        """Returns what to remember so that a stray can be found."""
        return ProcessRecord(part, self.pid, self._started or "")

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the child and everything below it; a tree that is gone is left alone."""
        if self.exit_code is None:
            signal_tree(self.pid, number)

    async def stop(self, grace_seconds: float) -> int:
        """Asks it to stop, kills the tree after `grace_seconds`, returns the exit code."""
        if self.exit_code is None:
            # A paused child cannot hear a request to stop.
            signal_tree(self.pid, signal.SIGCONT)
            signal_process(self.pid, self.command.stop_signal)
            try:
                return await asyncio.wait_for(self.wait(), grace_seconds)
            except TimeoutError:
                log.warning("process.killed", pid=self.pid, program=self.command.argv[0])
                self.send(signal.SIGKILL)
        return await self.wait()


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that ran to its end.

    Attributes:
        code: Its exit code (negative: the signal).
        output: What it wrote to both outputs, without blanks at its ends.
    """

    code: int
    output: str


async def run_to_end(command: Command) -> Ended:
    """Runs a one-shot program; whoever cancels the waiting ends it with all that it started."""
    user = command.user
    process = await asyncio.create_subprocess_exec(
        *command.argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(command.environment),
        cwd=command.directory,
        preexec_fn=die_with_parent(os.getpid(), command.orphan_signal),
        user=None if user is None else user.uid,
        group=None if user is None else user.gid,
        extra_groups=None if user is None else [],
    )
    try:
        output, _ = await process.communicate()
    except BaseException:
        signal_tree(process.pid, signal.SIGKILL)
        await process.wait()
        raise
    return Ended(await process.wait(), output.decode(errors="replace").strip())


def die_with_parent(parent: int, number: signal.Signals) -> Callable[[], None]:
    """Returns what the child runs before exec, after the change of user, which would clear the setting."""

    def set_death_signal() -> None:
        if sys.platform == "linux":
            _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
            if os.getppid() != parent:  # it died before the setting took hold
                os._exit(1)

    return set_death_signal


def signal_process(pid: int, number: signal.Signals) -> None:
    """Sends a signal to one process; one that is gone is left alone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        log.debug("process.gone", pid=pid)


def signal_tree(pid: int, number: signal.Signals) -> None:
    """Sends a signal to a process and all its descendants, children last so that they cannot be replaced."""
    try:
        descendants = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return
    signal_process(pid, number)
    for child in descendants:
        signal_process(child.pid, number)


class PidsFile:
    """The children of a supervisor on disk, for the supervisor that comes after a killed one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._records: dict[str, ProcessRecord] = {}

    def add(self, record: ProcessRecord) -> None:
        """Remembers the present process of a part."""
        self._records[record.part] = record
        self._write()

    def remove(self, part: str) -> None:
        """Forgets a part whose process ended."""
        if self._records.pop(part, None) is not None:
            self._write()

    def _write(self) -> None:
        temporary = self._path.with_suffix(".tmp")
        try:
            temporary.write_text(json.dumps([asdict(record) for record in self._records.values()]))
            temporary.replace(self._path)
        except OSError as error:  # a full disk must not end the supervision: the file only serves a next one
            log.warning("pids.unwritten", path=str(self._path), error=str(error))

    def strays(self) -> list[ProcessRecord]:
        """Returns the recorded processes that still live; call it while holding the data directory's lock."""
        if not self._path.exists():
            return []
        try:
            entries = json.loads(self._path.read_text())
            records = [ProcessRecord(entry["part"], int(entry["pid"]), entry["started"]) for entry in entries]
        except (ValueError, KeyError, TypeError):
            log.warning("strays.unreadable", path=str(self._path))
            return []
        return [record for record in records if start_marker(record.pid) == record.started]

    async def end_strays(self, grace_seconds: float = 5.0) -> list[ProcessRecord]:
        """Ends the recorded processes of a dead supervisor and returns them."""
        strays = self.strays()
        for stray in strays:
            log.warning("stray.ended", part=stray.part, pid=stray.pid)
            signal_tree(stray.pid, signal.SIGCONT)
            signal_process(stray.pid, signal.SIGINT if stray.part == "postgres" else signal.SIGTERM)
        deadline = asyncio.get_running_loop().time() + grace_seconds
        left = strays
        while left and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
            left = [
                stray for stray in left if start_marker(stray.pid) == stray.started and not _zombie(stray.pid)
            ]
        for stray in left:
            signal_tree(stray.pid, signal.SIGKILL)
        self._write()
        return strays


def _zombie(pid: int) -> bool:
    """Tells whether it has ended and only waits for its parent to notice."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
