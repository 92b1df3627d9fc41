"""A restored database takes the product's name in one step, or not at all."""

import asyncpg
import pytest

from runtime.embedded.postgres import DATABASE
from runtime.embedded.restore import _take_name
from runtime.embedded.stack import Part
from tests.conftest import StartOwnStack


async def test_database_keeps_its_name_when_the_restored_one_cannot_take_it(
    own_stack: StartOwnStack,
) -> None:
    stack = await own_stack(parts=frozenset({Part.POSTGRES}), migrate=False)
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await _take_name(stack.postgres, "never_restored", "1")
    await stack.postgres.create_database("restored")
    assert await _take_name(stack.postgres, "restored", "1") == []  # what stood there was empty
    connection = await asyncpg.connect(stack.database_url, ssl=False)
    names = [row["datname"] for row in await connection.fetch("SELECT datname FROM pg_database")]
    await connection.close()
    assert DATABASE in names
    assert not {"restored", f"{DATABASE}_before_1"} & set(names)
