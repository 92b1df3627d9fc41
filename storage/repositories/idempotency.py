"""Idempotency keys: which resource a key named, decided by whoever came first."""

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.dialects.postgresql import insert

from domain.errors import Conflict
from domain.ids import AccountId
from storage.database import Database
from storage.models.idempotency import IdempotencyRecord


class Idempotency:
    """Reserves keys before anything is started for them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reserve(
        self, account_id: AccountId, route: str, key: str, fingerprint: str, resource_id: str
    ) -> str:
        """Bind a key of an account and route to a resource, or return what it is bound to.

        Args:
            account_id: Whose key it is; the same key of another account is another key.
            route: The route it was used on.
            key: The caller's text.
            fingerprint: Digest of what was asked.
            resource_id: The id that the resource gets when the key is new.

        Raises:
            Conflict: The key was used for something else (`idempotency_conflict`).
            StorageUnavailable: Postgres cannot be reached now.
        """
        statement = (
            insert(IdempotencyRecord)
            .values(
                account_id=account_id, route=route, key=key, fingerprint=fingerprint, resource_id=resource_id
            )
            .on_conflict_do_nothing()
            .returning(IdempotencyRecord.resource_id)
        )
        known = select(IdempotencyRecord.fingerprint, IdempotencyRecord.resource_id).where(
            *_is(account_id, route, key)
        )
        async with self._database.transaction() as connection:
            bound = await connection.scalar(statement)
            if bound is not None:
                return bound
            earlier = (await connection.execute(known)).one()
        if earlier.fingerprint != fingerprint:
            raise Conflict("this idempotency key was used for another request", code="idempotency_conflict")
        return earlier.resource_id

    async def find(self, account_id: AccountId, route: str, key: str) -> str | None:
        """Return the resource that a key is bound to, None for a key that was not used on this route."""
        statement = select(IdempotencyRecord.resource_id).where(*_is(account_id, route, key))
        async with self._database.transaction() as connection:
            return await connection.scalar(statement)

    async def release(self, account_id: AccountId, route: str, key: str, fingerprint: str) -> None:
        """Free a key whose request was refused before anything was started, so that it can be corrected."""
        statement = delete(IdempotencyRecord).where(
            *_is(account_id, route, key), IdempotencyRecord.fingerprint == fingerprint
        )
        async with self._database.transaction() as connection:
            await connection.execute(statement)


def _is(account_id: AccountId, route: str, key: str) -> tuple[ColumnElement[bool], ...]:
    return (
        IdempotencyRecord.account_id == account_id,
        IdempotencyRecord.route == route,
        IdempotencyRecord.key == key,
    )
