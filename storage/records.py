"""From rows to domain values: pydantic reads them into the domain's own dataclasses."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from pydantic import TypeAdapter
from sqlalchemy import Executable, RowMapping, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Page(Generic[_Value]):
    """One page of a list, and how many items all pages hold."""

    items: tuple[_Value, ...]
    total: int
    limit: int
    offset: int


def read_one(adapter: TypeAdapter[_Value], row: Mapping[str, object] | RowMapping) -> _Value:
    """Return the value that a row holds; columns that the value does not have are passed over."""
    return adapter.validate_python(dict(row))


def read_all(
    adapter: TypeAdapter[_Value], rows: Iterable[Mapping[str, object]] | Sequence[RowMapping]
) -> list[_Value]:
    """Return the values that rows hold."""
    return [read_one(adapter, row) for row in rows]


async def read_rows(
    connection: AsyncConnection, statement: Executable, adapter: TypeAdapter[_Value]
) -> list[_Value]:
    """Return the values that a statement finds."""
    result = await connection.execute(statement)
    return read_all(adapter, result.mappings().all())


async def read_page(
    connection: AsyncConnection,
    statement: Select[tuple[object, ...]],
    adapter: TypeAdapter[_Value],
    *,
    limit: int,
    offset: int,
) -> Page[_Value]:
    """Return one page of an ordered statement's rows, with the count of all."""
    everything = select(func.count()).select_from(statement.order_by(None).subquery())
    total = await connection.scalar(everything)
    items = await read_rows(connection, statement.limit(limit).offset(offset), adapter)
    return Page(items=tuple(items), total=total or 0, limit=limit, offset=offset)


def from_ms(milliseconds: int) -> datetime:
    """Return the UTC time of Unix milliseconds, exactly."""
    seconds, rest = divmod(milliseconds, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)


def to_ms(moment: datetime) -> int:
    """Return the Unix milliseconds of an aware time, fractions cut off."""
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * 1000 + moment.microsecond // 1000
