"""`holdfast api`, `worker`, `simulator`: one part alone, in place of this process."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer


class WorkerRole(StrEnum):
    """Which task queues a worker process serves."""

    CORE = "core"
    FEED = "feed"
    IO = "io"
    ALL = "all"


def _become(module: str, *arguments: str) -> NoReturn:
    """Replaces this process, so that signals and exit codes are the part's own."""
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 - a module of ours


def api() -> None:
    """Run the API alone, on HOLDFAST_API_HOST and HOLDFAST_API_PORT."""
    _become("api")


def worker(
    role: Annotated[WorkerRole, typer.Option(help="Task queues to serve.")] = WorkerRole.ALL,
    standby: Annotated[
        bool, typer.Option("--standby", help="Run the standbys of the feeds (role feed).")
    ] = False,
) -> None:
    """Run one worker process."""
    _become("worker", "--role", role, *(["--standby"] if standby else []))


def simulator(
    state: Annotated[Path, typer.Option(help="Folder of its journal.")] = Path(".holdfast/simulator"),
    port: Annotated[int, typer.Option(help="Port of the exchange.")] = 8090,
    admin_port: Annotated[int, typer.Option(help="Port of the admin endpoint.")] = 8091,
) -> None:
    """Run the local exchange alone."""
    _become("simulator", "--port", str(port), "--admin-port", str(admin_port), "--state", str(state))
