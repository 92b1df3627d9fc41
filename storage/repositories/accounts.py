"""Accounts: made, listed, switched. Every change is audited in its own transaction."""

import uuid
from dataclasses import asdict

from pydantic import TypeAdapter
from sqlalchemy import Insert, Update, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.accounts import Account, AccountPolicy
from domain.claims import KillSwitch
from domain.errors import Conflict, InvalidInput, NotFound
from domain.ids import AccountId
from domain.orders import Mode
from storage.database import Database
from storage.models.accounts import AccountRecord
from storage.models.audit import AuditRecord
from storage.records import Page, read_page, read_rows

_ACCOUNT = TypeAdapter(Account)
_POLICY = TypeAdapter(AccountPolicy)
_TABLE = AccountRecord.__table__


class Accounts:
    """Reads and changes accounts; `actor` says in the audit log who asked."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self,
        name: str,
        *,
        account_id: AccountId | None = None,
        policy: AccountPolicy | None = None,
        actor: str = "system",
    ) -> Account:
        """Make an account in paper mode. The same id again returns the account that stands.

        Raises:
            Conflict: The id belongs to an account of another name.
            StorageUnavailable: Postgres cannot be reached now.
        """
        wanted = account_id or AccountId(f"acc_{uuid.uuid4().hex}")
        document = _POLICY.dump_python(policy or AccountPolicy(), mode="json")
        statement = insert(AccountRecord).values(account_id=wanted, name=name, policy=document)
        async with self._database.transaction() as connection:
            made = await connection.execute(statement.on_conflict_do_nothing().returning(_TABLE.c.account_id))
            if made.first() is not None:
                await _audited(connection, wanted, actor, "account.created", {"name": name})
            account = await _get(connection, wanted)
        if account.name != name:
            raise Conflict("an account of this id has another name", code="account_exists")
        return account

    async def get(self, account_id: AccountId) -> Account | None:
        """Return an account, None when there is none."""
        async with self._database.reading() as connection:
            rows = await read_rows(
                connection, select(_TABLE).where(AccountRecord.account_id == account_id), _ACCOUNT
            )
        return rows[0] if rows else None

    async def page(self, *, limit: int = 50, offset: int = 0) -> Page[Account]:
        """Return all accounts, oldest first: for admins."""
        statement = select(_TABLE).order_by(AccountRecord.created_at, AccountRecord.account_id)
        async with self._database.transaction() as connection:
            return await read_page(connection, statement, _ACCOUNT, limit=limit, offset=offset)

    async def set_mode(
        self, account_id: AccountId, mode: Mode, *, acknowledge_live: bool = False, actor: str = "system"
    ) -> Account:
        """Choose where what is made from now on goes; what exists keeps its mode.

        An acknowledgement stays when the account goes back to paper, so that exits of what was opened live go
        on.

        Raises:
            InvalidInput: Live without an acknowledgement, now or earlier.
            NotFound: No such account.
        """
        async with self._database.transaction() as connection:
            account = await _get(connection, account_id)
            acknowledged = account.live_acknowledged or acknowledge_live
            if mode is Mode.LIVE and not acknowledged:
                raise InvalidInput(
                    "acknowledge_live", "live mode needs to be acknowledged", "live_not_acknowledged"
                )
            statement = _update(account_id).values(mode=mode.value, live_acknowledged=acknowledged)
            detail = {"mode": mode.value, "acknowledged": str(acknowledged).lower()}
            return await _changed(connection, statement, account_id, actor, "account.mode", detail)

    async def set_enabled(self, account_id: AccountId, enabled: bool, *, actor: str = "system") -> Account:
        """Let an account open positions or not.

        Raises:
            NotFound: No such account.
        """
        async with self._database.transaction() as connection:
            statement = _update(account_id).values(enabled=enabled)
            detail = {"enabled": str(enabled).lower()}
            return await _changed(connection, statement, account_id, actor, "account.enabled", detail)

    async def set_kill_switch(
        self, account_id: AccountId, level: KillSwitch, *, actor: str = "system"
    ) -> Account:
        """Set the account's own kill switch; every send after this one's commit sees it.

        Raises:
            NotFound: No such account.
        """
        async with self._database.transaction() as connection:
            statement = _update(account_id).values(kill_switch=level.value)
            detail = {"level": level.value}
            return await _changed(connection, statement, account_id, actor, "account.kill_switch", detail)

    async def set_policy(
        self, account_id: AccountId, policy: AccountPolicy, *, actor: str = "system"
    ) -> Account:
        """Replace the account's limits of entries.

        Raises:
            NotFound: No such account.
        """
        async with self._database.transaction() as connection:
            statement = _update(account_id).values(policy=_POLICY.dump_python(policy, mode="json"))
            detail = {name: str(value) for name, value in asdict(policy).items() if value is not None}
            return await _changed(connection, statement, account_id, actor, "account.policy", detail)


def _update(account_id: AccountId) -> Update:
    return update(AccountRecord).where(AccountRecord.account_id == account_id)


async def _get(connection: AsyncConnection, account_id: AccountId) -> Account:
    statement = select(_TABLE).where(AccountRecord.account_id == account_id).with_for_update()
    rows = await read_rows(connection, statement, _ACCOUNT)
    if not rows:
        raise NotFound("no such account")
    return rows[0]


async def _changed(
    connection: AsyncConnection,
    statement: Update,
    account_id: AccountId,
    actor: str,
    action: str,
    detail: dict[str, str],
) -> Account:
    await connection.execute(statement)
    account = await _get(connection, account_id)
    await _audited(connection, account_id, actor, action, detail)
    return account


async def _audited(
    connection: AsyncConnection, account_id: AccountId | None, actor: str, action: str, detail: dict[str, str]
) -> None:
    await connection.execute(audit_line(account_id, actor, action, account_id or "installation", detail))


def audit_line(
    account_id: AccountId | None, actor: str, action: str, subject: str, detail: dict[str, str]
) -> Insert:
    """Return the statement that writes an audit line inside somebody's transaction."""
    return insert(AuditRecord).values(
        account_id=account_id, actor=actor, action=action, subject=subject, detail=detail
    )
