"""Connections to Postgres: one SQLAlchemy engine for ordinary work, one raw asyncpg pool for the hot path.

Both open lazily, so a process starts while Postgres is away; both fail within about a second then, and both
are well again with the first use after it came back.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Self

import asyncpg
import orjson
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from storage.failures import storage_unavailable


def plain_dsn(url: SecretStr | str) -> str:
    """Return the URL as asyncpg reads it, whichever driver it names."""
    text = url.get_secret_value() if isinstance(url, SecretStr) else url
    return text.replace("postgresql+asyncpg://", "postgresql://", 1)


class HotPool:
    """A raw asyncpg pool without the reset round trip: for claims, projections, the ledger and the feed.

    What runs on it leaves no session state behind (no SET, no LISTEN, no session locks), which is what the
    reset would clean.
    """

    def __init__(self, dsn: str, *, size: int, connect_timeout: float, statement_timeout: float) -> None:
        self._dsn = dsn
        self._size = size
        self._connect_timeout = connect_timeout
        self._statement_timeout = statement_timeout
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

    async def _opened(self) -> asyncpg.Pool:
        if self._pool is None:
            async with self._opening:
                if self._pool is None:
                    self._pool = await self._open()
        return self._pool

    async def _open(self) -> asyncpg.Pool:
        return await asyncpg.create_pool(
            self._dsn,
            min_size=0,
            max_size=self._size,
            max_inactive_connection_lifetime=0,
            reset=_keep_session,
            init=_read_json,
            timeout=self._connect_timeout,
            # Slightly longer than the server's own limit: this one is for a server that answers nothing.
            command_timeout=self._statement_timeout + 0.5,
            ssl=False if _is_loopback(self._dsn) else None,
            server_settings={
                "application_name": "holdfast-hot",
                "statement_timeout": f"{int(self._statement_timeout * 1000)}ms",
                "idle_in_transaction_session_timeout": f"{int(self._statement_timeout * 5000)}ms",
                "timezone": "UTC",
                "jit": "off",  # these statements take microseconds; compiling one takes milliseconds
                "plan_cache_mode": "force_generic_plan",  # planning them anew would cost more than running
            },
        )

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[asyncpg.Connection]:
        """Lend a connection outside any transaction.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        connection: asyncpg.Connection | None = None
        try:
            pool = await self._opened()
            connection = await pool.acquire(timeout=self._connect_timeout)
            yield connection
        except BaseException as error:
            failure = storage_unavailable(error)
            if failure is None:
                raise
            if connection is not None:
                # Never lend a doubtful connection again, and never wait for a server that does not answer.
                # One that died is back in the pool already and refuses the call.
                with contextlib.suppress(asyncpg.InterfaceError):
                    connection.terminate()
            raise failure from error
        finally:
            if connection is not None and self._pool is not None:
                await self._pool.release(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[asyncpg.Connection]:
        """Lend a connection inside a transaction: committed at the end, rolled back on any exception.

        Raises:
            StorageUnavailable: Postgres cannot be reached now. When that happens at the commit itself, the
                outcome is unknown: everything written here is idempotent.
        """
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def close(self) -> None:
        """Close every connection; one that is stuck is cut after a second."""
        if self._pool is None:
            return
        pool, self._pool = self._pool, None
        try:
            await asyncio.wait_for(pool.close(), 1)
        except TimeoutError:
            pool.terminate()


@asynccontextmanager
async def _classified(lent: AbstractAsyncContextManager[AsyncConnection]) -> AsyncGenerator[AsyncConnection]:
    """Tell outages of Postgres from everything else."""
    try:
        async with lent as connection:
            yield connection
    except BaseException as error:
        failure = storage_unavailable(error)
        if failure is None:
            raise
        raise failure from error


async def _read_json(connection: asyncpg.Connection) -> None:
    """Make jsonb columns arrive as Python values; documents go out as text."""
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=str, decoder=orjson.loads)


async def _keep_session(_: asyncpg.Connection) -> None:
    """Stand in for the reset query that asyncpg sends with every release."""


class Database:
    """The way to Postgres for repositories.

    Args:
        url: `postgresql://…`, password included.
        pool_size: Connections that the ordinary engine keeps.
        pool_overflow: More of them under load.
        hot_pool_size: Connections of the raw pool.
        connect_timeout: Seconds until an attempt to connect, or to get a connection, fails.
        statement_timeout: Seconds that an ordinary statement may take.
        hot_statement_timeout: Seconds that a statement of the hot path may take, waiting for locks included.
    """

    def __init__(
        self,
        url: SecretStr | str,
        *,
        pool_size: int = 5,
        pool_overflow: int = 10,
        hot_pool_size: int = 10,
        connect_timeout: float = 1.0,
        statement_timeout: float = 10.0,
        hot_statement_timeout: float = 2.0,
    ) -> None:
        self._dsn = plain_dsn(url)
        self._connect_timeout = connect_timeout
        self._engine: AsyncEngine = create_async_engine(
            self._dsn.replace("postgresql://", "postgresql+asyncpg://", 1),
            hide_parameters=True,
            pool_size=pool_size,
            max_overflow=pool_overflow,
            pool_timeout=connect_timeout,
            pool_pre_ping=True,  # a connection that a restart cut is replaced before its use
            connect_args={
                "timeout": connect_timeout,
                "command_timeout": statement_timeout + 0.5,
                "ssl": False if _is_loopback(self._dsn) else None,
                "server_settings": {
                    "application_name": "holdfast",
                    "statement_timeout": f"{int(statement_timeout * 1000)}ms",
                    "idle_in_transaction_session_timeout": f"{int(statement_timeout * 3000)}ms",
                    "timezone": "UTC",
                },
            },
        )
        # One statement is its own transaction: begin and commit would be round trips of their own.
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self.hot = HotPool(
            self._dsn,
            size=hot_pool_size,
            connect_timeout=connect_timeout,
            statement_timeout=hot_statement_timeout,
        )

    def transaction(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Lend an ordinary connection inside a transaction.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        return _classified(self._engine.begin())

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Lend an ordinary connection for single reads, each of which sees a moment of its own.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        return _classified(self._reading.connect())

    async def dedicated(self) -> asyncpg.Connection:
        """Open a connection outside the pools (for LISTEN); the caller closes it.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        try:
            return await asyncpg.connect(
                self._dsn,
                timeout=self._connect_timeout,
                ssl=False if _is_loopback(self._dsn) else None,
                server_settings={"application_name": "holdfast-listen", "timezone": "UTC"},
            )
        except Exception as error:
            failure = storage_unavailable(error)
            if failure is None:
                raise
            raise failure from error

    async def ping(self) -> None:
        """Ask Postgres for an answer.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self.hot.connection() as connection:
            await connection.fetchval("SELECT 1")

    async def close(self) -> None:
        """Close all connections."""
        await self.hot.close()
        await self._engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _is_loopback(dsn: str) -> bool:
    """Whether asking for TLS would only cost a round trip per connection."""
    host = dsn.rpartition("@")[2].partition("/")[0].rpartition(":")[0]
    return host in ("127.0.0.1", "localhost", "[::1]")
