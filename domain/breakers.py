"""Circuit breakers: failures in a row open one; entries pause then, and single sends probe until one is well.

A venue's breaker counts sends whose outcome is unknown, an account's those that were blocked. Times are
Unix milliseconds of one clock, that of the database, whichever worker sent.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from domain.orders import AnswerKind


class Outcome(StrEnum):
    """What the answer to one send says of the venue, or of the account there."""

    FAILED = "failed"
    WELL = "well"
    SILENT = "silent"  # nothing can be told from it


_OF_VENUE = {AnswerKind.UNKNOWN: Outcome.FAILED, AnswerKind.TRANSIENT: Outcome.SILENT}
_OF_ACCOUNT = {
    AnswerKind.BLOCKED: Outcome.FAILED,
    AnswerKind.UNKNOWN: Outcome.SILENT,
    AnswerKind.TRANSIENT: Outcome.SILENT,
}


def of_venue(answer: AnswerKind) -> Outcome:
    """Return what an answer says of the venue: whatever it decided shows that it works."""
    return _OF_VENUE.get(answer, Outcome.WELL)


def of_account(answer: AnswerKind) -> Outcome:
    """Return what an answer says of the account: whatever but a block shows that it may trade."""
    return _OF_ACCOUNT.get(answer, Outcome.WELL)


def is_failure(answer: AnswerKind) -> bool:
    """Say whether some breaker counts an answer as a failure."""
    return Outcome.FAILED in (of_venue(answer), of_account(answer))


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerLimits:
    """When breakers open.

    Attributes:
        unknowns: unknown outcomes in a row that open a venue's breaker.
        blocks: blocked sends in a row that open an account's breaker.
        forgets_ms: failures that lie further apart are not in a row.
    """

    unknowns: int = 5
    blocks: int = 3
    forgets_ms: int = 120_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbePace:
    """How often a send may probe while a breaker is open. Milliseconds since the last one tried.

    Exits probe first. An entry does only after nobody tried for so long that no exit can be waiting: without
    that, a breaker that opened while nothing is held would never close.
    """

    exit_ms: int = 2_000
    entry_ms: int = 30_000

    def queue_ms(self, held: int) -> int:
        """Return within which time so many held exits come to about two tries for each place to probe.

        More tries gain nothing: a thousand exits that each looked every five seconds would leave the machine
        no time for those that may be sent.
        """
        return held * self.exit_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBreakers:
    """Which breakers stand in a send's way: milliseconds since each was last tried; None: it is closed."""

    venue_idle_ms: int | None = None
    account_idle_ms: int | None = None

    @property
    def any(self) -> bool:
        """Whether one of them is open."""
        return self.venue_idle_ms is not None or self.account_idle_ms is not None

    def pauses_exit(self, pace: ProbePace) -> bool:
        """Whether an exit must wait for the next probe.

        An account's own breaker never holds its exits: each that was blocked waits by itself, and the others
        may trade in markets where nothing is blocked.
        """
        return not _is_free(self.venue_idle_ms, pace.exit_ms)

    def pauses_entry(self, pace: ProbePace) -> bool:
        """Whether an entry may not even probe."""
        return self.entry_waits_ms(pace) > 0

    def entry_waits_ms(self, pace: ProbePace) -> int:
        """Return how long an entry must wait until it may probe, if nobody tries meanwhile; 0: not at all."""
        idle = (self.venue_idle_ms, self.account_idle_ms)
        return max(0 if _is_free(ms, pace.entry_ms) else pace.entry_ms - (ms or 0) for ms in idle)


def _is_free(idle_ms: int | None, every_ms: int) -> bool:
    # A negative time means that the clock was set back; nobody may wait for it to come round again.
    return idle_ms is None or idle_ms >= every_ms or idle_ms < 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """One breaker.

    Attributes:
        failures: failures in a row.
        failed_at_ms: the latest of them.
        opened_at_ms: since when it is open; None: it is closed.
        tried_at_ms: the latest probe, or failure, since it opened.
        well_at_ms: when the send began whose success counted last.
    """

    failures: int = 0
    failed_at_ms: int | None = None
    opened_at_ms: int | None = None
    tried_at_ms: int | None = None
    well_at_ms: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether entries pause."""
        return self.opened_at_ms is not None

    def idle_ms(self, now_ms: int) -> int:
        """Return how long nobody tried; of an open breaker."""
        return now_ms - (self.tried_at_ms or self.opened_at_ms or now_ms)

    def tried(self, now_ms: int) -> "Breaker":
        """Return the breaker whose next probe goes out now."""
        return replace(self, tried_at_ms=now_ms)

    def after(
        self, outcome: Outcome, *, opens_at: int, forgets_ms: int, sent_at_ms: int, now_ms: int
    ) -> "Breaker":
        """Return the breaker after one send.

        Late news changes nothing: neither a success of a send that began before the breaker opened, nor a
        failure of one that began before the success that closed it.

        Args:
            outcome: what the send's answer says.
            opens_at: failures in a row that open it.
            forgets_ms: failures further apart are not in a row.
            sent_at_ms: when the send began.
            now_ms: now.
        """
        if outcome is Outcome.FAILED:
            return self._failed(opens_at, forgets_ms, sent_at_ms, now_ms)
        if outcome is Outcome.WELL and (self.failures or self.is_open):
            return self._well(sent_at_ms, now_ms)
        return self

    def _failed(self, opens_at: int, forgets_ms: int, sent_at_ms: int, now_ms: int) -> "Breaker":
        if self.well_at_ms is not None and sent_at_ms < self.well_at_ms <= now_ms:
            return self
        in_a_row = self.failed_at_ms is not None and now_ms - self.failed_at_ms <= forgets_ms
        failures = self.failures + 1 if in_a_row or self.is_open else 1
        opens = self.is_open or failures >= opens_at
        return replace(
            self,
            failures=failures,
            failed_at_ms=now_ms,
            opened_at_ms=(self.opened_at_ms if self.is_open else now_ms) if opens else None,
            tried_at_ms=now_ms if opens else None,
        )

    def _well(self, sent_at_ms: int, now_ms: int) -> "Breaker":
        if self.opened_at_ms is not None and sent_at_ms < self.opened_at_ms <= now_ms:
            return self
        return Breaker(well_at_ms=sent_at_ms)
