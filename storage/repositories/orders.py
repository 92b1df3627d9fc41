"""Reads of orders. They are written by `Projections` and `Claims`."""

from collections.abc import Collection
from dataclasses import dataclass

from pydantic import TypeAdapter
from sqlalchemy import Select, select

from domain.ids import AccountId, OrderId, RuleId, TokenId
from domain.orders import Mode, OrderRow, OrderState, Purpose
from storage.database import Database
from storage.models.orders import OrderRecord
from storage.records import Page, read_page, read_rows

_ORDER = TypeAdapter(OrderRow)
_TABLE = OrderRecord.__table__
_TERMINAL = tuple(state.value for state in OrderState if state.is_terminal)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilter:
    """What a list of orders is narrowed to; None means all."""

    states: Collection[OrderState] | None = None
    open_only: bool = False
    venue: str | None = None
    mode: Mode | None = None
    token_id: TokenId | None = None
    rule_id: RuleId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOrder:
    """An open order as reconcile needs it: which workflow must live."""

    order_id: OrderId
    account_id: AccountId
    host_workflow_id: str


_OPEN = TypeAdapter(OpenOrder)


class Orders:
    """Reads orders, always within one account unless the name says otherwise."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, account_id: AccountId, order_id: OrderId) -> OrderRow | None:
        """Return an order of the account, None when there is none or it is another account's.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        statement = _readable(account_id).where(OrderRecord.order_id == order_id)
        async with self._database.transaction() as connection:
            rows = await read_rows(connection, statement, _ORDER)
        return rows[0] if rows else None

    async def page(
        self, account_id: AccountId, wanted: OrderFilter | None = None, *, limit: int = 50, offset: int = 0
    ) -> Page[OrderRow]:
        """Return orders of the account, newest first."""
        statement = _narrowed(_readable(account_id), wanted or OrderFilter()).order_by(
            OrderRecord.created_at.desc(), OrderRecord.order_id
        )
        async with self._database.transaction() as connection:
            return await read_page(connection, statement, _ORDER, limit=limit, offset=offset)

    async def find_any(self, order_id: OrderId) -> OrderRow | None:
        """Return an order of whichever account: for the system's own work, never for a caller."""
        async with self._database.transaction() as connection:
            rows = await read_rows(connection, select(_TABLE).where(OrderRecord.order_id == order_id), _ORDER)
        return rows[0] if rows else None

    async def all_open(self, *, after: OrderId | None = None, limit: int = 1000) -> list[OpenOrder]:
        """Return the open orders of all accounts, by id, for reconcile."""
        statement = (
            select(OrderRecord.order_id, OrderRecord.account_id, OrderRecord.host_workflow_id)
            .where(OrderRecord.state.not_in(_TERMINAL), OrderRecord.order_id > (after or ""))
            .order_by(OrderRecord.order_id)
            .limit(limit)
        )
        async with self._database.transaction() as connection:
            return await read_rows(connection, statement, _OPEN)

    async def may_be_held(self, account_id: AccountId | None, *, looking: bool = True) -> list[OpenOrder]:
        """Return exits of no rule that wait, of an account (None: of all), the quietest first.

        Args:
            account_id: Whose.
            looking: Whether those that look just now count, too.
        """
        states = {OrderState.WAITING.value}
        if looking:  # it shows as placing, and may wait again in a moment
            states.add(OrderState.PLACING.value)
        statement = select(OrderRecord.order_id, OrderRecord.account_id, OrderRecord.host_workflow_id).where(
            OrderRecord.state.in_(states),
            OrderRecord.purpose == Purpose.EXIT.value,
            OrderRecord.rule_id.is_(None),
        )
        if account_id is not None:
            statement = statement.where(OrderRecord.account_id == account_id)
        async with self._database.transaction() as connection:
            return await read_rows(connection, statement.order_by(OrderRecord.updated_at), _OPEN)


def _readable(account_id: AccountId) -> Select[tuple[object, ...]]:
    return select(_TABLE).where(OrderRecord.account_id == account_id)


def _narrowed(statement: Select[tuple[object, ...]], wanted: OrderFilter) -> Select[tuple[object, ...]]:
    if wanted.states is not None:
        statement = statement.where(OrderRecord.state.in_([state.value for state in wanted.states]))
    if wanted.open_only:
        statement = statement.where(OrderRecord.state.not_in(_TERMINAL))
    if wanted.venue is not None:
        statement = statement.where(OrderRecord.venue == wanted.venue)
    if wanted.mode is not None:
        statement = statement.where(OrderRecord.mode == wanted.mode.value)
    if wanted.token_id is not None:
        statement = statement.where(OrderRecord.token_id == wanted.token_id)
    if wanted.rule_id is not None:
        statement = statement.where(OrderRecord.rule_id == wanted.rule_id)
    return statement
