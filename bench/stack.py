"""A stack of a program's own: its data in a folder of the run, its ports free ones."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from bench.waiting import BenchFailed
from runtime.embedded.ports import Ports
from runtime.embedded.stack import EmbeddedStack, StackOptions

SYNCHRONOUS = "normal"
NOT_STARTED = "the stack did not start"


def measured(folder: Path, overrides: Mapping[str, str] | None = None) -> StackOptions:
    """Return the options of a stack that is measured: a killed process loses nothing, a power cut may."""
    return StackOptions(
        folder, synchronous=SYNCHRONOUS, fsync=False, ports=Ports(), ui=False, overrides=overrides or {}
    )


@asynccontextmanager
async def running(options: StackOptions) -> AsyncGenerator[EmbeddedStack]:
    """Start a stack, and stop it whatever happens.

    Raises:
        BenchFailed: It did not start: whatever the reason, it is no verdict on what was to be measured.
    """
    stack = EmbeddedStack(options)
    try:
        await stack.start()
    except Exception as error:
        raise BenchFailed(f"{NOT_STARTED}: {type(error).__name__}: {error}") from error
    try:
        yield stack
    finally:
        await stack.stop()
