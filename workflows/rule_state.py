"""What a rule knows, and the rows and sentences made of it. Pure: times come in as arguments."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.exits import ExitRequest
    from domain.ids import OrderId, exit_order_id
    from domain.messages import (
        EventRow,
        ExecutionCarry,
        Holding,
        RuleAnswer,
        RuleCarry,
        RuleOutcome,
        RulePhase,
        RuleProjection,
        RuleRow,
        RuleStart,
        RuleStatus,
        Severity,
        WatchRow,
    )
    from domain.money import plain
    from domain.orders import Instrument
    from domain.quotes import Ladder, price_rules_of
    from domain.rules.crossing import Crossing
    from domain.rules.definition import ConditionType, RuleDefinition, SellPartial
    from domain.rules.levels import PriceLevel, ResolvedRule, describe, resolve

ZERO = Decimal(0)


@dataclass
class Sold:
    """What exits of this rule sold so far. Shares and USD."""

    shares: Decimal = ZERO
    proceeds_usd: Decimal = ZERO
    fee_usd: Decimal = ZERO


@dataclass
class RuleState:
    """The rule's state; changed by its workflow alone."""

    start: RuleStart
    definition: RuleDefinition
    resolved: ResolvedRule
    holding: Holding
    instrument: Instrument
    armed_at: datetime
    generation: int = 1
    version: int = 0
    status: RuleStatus = RuleStatus.ACTIVE
    phase: RulePhase = RulePhase.ARMING
    fired: Crossing | None = None
    order_id: OrderId | None = None
    before: Sold = field(default_factory=Sold)  # by exits of earlier generations
    now_sold: Sold = field(default_factory=Sold)  # by the present exit
    dust_shares: Decimal = ZERO
    not_before_ms: int | None = None
    detail: str = ""
    was_held: bool = False
    events: list[EventRow] = field(default_factory=list[EventRow])

    @classmethod
    def begin(cls, start: RuleStart, now: datetime) -> "RuleState":
        """Return the state at the start of a run, taking up what an earlier run handed over."""
        carry = start.carry
        definition = carry.definition if carry else start.definition
        holding = carry.holding if carry else start.holding
        armed_at = carry.armed_at if carry else now
        state = cls(
            start=start,
            definition=definition,
            resolved=resolve_for(start, definition, holding, armed_at),
            holding=holding,
            instrument=carry.instrument if carry else start.instrument,
            armed_at=armed_at,
            was_held=holding.shares > ZERO,
        )
        if carry is not None:
            state.generation, state.version = carry.generation, carry.version
            state.before = Sold(carry.sold_shares, carry.proceeds_usd, carry.fee_usd)
            state.fired = carry.fired
        return state

    # -- changes --------------------------------------------------------------------------------

    def take_holding(self, holding: Holding) -> bool:
        """Take a report of what is held; an older one is ignored. Returns whether it was news."""
        if holding.version <= self.holding.version:
            return False
        self.holding = holding
        self.was_held = self.was_held or holding.shares > ZERO
        return True

    def redefine(self, definition: RuleDefinition) -> None:
        """Take a patched definition: levels anew, next generation."""
        self.definition = definition
        self.resolved = resolve_for(self.start, definition, self.holding, self.armed_at)
        self.generation += 1

    def rearm(self, not_before: datetime) -> None:
        """Watch again, as the next generation, from a moment on."""
        self.generation += 1
        self.status, self.phase = RuleStatus.ACTIVE, RulePhase.ARMED
        self.not_before_ms = int(not_before.timestamp() * 1000)
        self.before = Sold(
            self.before.shares + self.now_sold.shares,
            self.before.proceeds_usd + self.now_sold.proceeds_usd,
            self.before.fee_usd + self.now_sold.fee_usd,
        )
        self.now_sold = Sold()
        self.fired, self.order_id = None, None

    def fire(self, crossing: Crossing | None) -> OrderId:
        """Consume a crossing (None: an exit found to be under way) and return the exit's order id."""
        self.status, self.phase = RuleStatus.TRIGGERED, RulePhase.EXITING
        self.fired = crossing or self.fired
        self.order_id = exit_order_id(self.start.rule_id, self.generation)
        return self.order_id

    def end(self, status: RuleStatus, detail: str) -> None:
        """Finish."""
        self.status, self.phase, self.detail = status, RulePhase.DONE, detail

    # -- answers --------------------------------------------------------------------------------

    @property
    def position_closed(self) -> bool:
        """Whether the position that this rule protects is gone, beyond the venue's taking back."""
        gone = self.was_held and self.holding.shares == ZERO and self.holding.unconfirmed_shares == ZERO
        episode = self.start.holding.episode
        another = episode > 0 and self.holding.episode > episode and not self.definition.follow_token
        return gone or another

    def wanted_shares(self) -> Decimal:
        """Return what the exit still has to sell, by the action and the holding."""
        held = max(self.holding.shares, ZERO)
        action = self.definition.action
        if isinstance(action, SellPartial):
            return min(held, max(action.amount - self.before.shares - self.now_sold.shares, ZERO))
        return held

    def lowest_price(self) -> Decimal | None:
        """Return the level that a fired target never sells below; None for stops and time exits."""
        if self.fired is None or self.fired.condition is not ConditionType.TAKE_PROFIT:
            return None
        condition = self.resolved.condition_at(self.fired.condition_index)
        return condition.level if isinstance(condition, PriceLevel) else self.fired.level

    def exit_request(
        self, attempt: int, ladder: Ladder, available: Decimal | None, now_ms: int
    ) -> ExitRequest:
        """Return what the next exit attempt is built from."""
        start, wanted = self.start, self.wanted_shares()
        if self.order_id is None:
            raise ValueError("an exit is built after a crossing was consumed")
        return ExitRequest(
            order_id=self.order_id,
            attempt=attempt,
            account_id=start.account_id,
            venue=start.venue,
            mode=start.mode,
            wallet=start.wallet,
            instrument=self.instrument,
            wanted_shares=wanted,
            available_shares=wanted if available is None else available,
            ladder=ladder,
            reference_price=self.fired.price if self.fired else None,
            slippage_points=Decimal(start.tuning.slippage_points),
            floor=self.definition.floor,
            lowest=self.lowest_price(),
            timestamp_ms=now_ms,
        )

    def next_deadline(self) -> datetime | None:
        """Return the next moment at which time alone decides: a time exit or the expiry."""
        moments = [m for m in (self.resolved.next_time(), self.resolved.expires_at) if m is not None]
        return min(moments, default=None)

    def answer(self, outcome: RuleOutcome, detail: str = "") -> RuleAnswer:
        """Return the answer of an update as things stand."""
        residual = self.wanted_shares() if self.fired is not None and self.phase is RulePhase.DONE else ZERO
        return RuleAnswer(
            outcome=outcome,
            status=self.status,
            phase=self.phase,
            version=self.version,
            detail=detail or self.detail,
            residual_shares=residual,
        )

    def story_of_levels(self) -> str:
        """Return the sentence with the resolved levels."""
        return describe(self.resolved)

    def story(self) -> str:
        """Return the sentence that the Temporal UI and lists show."""
        said = f"**{self.status.value}** · {self.phase.value} · {describe(self.resolved)}"
        return f"{said}\n\n{self.detail}" if self.detail else said

    # -- rows -----------------------------------------------------------------------------------

    def note(
        self,
        kind: str,
        message: str,
        at: datetime,
        *,
        severity: Severity = Severity.INFO,
        data: dict[str, str] | None = None,
    ) -> None:
        """Add an event to the next projection."""
        number = f"{self.generation}/{self.version + 1}/{len(self.events)}"
        self.events.append(
            EventRow(
                event_key=f"{self.start.rule_id}/{kind}/{number}",
                account_id=self.start.account_id,
                rule_id=self.start.rule_id,
                order_id=self.order_id,
                type=kind,
                severity=severity,
                message=message,
                data=data or {},
                at=at,
            )
        )

    def project(self, now_us: int) -> RuleProjection:
        """Return the rows with the next version, and the events gathered since the last call."""
        self.version = max(self.version + 1, now_us)
        events, self.events = tuple(self.events), []
        return RuleProjection(rule=self._row(), watch=self._watch(), events=events)

    def _row(self) -> RuleRow:
        start, sold = self.start, self.now_sold
        exiting = self.fired is not None
        return RuleRow(
            rule_id=start.rule_id,
            account_id=start.account_id,
            mode=start.mode,
            venue=start.venue,
            market_id=start.instrument.market_id,
            token_id=start.instrument.token_id,
            status=self.status,
            phase=self.phase,
            definition=self.definition,
            resolved=self.resolved,
            sentence=describe(self.resolved),
            generation=self.generation,
            episode=self.holding.episode,
            entry_price=entry_of(self.definition, self.start.holding),
            fired=self.fired,
            order_id=self.order_id,
            sold_shares=self.before.shares + sold.shares,
            residual_shares=self.wanted_shares() if exiting else ZERO,
            dust_shares=self.dust_shares,
            proceeds_usd=self.before.proceeds_usd + sold.proceeds_usd,
            fee_usd=self.before.fee_usd + sold.fee_usd,
            detail=self.detail,
            fingerprint=start.fingerprint,
            version=self.version,
            created_at=start.created_at,
        )

    def _watch(self) -> WatchRow:
        start = self.start
        return WatchRow(
            rule_id=start.rule_id,
            account_id=start.account_id,
            mode=start.mode,
            venue=start.venue,
            token_id=start.instrument.token_id,
            generation=self.generation,
            armed=self.phase in (RulePhase.ARMING, RulePhase.ARMED),
            not_before_ms=self.not_before_ms,
            resolved=self.resolved,
            shares=self.wanted_shares(),
            version=self.version,
        )

    def carry(self, execution: ExecutionCarry | None) -> RuleCarry:
        """Return what the next run takes up."""
        return RuleCarry(
            generation=self.generation,
            version=self.version,
            holding=self.holding,
            instrument=self.instrument,
            definition=self.definition,
            sold_shares=self.before.shares,
            proceeds_usd=self.before.proceeds_usd,
            fee_usd=self.before.fee_usd,
            armed_at=self.armed_at,
            fired=self.fired,
            exit=execution,
        )


def entry_of(definition: RuleDefinition, holding: Holding) -> Decimal | None:
    """Return the entry price that levels are computed from: the user's, else the ledger's average."""
    return definition.entry_price if definition.entry_price is not None else holding.average_entry


def resolve_for(
    start: RuleStart, definition: RuleDefinition, holding: Holding, armed_at: datetime
) -> ResolvedRule:
    """Return the definition with exact levels, as this rule's position and market give them."""
    return resolve(
        definition,
        entry_of(definition, start.holding),
        armed_at=armed_at,
        opened_at=start.holding.opened_at or holding.opened_at,
        market_end=start.instrument.ends_at,
        rules=price_rules_of(start.venue),
    )


def fired_text(crossing: Crossing) -> str:
    """Return one sentence about a consumed crossing."""
    if crossing.level is None or crossing.price is None:
        return f"{crossing.condition.value} is due"
    side = "rose to" if crossing.condition is ConditionType.TAKE_PROFIT else "fell to"
    mark = f" (highest {plain(crossing.mark)})" if crossing.mark is not None else ""
    level = f"{crossing.condition.value} at {plain(crossing.level)}{mark}"
    return f"The price {side} {plain(crossing.price)}; {level}"


def soon(now: datetime, wait_ms: int) -> datetime:
    """Return a moment some milliseconds from now."""
    return now + timedelta(milliseconds=wait_ms)
