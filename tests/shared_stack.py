"""One embedded stack for a whole test run, shared by all its processes.

Whoever needs it first starts it as a process of its own. Each user holds a shared lock on the references
file, which the kernel drops when the user dies; the stack stops when it gets that file for itself.
"""

import asyncio
import fcntl
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import runtime.logging
from runtime.embedded.stack import STORES, EmbeddedStack, StackOptions
from runtime.settings import Settings, load

POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class SharedStack:
    """Where the shared stack is.

    Attributes:
        temporal_address: Host and port of Temporal.
        database_url: The migrated template database; tests get copies of it.
        env_file: Its secrets and URLs.
        environment: The same as variables.
    """

    temporal_address: str
    database_url: str
    env_file: str
    environment: Mapping[str, str]

    def settings(self, overrides: Mapping[str, str] | None = None) -> Settings:
        """Returns the settings of a program that runs on this stack."""
        return load({**self.environment, **(overrides or {})}, env_file=Path(self.env_file))

    def url_of(self, database: str) -> str:
        """Returns the URL of another database of the same cluster."""
        return self.database_url.rpartition("/")[0] + "/" + database


@dataclass(frozen=True, slots=True)
class Meeting:
    """The files by which users and the stack's process find each other."""

    folder: Path

    @property
    def state(self) -> Path:
        return self.folder / "stack.json"

    @property
    def log(self) -> Path:
        return self.folder / "stack.log"

    @contextmanager
    def exclusive(self) -> Generator[None]:
        """Lets one process at a time start, join or end the stack."""
        with (self.folder / "stack.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def joined(self) -> Generator[SharedStack]:
        """Holds a reference on the stack, which is started when it does not run."""
        with (self.folder / "stack.references").open("w") as references:
            with self.exclusive():
                fcntl.flock(references, fcntl.LOCK_SH)
                if not self.state.exists():
                    self._start()
            yield SharedStack(**json.loads(self.state.read_text()))

    def _start(self) -> None:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.shared_stack", str(self.folder)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                cwd=Path(__file__).parents[1],
            )
        with process:
            assert process.stdout is not None
            # One line when it is up; the end of the stream without it when it failed.
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"the shared stack did not start:\n{self.log.read_text()[-4000:]}")
            # It lives on; `with` must not wait for it.
            process.returncode = 0

    def unused(self) -> bool:
        """Tells whether nobody holds a reference; then the state file goes, and a next user starts anew."""
        with self.exclusive(), (self.folder / "stack.references").open("w") as references:
            try:
                fcntl.flock(references, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            self.state.unlink()
            return True


async def serve(meeting: Meeting) -> None:
    """Runs the stack until nobody uses it."""
    # Not below pytest's own folder, which is private: Postgres runs as another user when this is root.
    data_dir = Path(tempfile.mkdtemp(prefix="holdfast-tests-"))
    try:
        options = StackOptions(data_dir, parts=STORES, fsync=False, synchronous="normal", ui=False)
        async with EmbeddedStack(options) as stack:
            state = SharedStack(
                stack.temporal_address, stack.database_url, str(stack.data_dir.env_file), stack.environment()
            )
            meeting.state.write_text(json.dumps(asdict(state)))
            sys.stdout.write("up\n")
            sys.stdout.flush()
            while not meeting.unused():  # noqa: ASYNC110 - the kernel tells of a dropped lock to nobody
                await asyncio.sleep(POLL_SECONDS)
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)


if __name__ == "__main__":
    runtime.logging.configure()
    asyncio.run(serve(Meeting(Path(sys.argv[1]))))
