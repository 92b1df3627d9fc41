"""What each feed shard last said of itself."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter

from storage.database import Database
from storage.records import read_all


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedStatus:
    """A feed shard's own report; `newest_quote_age_ms` is None before the first quote."""

    venue: str
    shard: int
    websocket: bool
    tokens: int
    rules: int
    newest_quote_age_ms: int | None
    polling: bool
    at: datetime


_STATUS = TypeAdapter(FeedStatus)
_COLUMNS = "venue, shard, websocket, tokens, rules, newest_quote_age_ms, polling, at"
_PUT = f"""INSERT INTO feed_status AS f ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (venue, shard) DO UPDATE SET
        websocket = EXCLUDED.websocket, tokens = EXCLUDED.tokens, rules = EXCLUDED.rules,
        newest_quote_age_ms = EXCLUDED.newest_quote_age_ms, polling = EXCLUDED.polling, at = EXCLUDED.at
    WHERE f.at <= EXCLUDED.at"""  # noqa: S608 - column names of ours
_LAST = f"SELECT {_COLUMNS} FROM feed_status WHERE venue = $1 AND shard = $2"  # noqa: S608
_ALL = f"SELECT {_COLUMNS} FROM feed_status ORDER BY venue, shard"  # noqa: S608


class FeedStatuses:
    """The newest report of each shard."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, status: FeedStatus) -> None:
        """Keep a report unless a newer one stands.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.hot.connection() as connection:
            await connection.execute(
                _PUT,
                status.venue,
                status.shard,
                status.websocket,
                status.tokens,
                status.rules,
                status.newest_quote_age_ms,
                status.polling,
                status.at,
            )

    async def last(self, venue: str, shard: int) -> FeedStatus | None:
        """Return the newest report of a shard, None for one that never ran.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.hot.connection() as connection:
            found = read_all(_STATUS, await connection.fetch(_LAST, venue, shard))
        return found[0] if found else None

    async def all(self) -> list[FeedStatus]:
        """Return the reports of all shards."""
        async with self._database.hot.connection() as connection:
            return read_all(_STATUS, await connection.fetch(_ALL))
