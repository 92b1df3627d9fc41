"""The cache of what tokens trade by; claims read the market's state from it."""

from pydantic import TypeAdapter

from domain.ids import TokenId
from domain.orders import Instrument
from storage.database import Database
from storage.records import read_one

_INSTRUMENT = TypeAdapter(Instrument)
_COLUMNS = (
    "venue, market_id, token_id, tick, min_shares, neg_risk, state, fee_rate, ends_at, question, outcome,"
    " payout, hold_ms"
)
_PUT = f"""INSERT INTO instruments AS i ({_COLUMNS})
    SELECT {_COLUMNS} FROM jsonb_populate_record(NULL::instruments, $1::jsonb)
    ON CONFLICT (venue, token_id) DO UPDATE SET
        market_id = EXCLUDED.market_id, tick = EXCLUDED.tick, min_shares = EXCLUDED.min_shares,
        neg_risk = EXCLUDED.neg_risk,
        state = CASE WHEN i.state = 'resolved' THEN i.state ELSE EXCLUDED.state END,
        fee_rate = EXCLUDED.fee_rate, ends_at = EXCLUDED.ends_at, question = EXCLUDED.question,
        outcome = EXCLUDED.outcome, payout = COALESCE(EXCLUDED.payout, i.payout), hold_ms = EXCLUDED.hold_ms,
        read_at = now()"""  # noqa: S608
_GET = f"SELECT {_COLUMNS} FROM instruments WHERE venue = $1 AND token_id = $2"  # noqa: S608


class Instruments:
    """Keeps instruments as they were last read from their venue."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, instrument: Instrument) -> None:
        """Keep what a venue says of a token; a resolved market stays resolved.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.hot.connection() as connection:
            await connection.execute(_PUT, _INSTRUMENT.dump_json(instrument).decode())

    async def get(self, venue: str, token_id: TokenId) -> Instrument | None:
        """Return a token's instrument as last read, None when it never was."""
        async with self._database.hot.connection() as connection:
            row = await connection.fetchrow(_GET, venue, token_id)
        return None if row is None else read_one(_INSTRUMENT, row)
