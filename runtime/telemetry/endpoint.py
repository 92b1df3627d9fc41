"""Where a process serves its metrics, and the file by which it is found."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runtime.telemetry.exposition import CONTENT_TYPE

PATH = "/metrics"
Render = Callable[[], Awaitable[bytes]]


class _Server(uvicorn.Server):
    """A server beside others in one process: signals are the process's own business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signals alone."""
        yield


@asynccontextmanager
async def metrics_endpoint(render: Render, *, host: str, port: int) -> AsyncGenerator[int]:
    """Serve metrics while the context lasts; yields the port, which is a free one for 0.

    Raises:
        OSError: The address cannot be taken.
    """

    async def answer(_: Request) -> Response:
        return Response(await render(), HTTPStatus.OK, media_type=CONTENT_TYPE)

    listening = _listen(host, port)
    server = _Server(
        uvicorn.Config(
            Starlette(routes=[Route(PATH, answer, methods=["GET"])]),
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        await serving


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Without its protocol asyncio leaves Nagle's algorithm on, which delays answers.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError:
        listening.close()
        raise
    return listening


@contextlib.contextmanager
def announced(folder: Path | None, *, process: str, role: str, address: str) -> Generator[None]:
    """Name an endpoint in a folder as Prometheus's `file_sd_configs` reads it, while the context lasts."""
    if folder is None:
        yield
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = folder / f"{process}.json"
    labels = {"process": process, "role": role}
    # Written aside and moved: a reader never sees half a file.
    draft = folder / f".{process}.{os.getpid()}"
    draft.write_text(json.dumps([{"targets": [address], "labels": labels}]) + "\n")
    draft.replace(target)
    try:
        yield
    finally:
        target.unlink(missing_ok=True)
