"""State on disk: written before an answer leaves, read in full at the start.

SQLite in WAL mode. A killed process loses nothing under either durability; ``normal`` also syncs at
checkpoints, ``off`` never asks the disk to sync.
"""

import sqlite3
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import orjson
from pydantic import TypeAdapter

T = TypeVar("T")
_DUMP = orjson.OPT_NON_STR_KEYS


class Durability(StrEnum):
    """How hard the journal tries against a power cut."""

    NORMAL = "normal"
    OFF = "off"


class Kind(StrEnum):
    """Tables of the journal, in the words of the exchange."""

    META = "meta"
    MARKET = "market"
    WALLET = "wallet"
    API_KEY = "api_key"
    ORDER = "order"
    TRADE = "trade"
    HOUSE = "house"
    LEDGER = "ledger"
    TAPE = "tape"
    FRAME = "frame"


class Journal:
    """Collects changed records and writes them in one transaction."""

    def __init__(self, path: Path | None, durability: Durability = Durability.NORMAL) -> None:
        self._changed: dict[tuple[Kind, str], object] = {}
        self._db = sqlite3.connect(":memory:" if path is None else path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(f"PRAGMA synchronous={durability.value}")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS records"
            " (kind TEXT, id TEXT, body BLOB NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID"
        )

    def put(self, kind: Kind, key: str, record: object) -> None:
        """Marks a record as changed; its content is taken at the next commit."""
        self._changed[kind, key] = record

    def commit(self) -> None:
        """Writes every marked record. After it returns a kill loses none of them."""
        if not self._changed:
            return
        rows = [
            (kind, key, orjson.dumps(record, option=_DUMP)) for (kind, key), record in self._changed.items()
        ]
        self._changed.clear()
        self._db.execute("BEGIN")
        self._db.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", rows)
        self._db.execute("COMMIT")

    def load(self, kind: Kind, model: type[T]) -> Iterator[T]:
        """Yields every stored record of a kind, in the order of their ids."""
        adapter = TypeAdapter(model)
        query = "SELECT body FROM records WHERE kind = ? ORDER BY id"
        for (body,) in self._db.execute(query, (kind,)).fetchall():
            yield adapter.validate_json(body)

    def load_under(self, kind: Kind, prefix: str, model: type[T]) -> Iterator[T]:
        """Yields the stored records whose ids begin so, in the order of their ids."""
        adapter = TypeAdapter(model)
        query = "SELECT body FROM records WHERE kind = ? AND id >= ? AND id < ? ORDER BY id"
        for (body,) in self._db.execute(query, (kind, prefix, prefix + "\U0010ffff")).fetchall():
            yield adapter.validate_json(body)

    def load_one(self, kind: Kind, key: str, model: type[T]) -> Iterator[T]:
        """Yields the stored record of that id, if there is one."""
        query = "SELECT body FROM records WHERE kind = ? AND id = ?"
        for (body,) in self._db.execute(query, (kind, key)).fetchall():
            yield TypeAdapter(model).validate_json(body)

    def close(self) -> None:
        """Commits what is marked and closes the file."""
        self.commit()
        self._db.close()
