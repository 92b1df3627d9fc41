"""Migrations: up, down, up again; equal to the models; safe to start twice."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator

import asyncpg
import pytest
from alembic.util.exc import CommandError

from domain.errors import StorageUnavailable
from storage.migrate import check, current, downgrade, upgrade
from storage.models.registry import metadata
from tests.shared_stack import SharedStack


@pytest.fixture
async def bare_url(stack: SharedStack) -> AsyncGenerator[str]:
    """An empty database that was never migrated."""
    name = f"bare_{os.urandom(6).hex()}"
    connection = await asyncpg.connect(stack.url_of("postgres"), ssl=False)
    await connection.execute(f'CREATE DATABASE "{name}" STRATEGY file_copy')
    yield stack.url_of(name)
    await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await connection.close()


async def things_in(url: str) -> set[str]:
    """Every table, view, function and trigger of the public schema."""
    connection = await asyncpg.connect(url, ssl=False)
    rows = await connection.fetch(
        """SELECT relkind::text || ' ' || relname AS thing FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'S')
        UNION ALL SELECT 'f ' || proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        UNION ALL SELECT 't ' || tgname FROM pg_trigger WHERE NOT tgisinternal"""
    )
    await connection.close()
    return {str(row["thing"]) for row in rows}


async def test_upgrade_makes_what_the_models_describe(bare_url: str) -> None:
    assert await current(bare_url) is None
    await upgrade(bare_url)
    await check(bare_url)
    things = await things_in(bare_url)
    assert {f"r {table}" for table in metadata().tables} <= things
    assert {"v unsettled_claims", "f claim_facts", "t ledger_append_only"} <= things


async def test_down_removes_everything_and_up_makes_it_again(bare_url: str) -> None:
    await upgrade(bare_url)
    made = await things_in(bare_url)
    await downgrade(bare_url, "base")
    assert await things_in(bare_url) == {"r alembic_version"}
    await upgrade(bare_url)
    assert await things_in(bare_url) == made
    await check(bare_url)


async def test_upgrades_at_once_wait_for_each_other(bare_url: str) -> None:
    await asyncio.gather(*(upgrade(bare_url) for _ in range(3)))
    await check(bare_url)


async def test_wallets_stored_before_their_uses_were_kept_stay_in_their_order(bare_url: str) -> None:
    await upgrade(bare_url, "0004")
    connection = await asyncpg.connect(bare_url, ssl=False)
    await connection.execute("INSERT INTO accounts (account_id, name) VALUES ('acc', 'old')")
    for wallet in ("wal_z", "wal_a"):
        await connection.execute(
            "INSERT INTO wallets (wallet_id, account_id, venue, signer, funder, signature_type, chain_id)"
            " VALUES ($1, 'acc', 'polymarket', '0x1', '0x1', 0, 137)",
            wallet,
        )
    await upgrade(bare_url)
    rows = await connection.fetch("SELECT wallet_id FROM wallet_uses ORDER BY id")
    await connection.close()
    assert [row["wallet_id"] for row in rows] == ["wal_z", "wal_a"]


async def test_check_says_what_differs(bare_url: str) -> None:
    await upgrade(bare_url)
    connection = await asyncpg.connect(bare_url, ssl=False)
    await connection.execute("ALTER TABLE tape DROP COLUMN last")
    await connection.close()
    with pytest.raises(CommandError, match="last"):
        await check(bare_url)


async def test_postgres_away_is_storage_unavailable() -> None:
    with pytest.raises(StorageUnavailable):
        await upgrade("postgresql://holdfast:x@127.0.0.1:1/none")


async def test_command_line_migrates_and_says_the_revision(bare_url: str) -> None:
    assert await run_command("upgrade", url=bare_url) == (0, "")
    code, output = await run_command("current", url=bare_url)
    assert (code, output.strip()) == (0, await current(bare_url))
    code, output = await run_command("current", url=None)
    assert code == 2
    assert "HOLDFAST_DATABASE_URL" in output


async def run_command(*arguments: str, url: str | None) -> tuple[int, str]:
    environment = {name: value for name, value in os.environ.items() if name != "HOLDFAST_DATABASE_URL"}
    if url is not None:
        environment["HOLDFAST_DATABASE_URL"] = url
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "storage.migrate",
        *arguments,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()
