"""Backup and restore of the embedded stack, drilled with rules in flight."""

import hashlib
import os
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr
from temporalio.api.common.v1 import Payload

from runtime.embedded import env_file
from runtime.embedded.backup import (
    HOLDFAST_DUMP,
    MANIFEST,
    TEMPORAL_COPY,
    BackupUnusable,
    Copied,
    Manifest,
    back_up,
    payload_keys_in,
)
from runtime.embedded.layout import DataDir, DataDirLock
from runtime.embedded.restore import restore
from runtime.embedded.stack import STORES, EmbeddedStack, Part, StackOptions
from runtime.settings import parse_key_ring
from runtime.temporal_codec import EncryptedPayloads
from tests.conftest import traversable_folder
from tests.e2e.conftest import full_stack
from tests.e2e.scene import IN_THE_STACKS_LOOP, Holdfast, Protected
from tests.e2e.waiting import until

pytestmark = [IN_THE_STACKS_LOOP, pytest.mark.serial]

RAW_KEY = "A" * 43 + "="
BOOKKEEPERS = frozenset({*STORES, Part.SIMULATOR, Part.API, Part.WORKER_IO})


@asynccontextmanager
async def running(folder: Path, parts: frozenset[Part] = frozenset(Part)) -> AsyncGenerator[Holdfast]:
    async with full_stack(folder, parts=parts) as stack, Holdfast.on(stack) as holdfast:
        yield holdfast


def seen_by(holdfast: Holdfast, scene: Protected) -> Protected:
    """The same account, market and rule as another stack's clients see them."""
    trader = scene.trader.on(holdfast)
    return Protected(trader, scene.market.on(holdfast), scene.rule.of(trader))


@pytest.mark.slow  # three starts of a whole stack
async def test_rules_go_on_after_a_restore_and_what_was_sold_since_the_backup_is_not_sold_again() -> None:
    with traversable_folder() as folder:
        data, backup = folder / "data", folder / "backup"
        async with running(data) as holdfast:
            armed, sold = await holdfast.protected(), await holdfast.protected()
            await back_up(holdfast.stack.data_dir, backup)
            await sold.market.quote("0.40")
            await sold.rule.done()
            with pytest.raises(BackupUnusable, match="stop it first"):
                await restore(holdfast.stack.data_dir, backup)
        aside = await restore(DataDir(data), backup)
        assert len(aside) >= 2

        async with running(data, BOOKKEEPERS) as holdfast:
            again = seen_by(holdfast, sold)
            assert (await again.rule.row())["phase"] == "armed"
            await until(
                lambda: again.trader.position(again.market),
                lambda position: position["shares"] == "0",
                "the sale since the backup in the ledger",
            )
        async with running(data) as holdfast:
            again = seen_by(holdfast, sold)
            row = await again.rule.done("CANCELED")
            assert row["detail"] == "position_closed"
            assert len(await again.market.orders()) == 1
            still = seen_by(holdfast, armed)
            await still.market.watched()
            await still.market.quote("0.40")
            assert (await still.rule.done())["sold_shares"] == "10"
            await still.audit()


@pytest.fixture
def made(tmp_path: Path) -> tuple[DataDir, Path]:
    """A data folder with its env file, and a backup that only looks like one."""
    data, backup = DataDir(tmp_path / "data"), tmp_path / "backup"
    data.create()
    env_file.write_env_file(data.env_file, env_file.generated_secrets())
    backup.mkdir()
    _fake_backup(backup)
    return data, backup


def _fake_backup(
    folder: Path,
    *,
    master_key: str = "embedded-1",
    payload_keys: tuple[str, ...] = (),
    postgres_later_s: int = 1,
) -> None:
    began = datetime(2026, 11, 21, tzinfo=UTC)
    copied: dict[str, Copied] = {}
    for name, at in ((TEMPORAL_COPY, began), (HOLDFAST_DUMP, began + timedelta(seconds=postgres_later_s))):
        (folder / name).write_text("no real copy")
        digest = hashlib.sha256(b"no real copy").hexdigest()
        copied[name] = Copied(file=name, sha256=digest, began_at=at)
    manifest = Manifest(
        temporal=copied[TEMPORAL_COPY],
        holdfast=copied[HOLDFAST_DUMP],
        revision="0001",
        master_keys=(master_key,),
        payload_keys=payload_keys,
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json())


async def test_backup_that_was_interrupted_is_refused(made: tuple[DataDir, Path]) -> None:
    data, backup = made
    (backup / MANIFEST).unlink()
    with pytest.raises(BackupUnusable, match="no whole backup"):
        await restore(data, backup)


@pytest.mark.parametrize("name", [TEMPORAL_COPY, HOLDFAST_DUMP])
async def test_damaged_backup_is_refused(made: tuple[DataDir, Path], name: str) -> None:
    data, backup = made
    (backup / name).write_text("no real copi")
    with pytest.raises(BackupUnusable, match=f"{name} is missing or damaged"):
        await restore(data, backup)


async def test_backup_whose_temporal_is_newer_than_its_postgres_is_refused(
    made: tuple[DataDir, Path],
) -> None:
    data, backup = made
    _fake_backup(backup, postgres_later_s=-1)
    with pytest.raises(BackupUnusable, match="newer than its Postgres"):
        await restore(data, backup)


async def test_restore_without_the_env_file_is_refused(made: tuple[DataDir, Path]) -> None:
    data, backup = made
    data.env_file.unlink()
    with pytest.raises(BackupUnusable, match="put the copy there"):
        await restore(data, backup)
    assert not data.env_file.exists(), "fresh secrets would open nothing"


async def test_restore_beside_other_master_keys_is_refused(made: tuple[DataDir, Path]) -> None:
    data, backup = made
    _fake_backup(backup, master_key="lost-1")
    with pytest.raises(BackupUnusable, match="lost-1"):
        await restore(data, backup)


async def test_keys_of_the_shell_do_not_stand_in_for_those_of_the_env_file(
    made: tuple[DataDir, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, backup = made
    _fake_backup(backup, master_key="of-the-shell")
    monkeypatch.setenv(env_file.MASTER_KEYS, f"of-the-shell:{RAW_KEY}")
    with pytest.raises(BackupUnusable, match="of-the-shell"):
        await restore(data, backup)


async def test_restore_without_a_payload_key_that_its_histories_need_is_refused(
    made: tuple[DataDir, Path],
) -> None:
    data, backup = made
    _fake_backup(backup, payload_keys=("then", "older"))
    env_file.write_env_file(data.env_file, {env_file.PAYLOAD_KEYS: f"then:{RAW_KEY}"})
    with pytest.raises(BackupUnusable, match=r"payload keys .* does not have: older") as refused:
        await restore(data, backup)
    assert env_file.PAYLOAD_KEYS in str(refused.value)


async def test_unreadable_key_ring_is_refused_without_showing_it(made: tuple[DataDir, Path]) -> None:
    data, backup = made
    env_file.write_env_file(data.env_file, {env_file.MASTER_KEYS: "embedded-1:tooshort"})
    with pytest.raises(BackupUnusable, match=env_file.MASTER_KEYS) as refused:
        await restore(data, backup)
    assert "tooshort" not in str(refused.value)


async def test_payload_keys_of_a_copy_are_those_that_its_payloads_name(tmp_path: Path) -> None:
    ring = parse_key_ring(SecretStr(f"new:{RAW_KEY},newer:{RAW_KEY},unused:{RAW_KEY}"))
    copy = tmp_path / TEMPORAL_COPY
    payload = Payload(metadata={"encoding": b"json/plain"}, data=b'"encryption-key-id unused"')
    with closing(sqlite3.connect(copy)) as temporal:
        temporal.execute("CREATE TABLE history_node (id INT, data MEDIUMBLOB)")
        temporal.execute("CREATE TABLE executions (state TEXT, data BLOB)")
        for table, key in (("history_node", ring[1]), ("executions", ring[0])):
            (sealed,) = await EncryptedPayloads([key]).encode([payload])
            temporal.execute(f"INSERT INTO {table} VALUES (1, ?)", [b"event" + sealed.SerializeToString()])
        temporal.commit()

    assert payload_keys_in(copy) == ("new", "newer")


async def test_backup_of_a_running_stack_without_postgres_says_so_and_its_folder_is_closed_to_others(
    made: tuple[DataDir, Path],
) -> None:
    data, backup = made
    data.temporal_database.touch()
    folder = backup.with_name("stood-open")
    folder.mkdir(mode=0o755)
    said = rf"process {os.getpid()}\) runs without Postgres"
    with DataDirLock(data), pytest.raises(BackupUnusable, match=said):
        await back_up(data, folder)
    assert folder.stat().st_mode & 0o777 == 0o700


async def test_backup_into_a_file_is_refused(made: tuple[DataDir, Path]) -> None:
    data, backup = made
    with pytest.raises(BackupUnusable, match="no folder"):
        await back_up(data, backup / MANIFEST)


async def test_backup_into_a_folder_in_use_is_refused(made: tuple[DataDir, Path]) -> None:
    data, backup = made
    with pytest.raises(BackupUnusable, match="not empty"):
        await back_up(data, backup)


async def test_failed_restore_changes_nothing_and_a_stopped_stack_is_backed_up_and_restored() -> None:
    with traversable_folder() as folder:
        data, backup = DataDir(folder / "data"), folder / "backup"
        async with _stores(data) as stack:
            await _note(stack, "before the backup")
        with closing(sqlite3.connect(data.temporal_database)) as temporal:
            temporal.execute("CREATE TABLE remembered (word text)")
        await back_up(data, backup)
        async with _stores(data) as stack:
            await _note(stack, "after the backup")

        broken = folder / "broken"
        broken.mkdir()
        _fake_backup(broken)
        with pytest.raises(BackupUnusable, match="pg_restore failed"):
            await restore(data, broken)
        assert data.temporal_database.exists()
        async with _stores(data) as stack:
            assert await _noted(stack) == ["before the backup", "after the backup"]

        aside = await restore(data, backup)
        temporal, database = aside
        assert temporal.startswith(f"{data.temporal_database}.before-")
        assert database.startswith("database holdfast_before_")
        async with _stores(data) as stack:
            assert await _noted(stack) == ["before the backup"]


def _stores(data: DataDir) -> EmbeddedStack:
    return EmbeddedStack(StackOptions(data.root, parts=frozenset({Part.POSTGRES}), fsync=False))


async def _note(stack: EmbeddedStack, word: str) -> None:
    connection = await asyncpg.connect(stack.database_url, ssl=False)
    await connection.execute("CREATE TABLE IF NOT EXISTS noted (at serial, word text)")
    await connection.execute("INSERT INTO noted (word) VALUES ($1)", word)
    await connection.close()


async def _noted(stack: EmbeddedStack) -> list[str]:
    connection = await asyncpg.connect(stack.database_url, ssl=False)
    rows = await connection.fetch("SELECT word FROM noted ORDER BY at")
    await connection.close()
    return [row["word"] for row in rows]
