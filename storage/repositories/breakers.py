"""Circuit breakers: failures in a row open them, for every worker at once."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter

from domain.ids import AccountId
from domain.orders import AnswerKind, Attempt, Mode
from storage.database import Database
from storage.records import from_ms, read_all

UNKNOWNS_THAT_OPEN = 5
BLOCKS_THAT_OPEN = 3

# An unknown outcome is the venue's; a block is the account's there. Everything else that the venue answers
# shows that it is well, and all but a block that the account is.
_FAILED = """INSERT INTO breakers AS b (venue, mode, account_id, failures, opened_at)
    VALUES ($1, $2, $3, 1, CASE WHEN 1 >= $4::bigint THEN $5::timestamptz END)
    ON CONFLICT (venue, mode, account_id) DO UPDATE SET
        failures = b.failures + 1,
        opened_at = CASE
            WHEN b.failures + 1 >= $4 THEN COALESCE(b.opened_at, $5)
            ELSE b.opened_at
        END,
        updated_at = now()"""
# Finds nothing to change while all is well, and then locks nothing either.
_WELL = """UPDATE breakers SET failures = 0, opened_at = NULL, last_probe_at = NULL, updated_at = now()
    WHERE venue = $1 AND mode = $2 AND account_id = $3 AND (failures > 0 OR opened_at IS NOT NULL)"""
_TAKE_PROBE = """UPDATE breakers SET last_probe_at = $3, updated_at = now()
    WHERE venue = $1 AND mode = $2 AND account_id = '' AND opened_at IS NOT NULL
        AND (last_probe_at IS NULL OR last_probe_at <= $4) RETURNING 1"""
_IS_OPEN = """SELECT 1 FROM breakers
    WHERE venue = $1 AND mode = $2 AND account_id = '' AND opened_at IS NOT NULL"""
_STATES = """SELECT venue, mode, account_id, failures, opened_at FROM breakers
    WHERE account_id = '' OR $1::text IS NULL OR account_id = $1 ORDER BY venue, mode, account_id"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerState:
    """One breaker; with an empty account it is the venue's."""

    venue: str
    mode: Mode
    account_id: AccountId
    failures: int
    opened_at: datetime | None

    @property
    def is_open(self) -> bool:
        """Whether entries pause."""
        return self.opened_at is not None


_STATE = TypeAdapter(BreakerState)


class Breakers:
    """Counts outcomes of sends and paces the probes of an open breaker. Claims read the state themselves.

    Args:
        database: Where the state is.
        unknowns: Unknown outcomes in a row that open a venue's breaker.
        blocks: Blocked sends in a row that open an account's breaker.
    """

    def __init__(
        self, database: Database, *, unknowns: int = UNKNOWNS_THAT_OPEN, blocks: int = BLOCKS_THAT_OPEN
    ) -> None:
        self._database = database
        self._unknowns = unknowns
        self._blocks = blocks

    async def record(self, attempt: Attempt, answer: AnswerKind, now_ms: int) -> None:
        """Count the outcome of one send.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        unknown = answer is AnswerKind.UNKNOWN
        blocked = answer is AnswerKind.BLOCKED
        await self._count(attempt, "", failed=unknown, limit=self._unknowns, now_ms=now_ms)
        if not unknown:
            await self._count(attempt, attempt.account_id, failed=blocked, limit=self._blocks, now_ms=now_ms)

    async def _count(
        self, attempt: Attempt, account_id: str, *, failed: bool, limit: int, now_ms: int
    ) -> None:
        place = (attempt.venue, attempt.mode.value, account_id)
        async with self._database.hot.connection() as connection:
            if failed:
                await connection.execute(_FAILED, *place, limit, from_ms(now_ms))
            else:
                await connection.execute(_WELL, *place)

    async def may_send_exit(self, attempt: Attempt, now_ms: int, *, probe_every_ms: int = 2_000) -> bool:
        """Whether an exit may be sent: always while the venue's breaker is closed, else as its next probe.

        At most one exit of all workers gets True in `probe_every_ms` while the breaker is open.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        place = (attempt.venue, attempt.mode.value)
        async with self._database.hot.connection() as connection:
            if await connection.fetchval(_IS_OPEN, *place) is None:
                return True
            before = from_ms(now_ms - probe_every_ms)
            return await connection.fetchval(_TAKE_PROBE, *place, from_ms(now_ms), before) is not None

    async def states(self, account_id: AccountId | None = None) -> list[BreakerState]:
        """Return the breakers of all venues and of one account (None: of all accounts)."""
        async with self._database.hot.connection() as connection:
            return read_all(_STATE, await connection.fetch(_STATES, account_id))
