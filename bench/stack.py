"""A stack of a program's own: its data in a folder of the run, its ports free ones."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from bench.waiting import BenchFailed
from runtime.embedded.stack import EmbeddedStack, StackOptions


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
        raise BenchFailed(f"the stack did not start: {error}") from error
    try:
        yield stack
    finally:
        await stack.stop()
