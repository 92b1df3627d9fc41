"""Circuit breakers: one row for a venue, one for each account there, the same for every worker."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg
from pydantic import TypeAdapter

from domain.breakers import Breaker, BreakerLimits, OpenBreakers, Outcome, ProbePace, of_account, of_venue
from domain.claims import only_reduces
from domain.ids import AccountId
from domain.messages import Severity
from domain.orders import AnswerKind, Attempt, Mode
from storage.database import Database
from storage.records import read_all, read_one
from storage.repositories.projections import EVENTS, Hints

VENUES_OWN = AccountId("")
"""Stands for the account in a venue's row."""

_ADD = """INSERT INTO breakers (venue, mode, account_id)
    SELECT $1, $2, unnest($3::text[]) ON CONFLICT DO NOTHING"""
# Rows are always locked in the same order. All times are those of the database's clock.
_LOCK = """SELECT account_id, failures,
        (EXTRACT(EPOCH FROM failed_at) * 1000)::bigint AS failed_at_ms,
        (EXTRACT(EPOCH FROM opened_at) * 1000)::bigint AS opened_at_ms,
        (EXTRACT(EPOCH FROM tried_at) * 1000)::bigint AS tried_at_ms,
        (EXTRACT(EPOCH FROM well_at) * 1000)::bigint AS well_at_ms,
        (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint AS now_ms
    FROM breakers WHERE venue = $1 AND mode = $2 AND account_id = ANY($3::text[])
    ORDER BY account_id FOR UPDATE"""
_WRITE = """UPDATE breakers SET failures = $4,
        failed_at = to_timestamp($5::bigint / 1000.0), opened_at = to_timestamp($6::bigint / 1000.0),
        tried_at = to_timestamp($7::bigint / 1000.0), well_at = to_timestamp($8::bigint / 1000.0),
        updated_at = now()
    WHERE venue = $1 AND mode = $2 AND account_id = $3"""
_STATES = """SELECT venue, mode, account_id, failures, opened_at, tried_at, CASE WHEN opened_at IS NOT NULL
        THEN (EXTRACT(EPOCH FROM clock_timestamp() - COALESCE(tried_at, opened_at)) * 1000)::bigint
        END AS idle_ms
    FROM breakers
    WHERE account_id = '' OR $1::text IS NULL OR account_id = $1 ORDER BY venue, mode, account_id"""
# A venue's breaker concerns whoever has a rule or an order there. Nothing in the event tells whose sends
# failed.
_TELL = """INSERT INTO rule_events (subject, event_key, account_id, type, severity, message, data, at)
    SELECT told.account_id, $4, told.account_id, $5, $6, $7,
        jsonb_build_object('venue', $1::text, 'mode', $2::text), clock_timestamp()
    FROM (
        SELECT $8::text AS account_id
        UNION SELECT r.account_id FROM rules AS r
            WHERE $3 = '' AND r.phase <> 'done' AND r.venue = $1 AND r.mode = $2
        UNION SELECT o.account_id FROM orders AS o
            WHERE $3 = '' AND o.settled_attempt < o.attempt AND o.venue = $1 AND o.mode = $2
    ) AS told
    ON CONFLICT (subject, event_key) DO NOTHING"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerState:
    """One breaker; with an empty account it is the venue's.

    Attributes:
        idle_ms: how long nobody tried it; None while it is closed.
    """

    venue: str
    mode: Mode
    account_id: AccountId
    failures: int
    opened_at: datetime | None
    tried_at: datetime | None
    idle_ms: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether entries pause."""
        return self.opened_at is not None

    @property
    def is_venues(self) -> bool:
        """Whether it is the venue's own, and so everybody's."""
        return self.account_id == VENUES_OWN


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clocked:
    account_id: AccountId
    now_ms: int


_STATE = TypeAdapter(BreakerState)
_BREAKER = TypeAdapter(Breaker)
_CLOCKED = TypeAdapter(_Clocked)


class Breakers:
    """Counts the outcomes of sends, and gives out the probes of open breakers.

    Args:
        database: Where the state is.
        hints: Who is told of events.
        limits: When breakers open.
        pace: How often a send may probe.
    """

    def __init__(
        self,
        database: Database,
        hints: Hints,
        *,
        limits: BreakerLimits | None = None,
        pace: ProbePace | None = None,
    ) -> None:
        self._database = database
        self._hints = hints
        self._limits = limits or BreakerLimits()
        self.pace = pace or ProbePace()

    async def count(self, attempt: Attempt, answer: AnswerKind, took_ms: int) -> bool:
        """Count the answer to one send, and tell whom it concerns when a breaker opens or closes.

        Args:
            attempt: What was sent.
            answer: How the venue answered.
            took_ms: How long ago the send began.

        Returns:
            Whether the venue's own breaker closed by it, so that the exits that it held may go on.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        outcomes = {VENUES_OWN: of_venue(answer), attempt.account_id: of_account(answer)}
        told = lets_exits_go = False
        async with self._database.hot.transaction() as connection:
            failed = [account for account, outcome in outcomes.items() if outcome is Outcome.FAILED]
            if failed:
                await connection.execute(_ADD, attempt.venue, attempt.mode.value, failed)
            for row in await _lock(connection, attempt, list(outcomes)):
                clocked, known = read_one(_CLOCKED, row), read_one(_BREAKER, row)
                changed = self._after(known, clocked, outcomes[clocked.account_id], took_ms)
                if changed != known:
                    await _write(connection, attempt, clocked.account_id, changed)
                if changed.is_open != known.is_open:
                    await _tell(connection, attempt, clocked, changed)
                    told = True
                    lets_exits_go |= known.is_open and clocked.account_id == VENUES_OWN
        if told:
            self._hints.give(EVENTS)
        return lets_exits_go

    def _after(self, known: Breaker, clocked: _Clocked, outcome: Outcome, took_ms: int) -> Breaker:
        limits = self._limits
        return known.after(
            outcome,
            opens_at=limits.unknowns if clocked.account_id == VENUES_OWN else limits.blocks,
            forgets_ms=limits.forgets_ms,
            sent_at_ms=clocked.now_ms - took_ms,
            now_ms=clocked.now_ms,
        )

    async def take_probe(self, connection: asyncpg.Connection, attempt: Attempt) -> OpenBreakers | None:
        """Take the next probe of the breakers in an attempt's way, within the caller's transaction.

        The rows are locked and judged again: of several that saw the same free place one gets it. Without a
        commit nothing is taken.

        Returns:
            None when the attempt may be sent; else the breakers that hold it back.
        """
        exits = only_reduces(attempt)
        accounts = [VENUES_OWN] if exits else [VENUES_OWN, attempt.account_id]
        rows = await _lock(connection, attempt, accounts)
        found = [(read_one(_CLOCKED, row), read_one(_BREAKER, row)) for row in rows]
        standing = [(clocked, breaker) for clocked, breaker in found if breaker.is_open]
        ways = _in_the_way(standing)
        if ways.pauses_exit(self.pace) if exits else ways.pauses_entry(self.pace):
            return ways
        for clocked, breaker in standing:
            await _write(connection, attempt, clocked.account_id, breaker.tried(clocked.now_ms))
        return None

    async def states(self, account_id: AccountId | None = None) -> list[BreakerState]:
        """Return the breakers of all venues and of one account (None: of all accounts)."""
        async with self._database.hot.connection() as connection:
            return read_all(_STATE, await connection.fetch(_STATES, account_id))


async def _lock(
    connection: asyncpg.Connection, attempt: Attempt, accounts: list[AccountId]
) -> list[asyncpg.Record]:
    return await connection.fetch(_LOCK, attempt.venue, attempt.mode.value, accounts)


async def _write(
    connection: asyncpg.Connection, attempt: Attempt, account_id: AccountId, breaker: Breaker
) -> None:
    await connection.execute(
        _WRITE,
        attempt.venue,
        attempt.mode.value,
        account_id,
        breaker.failures,
        breaker.failed_at_ms,
        breaker.opened_at_ms,
        breaker.tried_at_ms,
        breaker.well_at_ms,
    )


def _in_the_way(standing: list[tuple[_Clocked, Breaker]]) -> OpenBreakers:
    idle = {clocked.account_id: breaker.idle_ms(clocked.now_ms) for clocked, breaker in standing}
    others = [ms for account_id, ms in idle.items() if account_id != VENUES_OWN]
    return OpenBreakers(venue_idle_ms=idle.get(VENUES_OWN), account_idle_ms=others[0] if others else None)


async def _tell(
    connection: asyncpg.Connection, attempt: Attempt, clocked: _Clocked, breaker: Breaker
) -> None:
    """Write the event of a breaker that opened or closed, once, for each account that it concerns."""
    own = clocked.account_id == VENUES_OWN
    place = f"{attempt.venue} ({attempt.mode.value})"
    whose = f"of {place}" if own else f"of this account at {place}"
    if breaker.is_open:
        what = "without a clear answer" if own else "blocked"
        kind, severity = "breaker.opened", Severity.ALARM
        message = f"The breaker {whose} is open after {breaker.failures} sends in a row {what}: entries pause"
        message += ", exits go out one at a time" if own else ""
    else:
        kind, severity = "breaker.closed", Severity.INFO
        message = f"The breaker {whose} is closed: a send got its answer, entries may go on"
    await connection.execute(
        _TELL,
        attempt.venue,
        attempt.mode.value,
        clocked.account_id,
        f"{kind}/{attempt.venue}/{attempt.mode.value}/{clocked.account_id}/{clocked.now_ms}",
        kind,
        severity.value,
        message,
        attempt.account_id,
    )
