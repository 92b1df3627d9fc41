"""A wire to Postgres that a test can cut, freeze and mend."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit


class Wire:
    """A relay on loopback; what goes through it can be stopped in three ways."""

    def __init__(self, database_url: str) -> None:
        self._parts = urlsplit(database_url)
        self._server: asyncio.Server | None = None
        self._port = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()

    @property
    def url(self) -> str:
        """The database's URL through the wire."""
        netloc = f"{self._parts.netloc.rpartition('@')[0]}@127.0.0.1:{self._port}"
        return urlunsplit(self._parts._replace(netloc=netloc))

    async def mend(self) -> None:
        """Accept connections (again) and let bytes pass."""
        self._flowing.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Close every connection and refuse new ones, as a server that died."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._open):
            writer.transport.abort()

    def freeze(self) -> None:
        """Let nothing pass while connections stay, as a server that was stopped."""
        self._flowing.clear()

    async def close(self) -> None:
        await self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        there_reader, there_writer = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        writers = {writer, there_writer}
        self._open |= writers
        try:
            await asyncio.gather(self._relay(reader, there_writer), self._relay(there_reader, writer))
        finally:
            self._open -= writers
            for each in writers:
                each.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(65536):
                await self._flowing.wait()
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass
        writer.transport.abort()


@asynccontextmanager
async def wire_to(database_url: str) -> AsyncGenerator[Wire]:
    wire = Wire(database_url)
    await wire.mend()
    try:
        yield wire
    finally:
        await wire.close()
