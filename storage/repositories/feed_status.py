"""What each feed last said of itself."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter

from storage.database import Database
from storage.records import read_all


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedStatus:
    """A feed's own report; `newest_quote_age_ms` is None before the first quote.

    Attributes:
        shard: its part of the venue's tokens, of `shards` parts.
        replica: 0 for the first feed of the shard, above for its standbys.
        writes_tape: it holds the lease of the shard; the others see, and signal what they see.
    """

    venue: str
    shard: int
    shards: int = 1
    replica: int = 0
    writes_tape: bool = True
    websocket: bool
    tokens: int
    rules: int
    newest_quote_age_ms: int | None
    polling: bool
    at: datetime


_STATUS = TypeAdapter(FeedStatus)
_COLUMNS = (
    "venue, shard, replica, shards, writes_tape, websocket, tokens, rules, newest_quote_age_ms, polling, at"
)
_PUT = f"""INSERT INTO feed_status AS f ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    ON CONFLICT (venue, shard, replica) DO UPDATE SET
        shards = EXCLUDED.shards, writes_tape = EXCLUDED.writes_tape,
        websocket = EXCLUDED.websocket, tokens = EXCLUDED.tokens, rules = EXCLUDED.rules,
        newest_quote_age_ms = EXCLUDED.newest_quote_age_ms, polling = EXCLUDED.polling, at = EXCLUDED.at
    WHERE f.at <= EXCLUDED.at"""  # noqa: S608 - column names of ours
_ALL = f"SELECT {_COLUMNS} FROM feed_status ORDER BY venue, shard, replica"  # noqa: S608


class FeedStatuses:
    """The newest report of each feed."""

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
                status.replica,
                status.shards,
                status.writes_tape,
                status.websocket,
                status.tokens,
                status.rules,
                status.newest_quote_age_ms,
                status.polling,
                status.at,
            )

    async def all(self) -> list[FeedStatus]:
        """Return the reports of all feeds that ever ran, by venue, shard and replica."""
        async with self._database.hot.connection() as connection:
            return read_all(_STATUS, await connection.fetch(_ALL))
