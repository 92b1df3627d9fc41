"""A rule's state between messages: what it protects, how far it is, what it sold. No I/O."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.episodes import Episode
    from domain.exits import ExitRequest, sold_by
    from domain.ids import OrderId, exit_order_id
    from domain.messages import (
        EventRow,
        Holding,
        RuleAnswer,
        RuleCarry,
        RuleOutcome,
        RulePhase,
        RuleProjection,
        RuleStart,
        RuleStatus,
        Severity,
    )
    from domain.orders import Instrument, WalletHolding
    from domain.quotes import Ladder
    from domain.rules.crossing import Crossing
    from domain.rules.definition import RuleDefinition
    from domain.rules.levels import ResolvedRule, describe
    from domain.rules.selling import Seller, exit_request, lowest_price_fired, wanted_shares

from workflows.event_keys import EventKeys, of_this_workflow
from workflows.rule_levels import entry_of, resolve_for
from workflows.rule_rows import rule_row, watch_row
from workflows.sold import Sold

ZERO = Decimal(0)


@dataclass
class RuleState:
    """The rule's state; changed by its workflow alone."""

    start: RuleStart
    definition: RuleDefinition
    resolved: ResolvedRule
    holding: Holding
    instrument: Instrument
    armed_at: datetime
    episode: Episode = field(default_factory=Episode)  # the position's life that is protected
    generation: int = 1
    version: int = 0
    status: RuleStatus = RuleStatus.ACTIVE
    phase: RulePhase = RulePhase.ARMING
    fired: Crossing | None = None
    consumed: tuple[int, int] | None = None  # generation and condition of the latest consumed crossing
    order_id: OrderId | None = None
    sold_for_good: Sold = field(default_factory=Sold)  # by exits of earlier generations, fills final
    sold_before: Sold = field(default_factory=Sold)  # by earlier exits with fills that may be taken back
    sold_now: Sold = field(default_factory=Sold)  # by the present exit
    dust_shares: Decimal = ZERO
    not_before_ms: int | None = None
    marks_from: int = 0  # the generation with which the present position began, when another was before it
    detail: str = ""
    events: list[EventRow] = field(default_factory=list[EventRow])
    event_keys: EventKeys = field(default_factory=of_this_workflow)

    @classmethod
    def begin(cls, start: RuleStart, now: datetime) -> "RuleState":
        """Return the state at the start of a run, taking up what an earlier run handed over."""
        carry = start.carry
        if carry is None:
            return cls(
                start=start,
                definition=start.definition,
                resolved=resolve_for(start, start.definition, start.holding, now),
                holding=start.holding,
                instrument=start.instrument,
                armed_at=now,
                episode=Episode.of(start.holding),
            )
        state = cls(
            start=start,
            definition=carry.definition,
            resolved=resolve_for(
                start,
                carry.definition,
                carry.holding,
                carry.armed_at,
                opened_at=carry.opened_at if start.revision >= 7 else None,
                targets_need_bid=carry.targets_need_bid,
            ),
            holding=carry.holding,
            instrument=carry.instrument,
            armed_at=carry.armed_at,
            episode=Episode(carry.episode, carry.opened_at),
            generation=carry.generation,
            version=carry.version,
            phase=RulePhase.ARMING if carry.adopts else RulePhase.ARMED,
            fired=carry.fired,
            consumed=carry.consumed,
            sold_for_good=Sold(carry.sold_shares, carry.proceeds_usd, carry.fee_usd),
            not_before_ms=carry.not_before_ms,
            marks_from=carry.marks_from,
            event_keys=of_this_workflow(carry.told),
        )
        if start.revision >= 7:
            state._know_position()
        return state

    # -- changes --------------------------------------------------------------------------------

    def take_holding(self, holding: Holding) -> bool:
        """Take a report of what is held; an older one is ignored. Returns whether it was news."""
        if holding.version <= self.holding.version:
            return False
        self.holding = holding
        self._know_position()
        return True

    def _know_position(self) -> None:
        """Protect what is held once something is, under the number that the ledger gives it now."""
        waited, is_new = self.episode.number == 0, self.start.revision >= 7
        if waited:
            self.episode = Episode.of(self.holding)
        elif is_new and not self.is_next_held:
            self.episode = self.episode.seen_in(self.holding)
        if waited and self.episode.number and is_new:
            self.resolved = self._resolve(self.definition)  # its age counts from its opening

    def _resolve(self, definition: RuleDefinition) -> ResolvedRule:
        opened_at = self.episode.opened_at if self.start.revision >= 7 else None
        return resolve_for(self.start, definition, self.holding, self.armed_at, opened_at=opened_at)

    def redefine(self, definition: RuleDefinition) -> None:
        """Take a patched definition: levels anew, next generation.

        Raises:
            UnresolvableRule: a level cannot be computed; nothing is changed then.
        """
        self.resolved = self._resolve(definition)
        self.definition = definition
        self.rise()

    def rise(self) -> None:
        """Begin the next generation, behind any that a crossing named: after a reset this history lags."""
        named = self.consumed[0] if self.consumed is not None else 0
        self.generation = max(self.generation, named) + 1

    @property
    def is_bought_anew(self) -> bool:
        """Whether a rule that follows its token finds the next position in it."""
        return self.definition.follow_token and self.holding.shares > ZERO and self.is_next_held

    def begin_episode(self, now: datetime) -> None:
        """Protect the next position: its own entry, age and mark, as the next generation.

        Raises:
            UnresolvableRule: a level cannot be computed; the former levels stay then.
        """
        self.episode = Episode.of(self.holding)
        start = replace(self.start, holding=self.holding)
        self.resolved = resolve_for(start, self.definition, self.holding, now)
        self.start, self.armed_at = start, now
        self.rise()
        self.marks_from = self.generation

    def learn_unpaid(self) -> None:
        """Remember that the book did not pay a target's level: from now on a bid has to stand there."""
        self.resolved = self.resolved.model_copy(update={"targets_need_bid": True})

    def rearm(self, now: datetime) -> None:
        """Watch again, as the next generation, after a pause. What was sold is counted by the caller."""
        not_before = now + timedelta(milliseconds=self.start.tuning.rearm_ms)
        self.rise()
        self.status, self.phase = RuleStatus.ACTIVE, RulePhase.ARMED
        self.not_before_ms = int(not_before.timestamp() * 1000)
        self.sold_now = Sold()
        self.fired, self.order_id, self.detail = None, None, ""

    def count_sold(self, for_good: Sold, before: Sold) -> None:
        """Take what exits of earlier generations sold: `for_good` is added, `before` is the new sum."""
        self.sold_for_good = self.sold_for_good + for_good
        self.sold_before = before

    def consume(self, crossing: Crossing) -> None:
        """Remember which crossing was judged: the same one, signalled twice, is no news."""
        self.consumed = (crossing.generation, crossing.condition_index)

    def is_repeated(self, crossing: Crossing) -> bool:
        """Whether this crossing is another copy of the one consumed last, or older than that.

        Two feeds may signal the same crossing; a late copy shows a price that was judged long ago.
        """
        if self.consumed is None:
            return False
        is_older = crossing.generation < self.consumed[0] and self.start.revision >= 2
        return is_older or self.consumed == (crossing.generation, crossing.condition_index)

    def fire(self, crossing: Crossing | None) -> OrderId:
        """Begin the exit (None: one that was found under way) and return its order id."""
        self.status, self.phase = RuleStatus.TRIGGERED, RulePhase.EXITING
        self.fired = crossing or self.fired
        self.order_id = self.exit_order_id
        return self.order_id

    def end(self, status: RuleStatus, detail: str) -> None:
        """Finish."""
        self.status, self.phase, self.detail = status, RulePhase.DONE, detail

    # -- what follows from it -------------------------------------------------------------------

    @property
    def exit_order_id(self) -> OrderId:
        """The id of the exit order of the present generation."""
        return exit_order_id(self.start.rule_id, self.generation)

    @property
    def sold(self) -> Sold:
        """What all exits of this rule sold."""
        return self.sold_for_good + self.sold_before + self.sold_now

    @property
    def residual_shares(self) -> Decimal:
        """What an exit has left to sell, or left unsold at its end."""
        return self.wanted_shares() if self.order_id is not None else ZERO

    @property
    def is_next_held(self) -> bool:
        """Whether the ledger speaks of a position that was opened after the one that this rule protects."""
        if self.start.revision >= 7:
            return self.episode.is_followed_by(self.holding, self.start.created_at)
        return self.holding.episode > self.episode.number > 0

    @property
    def position_closed(self) -> bool:
        """Whether the position that this rule protects is gone, beyond the venue's taking back."""
        if self.episode.number == 0 or self.definition.follow_token:
            return False
        gone = self.holding.shares <= ZERO and self.holding.unconfirmed_shares == ZERO
        return gone or self.is_next_held

    @property
    def entry_price(self) -> Decimal | None:
        """The entry price that levels are computed from: the user's, else the ledger's at the start."""
        return entry_of(self.start, self.definition)

    @property
    def held_shares(self) -> Decimal:
        """What is held of the position that this rule protects: nothing of one that was opened after it.

        A rule that follows its token protects that one once it has taken its levels anew.
        """
        return ZERO if self.is_next_held and self.start.revision >= 5 else self.holding.shares

    @property
    def may_come_back(self) -> bool:
        """Whether the venue may still take back sales, and the rule would have something to sell then."""
        is_flat, at_stake = self.holding.shares <= ZERO, self.holding.unconfirmed_shares
        return is_flat and wanted_shares(self.resolved.action, at_stake, self.sold.shares) > ZERO

    @property
    def is_idle(self) -> bool:
        """Whether the rule waits for its first position, or the next one in the token that it follows."""
        awaits_first = self.episode.number == 0 and self.start.revision >= 7
        awaits_next = self.definition.follow_token and self.start.revision >= 5
        return self.holding.shares <= ZERO and (awaits_first or awaits_next)

    def wanted_shares(self) -> Decimal:
        """Return what the exit still has to sell, by the action and the holding."""
        return wanted_shares(self.resolved.action, self.held_shares, self.sold.shares)

    def lowest_price(self) -> Decimal | None:
        """Return the level that a fired target never sells below; None for stops and time exits."""
        return lowest_price_fired(self.fired, self.resolved)

    def exit_request(
        self,
        attempt: int,
        ladder: Ladder,
        available: Decimal | None,
        now_ms: int,
        holder: WalletHolding | None = None,
    ) -> ExitRequest:
        """Return what the next exit attempt is built from."""
        start = self.start
        wallet, available = sold_by(start.wallet, available, holder)
        seller = Seller(
            order_id=self.exit_order_id,
            account_id=start.account_id,
            venue=start.venue,
            mode=start.mode,
            wallet=wallet,
            instrument=self.instrument,
            held_shares=self.held_shares,
            sold_shares=self.sold.shares,
            slippage_points=Decimal(start.tuning.slippage_points),
        )
        return exit_request(
            seller,
            self.resolved,
            ladder=ladder,
            reference_price=self.fired.price if self.fired else None,
            lowest=self.lowest_price(),
            timestamp_ms=now_ms,
            attempt=attempt,
            available_shares=available,
        )

    def next_deadline(self) -> datetime | None:
        """Return the next moment at which time alone decides: a time exit or the expiry."""
        due = None if self.is_idle else self.resolved.next_time()
        return min((moment for moment in (due, self.resolved.expires_at) if moment is not None), default=None)

    def answer(self, outcome: RuleOutcome, detail: str = "") -> RuleAnswer:
        """Return the answer of an update as things stand."""
        sold = self.sold
        return RuleAnswer(
            outcome=outcome,
            status=self.status,
            phase=self.phase,
            version=self.version,
            detail=detail or self.detail,
            residual_shares=self.residual_shares if self.phase is RulePhase.DONE else ZERO,
            sold_shares=sold.shares,
            proceeds_usd=sold.proceeds_usd,
            fee_usd=sold.fee_usd,
        )

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
        self.events.append(
            EventRow(
                event_key=self.event_keys.take(self.start.rule_id, kind, message),
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

    def note_levels(self, kind: str, at: datetime) -> None:
        """Add an event that names the resolved levels."""
        self.note(kind, describe(self.resolved), at)

    def project(self, now_us: int) -> RuleProjection:
        """Return the rows with the next version, and the events gathered since the last call."""
        self.version = max(self.version + 1, now_us)
        events, self.events = tuple(self.events), []
        return RuleProjection(rule=rule_row(self), watch=watch_row(self), events=events)

    def carry(self) -> RuleCarry:
        """Return what the next run takes up, but for executions and waiting crossings."""
        return RuleCarry(
            generation=self.generation,
            version=self.version,
            episode=self.episode.number,
            opened_at=self.episode.opened_at,
            told=self.event_keys.carried(),
            holding=self.holding,
            instrument=self.instrument,
            definition=self.definition,
            sold_shares=self.sold_for_good.shares,
            proceeds_usd=self.sold_for_good.proceeds_usd,
            fee_usd=self.sold_for_good.fee_usd,
            armed_at=self.armed_at,
            not_before_ms=self.not_before_ms,
            marks_from=self.marks_from,
            fired=self.fired,
            consumed=self.consumed,
            targets_need_bid=self.resolved.targets_need_bid,
        )
