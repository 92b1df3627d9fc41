"""API keys: shown once, stored as prefix and peppered digest."""

import hashlib
import hmac
import secrets
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import SecretStr, TypeAdapter
from sqlalchemy import Update, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert

from domain.errors import InvalidInput, NotFound
from domain.ids import AccountId
from storage.database import Database
from storage.models.api_keys import ApiKeyRecord
from storage.records import read_rows
from storage.repositories.accounts import audit_line

_MARK = "hf"
_PREFIX_BYTES = 6
_SECRET_BYTES = 32


class Scope(StrEnum):
    """What a key may do; `admin` alone reaches beyond its account."""

    READ = "read"
    TRADE = "trade"
    APPROVE = "approve"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as it may be shown: everything but the key."""

    key_id: str
    prefix: str
    scopes: frozenset[Scope]
    account_id: AccountId | None
    name: str
    created_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApiKey:
    """A key that was made just now; `plaintext` is never seen again."""

    key: ApiKey
    plaintext: SecretStr


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    digest: bytes


_KEY = TypeAdapter(ApiKey)
_STORED = TypeAdapter(_Stored)
_ROW = TypeAdapter(dict[str, object])
_TABLE = ApiKeyRecord.__table__
# Compared against when the prefix is unknown, so that both cases take the same way.
_NO_DIGEST = bytes(32)


class ApiKeys:
    """Makes, checks and revokes keys. Nothing is cached: a revoked key is dead with the next request.

    Args:
        database: Where they are kept.
        pepper: Enters every digest and is not in the database.
    """

    def __init__(self, database: Database, pepper: SecretStr) -> None:
        self._database = database
        self._pepper = pepper

    async def create(
        self,
        account_id: AccountId | None,
        scopes: Collection[Scope],
        *,
        name: str = "",
        actor: str = "system",
    ) -> NewApiKey:
        """Make a key of 256 random bits.

        Raises:
            InvalidInput: No scopes, or no account for a key that is not an admin's.
            StorageUnavailable: Postgres cannot be reached now.
        """
        if not scopes:
            raise InvalidInput("scopes", "give at least one scope")
        if account_id is None and Scope.ADMIN not in scopes:
            raise InvalidInput("account_id", "only an admin's key belongs to no account")
        prefix = secrets.token_hex(_PREFIX_BYTES)
        plaintext = SecretStr(f"{_MARK}_{prefix}_{secrets.token_urlsafe(_SECRET_BYTES)}")
        statement = (
            insert(ApiKeyRecord)
            .values(
                key_id=f"key_{uuid.uuid4().hex}",
                prefix=prefix,
                digest=self._digest(plaintext),
                scopes=sorted(scope.value for scope in scopes),
                account_id=account_id,
                name=name,
            )
            .returning(_TABLE)
        )
        async with self._database.transaction() as connection:
            key = (await read_rows(connection, statement, _KEY))[0]
            await connection.execute(
                audit_line(account_id, actor, "key.created", key.key_id, {"prefix": prefix})
            )
        return NewApiKey(key=key, plaintext=plaintext)

    async def authenticate(self, presented: SecretStr) -> ApiKey | None:
        """Return the key that was presented, None when it is unknown, wrong or revoked."""
        mark, _, rest = presented.get_secret_value().partition("_")
        prefix = rest.partition("_")[0]
        statement = select(_TABLE).where(ApiKeyRecord.prefix == prefix, ApiKeyRecord.revoked_at.is_(None))
        async with self._database.transaction() as connection:
            rows = await read_rows(connection, statement, _ROW)
            stored = _STORED.validate_python(rows[0]).digest if rows else _NO_DIGEST
            if not hmac.compare_digest(self._digest(presented), stored) or mark != _MARK or not rows:
                return None
            key = _KEY.validate_python(rows[0])
            await connection.execute(_used(key.key_id))
        return key

    async def revoke(
        self, key_id: str, *, account_id: AccountId | None = None, actor: str = "system"
    ) -> ApiKey:
        """Revoke a key; again is harmless.

        Args:
            key_id: The key.
            account_id: Whose key it must be; None (admins only) takes any.
            actor: Who asked.

        Raises:
            NotFound: No such key of this account.
        """
        statement = (
            update(ApiKeyRecord)
            .where(ApiKeyRecord.key_id == key_id)
            .values(revoked_at=func.coalesce(ApiKeyRecord.revoked_at, func.now()))
            .returning(_TABLE)
        )
        if account_id is not None:
            statement = statement.where(ApiKeyRecord.account_id == account_id)
        async with self._database.transaction() as connection:
            keys = await read_rows(connection, statement, _KEY)
            if not keys:
                raise NotFound("no such key")
            await connection.execute(audit_line(keys[0].account_id, actor, "key.revoked", key_id, {}))
        return keys[0]

    async def of_account(self, account_id: AccountId) -> list[ApiKey]:
        """Return the keys of an account, revoked ones too, oldest first."""
        statement = (
            select(_TABLE)
            .where(ApiKeyRecord.account_id == account_id)
            .order_by(ApiKeyRecord.created_at, ApiKeyRecord.key_id)
        )
        async with self._database.transaction() as connection:
            return await read_rows(connection, statement, _KEY)

    def _digest(self, plaintext: SecretStr) -> bytes:
        # The key holds 256 random bits, so a slow hash would protect nothing more.
        pepper = self._pepper.get_secret_value().encode()
        return hmac.digest(pepper, plaintext.get_secret_value().encode(), hashlib.sha256)


def _used(key_id: str) -> Update:
    """Return the statement that notes the use of a key, once a minute at most."""
    stale = or_(
        ApiKeyRecord.last_used_at.is_(None),
        ApiKeyRecord.last_used_at < func.now() - text("interval '1 minute'"),
    )
    return update(ApiKeyRecord).where(ApiKeyRecord.key_id == key_id, stale).values(last_used_at=func.now())
