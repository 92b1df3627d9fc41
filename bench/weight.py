"""What a stack weighs: bytes in Postgres and Temporal's file, memory of its processes, open connections."""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil

from runtime.embedded.stack import WORKERS, EmbeddedStack

_POSTGRES_BYTES = """
    SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
    WHERE relkind IN ('r', 'm') AND relnamespace = 'public'::regnamespace
"""
_CONNECTIONS = """
    SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
_ESTABLISHED = psutil.CONN_ESTABLISHED


@dataclass(frozen=True, slots=True)
class Weight:
    """One look at a stack.

    Attributes:
        postgres_bytes: Tables with their indexes.
        temporal_bytes: Pages in use of Temporal's SQLite file.
        memory_bytes: Memory of each part and everything below it that is no part of its own, without what
            processes share.
        connections: Established sockets of each part.
        database_connections: Clients that Postgres serves.
    """

    postgres_bytes: int
    temporal_bytes: int
    memory_bytes: Mapping[str, int]
    connections: Mapping[str, int]
    database_connections: int

    @property
    def worker_bytes(self) -> int:
        """Memory of all workers."""
        return sum(size for part, size in self.memory_bytes.items() if part in WORKERS)


@dataclass(frozen=True, slots=True)
class Scales:
    """What is weighed.

    Attributes:
        database_url: Of the projection.
        temporal_database: Temporal's SQLite file.
        pids: Returns the process id of each part now; None where it is down.
    """

    database_url: str
    temporal_database: Path
    pids: Callable[[], Mapping[str, int | None]]


def scales_of(stack: EmbeddedStack) -> Scales:
    """Return how to weigh a stack of this process."""
    supervisor = stack.supervisor
    return Scales(
        stack.database_url,
        stack.data_dir.temporal_database,
        lambda: {part: supervisor.pid(part) for part in supervisor.parts},
    )


async def weigh(scales: Scales) -> Weight:
    """Look at a stack that runs; dead rows and unused pages are left out."""
    connection = await asyncpg.connect(scales.database_url, ssl=False)
    try:
        await connection.execute("VACUUM")
        postgres = await connection.fetchval(_POSTGRES_BYTES)
        clients = await connection.fetchval(_CONNECTIONS)
    finally:
        await connection.close()
    trees = _trees(scales.pids())
    return Weight(
        postgres_bytes=int(str(postgres)),
        temporal_bytes=used_bytes(scales.temporal_database),
        memory_bytes={part: _memory(tree) for part, tree in trees.items()},
        connections={part: _sockets(tree) for part, tree in trees.items()},
        database_connections=int(str(clients)),
    )


def cpu_seconds(scales: Scales) -> float:
    """Return what the processes of all parts have burned so far."""
    return sum(_burned(process) for tree in _trees(scales.pids()).values() for process in tree)


def used_bytes(database: Path) -> int:
    """Return the bytes of a SQLite file's pages that are in use, those in its write-ahead log included."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as connection:
        pages, free, size = (
            int(connection.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
    return (pages - free) * size


def _trees(pids: Mapping[str, int | None]) -> dict[str, list[psutil.Process]]:
    """Return the processes of each part; one below another part (all are, below a supervisor) counts once."""
    trees = {part: _tree(pid) for part, pid in pids.items()}
    below = {part: {process.pid for process in tree[1:]} for part, tree in trees.items()}
    inner = {part: [n for n in trees if n != part and pids[n] in below[part]] for part in trees}
    taken = {part: {process.pid for n in inner[part] for process in trees[n]} for part in trees}
    return {
        part: [process for process in tree if process.pid not in taken[part]] for part, tree in trees.items()
    }


def _tree(pid: int | None) -> list[psutil.Process]:
    if pid is None:
        return []
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _memory(tree: list[psutil.Process]) -> int:
    return sum(_own_bytes(process) for process in tree)


def _own_bytes(process: psutil.Process) -> int:
    try:
        return process.memory_full_info().uss  # without what is shared, such as Postgres's buffers
    except psutil.NoSuchProcess:  # a server process of Postgres that ended with its client
        return 0


def _burned(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system


def _sockets(tree: list[psutil.Process]) -> int:
    return sum(_established(process) for process in tree)


def _established(process: psutil.Process) -> int:
    try:
        return sum(c.status == _ESTABLISHED for c in process.net_connections(kind="tcp"))
    except psutil.NoSuchProcess:
        return 0
