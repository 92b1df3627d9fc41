"""Credentials: sealed before they reach the database, opened by name."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import SecretStr, TypeAdapter
from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from domain.errors import CredentialsMissing
from domain.ids import AccountId, WalletId
from storage.database import Database
from storage.models.credentials import CredentialRecord
from storage.records import read_rows
from storage.repositories.accounts import audit_line
from storage.sealed import KeyRing, Sealed


def wallet_key_record(wallet_id: WalletId) -> str:
    """Name the record of a wallet's private key."""
    return f"wallet/{wallet_id}"


def api_credentials_record(venue: str, wallet_id: WalletId) -> str:
    """Name the record of the API credentials that a venue gave a wallet (a JSON document)."""
    return f"api/{venue}/{wallet_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialFacts:
    """What may be shown of a credential."""

    record_id: str
    master_key_id: str
    version: int
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    account_id: AccountId
    record_id: str
    version: int
    master_key_id: str
    wrapped_key: bytes
    ciphertext: bytes

    @property
    def sealed(self) -> Sealed:
        return Sealed(self.master_key_id, self.wrapped_key, self.ciphertext)


_ROW = TypeAdapter(_Row)
_FACTS = TypeAdapter(CredentialFacts)
_TABLE = CredentialRecord.__table__


class Credentials:
    """Keeps secrets of accounts. Secrets leave as `SecretStr` only.

    Args:
        database: Where they are kept.
        ring: Master keys.
    """

    def __init__(self, database: Database, ring: KeyRing) -> None:
        self._database = database
        self._ring = ring

    async def put(
        self, account_id: AccountId, record_id: str, secret: SecretStr, *, actor: str = "system"
    ) -> CredentialFacts:
        """Seal and keep a secret; one of the same name is replaced and its version rises.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        sealed = self._ring.seal(
            secret.get_secret_value().encode(), account_id=account_id, record_id=record_id
        )
        parts = {
            "master_key_id": sealed.master_key_id,
            "wrapped_key": sealed.wrapped_key,
            "ciphertext": sealed.ciphertext,
        }
        statement = (
            insert(CredentialRecord)
            .values(account_id=account_id, record_id=record_id, **parts)
            .on_conflict_do_update(
                index_elements=["account_id", "record_id"],
                set_={**parts, "version": CredentialRecord.version + 1, "updated_at": func.now()},
            )
            .returning(_TABLE)
        )
        async with self._database.transaction() as connection:
            facts = (await read_rows(connection, statement, _FACTS))[0]
            detail = {"version": str(facts.version)}
            await connection.execute(audit_line(account_id, actor, "credential.set", record_id, detail))
        return facts

    async def open(self, account_id: AccountId, record_id: str) -> SecretStr:
        """Return a secret.

        Raises:
            CredentialsMissing: The account has none of this name.
            SealBroken: It cannot be opened.
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.transaction() as connection:
            rows = await read_rows(connection, _named(account_id, record_id), _ROW)
        if not rows:
            raise CredentialsMissing("the account has no such credentials")
        secret = self._ring.unseal(rows[0].sealed, account_id=account_id, record_id=record_id)
        return SecretStr(secret.decode())

    async def of_account(self, account_id: AccountId) -> list[CredentialFacts]:
        """Return what may be shown of an account's credentials."""
        statement = (
            select(_TABLE)
            .where(CredentialRecord.account_id == account_id)
            .order_by(CredentialRecord.record_id)
        )
        async with self._database.transaction() as connection:
            return await read_rows(connection, statement, _FACTS)

    async def remove(self, account_id: AccountId, record_id: str, *, actor: str = "system") -> bool:
        """Forget a secret; returns whether there was one."""
        statement = (
            delete(CredentialRecord)
            .where(CredentialRecord.account_id == account_id, CredentialRecord.record_id == record_id)
            .returning(CredentialRecord.record_id)
        )
        async with self._database.transaction() as connection:
            gone = (await connection.execute(statement)).first() is not None
            if gone:
                await connection.execute(audit_line(account_id, actor, "credential.removed", record_id, {}))
        return gone

    async def rewrap_all(self) -> int:
        """Wrap every data key that another master key wraps by the present one; return how many were.

        Raises:
            SealBroken: A record's master key is not in the ring.
        """
        statement = (
            select(_TABLE)
            .where(CredentialRecord.master_key_id != self._ring.sealing_key_id)
            .with_for_update()
        )
        async with self._database.transaction() as connection:
            rows = await read_rows(connection, statement, _ROW)
            for row in rows:
                sealed = self._ring.rewrap(row.sealed, account_id=row.account_id, record_id=row.record_id)
                await connection.execute(
                    update(CredentialRecord)
                    .where(
                        CredentialRecord.account_id == row.account_id,
                        CredentialRecord.record_id == row.record_id,
                    )
                    .values(master_key_id=sealed.master_key_id, wrapped_key=sealed.wrapped_key)
                )
        return len(rows)


def _named(account_id: AccountId, record_id: str) -> Select[tuple[object, ...]]:
    return select(_TABLE).where(
        CredentialRecord.account_id == account_id, CredentialRecord.record_id == record_id
    )
