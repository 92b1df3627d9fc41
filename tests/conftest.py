"""Fixtures for all tests: recorded data, the shared stack, a stack of one's own."""

import asyncio
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import asyncpg
import pytest
from temporalio.client import Client

from runtime.embedded.ports import Ports
from runtime.embedded.stack import STORES, EmbeddedStack, Part, StackOptions
from runtime.settings import TuningSettings
from runtime.temporal import connect
from tests.shared_stack import Meeting, SharedStack

REPOSITORY = Path(__file__).resolve().parents[1]
DEFAULT_FIXTURES = REPOSITORY.parent / "shared" / "fixtures"
KEPT_VARIABLES = {"HOLDFAST_FIXTURES", "HOLDFAST_TEMPORAL_CLI"}

# The developer's own installation must not leak into tests: neither its variables nor its env file.
for _name in [name for name in os.environ if name.startswith(("HOLDFAST_", "TRADE_MANAGER_"))]:
    if _name not in KEPT_VARIABLES:
        del os.environ[_name]
os.environ["HOLDFAST_DATA_DIR"] = "/nonexistent/holdfast"

StartOwnStack = Callable[..., Awaitable[EmbeddedStack]]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks tests by the stack they use, so that no test forgets it."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if "own_stack" in fixtures:
            item.add_marker(pytest.mark.serial)
        elif "stack" in fixtures:
            item.add_marker(pytest.mark.stack)


@pytest.fixture(scope="session")
def fixtures_dir() -> Path:
    """The recorded data; tests that need it are skipped only where it is absent."""
    folder = Path(os.environ.get("HOLDFAST_FIXTURES") or DEFAULT_FIXTURES)
    if not folder.is_dir():
        pytest.skip(f"no recorded data at {folder}: set HOLDFAST_FIXTURES")
    return folder


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Generator[SharedStack]:
    """Temporal and a migrated Postgres, one stack for the whole run."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with Meeting(folder).joined() as shared:
        yield shared


@pytest.fixture(scope="session")
def database_url(stack: SharedStack, worker_name: str) -> str:
    """A migrated database of this test process; tests keep apart by their accounts."""
    return run_apart(copy_database(stack, f"holdfast_{worker_name}"))


@pytest.fixture
async def fresh_database_url(stack: SharedStack) -> AsyncGenerator[str]:
    """A migrated, empty database for one test."""
    name = f"holdfast_{uuid.uuid4().hex[:12]}"
    yield await copy_database(stack, name)
    connection = await asyncpg.connect(stack.url_of("postgres"), ssl=False)
    try:
        await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await connection.close()


async def copy_database(stack: SharedStack, name: str) -> str:
    """Copies the template database and returns the copy's URL."""
    connection = await asyncpg.connect(stack.url_of("postgres"), ssl=False)
    try:
        # Two processes must not copy at once: the template may have no connection, not even the other copy's.
        await connection.execute("SELECT pg_advisory_lock(7231)")
        template = stack.database_url.rpartition("/")[2]
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
    finally:
        await connection.close()
    return stack.url_of(name)


def run_apart(work: Coroutine[object, object, str]) -> str:
    """Runs a coroutine in an event loop of its own thread, whatever loop this one has."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


@pytest.fixture(scope="session")
def worker_name() -> str:
    """Name of this test process, `main` without xdist."""
    return os.environ.get("PYTEST_XDIST_WORKER", "main")


@pytest.fixture
async def temporal_client(stack: SharedStack) -> Client:
    """A client of the shared Temporal."""
    return await connect(stack.settings().temporal)


@pytest.fixture
def task_queue_prefix() -> str:
    """A prefix of task queues that no other test uses."""
    return f"t-{uuid.uuid4().hex[:10]}-"


@pytest.fixture
async def own_stack() -> AsyncGenerator[StartOwnStack]:
    """Starts stacks that belong to this test alone and may be killed, with durations at a tenth.

    `await own_stack(parts=..., data_dir=..., **StackOptions)`; a folder made here is removed at the end.
    """
    async with AsyncExitStack() as stacks:

        async def start(
            parts: frozenset[Part] = STORES, data_dir: Path | None = None, **options: object
        ) -> EmbeddedStack:
            folder = data_dir or stacks.enter_context(traversable_folder())
            overrides = {
                **TuningSettings().scaled(0.1).as_environment(),
                **options.pop("overrides", {}),  # type: ignore[dict-item]
            }
            defaults = {"fsync": False, "synchronous": "normal", "ui": False, "ports": Ports()}
            chosen = StackOptions(folder, parts=parts, overrides=overrides, **{**defaults, **options})  # type: ignore[arg-type]
            return await stacks.enter_async_context(EmbeddedStack(chosen))

        yield start


@contextmanager
def traversable_folder() -> Generator[Path]:
    """A temporary folder that other users may pass through, as Postgres needs it when tests run as root."""
    path = Path(tempfile.mkdtemp(prefix="holdfast-own-"))
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
