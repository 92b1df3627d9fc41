"""Backup of an embedded stack's two stores: Temporal's SQLite file and the database `holdfast`.

They are not copied at one moment, so their order matters: Temporal may be older than Postgres, never the
reverse. An older Temporal repeats steps whose claims stand in Postgres, and adopts them; an older Postgres
has forgotten claims of orders that are at the venue. So a backup copies Temporal first, a restore takes both
of one backup.

The secrets are no part of it: whoever has the backup and the env file has the wallets.
"""

import asyncio
import hashlib
import os
import re
import sqlite3
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
from pydantic import AwareDatetime, BaseModel, ConfigDict, SecretStr
from temporalio.api.common.v1 import Payload

from runtime.embedded import env_file
from runtime.embedded.layout import DataDir, holder
from runtime.embedded.postgres import DATABASE, PostgresCluster
from runtime.embedded.process import Command, PidsFile, run_to_end
from runtime.embedded.stack import EmbeddedStack, Part, StackOptions
from runtime.settings import parse_key_ring
from runtime.temporal_codec import KEY_ID

MANIFEST = "manifest.json"
TEMPORAL_COPY = "temporal.db"
HOLDFAST_DUMP = "holdfast.dump"
FORMAT = 1


class BackupUnusable(Exception):
    """A backup cannot be made or restored; the text says why and what to do."""


class Copied(BaseModel):
    """One file of a backup."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    sha256: str
    began_at: AwareDatetime
    """When its store was read: what happened later is not in it."""


class Manifest(BaseModel):
    """What a backup holds.

    Attributes:
        temporal: Copy of Temporal's file, made first.
        holdfast: Dump of the database, made second.
        revision: The database's migration.
        master_keys: Ids of the master keys that seal its credentials.
        payload_keys: Ids of the payload keys that Temporal's histories were written with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    temporal: Copied
    holdfast: Copied
    revision: str
    master_keys: tuple[str, ...]
    payload_keys: tuple[str, ...] = ()


async def back_up(data_dir: DataDir, folder: Path) -> Manifest:
    """Copies both stores into a new folder, while the stack runs or while it does not.

    Raises:
        BackupUnusable: The folder holds something, there is no stack's data, or a copy failed.
    """
    _prepare_folder(data_dir, folder)
    async with _postgres(data_dir) as cluster:
        temporal_at = datetime.now(UTC)
        await asyncio.to_thread(copy_sqlite, data_dir.temporal_database, folder / TEMPORAL_COPY)
        holdfast_at = datetime.now(UTC)
        dump = folder / HOLDFAST_DUMP
        await run_program(cluster, "pg_dump", "--format=custom", f"--file={dump}", DATABASE)
        manifest = Manifest(
            temporal=await _copied(folder / TEMPORAL_COPY, temporal_at),
            holdfast=await _copied(dump, holdfast_at),
            revision=await _revision(cluster),
            master_keys=await _master_keys(cluster),
            payload_keys=await asyncio.to_thread(payload_keys_in, folder / TEMPORAL_COPY),
        )
    _write(folder, manifest)
    return manifest


def _prepare_folder(data_dir: DataDir, folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise BackupUnusable(f"{folder} is no folder: give a new one")
    if folder.exists() and any(folder.iterdir()):
        raise BackupUnusable(f"{folder} is not empty: give a new folder")
    if not (data_dir.temporal_database.exists() and data_dir.env_file.exists()):
        raise BackupUnusable(f"{data_dir.root} holds no data of a stack: name another with --data-dir")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)  # one that stood there keeps its mode otherwise


def _write(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest, last of all: a backup without it was interrupted."""
    for copied in (manifest.temporal, manifest.holdfast):
        (folder / copied.file).chmod(0o600)
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")


def copy_sqlite(source: Path, target: Path) -> None:
    """Copies one consistent moment of a file in WAL mode, without holding up its writer."""
    with closing(sqlite3.connect(source, timeout=30)) as origin, closing(sqlite3.connect(target)) as copy:
        origin.backup(copy)
        (sound,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    if sound != "ok":
        raise BackupUnusable(f"the copy of {source} is damaged: {sound}")


def payload_keys_in(copy: Path) -> tuple[str, ...]:
    """Returns the ids of the payload keys that a copy of Temporal's file needs, whatever ring is known here.

    An encrypted payload names its key in clear, and Temporal stores payloads within its records as they come.
    """
    mark = Payload.MetadataEntry(key=KEY_ID).SerializeToString()
    found: set[str] = set()
    with closing(sqlite3.connect(copy)) as connection:
        places = connection.execute(
            "SELECT tables.name, columns.name FROM sqlite_schema AS tables, "
            "pragma_table_info(tables.name) AS columns "
            "WHERE tables.type = 'table' AND columns.type LIKE '%BLOB%'"
        ).fetchall()

        for table, column in places:
            query = f'SELECT "{column}" FROM "{table}" WHERE instr("{column}", ?) > 0'  # noqa: S608
            for (record,) in connection.execute(query, [mark]):
                found.update(_values_behind(mark, record))
    return tuple(sorted(found))


def _values_behind(mark: bytes, record: bytes) -> Iterator[str]:
    """Yields the values of a map's entries in a protobuf record: each follows its key, behind its length."""
    for match in re.finditer(re.escape(mark) + rb"\x12(.)", record, re.DOTALL):
        yield record[match.end() : match.end() + match[1][0]].decode(errors="replace")


def payload_key_ids(data_dir: DataDir) -> tuple[str, ...]:
    """Returns the ids of the payload keys that a folder's stack has: its env file's, else the shell's.

    Raises:
        BackupUnusable: The ring cannot be read.
    """
    name = env_file.PAYLOAD_KEYS
    text = env_file.read_env_file(data_dir.env_file).get(name) or os.environ.get(name)
    return key_ids(data_dir, name, text)


def key_ids(data_dir: DataDir, name: str, text: str | None) -> tuple[str, ...]:
    """Returns the ids of a key ring, none when there is none.

    Raises:
        BackupUnusable: The ring cannot be read.
    """
    if not text:
        return ()
    try:
        return tuple(key.key_id for key in parse_key_ring(SecretStr(text)))
    except ValueError as error:
        raise BackupUnusable(f"{name}, which {data_dir.env_file} should hold, is unusable: {error}") from None


@asynccontextmanager
async def _postgres(data_dir: DataDir) -> AsyncGenerator[PostgresCluster]:
    """Yields the stack's Postgres: the running one, or one that is started for the while."""
    pid = holder(data_dir)
    if pid is None:
        async with own_postgres(data_dir) as cluster:
            yield cluster
        return
    running = {record.part for record in PidsFile(data_dir.pids_file).strays()}
    if Part.POSTGRES not in running:
        raise BackupUnusable(
            f"the stack of {data_dir.root} (process {pid}) runs without Postgres: stop it first"
        )
    variables = env_file.read_env_file(data_dir.env_file)
    port = urlsplit(variables["HOLDFAST_DATABASE_URL"]).port
    password = SecretStr(variables[env_file.POSTGRES_PASSWORD])
    yield PostgresCluster.at(data_dir.postgres, port=port or 0, password=password)


@asynccontextmanager
async def own_postgres(data_dir: DataDir) -> AsyncGenerator[PostgresCluster]:
    """Runs the Postgres of a stopped stack for the while; nobody else may start it meanwhile."""
    options = StackOptions(data_dir.root, parts=frozenset({Part.POSTGRES}), migrate=False)
    async with EmbeddedStack(options) as stack:
        yield stack.postgres


async def _revision(cluster: PostgresCluster) -> str:
    return (await texts(cluster, "SELECT version_num AS text FROM alembic_version"))[0]


async def _master_keys(cluster: PostgresCluster) -> tuple[str, ...]:
    return tuple(await texts(cluster, "SELECT DISTINCT master_key_id AS text FROM credentials ORDER BY 1"))


async def texts(cluster: PostgresCluster, query: str) -> list[str]:
    """Returns the column `text` of a query to the product's database."""
    connection = await asyncpg.connect(cluster.url(), ssl=False)
    try:
        return [str(row["text"]) for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def run_program(cluster: PostgresCluster, program: str, *arguments: str) -> None:
    """Runs one of Postgres's own programs against a cluster; the password goes by the environment."""
    command = Command(
        argv=(
            str(cluster.installation / "bin" / program),
            "--host=127.0.0.1",
            f"--port={cluster.port}",
            f"--username={cluster.role}",
            "--no-password",
            *arguments,
        ),
        environment={
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C",
            "PGPASSWORD": cluster.password.get_secret_value(),
        },
        directory=Path.cwd(),
    )
    ended = await run_to_end(command)
    if ended.code != 0:
        raise BackupUnusable(f"{program} failed: {ended.output[-2000:]}")


async def _copied(path: Path, began_at: datetime) -> Copied:
    return Copied(file=path.name, sha256=await asyncio.to_thread(digest, path), began_at=began_at)


def digest(path: Path) -> str:
    """Returns the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
