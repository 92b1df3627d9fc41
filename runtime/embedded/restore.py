"""Restore of a backup into the data folder of a stopped stack; what stood there is set aside.

Both stores are made whole beside their places first. Then Temporal takes its place, and Postgres second:
should it be interrupted between the two, Temporal is the older one, which is allowed.
"""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
from pydantic import ValidationError

from runtime.embedded import env_file
from runtime.embedded.backup import (
    FORMAT,
    HOLDFAST_DUMP,
    MANIFEST,
    TEMPORAL_COPY,
    BackupUnusable,
    Manifest,
    copy_sqlite,
    digest,
    key_ids,
    own_postgres,
    payload_key_ids,
    run_program,
    texts,
)
from runtime.embedded.layout import DataDir, holder
from runtime.embedded.postgres import DATABASE, PostgresCluster

_SQLITE_SIDES = ("", "-wal", "-shm")


async def restore(data_dir: DataDir, folder: Path) -> list[str]:
    """Puts both stores of a backup in place of a stopped stack's; returns what was set aside, in words.

    Raises:
        BackupUnusable: The backup is damaged, or the env file does not belong to it.
        StackAlreadyRunning: The stack runs.
    """
    manifest = await _verified(folder)
    _check_env_file(data_dir, manifest)
    if (pid := holder(data_dir)) is not None:
        raise BackupUnusable(f"the stack of {data_dir.root} runs (process {pid}): stop it first")
    stamp = datetime.now(UTC).strftime("%Y%m%dt%H%M%S")
    async with own_postgres(data_dir) as cluster:
        fresh = await _loaded_database(cluster, folder / HOLDFAST_DUMP, stamp)
        aside = await asyncio.to_thread(_restore_sqlite, data_dir, folder / TEMPORAL_COPY, stamp)
        return [*aside, *await _take_name(cluster, fresh, stamp)]


async def _verified(folder: Path) -> Manifest:
    """Returns the manifest of a backup whose files are as they were written."""
    try:
        manifest = Manifest.model_validate_json(await asyncio.to_thread((folder / MANIFEST).read_text))
    except (OSError, ValidationError) as error:
        words = f"{folder} holds no whole backup: its {MANIFEST} is missing or unreadable"
        raise BackupUnusable(words) from error
    if manifest.format != FORMAT:
        raise BackupUnusable(f"{folder} is of format {manifest.format}, this version reads {FORMAT}")
    if manifest.temporal.began_at > manifest.holdfast.began_at:
        raise BackupUnusable(f"the Temporal in {folder} is newer than its Postgres: take another backup")
    for copied in (manifest.temporal, manifest.holdfast):
        try:
            sound = await asyncio.to_thread(digest, folder / copied.file) == copied.sha256
        except OSError:
            sound = False
        if not sound:
            raise BackupUnusable(f"{folder / copied.file} is missing or damaged: take another backup")
    return manifest


def _check_env_file(data_dir: DataDir, manifest: Manifest) -> None:
    """Refuses secrets that cannot open what is restored: a fresh master key would lose every credential.

    Only the file counts for master keys: the stack takes them from there, whatever the shell says.
    """
    if not data_dir.env_file.exists():
        raise BackupUnusable(f"{data_dir.env_file} is missing: put the copy there that was kept of it")
    text = env_file.read_env_file(data_dir.env_file).get(env_file.MASTER_KEYS)
    present = key_ids(data_dir, env_file.MASTER_KEYS, text)
    _check_keys(data_dir, "credentials are sealed by master keys", manifest.master_keys, present)
    payload_keys = payload_key_ids(data_dir)
    what = f"histories are encrypted with payload keys ({env_file.PAYLOAD_KEYS})"
    _check_keys(data_dir, what, manifest.payload_keys, payload_keys)


def _check_keys(data_dir: DataDir, what: str, needed: Iterable[str], present: Iterable[str]) -> None:
    if missing := sorted(set(needed) - set(present)):
        raise BackupUnusable(
            f"the backup's {what} that {data_dir.env_file} does not have: {', '.join(missing)}"
        )


def _restore_sqlite(data_dir: DataDir, copy: Path, stamp: str) -> list[str]:
    """Puts a copy in place once it is whole; returns what was set aside for it."""
    place, aside = data_dir.temporal_database, list[str]()
    fresh = place.with_name(f"{place.name}.new")
    fresh.unlink(missing_ok=True)
    copy_sqlite(copy, fresh)
    for side in _SQLITE_SIDES:
        present = place.with_name(place.name + side)
        if present.exists():
            kept = place.with_name(f"{place.name}.before-{stamp}{side}")
            present.rename(kept)
            aside.append(str(kept))
    fresh.rename(place)
    return aside


async def _loaded_database(cluster: PostgresCluster, dump: Path, stamp: str) -> str:
    """Restores into a database of its own and returns its name; nothing is left of one that failed."""
    fresh = f"{DATABASE}_new_{stamp}"
    await cluster.create_database(fresh)
    try:
        await run_program(
            cluster, "pg_restore", "--exit-on-error", "--no-owner", f"--dbname={fresh}", str(dump)
        )
    except (BackupUnusable, asyncio.CancelledError):
        await _execute(cluster, f'DROP DATABASE "{fresh}" WITH (FORCE)')
        raise
    return fresh


async def _take_name(cluster: PostgresCluster, fresh: str, stamp: str) -> list[str]:
    """Gives a restored database the product's name; returns what the former one, unless empty, is called."""
    former = f"{DATABASE}_before_{stamp}"
    tables = await texts(
        cluster, "SELECT tablename AS text FROM pg_tables WHERE schemaname = 'public' LIMIT 1"
    )
    # Both in one transaction: in between, a start would make an empty database for a full Temporal.
    await _execute(
        cluster,
        f'ALTER DATABASE "{DATABASE}" RENAME TO "{former}"; ALTER DATABASE "{fresh}" RENAME TO "{DATABASE}"',
    )
    if tables:
        return [f"database {former}"]
    await _execute(cluster, f'DROP DATABASE "{former}"')
    return []


async def _execute(cluster: PostgresCluster, statement: str) -> None:
    connection = await asyncpg.connect(cluster.url("postgres"), ssl=False)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
