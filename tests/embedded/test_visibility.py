"""Of the server's visibility indexes those stay by which somebody looks for workflows."""

import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.client import Client

from runtime.embedded.layout import DataDir
from runtime.embedded.visibility import KEPT_ATTRIBUTES, columns_of_attributes, keep_indexes
from runtime.temporal_tuning import SEARCH_ATTRIBUTES
from tests.shared_stack import SharedStack

ORDER = "(COALESCE(close_time, '9999-12-31 23:59:59+00:00')) DESC, start_time DESC, run_id"
COLUMNS = ("workflow_id", "status", "history_length", "TemporalSchedulePaused", "Keyword01", "Keyword02")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A file of the shape that the server gives its own."""
    path = tmp_path / "temporal.db"
    with closing(sqlite3.connect(path)) as connection:
        columns = ", ".join(COLUMNS)
        connection.execute(
            f"CREATE TABLE executions_visibility (namespace_id, run_id, start_time, close_time, {columns}, "
            "PRIMARY KEY (namespace_id, run_id))"
        )
        connection.execute(f"CREATE INDEX default_idx ON executions_visibility (namespace_id, {ORDER})")
        connection.execute("CREATE TABLE executions (shard_id, run_id)")
        connection.execute("CREATE INDEX by_run_id ON executions (shard_id, run_id)")
        for column in COLUMNS:
            connection.execute(
                f"CREATE INDEX by_{column} ON executions_visibility (namespace_id, {column}, {ORDER})"
            )
    return path


def indexes(database: Path, table: str = "executions_visibility") -> set[str]:
    query = "SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL"
    with closing(sqlite3.connect(database)) as connection:
        return {name for (name,) in connection.execute(query, [table])}


def test_indexes_that_nobody_asks_by_are_dropped(database: Path) -> None:
    dropped = keep_indexes(database, {"AccountId": "Keyword02", "Venue": "Keyword01"})
    assert dropped == ("by_Keyword01", "by_TemporalSchedulePaused", "by_history_length")
    assert indexes(database) == {"default_idx", "by_workflow_id", "by_status", "by_Keyword02"}


def test_indexes_of_other_tables_stay(database: Path) -> None:
    keep_indexes(database, {})
    assert indexes(database, "executions") == {"by_run_id"}


def test_second_time_finds_nothing_to_drop(database: Path) -> None:
    keep_indexes(database, {"AccountId": "Keyword02"})
    assert keep_indexes(database, {"AccountId": "Keyword02"}) == ()


def test_file_in_use_is_waited_for(database: Path) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as server:
        server.execute("PRAGMA journal_mode = wal")
        server.execute("INSERT INTO executions_visibility (namespace_id, run_id) VALUES ('n', 'r')")
        keep_indexes(database, {})
        server.execute("UPDATE executions_visibility SET history_length = 7")
        (found,) = server.execute("SELECT history_length FROM executions_visibility").fetchone()
    assert found == 7


async def test_running_server_keeps_few_and_answers_by_every_attribute(
    stack: SharedStack, temporal_client: Client
) -> None:
    database = DataDir(Path(stack.env_file).parent).temporal_database
    columns = await columns_of_attributes(temporal_client, temporal_client.namespace)
    assert set(columns) >= set(SEARCH_ATTRIBUTES)
    left = indexes(database)
    assert {f"by_keyword_{columns[name][-2:]}" for name in KEPT_ATTRIBUTES} <= left
    assert "default_idx" in left
    assert len(left) == 10
    for attribute in (*SEARCH_ATTRIBUTES, "HistoryLength", "ExecutionDuration", "TaskQueue", "ParentRunId"):
        value = "987654321" if attribute in ("HistoryLength", "ExecutionDuration") else f"'{uuid4()}'"
        found = await temporal_client.count_workflows(f"{attribute} = {value}")
        assert found.count == 0
