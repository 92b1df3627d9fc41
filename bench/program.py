"""How a program of this folder runs: one signal stops it in order, and its exit code says how it ended."""

import asyncio
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from bench.client import Refused
from bench.waiting import BenchFailed
from runtime.embedded.supervisor import PartFailed

T = TypeVar("T")
Say = Callable[[str], None]
"""Receives the step that a program is at."""
EXIT_DIFFERENT = 1
"""The run came to its end, and what it found is not as it must be."""
EXIT_FAILED = 2
"""The run could not be set up or carried through: it says nothing about the product."""
EXIT_STOPPED = 130
NOT_CARRIED_THROUGH = (BenchFailed, Refused, PartFailed)


class Stopped(Exception):
    """A signal ended the run; everything that it had started is stopped."""


def carry_through(work: Coroutine[object, object, T], name: str, console: Console) -> T:
    """Run to the end and return what the work returns.

    Exits with `EXIT_STOPPED` after Ctrl-C, SIGTERM or SIGHUP, once everything is stopped, and with
    `EXIT_FAILED` where the run could not be carried through, whatever the reason: what nobody expected is
    shown with its traceback.

    Args:
        work: The program.
        name: What the messages call this run.
        console: Where they go.
    """
    try:
        return asyncio.run(_until_signalled(work))
    except Stopped:
        console.print(f"{name}: stopped", markup=False, highlight=False)
        sys.exit(EXIT_STOPPED)
    except NOT_CARRIED_THROUGH as failed:
        console.print(f"{name}: could not be carried through: {failed}", markup=False, highlight=False)
        sys.exit(EXIT_FAILED)
    except Exception:
        console.print(f"{name}: could not be carried through", markup=False, highlight=False)
        traceback.print_exc()
        sys.exit(EXIT_FAILED)


async def _until_signalled(work: Coroutine[object, object, T]) -> T:
    """Run; the first signal cancels the work, further ones do not disturb its end."""
    task = asyncio.ensure_future(work)
    stopping = False

    def stop() -> None:
        nonlocal stopping
        if not stopping:
            task.cancel()
        stopping = True

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        return await task
    except asyncio.CancelledError:
        raise Stopped from None
    except BaseExceptionGroup as several:  # of things done side by side: the first that failed tells why
        raise several.exceptions[0] from several


def prefixed(say: Say, prefix: str) -> Say:
    """Return what tells steps with the words of the step around them."""
    return lambda words: say(prefix + words)


def with_a_folder(
    name: str, keep: Path | None, work: Callable[[Path, Say], Coroutine[object, object, T]]
) -> T:
    """Run work that needs a folder, with a line on the terminal that says what goes on; see `carry_through`.

    Args:
        name: What the messages call this run.
        keep: The folder to use, which stays; None makes one that is removed at the end.
        work: The program; it takes the folder and what tells its steps.
    """
    console = Console(stderr=True)
    with data_folder(keep, name, console) as folder, console.status("starting a stack") as status:
        return carry_through(work(folder, lambda words: status.update(f"{name}: {words}")), name, console)


@contextmanager
def data_folder(keep: Path | None, name: str, console: Console) -> Generator[Path]:
    """Yield the folder of a run's data and logs; a run that does not come to its end says what became of it.

    Args:
        keep: The folder to use, which stays; None makes one that is removed at the end.
        name: What the messages call this run.
        console: Where they go.
    """
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as made:
        os.chmod(made, 0o711)  # Postgres may run as another user
        folder = keep or Path(made) / "data"
        try:
            yield folder
        except SystemExit:
            fate = "was removed" if keep is None else "keeps data and logs"
            console.print(f"{name}: {folder} {fate}", markup=False, highlight=False, soft_wrap=True)
            raise
