"""The tape: every change of the top of a book, its gaps, and what it is compacted to."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

import asyncpg
from pydantic import TypeAdapter

from domain.quotes import Quote
from storage.database import Database
from storage.records import read_all
from storage.shards import in_shard


@dataclass(frozen=True, slots=True, kw_only=True)
class TapeEntry:
    """One change of the top of a token's book, at the feed's wall time."""

    venue: str
    token_id: str
    ts: datetime
    quote: Quote


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedGap:
    """A span in which a feed could not see; without a token it holds for the whole shard, of `shards`."""

    venue: str
    shard: int
    shards: int = 1
    token_id: str | None
    started_at: datetime
    ended_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class GapTotals:
    """Gaps of feeds in a span of time.

    Attributes:
        spans: How many there were; a lost socket is a gap of each of its tokens, and one span.
        blind: Their length in all.
        latest: The one that ended last; None where there is none.
    """

    spans: int
    blind: timedelta
    latest: FeedGap | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candle:
    """One minute of a token. `open` to `close` are the displayed price; None where there was none."""

    venue: str
    token_id: str
    minute: datetime
    open: Decimal | None
    high: Decimal | None
    low: Decimal | None
    close: Decimal | None
    bid_low: Decimal | None
    bid_high: Decimal | None
    ask_low: Decimal | None
    ask_high: Decimal | None
    changes: int


TAPE_KEPT = timedelta(days=2)
"""Older changes of the book become candles."""

_ENTRY = TypeAdapter(TapeEntry)
_GAP = TypeAdapter(FeedGap)
_TOTALS = TypeAdapter(GapTotals)
_CANDLE = TypeAdapter(Candle)

_COLUMNS = ("venue", "token_id", "ts", "bid", "ask", "last")
_GAP_COLUMNS = ("venue", "shard", "shards", "token_id", "started_at", "ended_at", "reason")
_QUOTE = (
    "t.venue, t.token_id, t.ts,"
    " jsonb_build_object('bid', t.bid::text, 'ask', t.ask::text, 'last', t.last::text) AS quote"
)
# A stretch of time bounds what one statement reads and sorts, a page what it returns.
_PAGE = f"""SELECT t.id, {_QUOTE} FROM unnest($2::text[], $3::timestamptz[]) AS wanted (token_id, ts)
    JOIN tape AS t ON t.venue = $1 AND t.token_id = wanted.token_id AND t.ts >= wanted.ts
        AND t.ts >= $4 AND t.ts < $5
    WHERE (t.ts, t.id) > ($4, $6)
    ORDER BY t.ts, t.id LIMIT $7"""  # noqa: S608 - column names of ours
_FIRST = """SELECT MIN(t.ts) FROM unnest($2::text[], $3::timestamptz[]) AS wanted (token_id, ts)
    CROSS JOIN LATERAL (
        SELECT ts FROM tape WHERE venue = $1 AND token_id = wanted.token_id
            AND ts >= GREATEST(wanted.ts, $4::timestamptz) ORDER BY ts LIMIT 1
    ) AS t"""
_STANDING = f"""SELECT {_QUOTE} FROM unnest($2::text[], $3::timestamptz[]) AS wanted (token_id, ts)
    CROSS JOIN LATERAL (
        SELECT * FROM tape WHERE venue = $1 AND token_id = wanted.token_id AND ts < wanted.ts
            ORDER BY ts DESC, id DESC LIMIT 1
    ) AS t ORDER BY t.ts, t.id"""  # noqa: S608
_LATEST = f"""SELECT {_QUOTE} FROM unnest($2::text[]) AS wanted (token_id)
    CROSS JOIN LATERAL (
        SELECT * FROM tape WHERE venue = $1 AND token_id = wanted.token_id ORDER BY ts DESC, id DESC LIMIT 1
    ) AS t"""  # noqa: S608
_GAPS = f"""SELECT venue, shard, shards, token_id, started_at, ended_at, reason FROM feed_gaps
    WHERE venue = $1 AND ended_at >= $2 AND ($3::timestamptz IS NULL OR started_at < $3)
        AND ($4::text IS NULL OR token_id = $4 OR token_id IS NULL AND {
    in_shard("$4", shard="shard", shards="shards")
})
    ORDER BY started_at, id"""  # noqa: S608 - fixed text
_GAP_SPANS = """SELECT count(*) AS spans, COALESCE(sum(ended_at - started_at), INTERVAL '0') AS blind
    FROM (
        SELECT DISTINCT venue, shard, started_at, ended_at FROM feed_gaps
        WHERE venue = ANY($1::text[]) AND ended_at >= $2
    ) AS span"""
_LATEST_GAP = """SELECT venue, shard, shards, token_id, started_at, ended_at, reason FROM feed_gaps
    WHERE venue = ANY($1::text[]) AND ended_at >= $2 ORDER BY ended_at DESC, id DESC LIMIT 1"""
_CANDLES = """SELECT venue, token_id, minute, open, high, low, close, bid_low, bid_high, ask_low, ask_high,
        changes
    FROM candles WHERE venue = $1 AND token_id = $2 AND minute >= $3 AND minute < $4 ORDER BY minute"""
_OLDEST = "SELECT MIN(ts) FROM (SELECT ts FROM tape ORDER BY id LIMIT 1000) AS first"
# Removed and summed up in one statement, so no row is lost or counted twice.
_COMPACT = """WITH gone AS (
        DELETE FROM tape WHERE ts < $1 RETURNING id, venue, token_id, ts, bid, ask, last
    ), priced AS (
        SELECT *, date_trunc('minute', ts, 'UTC') AS minute,
            CASE WHEN bid <= ask AND ask - bid <= 0.10 THEN (bid + ask) / 2 ELSE last END AS price
        FROM gone
    ), summed AS (
        SELECT venue, token_id, minute,
            (array_agg(price ORDER BY ts, id) FILTER (WHERE price IS NOT NULL))[1] AS open,
            MAX(price) AS high, MIN(price) AS low,
            (array_agg(price ORDER BY ts DESC, id DESC) FILTER (WHERE price IS NOT NULL))[1] AS close,
            MIN(bid) AS bid_low, MAX(bid) AS bid_high, MIN(ask) AS ask_low, MAX(ask) AS ask_high,
            COUNT(*) AS changes
        FROM priced GROUP BY venue, token_id, minute
    ), written AS (
        INSERT INTO candles AS c (
            venue, token_id, minute, open, high, low, close, bid_low, bid_high, ask_low, ask_high, changes
        ) SELECT * FROM summed
        ON CONFLICT (venue, token_id, minute) DO UPDATE SET
            open = COALESCE(c.open, EXCLUDED.open),
            high = GREATEST(c.high, EXCLUDED.high),
            low = LEAST(c.low, EXCLUDED.low),
            close = COALESCE(EXCLUDED.close, c.close),
            bid_low = LEAST(c.bid_low, EXCLUDED.bid_low),
            bid_high = GREATEST(c.bid_high, EXCLUDED.bid_high),
            ask_low = LEAST(c.ask_low, EXCLUDED.ask_low),
            ask_high = GREATEST(c.ask_high, EXCLUDED.ask_high),
            changes = c.changes + EXCLUDED.changes
        RETURNING 1
    ) SELECT COUNT(*) FROM gone"""
_STEP = timedelta(minutes=1)
_STRETCH = timedelta(minutes=10)
ROWS_OF_A_PAGE = 10_000


async def write_changes(connection: asyncpg.Connection, rows: Sequence[TapeEntry]) -> None:
    """Write changes in one statement, all of them or nothing."""
    records = [
        (row.venue, row.token_id, row.ts, row.quote.bid, row.quote.ask, row.quote.last) for row in rows
    ]
    if records:
        await connection.copy_records_to_table("tape", records=records, columns=_COLUMNS)


async def write_gaps(connection: asyncpg.Connection, gaps: Sequence[FeedGap]) -> None:
    """Write down spans in which a feed could not see, all of them or nothing."""
    records = [
        (gap.venue, gap.shard, gap.shards, gap.token_id, gap.started_at, gap.ended_at, gap.reason)
        for gap in gaps
    ]
    if records:
        await connection.copy_records_to_table("feed_gaps", records=records, columns=_GAP_COLUMNS)


class Tape:
    """Writes and reads the tape. A feed that runs writes under its lease (`FeedLeases`), nobody else does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, rows: Sequence[TapeEntry]) -> None:
        """Write a batch, all of it or nothing.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.hot.connection() as connection:
            await write_changes(connection, rows)

    async def pages(
        self, venue: str, tokens: Mapping[str, datetime], *, size: int = ROWS_OF_A_PAGE
    ) -> AsyncGenerator[list[TapeEntry]]:
        """Yield the changes of tokens, each from its own time on, in the order in which they happened.

        No connection is held between two pages.

        Args:
            venue: whose tape.
            tokens: from when on each of them is read.
            size: most rows of a page.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        names, times = list(tokens), list(tokens.values())
        start = min(times, default=None)
        while start is not None and (start := await self._first_from(venue, names, times, start)):
            end, after = start + _STRETCH, 0
            while start < end:
                async with self._database.hot.connection() as connection:
                    rows = await connection.fetch(_PAGE, venue, names, times, start, end, after, size)
                entries = read_all(_ENTRY, rows)
                if entries:
                    yield entries
                if len(entries) < size:
                    start = end
                else:
                    start, after = entries[-1].ts, int(str(rows[-1]["id"]))

    async def _first_from(
        self, venue: str, names: Sequence[str], times: Sequence[datetime], start: datetime
    ) -> datetime | None:
        """Return when the next change of any token was seen, so that quiet weeks cost one question."""
        async with self._database.hot.connection() as connection:
            first = await connection.fetchval(_FIRST, venue, names, times, start)
        return first if isinstance(first, datetime) else None

    async def standing(self, venue: str, tokens: Mapping[str, datetime]) -> list[TapeEntry]:
        """Return the change that stood on each token at its own time, the last one before it, oldest first.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        if not tokens:
            return []
        async with self._database.hot.connection() as connection:
            rows = await connection.fetch(_STANDING, venue, list(tokens), list(tokens.values()))
        return read_all(_ENTRY, rows)

    async def latest(self, venue: str, tokens: Collection[str]) -> dict[str, TapeEntry]:
        """Return the newest entry of each token that has one."""
        async with self._database.hot.connection() as connection:
            rows = await connection.fetch(_LATEST, venue, list(tokens))
        return {entry.token_id: entry for entry in read_all(_ENTRY, rows)}

    async def record_gap(self, gap: FeedGap) -> None:
        """Write down that a feed could not see for a while.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.hot.connection() as connection:
            await write_gaps(connection, [gap])

    async def gaps(
        self, venue: str, since: datetime, until: datetime | None = None, *, token_id: str | None = None
    ) -> list[FeedGap]:
        """Return the gaps that reach into a span, oldest first: those of whole shards and of one token.

        Args:
            venue: whose feeds.
            since: the span's start; a gap that ended before it is left out.
            until: the span's end, excluded; None for all that came later.
            token_id: leaves gaps of other tokens out.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.hot.connection() as connection:
            return read_all(_GAP, await connection.fetch(_GAPS, venue, since, until, token_id))

    async def gap_totals(self, venues: Collection[str], since: datetime) -> GapTotals:
        """Return how often and how long the feeds of some venues were blind, in gaps that ended since a time.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.hot.connection() as connection:
            (totals,) = read_all(_TOTALS, await connection.fetch(_GAP_SPANS, list(venues), since))
            latest = read_all(_GAP, await connection.fetch(_LATEST_GAP, list(venues), since))
        return replace(totals, latest=latest[0] if latest else None)

    async def compact(self, before: datetime) -> int:
        """Turn entries older than a time into candles of one minute; return how many entries went."""
        removed = 0
        limit = before.replace(second=0, microsecond=0)
        while True:
            async with self._database.hot.connection() as connection:
                oldest = await connection.fetchval(_OLDEST)
                if not isinstance(oldest, datetime) or oldest >= limit:
                    return removed
                until = min(oldest.replace(second=0, microsecond=0) + _STEP, limit)
                gone = await connection.fetchval(_COMPACT, until)
            removed += gone if isinstance(gone, int) else 0

    async def candles(self, venue: str, token_id: str, start: datetime, end: datetime) -> list[Candle]:
        """Return the compacted minutes of a token in `[start, end)`."""
        async with self._database.hot.connection() as connection:
            return read_all(_CANDLE, await connection.fetch(_CANDLES, venue, token_id, start, end))
