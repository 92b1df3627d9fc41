"""Which indexes of its visibility table the embedded Temporal keeps: those that somebody asks by.

The dev server's schema has 46, 22 of them for attributes that somebody may define: Holdfast defines five.
Every start, change of state and end of a workflow writes all of them, over the one connection that the server
has: a tenth of its work in a crowd of exits, and most of what an idle rule takes on the disk (decision 0013).
"""

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client

_TABLE = "executions_visibility"
_BUSY_SECONDS = 30.0

KEPT_COLUMNS = frozenset(
    {
        "workflow_id",
        "workflow_type_name",
        "status",
        # The Temporal UI shows a workflow's relations, and lists schedules by their division.
        "parent_workflow_id",
        "root_workflow_id",
        "TemporalNamespaceDivision",
    }
)
"""Columns of the server's own by which Holdfast, or a page of the Temporal UI, looks for workflows."""

KEPT_ATTRIBUTES = frozenset({"AccountId", "TokenId", "State"})
"""Search attributes that few workflows share; by the others an index would find half of them."""


async def columns_of_attributes(client: Client, namespace: str) -> Mapping[str, str]:
    """Return the column of each custom search attribute, by its name.

    Raises:
        RPCError: The server refused.
    """
    described = await client.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace=namespace)
    )
    return {name: column for column, name in described.config.custom_search_attribute_aliases.items()}


def keep_indexes(database: Path, attribute_columns: Mapping[str, str]) -> tuple[str, ...]:
    """Drop the indexes that nobody asks by; the server may run. Return what was dropped.

    Queries by other columns are answered all the same, by reading more rows. Every index is dropped for
    itself, so that the server waits for none longer than that takes.

    Args:
        database: The server's file.
        attribute_columns: The column of each custom search attribute, by its name.

    Raises:
        sqlite3.Error: The file is damaged, or was busy for half a minute.
    """
    kept = KEPT_COLUMNS | {attribute_columns[name] for name in KEPT_ATTRIBUTES if name in attribute_columns}
    with closing(sqlite3.connect(database, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
        dropped = tuple(sorted(_unused(connection, kept)))
        for index in dropped:
            connection.execute(f'DROP INDEX IF EXISTS "{index}"')
    return dropped


def _unused(connection: sqlite3.Connection, kept: Iterable[str]) -> Iterable[str]:
    """Yield the names of indexes whose second column, behind the namespace, is not among those kept.

    The default order's index has an expression there, which has no name; the primary key's has no text.
    """
    wanted = frozenset(kept)
    indexes: list[tuple[str]] = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL", [_TABLE]
    ).fetchall()
    for (index,) in indexes:
        row: tuple[str | None] | None = connection.execute(
            "SELECT name FROM pragma_index_info(?) WHERE seqno = 1", [index]
        ).fetchone()
        if row is not None and row[0] is not None and row[0] not in wanted:
            yield index
