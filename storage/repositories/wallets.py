"""Wallets: the public identities that orders are signed for. They never change; a new key is a new wallet."""

from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from domain.errors import Conflict
from domain.ids import AccountId, WalletId
from domain.orders import WalletIdentity
from storage.database import Database
from storage.models.wallets import WalletRecord
from storage.records import read_rows
from storage.repositories.accounts import audit_line

_IDENTITY = TypeAdapter(WalletIdentity)
_TABLE = WalletRecord.__table__


class Wallets:
    """Adds and finds wallets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, account_id: AccountId, venue: str, identity: WalletIdentity, *, actor: str = "system"
    ) -> None:
        """Add a wallet; it is in use from now on. Adding the very same one again changes nothing.

        Raises:
            Conflict: The id stands for another identity.
            StorageUnavailable: Postgres cannot be reached now.
        """
        values = _IDENTITY.dump_python(identity)
        async with self._database.transaction() as connection:
            added = await connection.execute(
                insert(WalletRecord)
                .values(account_id=account_id, venue=venue, **values)
                .on_conflict_do_nothing()
                .returning(WalletRecord.wallet_id)
            )
            if added.first() is not None:
                detail = {"venue": venue, "signer": identity.signer, "funder": identity.funder}
                line = audit_line(account_id, actor, "wallet.added", identity.wallet_id, detail)
                await connection.execute(line)
                return
            same = select(_TABLE).where(
                WalletRecord.wallet_id == identity.wallet_id,
                WalletRecord.account_id == account_id,
                WalletRecord.venue == venue,
            )
            if await read_rows(connection, same, _IDENTITY) != [identity]:
                raise Conflict("this wallet id stands for another identity", code="wallet_immutable")

    async def current(self, account_id: AccountId, venue: str) -> WalletIdentity | None:
        """Return the newest wallet of an account at a venue, which new orders are signed for."""
        statement = (
            select(_TABLE)
            .where(WalletRecord.account_id == account_id, WalletRecord.venue == venue)
            .order_by(WalletRecord.created_at.desc(), WalletRecord.wallet_id.desc())
            .limit(1)
        )
        async with self._database.transaction() as connection:
            rows = await read_rows(connection, statement, _IDENTITY)
        return rows[0] if rows else None

    async def get(self, account_id: AccountId, wallet_id: WalletId) -> WalletIdentity | None:
        """Return a wallet of the account: orders in flight keep the one they were signed for."""
        statement = select(_TABLE).where(
            WalletRecord.account_id == account_id, WalletRecord.wallet_id == wallet_id
        )
        async with self._database.transaction() as connection:
            rows = await read_rows(connection, statement, _IDENTITY)
        return rows[0] if rows else None

    async def all_of(self, account_id: AccountId, venue: str) -> list[WalletIdentity]:
        """Return every wallet of an account at a venue, oldest first."""
        statement = (
            select(_TABLE)
            .where(WalletRecord.account_id == account_id, WalletRecord.venue == venue)
            .order_by(WalletRecord.created_at, WalletRecord.wallet_id)
        )
        async with self._database.transaction() as connection:
            return await read_rows(connection, statement, _IDENTITY)
