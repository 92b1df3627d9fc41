"""The database's edge: what counts as away, how fast it is noticed, how fast it is over."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from domain.errors import StorageUnavailable
from domain.ids import AccountId
from runtime.embedded.stack import Part
from storage.database import Database
from storage.failures import storage_unavailable
from storage.repositories.accounts import Accounts
from tests.conftest import StartOwnStack
from tests.storage.builders import Store, order_id
from tests.storage.severed_wire import Wire, wire_to

LIMIT_S = 0.5
PATIENCE_S = 10  # generous: a loaded machine must not fail a test about correctness

Use = Callable[[Database], Awaitable[object]]


async def use_hot(database: Database) -> object:
    async with database.hot.transaction() as connection:
        return await connection.fetchval("SELECT 1")


async def use_ordinary(database: Database) -> object:
    async with database.transaction() as connection:
        return await connection.scalar(text("SELECT 1"))


USES = pytest.mark.parametrize("use", [use_hot, use_ordinary])


@pytest.fixture
async def wire(database_url: str) -> AsyncGenerator[Wire]:
    async with wire_to(database_url) as opened:
        yield opened


@pytest.fixture
async def remote(wire: Wire) -> AsyncGenerator[Database]:
    """A database behind the wire, with short limits."""
    async with Database(
        SecretStr(wire.url),
        pool_size=2,
        hot_pool_size=2,
        connect_timeout=LIMIT_S,
        statement_timeout=LIMIT_S,
        hot_statement_timeout=LIMIT_S,
    ) as opened:
        yield opened


@USES
async def test_refused_connection_is_storage_unavailable_at_once(
    wire: Wire, remote: Database, use: Use
) -> None:
    await wire.cut()
    began = time.monotonic()
    with pytest.raises(StorageUnavailable):
        await use(remote)
    assert time.monotonic() - began < PATIENCE_S


@USES
async def test_first_use_after_a_cut_works_again(wire: Wire, remote: Database, use: Use) -> None:
    await use(remote)
    await wire.cut()
    with pytest.raises(StorageUnavailable):
        await use(remote)
    await wire.mend()
    assert await use(remote) == 1


@USES
async def test_cut_between_two_uses_is_not_even_noticed(wire: Wire, remote: Database, use: Use) -> None:
    await asyncio.gather(use(remote), use(remote))
    await wire.cut()
    await wire.mend()
    await asyncio.sleep(0)
    assert await asyncio.gather(use(remote), use(remote)) == [1, 1]


@USES
async def test_frozen_server_is_given_up_and_used_again_when_it_thaws(
    wire: Wire, remote: Database, use: Use
) -> None:
    await use(remote)
    wire.freeze()
    for _ in range(3):
        with pytest.raises(StorageUnavailable):
            await asyncio.wait_for(use(remote), PATIENCE_S)
    await wire.mend()
    assert await use(remote) == 1


async def test_cut_in_the_middle_of_a_transaction_rolls_it_back(wire: Wire, remote: Database) -> None:
    account = AccountId(f"cut-{wire.url[-6:]}-{time.time_ns()}")

    async def insert_and_cut() -> None:
        async with remote.transaction() as connection:
            await connection.execute(
                text("INSERT INTO accounts (account_id, name) VALUES (:id, 'x')"), {"id": account}
            )
            await wire.cut()

    with pytest.raises(StorageUnavailable):
        await insert_and_cut()
    await wire.mend()
    assert await Accounts(remote).get(account) is None


async def test_exhausted_pool_is_storage_unavailable(remote: Database) -> None:
    async with remote.hot.connection(), remote.hot.connection():
        with pytest.raises(StorageUnavailable):
            await use_hot(remote)
    assert await use_hot(remote) == 1


async def test_long_statement_is_storage_unavailable(remote: Database) -> None:
    with pytest.raises(StorageUnavailable):
        async with remote.hot.connection() as connection:
            await connection.fetchval("SELECT pg_sleep(30)")
    with pytest.raises(StorageUnavailable):
        async with remote.transaction() as ordinary:
            await ordinary.execute(text("SELECT pg_sleep(30)"))


async def test_mistakes_of_ours_are_not_called_unavailable(database: Database) -> None:
    with pytest.raises(asyncpg.PostgresError):
        async with database.hot.connection() as connection:
            await connection.fetchval("SELECT nonsense")
    with pytest.raises(asyncpg.DataError):
        async with database.hot.connection() as connection:
            await connection.fetchval("SELECT $1::bigint", "text")
    with pytest.raises(ProgrammingError):
        async with database.transaction() as ordinary:
            await ordinary.execute(text("SELECT nonsense"))


async def test_failing_statement_shows_no_parameters(database: Database) -> None:
    secret = "0x" + "ab" * 32
    with pytest.raises(ProgrammingError) as raised:
        async with database.transaction() as connection:
            await connection.execute(text("SELECT nonsense WHERE :secret = ''"), {"secret": secret})
    assert secret not in str(raised.value)


async def test_unknown_database_and_wrong_password_are_unavailable(database_url: str) -> None:
    for url in (f"{database_url}_missing", database_url.replace("holdfast:", "holdfast:wrong", 1)):
        async with Database(url, connect_timeout=5) as broken:
            with pytest.raises(StorageUnavailable) as raised:
                await broken.ping()
            assert url not in str(raised.value)


async def test_exception_inside_a_transaction_rolls_it_back(database: Database) -> None:
    account = AccountId(f"rolled-{time.time_ns()}")

    async def fail() -> None:
        async with database.hot.transaction() as connection:
            await connection.execute("INSERT INTO accounts (account_id, name) VALUES ($1, 'x')", account)
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        await fail()
    assert await Accounts(database).get(account) is None


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), RuntimeError("x")])
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    assert storage_unavailable(error) is None


async def test_killed_postgres_is_noticed_and_claims_go_on_when_it_is_back(own_stack: StartOwnStack) -> None:
    stack = await own_stack(parts=frozenset({Part.POSTGRES}))
    async with Database(stack.database_url, connect_timeout=1.0) as database:
        store = Store(database, (await Accounts(database).create("killed")).account_id)
        await store.hold("10")
        attempt = store.attempt(order_id())
        await store.granted(attempt)
        stack.kill(Part.POSTGRES)
        seen = 0
        async with asyncio.timeout(60):
            while True:
                try:
                    claim = await store.claims.find(attempt.order_id, 1)
                    break
                except StorageUnavailable:
                    seen += 1
                    await asyncio.sleep(0.05)
        assert claim is not None
        assert claim.attempt == attempt
        again = await store.claim(attempt)
        assert getattr(again, "resend", False)
