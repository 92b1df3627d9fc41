"""`holdfast up` as a child of a program: the command that users type, on free ports, in a run's folder."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from bench.waiting import STEP_LIMIT_S, BenchFailed
from bench.weight import Scales
from runtime.embedded.layout import DataDir
from runtime.settings import Settings, load

STOP_LIMIT_S = 60.0
SUPERVISOR = "supervisor"
_PORTS = ("api", "temporal", "ui", "simulator", "simulator-admin", "postgres")
_Places = TypeAdapter(dict[str, str | int])


@dataclass(frozen=True, slots=True)
class Up:
    """A running `holdfast up`."""

    pid: int
    api_url: str
    simulator_admin_url: str
    data_dir: DataDir
    settings: Settings

    @property
    def admin_key(self) -> str:
        """The operator's API key."""
        key = self.settings.api.admin_key
        if key is None:
            raise BenchFailed("the env file of `holdfast up` names no admin key")
        return key.get_secret_value()

    @property
    def database_url(self) -> str:
        """Of the projection."""
        return self.settings.database.dsn()

    def pids(self) -> Mapping[str, int | None]:
        """Return the process of each part now, the command's own among them."""
        records = json.loads(self.data_dir.pids_file.read_text())
        return {SUPERVISOR: self.pid, **{str(record["part"]): int(record["pid"]) for record in records}}

    def scales(self) -> Scales:
        """Return how to weigh it."""
        parts = self.pids().keys()
        return Scales(
            self.database_url,
            self.data_dir.temporal_database,
            lambda: {part: self.pids().get(part) for part in parts},
        )


@asynccontextmanager
async def holdfast_up(folder: Path) -> AsyncGenerator[Up]:
    """Start `holdfast up`, and stop it as Ctrl-C does.

    Raises:
        BenchFailed: It did not come up; its words are in a log beside the data.
    """
    await asyncio.to_thread(folder.parent.mkdir, parents=True, exist_ok=True)
    log = folder.parent / f"{folder.name}.up.log"
    ports = [word for port in _PORTS for word in (f"--{port}-port", "0")]
    program = Path(sys.executable).with_name("holdfast")
    with log.open("wb") as told:
        child = await asyncio.create_subprocess_exec(
            str(program), "up", "--data-dir", str(folder), "--json", *ports,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=told,
        )  # fmt: skip
        try:
            yield await _running(child, log)
        finally:
            await _stop(child)


async def _running(child: asyncio.subprocess.Process, log: Path) -> Up:
    assert child.stdout is not None
    try:
        line = await asyncio.wait_for(child.stdout.readline(), STEP_LIMIT_S)
    except TimeoutError:
        line = b""
    if not line:
        raise BenchFailed(f"`holdfast up` did not come up: {await asyncio.to_thread(_tail, log)}")
    places = {name: str(place) for name, place in _Places.validate_json(line).items()}
    data_dir = DataDir(Path(places["data_dir"]))
    settings = load(env_file=Path(places["env_file"]))
    return Up(child.pid, places["api"], places["simulator_admin"], data_dir, settings)


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


async def _stop(child: asyncio.subprocess.Process) -> None:
    """Ask it to stop; whatever does not within a minute is killed, and its children die with it."""
    if child.returncode is not None:
        return
    child.terminate()
    try:
        await asyncio.wait_for(child.wait(), STOP_LIMIT_S)
    except TimeoutError:
        child.kill()
        await child.wait()
