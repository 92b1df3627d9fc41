"""A database for each test module's process, an account for each test."""

import uuid
from collections.abc import AsyncGenerator

import pytest

from domain.ids import AccountId
from storage.database import Database
from storage.repositories.accounts import Accounts
from tests.storage.builders import Store


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[Database]:
    """A migrated database; tests keep apart by their accounts."""
    async with Database(database_url, pool_size=2, hot_pool_size=6) as opened:
        yield opened


@pytest.fixture
async def empty_database(fresh_database_url: str) -> AsyncGenerator[Database]:
    """A migrated database that nobody else uses: for what looks beyond one account."""
    async with Database(fresh_database_url, pool_size=2, hot_pool_size=6) as opened:
        yield opened


@pytest.fixture
async def account_id(database: Database) -> AccountId:
    """A new account in paper mode."""
    account = await Accounts(database).create(f"test {uuid.uuid4().hex[:8]}")
    return account.account_id


@pytest.fixture
def store(database: Database, account_id: AccountId) -> Store:
    """The repositories, and makers of what one account has."""
    return Store(database, account_id)
