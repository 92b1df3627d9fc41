"""Wallets: the public identities that orders are signed for. They never change; a new key is a new wallet."""

from pydantic import TypeAdapter
from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import Conflict
from domain.ids import AccountId, WalletId
from domain.orders import WalletIdentity
from storage.database import Database
from storage.models.wallets import WalletRecord, WalletUseRecord
from storage.records import read_rows
from storage.repositories.accounts import audit_line

_IDENTITY = TypeAdapter(WalletIdentity)
_TABLE = WalletRecord.__table__
# Whoever comes last is in use: without the lock two wallets stored at once could both believe that.
_LOCK_NAMESPACE = 0x77616C


class Wallets:
    """Adds and finds wallets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, account_id: AccountId, venue: str, identity: WalletIdentity, *, actor: str = "system"
    ) -> None:
        """Add a wallet; it is in use from now on, also when it stood before and another one came since.

        Adding the one in use again changes nothing.

        Raises:
            Conflict: The id stands for another identity.
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.transaction() as connection:
            await connection.execute(
                select(func.pg_advisory_xact_lock(_LOCK_NAMESPACE, func.hashtext(f"{account_id}/{venue}")))
            )
            added = await _insert(connection, account_id, venue, identity)
            if not added:
                await _check_same(connection, account_id, venue, identity)
                in_use = await read_rows(connection, _oldest_use_first(account_id, venue), _IDENTITY)
                if in_use[-1] == identity:
                    return
            use = {"account_id": account_id, "venue": venue, "wallet_id": identity.wallet_id}
            await connection.execute(insert(WalletUseRecord).values(use))
            action = "wallet.added" if added else "wallet.used_again"
            detail = {"venue": venue, "signer": identity.signer, "funder": identity.funder}
            await connection.execute(audit_line(account_id, actor, action, identity.wallet_id, detail))

    async def current(self, account_id: AccountId, venue: str) -> WalletIdentity | None:
        """Return the wallet of an account at a venue that was stored last: new orders are signed for it."""
        wallets = await self.all_of(account_id, venue)
        return wallets[-1] if wallets else None

    async def get(self, account_id: AccountId, wallet_id: WalletId) -> WalletIdentity | None:
        """Return a wallet of the account: orders in flight keep the one they were signed for."""
        statement = select(_TABLE).where(
            WalletRecord.account_id == account_id, WalletRecord.wallet_id == wallet_id
        )
        async with self._database.transaction() as connection:
            rows = await read_rows(connection, statement, _IDENTITY)
        return rows[0] if rows else None

    async def all_of(self, account_id: AccountId, venue: str) -> list[WalletIdentity]:
        """Return every wallet of an account at a venue, the one in use last."""
        async with self._database.transaction() as connection:
            return await read_rows(connection, _oldest_use_first(account_id, venue), _IDENTITY)


async def _insert(
    connection: AsyncConnection, account_id: AccountId, venue: str, identity: WalletIdentity
) -> bool:
    """Insert a wallet and say whether its id was new."""
    values = _IDENTITY.dump_python(identity)
    added = await connection.execute(
        insert(WalletRecord)
        .values(account_id=account_id, venue=venue, **values)
        .on_conflict_do_nothing()
        .returning(WalletRecord.wallet_id)
    )
    return added.first() is not None


async def _check_same(
    connection: AsyncConnection, account_id: AccountId, venue: str, identity: WalletIdentity
) -> None:
    same = select(_TABLE).where(
        WalletRecord.wallet_id == identity.wallet_id,
        WalletRecord.account_id == account_id,
        WalletRecord.venue == venue,
    )
    if await read_rows(connection, same, _IDENTITY) != [identity]:
        raise Conflict("this wallet id stands for another identity", code="wallet_immutable")


def _oldest_use_first(account_id: AccountId, venue: str) -> Select[tuple[object, ...]]:
    """Select the wallets in the order in which each of them last came into use."""
    last_use = (
        select(WalletUseRecord.wallet_id, func.max(WalletUseRecord.id).label("id"))
        .where(WalletUseRecord.account_id == account_id, WalletUseRecord.venue == venue)
        .group_by(WalletUseRecord.wallet_id)
        .subquery()
    )
    return (
        select(_TABLE)
        .outerjoin(last_use, last_use.c.wallet_id == WalletRecord.wallet_id)
        .where(WalletRecord.account_id == account_id, WalletRecord.venue == venue)
        # A process of the former version still stores wallets without their use while a roll-out lasts.
        .order_by(last_use.c.id.nulls_first(), WalletRecord.created_at, WalletRecord.wallet_id)
    )
