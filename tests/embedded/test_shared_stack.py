"""The stack that tests share: reached by every test process, a database for each."""

import asyncpg
from temporalio.client import Client

from tests.shared_stack import SharedStack


async def test_database_of_a_test_process_is_migrated(database_url: str) -> None:
    connection = await asyncpg.connect(database_url, ssl=False)
    assert await connection.fetchval("SELECT count(*) FROM alembic_version") == 1
    await connection.close()


async def test_fresh_database_is_another_than_the_shared_one(
    database_url: str, fresh_database_url: str
) -> None:
    assert fresh_database_url != database_url
    connection = await asyncpg.connect(fresh_database_url, ssl=False)
    await connection.execute("CREATE TABLE mine (word text)")
    await connection.close()


async def test_settings_of_the_shared_stack_point_at_it(stack: SharedStack, temporal_client: Client) -> None:
    settings = stack.settings()
    assert settings.temporal.address == stack.temporal_address
    assert settings.database.dsn() == stack.database_url
    assert settings.security.key_ring()
    assert settings.security.pepper()
    assert temporal_client.namespace == settings.temporal.namespace
