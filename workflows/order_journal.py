"""The story of one order as it is projected: state, words, events, versions."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.messages import EventRow, ExecutionCarry, OrderProjection, Severity
    from domain.orders import Attempt, OrderRow, OrderState

from workflows.attempts import AttemptLog
from workflows.calls import OrderIdentity
from workflows.event_keys import of_this_workflow


class OrderJournal:
    """What is told of one order. Each projection has a higher version; each event a key of its own."""

    def __init__(self, identity: OrderIdentity, carry: ExecutionCarry | None) -> None:
        self._identity = identity
        self._version = carry.version if carry else 0
        self._alarmed: list[str] = list(carry.alarmed) if carry else []
        self._keys = of_this_workflow(carry.told if carry else ())
        self._events: list[EventRow] = []
        self.state = OrderState.PENDING
        self.detail = ""
        self.current: Attempt | None = None

    @property
    def version(self) -> int:
        """The version of the latest projection."""
        return self._version

    @property
    def alarmed(self) -> tuple[str, ...]:
        """What was alarmed, or warned of, since the last fill."""
        return tuple(self._alarmed)

    @property
    def told(self) -> tuple[tuple[str, int], ...]:
        """How many events of each kind were told, for the next run."""
        return self._keys.carried()

    def note(self, kind: str, message: str, severity: Severity = Severity.INFO) -> None:
        """Add an event to the next projection."""
        identity = self._identity
        self._events.append(
            EventRow(
                event_key=self._keys.take(identity.order_id, kind, message),
                account_id=identity.account_id,
                rule_id=identity.rule_id,
                order_id=identity.order_id,
                type=kind,
                severity=severity,
                message=message,
                at=workflow.now(),
            )
        )

    def alarm(self, kind: str, message: str) -> None:
        """Alarm a person, once for each kind until something fills."""
        self._note_once(kind, message, Severity.ALARM)

    def warn(self, kind: str, message: str) -> None:
        """Warn, once for each kind until something fills."""
        self._note_once(kind, message, Severity.WARNING)

    def _note_once(self, kind: str, message: str, severity: Severity) -> None:
        if kind not in self._alarmed:
            self._alarmed.append(kind)
            self.note(kind, message, severity)

    def calm(self) -> None:
        """Something filled: what goes wrong from now on is news again."""
        self._alarmed.clear()

    def projection(self, log: AttemptLog) -> OrderProjection:
        """Return the row with the next version, and the events gathered since the last call."""
        self._version = max(self._version + 1, workflow.time_ns() // 1_000)
        events, self._events = tuple(self._events), []
        return OrderProjection(order=self._row(log), events=events)

    def _row(self, log: AttemptLog) -> OrderRow:
        identity, current, totals = self._identity, self.current, log.totals()
        record = log.find(current.attempt) if current else None
        earlier = totals.filled_shares - (record.booked if record else 0)
        return OrderRow(
            order_id=identity.order_id,
            account_id=identity.account_id,
            host_workflow_id=identity.host_workflow_id,
            rule_id=identity.rule_id,
            venue=identity.venue,
            mode=identity.mode,
            market_id=identity.market_id,
            token_id=identity.token_id,
            side=identity.side,
            purpose=identity.purpose,
            time_in_force=identity.time_in_force,
            state=self.state,
            shares=earlier + current.shares if current else totals.filled_shares,
            limit_price=current.limit_price if current else None,
            attempt=current.attempt if current else log.next_attempt,
            settled_attempt=log.settled_attempt,
            filled_shares=totals.filled_shares,
            proceeds_usd=totals.notional_usd,
            fee_usd=totals.fee_usd,
            venue_order_id=record.venue_order_id if record else None,
            detail=self.detail,
            version=self._version,
        )
