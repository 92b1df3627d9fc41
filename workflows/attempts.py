"""The attempts of one order: which may be at the venue, which are settled, what they filled."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.ids import VenueOrderId
    from domain.messages import ClaimedAttempt, ExecutionCarry, OrderFacts
    from domain.orders import Attempt

ZERO = Decimal(0)


@dataclass
class AttemptRecord:
    """What is known of one attempt that was claimed. `doubt`: it may have reached the venue."""

    attempt: Attempt
    venue_order_id: VenueOrderId
    last_post_at_ms: int
    facts: OrderFacts | None = None
    settled: bool = False
    doubt: bool = True

    @property
    def booked(self) -> Decimal:
        """Shares that the ledger holds of it, without reversed fills."""
        return self.facts.booked_shares if self.facts else ZERO

    @property
    def is_final(self) -> bool:
        """Whether nothing of it can change any more."""
        return self.settled and (self.facts is None or self.facts.unconfirmed_shares == ZERO)

    def carried(self) -> ClaimedAttempt:
        """Return what the next run needs to follow it on."""
        return ClaimedAttempt(
            attempt=self.attempt,
            venue_order_id=self.venue_order_id,
            settled=self.settled,
            last_post_at_ms=self.last_post_at_ms,
        )


@dataclass(frozen=True)
class ExecutionTotals:
    """Sums over all attempts. Shares and USD."""

    filled_shares: Decimal = ZERO
    unconfirmed_shares: Decimal = ZERO
    reversed_shares: Decimal = ZERO
    notional_usd: Decimal = ZERO
    fee_usd: Decimal = ZERO


class AttemptLog:
    """The attempts of one order, oldest first. Attempts up to `settled_attempt` are settled."""

    def __init__(self, carry: ExecutionCarry | None) -> None:
        self._records: dict[int, AttemptRecord] = {}
        self._earlier = ExecutionTotals()
        self.settled_attempt = 0
        if carry is not None:
            self._take_up(carry)

    def _take_up(self, carry: ExecutionCarry) -> None:
        self.settled_attempt = carry.settled_attempt
        self._earlier = ExecutionTotals(
            filled_shares=carry.filled_shares, notional_usd=carry.notional_usd, fee_usd=carry.fee_usd
        )
        for carried in carry.attempts:
            record = self.add(carried.attempt, carried.venue_order_id, carried.last_post_at_ms)
            record.settled = carried.settled

    def __iter__(self) -> Iterator[AttemptRecord]:
        return iter(list(self._records.values()))

    def __bool__(self) -> bool:
        return bool(self._records)

    @property
    def next_attempt(self) -> int:
        """The number of the attempt that is built next."""
        return self.settled_attempt + 1

    def find(self, attempt: int) -> AttemptRecord | None:
        """Return the record of an attempt that was claimed."""
        return self._records.get(attempt)

    def add(self, attempt: Attempt, venue_order_id: VenueOrderId, posted_at_ms: int) -> AttemptRecord:
        """Record an attempt that was claimed, once."""
        record = self._records.get(attempt.attempt)
        if record is None:
            record = AttemptRecord(attempt, venue_order_id, posted_at_ms)
            self._records[attempt.attempt] = record
        return record

    def settle(self, record: AttemptRecord) -> None:
        """Nothing of this attempt can reach the book any more."""
        record.settled = True
        self.settled_attempt = max(self.settled_attempt, record.attempt.attempt)

    def unsettled(self) -> list[AttemptRecord]:
        """Return the attempts that may still fill."""
        return [record for record in self._records.values() if not record.settled]

    def unconfirmed(self) -> list[AttemptRecord]:
        """Return the attempts that may still fill, or have fills that the venue may still take back."""
        return [record for record in self._records.values() if not record.is_final]

    def totals(self) -> ExecutionTotals:
        """Return the sums over all attempts, those of earlier runs included."""
        return self._sums(self._records.values())

    def _sums(self, records: Iterable[AttemptRecord]) -> ExecutionTotals:
        facts = [record.facts for record in records if record.facts is not None]
        earlier = self._earlier
        return ExecutionTotals(
            filled_shares=sum((f.booked_shares for f in facts), earlier.filled_shares),
            unconfirmed_shares=sum((f.unconfirmed_shares for f in facts), ZERO),
            reversed_shares=sum((f.reversed_shares for f in facts), ZERO),
            notional_usd=sum((f.notional_usd for f in facts), earlier.notional_usd),
            fee_usd=sum((f.fee_usd for f in facts), earlier.fee_usd),
        )

    def final_totals(self) -> ExecutionTotals:
        """Return the sums over what nothing can change any more."""
        return self._sums([record for record in self._records.values() if record.is_final])
