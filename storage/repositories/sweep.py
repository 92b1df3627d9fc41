"""The sweep: armed watches that the tape shows beyond their level for a while, found by SQL alone.

A backstop for the trigger index: it shares no code with it, so that one mistake cannot blind both. It looks
at what was beyond without a break for the whole window, and is therefore slower than the index by design.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from pydantic import TypeAdapter

from domain.messages import WatchRow
from domain.quotes import Quote
from storage.database import Database
from storage.records import read_all


@dataclass(frozen=True, slots=True, kw_only=True)
class BeyondLevel:
    """A watch whose condition stands reached, with the evidence.

    Attributes:
        watch: The watch, of its present generation.
        condition_index: Place of the condition in the rule's list.
        level: The level that the price is beyond.
        mark: For a trailing condition its highest price.
        quote: The newest quote of the tape.
        price: Its source price.
        changes: Changes of the book in the window, all of them beyond the level.
        since: When the oldest of them was seen.
    """

    watch: WatchRow
    condition_index: int
    level: Decimal
    mark: Decimal | None
    quote: Quote
    price: Decimal
    changes: int
    since: datetime


_BEYOND_LEVEL = TypeAdapter(BeyondLevel)

_BEYOND = """
WITH watched AS (
    SELECT w.*,
        COALESCE((w.resolved->'prices'->>'bounded')::boolean, TRUE) AS bounded,
        COALESCE((w.resolved->'prices'->>'display_max_spread')::numeric, 0.10) AS display_max_spread,
        w.resolved->>'price_source' AS source,
        (w.resolved->>'max_spread')::numeric AS max_spread,
        COALESCE((w.resolved->>'bid_confirms')::boolean, TRUE) AS bid_confirms,
        COALESCE((w.resolved->>'targets_need_bid')::boolean, FALSE) AS targets_need_bid,
        COALESCE((w.resolved->'confirm'->>'updates')::bigint, 1) AS updates,
        $2::timestamptz - GREATEST(
            $3::interval, COALESCE((w.resolved->'confirm'->>'ms')::bigint, 0) * interval '1 millisecond'
        ) AS starts
    FROM watches AS w
    WHERE w.armed AND w.venue = $1
        AND (w.not_before_ms IS NULL OR to_timestamp(w.not_before_ms / 1000.0) <= $2)
), levels AS (
    SELECT w.*, c.place - 1 AS condition_index, c.condition->>'type' = 'take_profit' AS upward, m.mark,
        CASE c.condition->>'type'
            WHEN 'trailing_stop' THEN GREATEST(
                CASE WHEN m.active THEN COALESCE(
                    m.mark * (1 - (c.condition->>'percent')::numeric / 100),
                    m.mark - (c.condition->>'points')::numeric
                ) END,
                (c.condition->>'floor')::numeric
            )
            ELSE (c.condition->>'level')::numeric
        END AS level
    FROM watched AS w
    CROSS JOIN LATERAL jsonb_array_elements(w.resolved->'conditions') WITH ORDINALITY AS c (condition, place)
    LEFT JOIN trail_marks AS m
        ON m.rule_id = w.rule_id AND m.generation = w.generation AND m.condition_index = c.place - 1
    WHERE w.armed_at <= w.starts
        AND c.condition->>'type' IN ('stop_loss', 'take_profit', 'trailing_stop')
), seen AS (
    SELECT l.rule_id, l.condition_index, q.id, q.ts, q.bid, q.ask, q.last,
        l.upward, l.level, l.bid_confirms, l.targets_need_bid,
        (q.bid IS NULL OR q.ask IS NULL OR q.bid <= q.ask)
            AND LEAST(q.bid, q.ask, q.last) >= 0
            AND (NOT l.bounded OR GREATEST(q.bid, q.ask, q.last) <= 1)
            AND (l.max_spread IS NULL OR q.ask - q.bid <= l.max_spread) AS sound,
        CASE l.source
            WHEN 'bid' THEN q.bid
            WHEN 'ask' THEN q.ask
            WHEN 'mid' THEN (q.bid + q.ask) / 2
            WHEN 'last' THEN q.last
            ELSE CASE WHEN q.ask - q.bid <= l.display_max_spread THEN (q.bid + q.ask) / 2 ELSE q.last END
        END AS price,
        l.source = 'display' AND NOT COALESCE(q.ask - q.bid <= l.display_max_spread, FALSE) AS fell_back
    FROM levels AS l
    CROSS JOIN LATERAL (
        (
            SELECT * FROM tape AS t
            WHERE t.venue = l.venue AND t.token_id = l.token_id AND t.ts <= l.starts
            ORDER BY t.ts DESC, t.id DESC LIMIT 1
        ) UNION ALL (
            SELECT * FROM tape AS t
            WHERE t.venue = l.venue AND t.token_id = l.token_id AND t.ts > l.starts AND t.ts <= $2
        )
    ) AS q
    WHERE l.level IS NOT NULL
), judged AS (
    SELECT s.*, COALESCE(
        s.sound
        AND CASE WHEN s.upward THEN s.price >= s.level ELSE s.price <= s.level END
        AND (
            NOT (s.fell_back AND s.bid_confirms OR s.upward AND s.targets_need_bid)
            OR CASE
                WHEN s.upward THEN COALESCE(s.bid >= s.level, FALSE)
                ELSE COALESCE(s.bid <= s.level, TRUE)
            END
        ),
        FALSE
    ) AS beyond
    FROM seen AS s
), standing AS (
    SELECT rule_id, condition_index, COUNT(*) AS changes, MIN(ts) AS since, MAX(id) AS newest
    FROM judged GROUP BY rule_id, condition_index HAVING bool_and(beyond)
)
SELECT
    jsonb_build_object(
        'rule_id', l.rule_id, 'account_id', l.account_id, 'mode', l.mode, 'venue', l.venue,
        'token_id', l.token_id, 'generation', l.generation, 'armed', l.armed,
        'not_before_ms', l.not_before_ms, 'resolved', l.resolved, 'shares', l.shares::text,
        'version', l.version
    ) AS watch,
    l.condition_index, l.level, l.mark, j.price, s.changes, s.since,
    jsonb_build_object('bid', j.bid::text, 'ask', j.ask::text, 'last', j.last::text) AS quote
FROM standing AS s
JOIN levels AS l ON l.rule_id = s.rule_id AND l.condition_index = s.condition_index AND s.changes >= l.updates
JOIN judged AS j ON j.rule_id = s.rule_id AND j.condition_index = s.condition_index AND j.id = s.newest
WHERE s.since <= l.starts
ORDER BY l.rule_id, l.condition_index"""


class Sweep:
    """Finds crossings that the feed should have delivered."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def beyond(
        self, venue: str, now: datetime, *, window: timedelta = timedelta(seconds=10)
    ) -> list[BeyondLevel]:
        """Return the armed watches that were beyond a level during all of the window (or `confirm.ms`).

        A watch that was armed within the window is not judged, and neither is a token whose tape does not
        reach back to the window's start. Time conditions are not the tape's.

        Args:
            venue: Whose watches.
            now: End of the window.
            window: Its least length.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.hot.connection() as connection:
            return read_all(_BEYOND_LEVEL, await connection.fetch(_BEYOND, venue, now, window))
