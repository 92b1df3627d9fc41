"""An HTTP server that keeps the raw requests it gets and gives prepared answers."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RawRequest:
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        return {key.lower(): value for key, value in self.headers}[name.lower()]


@dataclass(frozen=True, slots=True)
class Prepared:
    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False  # close without an answer


Answering = Callable[[RawRequest], Prepared]


class RecordingServer:
    def __init__(self, answering: Answering) -> None:
        self.answering = answering
        self.requests: list[RawRequest] = []
        self.url = ""
        self.release = asyncio.Event()
        self.release.set()
        self.arrived = asyncio.Event()
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while (request := await read_request(reader)) is not None:
                self.requests.append(request)
                self.arrived.set()
                await self.release.wait()
                prepared = self.answering(request)
                if prepared.hang_up:
                    break
                lines = [f"HTTP/1.1 {prepared.status} Something", f"Content-Length: {len(prepared.body)}"]
                lines += [f"{key}: {value}" for key, value in prepared.headers.items()]
                writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + prepared.body)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


async def read_request(reader: asyncio.StreamReader) -> RawRequest | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = tuple((line.split(": ", 1)[0], line.split(": ", 1)[1]) for line in lines)
    length = next((int(value) for key, value in headers if key.lower() == "content-length"), 0)
    return RawRequest(method, path, headers, await reader.readexactly(length) if length else b"")


@asynccontextmanager
async def recording_server(answering: Answering) -> AsyncGenerator[RecordingServer]:
    recorder = RecordingServer(answering)
    server = await asyncio.start_server(recorder.serve, "127.0.0.1", 0)
    recorder.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield recorder
    finally:
        recorder.release.set()
        server.close()
        server.close_clients() if hasattr(server, "close_clients") else None
