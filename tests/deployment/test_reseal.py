"""Rotation of master keys: the old key opens until everything is wrapped by the new one, and may go then."""

import base64

import pytest
from pydantic import SecretStr

from runtime.build import key_ring
from runtime.reseal import reseal
from runtime.settings import Settings, load
from storage.database import Database
from storage.repositories.accounts import Accounts
from storage.repositories.credentials import Credentials
from storage.sealed import SealBroken

OLD = "old:" + base64.b64encode(b"o" * 32).decode()
NEW = "new:" + base64.b64encode(b"n" * 32).decode()
SECRET = SecretStr("a private key")


def settings_with(keys: str, url: str) -> Settings:
    return load({"HOLDFAST_SECURITY_MASTER_KEYS": keys, "HOLDFAST_DATABASE_URL": url})


async def test_old_master_key_may_go_once_everything_is_wrapped_by_the_new_one(
    fresh_database_url: str,
) -> None:
    url = fresh_database_url
    async with Database(url) as database:
        account = (await Accounts(database).create("rotated")).account_id
        await Credentials(database, key_ring(settings_with(OLD, url))).put(account, "wallet/w", SECRET)

        with pytest.raises(SealBroken, match="no key old"):
            await reseal(settings_with(NEW, url))
        both = settings_with(f"{NEW},{OLD}", url)
        assert await reseal(both) == 1
        assert await reseal(both) == 0

        alone = Credentials(database, key_ring(settings_with(NEW, url)))
        assert (await alone.open(account, "wallet/w")).get_secret_value() == SECRET.get_secret_value()
        with pytest.raises(SealBroken):
            await Credentials(database, key_ring(settings_with(OLD, url))).open(account, "wallet/w")
