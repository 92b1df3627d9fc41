"""Full stacks: one for the tests that kill programs, own ones for those that kill what all need."""

import base64
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from runtime.embedded.env_file import PAYLOAD_KEYS
from runtime.embedded.ports import Ports
from runtime.embedded.stack import ALL_PARTS, EmbeddedStack, Part, StackOptions
from runtime.embedded.supervisor import Pace
from runtime.settings import TuningSettings
from tests.conftest import traversable_folder
from tests.e2e.scene import Holdfast

RING = f"tests:{base64.b64encode(bytes(range(32))).decode()}"
StartHoldfast = Callable[..., Awaitable[Holdfast]]


def full_stack(folder: Path, parts: frozenset[Part] = ALL_PARTS, **overrides: str) -> EmbeddedStack:
    """Returns a stack, not started, with durations at a tenth."""
    durations = TuningSettings().scaled(0.1).as_environment()
    return EmbeddedStack(
        StackOptions(
            folder,
            parts=parts,
            ports=Ports(),
            fsync=False,
            synchronous="normal",
            ui=False,
            pace=Pace(steady_after=1.0, longest_backoff=0.5),
            overrides={**durations, **overrides},
        )
    )


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_holdfast() -> AsyncGenerator[Holdfast]:
    """One stack for all tests that only kill or pause programs."""
    with traversable_folder() as folder:
        # Here what passes through Temporal is encrypted; the stacks that tests own go without.
        async with full_stack(folder, **{PAYLOAD_KEYS: RING}) as stack, Holdfast.on(stack) as holdfast:
            yield holdfast


@pytest_asyncio.fixture(loop_scope="session")
async def holdfast(shared_holdfast: Holdfast) -> AsyncGenerator[Holdfast]:
    """The shared stack, whole again at each start: parts up, no fault or barrier left."""
    await shared_holdfast.stack.wait_healthy()
    yield shared_holdfast
    await shared_holdfast.admin.clear_faults()
    await shared_holdfast.admin.clear_barriers()


@pytest_asyncio.fixture(loop_scope="session")
async def own_holdfast() -> AsyncGenerator[StartHoldfast]:
    """Starts a stack that belongs to this test: `await own_holdfast(VARIABLE="value")`."""
    async with AsyncExitStack() as stacks:

        async def start(folder: Path | None = None, **overrides: str) -> Holdfast:
            folder = folder or stacks.enter_context(traversable_folder())
            stack = await stacks.enter_async_context(full_stack(folder, **overrides))
            return await stacks.enter_async_context(Holdfast.on(stack))

        yield start


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these run one after another."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.serial)
