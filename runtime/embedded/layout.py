"""The data directory of an embedded stack: where things lie, and the lock against a second start."""

import fcntl
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self


class StackAlreadyRunning(Exception):
    """Another supervisor holds the data directory.

    Args:
        directory: The data directory.
        pid: Process id of the holder, or None when it could not be read.
    """

    def __init__(self, directory: Path, pid: int | None) -> None:
        holder = f"process {pid}" if pid else "another process"
        super().__init__(
            f"{directory} is in use by {holder}: a stack runs there already. "
            "Stop it (Ctrl-C in its terminal), or choose another --data-dir."
        )
        self.pid = pid


@dataclass(frozen=True, slots=True)
class DataDir:
    """Paths below one data directory."""

    root: Path

    @property
    def env_file(self) -> Path:
        """Secrets and URLs, mode 600."""
        return self.root / "env"

    @property
    def lock_file(self) -> Path:
        """Locked while a supervisor runs; holds its pid."""
        return self.root / "lock"

    @property
    def pids_file(self) -> Path:
        """Pids and start times of the children, to end strays."""
        return self.root / "pids.json"

    @property
    def logs(self) -> Path:
        """One log file for each part."""
        return self.root / "logs"

    @property
    def ready(self) -> Path:
        """One file for each worker, written by it when it polls."""
        return self.root / "ready"

    @property
    def metrics(self) -> Path:
        """One file for each process that serves metrics: where, as Prometheus's discovery reads it."""
        return self.root / "metrics"

    @property
    def postgres(self) -> Path:
        """The database cluster, unless its user cannot reach it here."""
        return self.root / "postgres"

    @property
    def temporal_database(self) -> Path:
        """Temporal's SQLite file."""
        return self.root / "temporal" / "temporal.db"

    @property
    def simulator_state(self) -> Path:
        """The simulator's journal."""
        return self.root / "simulator"

    def create(self) -> None:
        """Makes the directories; others may pass through, not look, since Postgres has its own user."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(stat.S_IRWXU | (stat.S_IXGRP | stat.S_IXOTH if os.geteuid() == 0 else 0))
        places = (self.logs, self.ready, self.metrics, self.temporal_database.parent, self.simulator_state)
        for folder in places:
            folder.mkdir(mode=0o700, exist_ok=True)

    def forget_endpoints(self) -> None:
        """Removes what killed processes said of where they serve metrics."""
        for left in self.metrics.glob("*.json"):
            left.unlink()


def holder(directory: DataDir) -> int | None:
    """Returns the pid of the supervisor that holds a data directory, None when nobody does."""
    try:
        descriptor = os.open(directory.lock_file, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.pread(descriptor, 32, 0).decode().strip() or 0) or None
    finally:
        os.close(descriptor)
    return None


class DataDirLock:
    """An exclusive lock on a data directory, given back by the kernel when its holder dies."""

    def __init__(self, directory: DataDir) -> None:
        self._directory = directory
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Takes the lock and writes this process's id.

        Raises:
            StackAlreadyRunning: Another process holds it.
        """
        descriptor = os.open(self._directory.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(descriptor, 32, 0).decode().strip()
            os.close(descriptor)
            raise StackAlreadyRunning(self._directory.root, int(text) if text.isdigit() else None) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Gives the lock back; does nothing when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
