"""The doctor's check of breakers: which of them pause entries, since when and why."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from domain.errors import StorageUnavailable
from runtime.doctor import Finding, Outcome, ProbeFailed
from storage.database import Database
from storage.hints import NotifyHints
from storage.repositories.breakers import Breakers

CONNECT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class OpenBreaker:
    """A breaker that pauses entries.

    Attributes:
        name: Venue and mode, and the account when it is an account's own.
        since: When it opened.
        failures: Failed sends in a row.
        of_account: Whether it is an account's own: its sends were blocked. A venue's gave no clear answer.
    """

    name: str
    since: datetime
    failures: int
    of_account: bool


@dataclass(frozen=True, slots=True)
class BreakersCheck:
    """May entries go out, or did too many sends in a row fail?"""

    probe: Callable[[], Awaitable[Sequence[OpenBreaker]]]
    name: str = "breakers"

    async def run(self) -> Sequence[Finding]:
        """Reads which are open; each closes by itself with the first send that ends well."""
        try:
            opened = await self.probe()
        except ProbeFailed as failure:
            return [Finding(self.name, Outcome.WARN, str(failure), "holdfast up")]
        if not opened:
            return [Finding(self.name, Outcome.OK, "all closed")]
        return [_found_open(self.name, breaker) for breaker in opened]


def _found_open(name: str, breaker: OpenBreaker) -> Finding:
    why = "were blocked" if breaker.of_account else "got no clear answer"
    detail = (
        f"{breaker.name} is open since {breaker.since:%Y-%m-%d %H:%M:%S} UTC: "
        f"{breaker.failures} sends in a row {why}, entries pause"
    )
    fix = (
        "mend what the account's events say: holdfast events"
        if breaker.of_account
        else "wait until the venue is well; exits try on by themselves: holdfast rule list"
    )
    return Finding(f"{name}: {breaker.name}", Outcome.WARN, detail, fix)


async def open_breakers(dsn: str | None) -> Sequence[OpenBreaker]:
    """Returns the breakers that are open, of all venues and accounts.

    Raises:
        ProbeFailed: Postgres does not answer, its tables are not those of this version, or no address is set.
    """
    if dsn is None:
        raise ProbeFailed("HOLDFAST_DATABASE_URL is not set")
    async with Database(dsn, connect_timeout=CONNECT_SECONDS) as database:
        try:
            states = await Breakers(database, NotifyHints(database)).states()
        except StorageUnavailable as error:
            raise ProbeFailed("Postgres does not answer") from error
        except asyncpg.PostgresError as error:
            raise ProbeFailed(f"the breakers cannot be read ({type(error).__name__})") from error
    return [
        OpenBreaker(
            name=" ".join(filter(None, (state.venue, state.mode.value, state.account_id))),
            since=state.opened_at,
            failures=state.failures,
            of_account=bool(state.account_id),
        )
        for state in states
        if state.opened_at is not None
    ]
