"""The exit of one generation of a rule, as the host of its order."""

from collections.abc import Callable

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.exits import ExitBuild, NoOrder, NoOrderReason, build_exit
    from domain.ids import OrderId
    from domain.messages import ExecutionCarry, FreshRead, Holding, RulePhase, RuleProjection
    from domain.orders import OrderState, Purpose, Side, TimeInForce

from workflows.calls import OrderIdentity
from workflows.execution import OrderExecution
from workflows.order_desk import BuildRequest
from workflows.rule_state import RuleState
from workflows.sold import Sold

_PHASES = {OrderState.WAITING: RulePhase.WAITING, OrderState.BLOCKED: RulePhase.BLOCKED}


class RuleExit:
    """Builds attempts from the rule's state, and keeps what is learned and sold there."""

    def __init__(
        self,
        state: RuleState,
        carry: ExecutionCarry | None,
        *,
        on_told: Callable[[], None],
        on_sent: Callable[[], None],
        on_cancel_lost: Callable[[], None],
    ) -> None:
        """Begin (or take up from `carry`) the exit of the state's present generation."""
        self._state = state
        self._on_told = on_told
        self._on_sent = on_sent
        self._on_cancel_lost = on_cancel_lost
        self.execution = OrderExecution(
            _identity(state, carry.order_id if carry else state.exit_order_id),
            state.start.tuning,
            self,
            carry,
            recalls_at_end=state.start.revision >= 2,
            takes_facts=state.start.revision >= 3,
            keeps_pace=state.start.revision >= 4,
            keeps_timer=state.start.revision >= 8,
            switch_is_no_try=state.start.revision >= 6,
            resends_after_switch=state.start.revision >= 9,
            ends_in_dust=state.start.revision >= 7,
        )

    @property
    def sold(self) -> Sold:
        """What this exit sold so far."""
        totals = self.execution.totals
        return Sold(totals.filled_shares, totals.notional_usd, totals.fee_usd)

    def build(self, request: BuildRequest) -> ExitBuild:
        """Build the next exit attempt from what is held now."""
        state = self._state
        state.sold_now = self.sold
        built = build_exit(
            state.exit_request(
                request.attempt, request.ladder, request.available, request.timestamp_ms, request.holder
            )
        )
        if state.fired is None and not isinstance(built, NoOrder):
            # An exit that was found under way, begun by a condition that nobody remembers: what is left of
            # the position goes back to the conditions.
            return NoOrder(reason=NoOrderReason.BELOW_FLOOR, shares=built.shares)
        return built

    def rule_projection(self) -> RuleProjection | None:
        """Return the rule's rows with the next version."""
        self._state.sold_now = self.sold
        return self._state.project(workflow.time_ns() // 1_000)

    def learned(self, read: FreshRead | None, holding: Holding | None) -> None:
        """Take a fresh read."""
        if read is not None:
            self._state.instrument = read.instrument
        if holding is not None:
            self._state.take_holding(holding)

    def waits_for_price(self) -> bool:
        """A target never sells below its level: what does not fill stays armed. All else waits."""
        return self._state.fired is not None and self._state.lowest_price() is None

    def waits_for_shares(self) -> bool:
        """A target does, too: what another order binds says nothing of the price."""
        knows_why = self._state.fired is not None
        return knows_why if self._state.start.revision >= 5 else self.waits_for_price()

    def may_get_back(self) -> bool:
        """What others sold is protected until the venue confirms that."""
        return self._state.start.revision >= 5 and self._state.may_come_back

    def told(self, state: OrderState, detail: str) -> None:
        """Keep the exit's story beside the rule's own."""
        self._state.phase = _PHASES.get(state, RulePhase.EXITING)
        self._state.detail = detail
        self._on_told()

    def sent(self) -> None:
        """The hot path is over."""
        self._on_sent()

    def cancel_lost(self) -> None:
        """All was sold before a cancel could stop it."""
        self._on_cancel_lost()


def _identity(state: RuleState, order_id: OrderId) -> OrderIdentity:
    start = state.start
    return OrderIdentity(
        order_id=order_id,
        account_id=start.account_id,
        host_workflow_id=workflow.info().workflow_id,
        rule_id=start.rule_id,
        venue=start.venue,
        mode=start.mode,
        market_id=start.instrument.market_id,
        token_id=start.instrument.token_id,
        side=Side.SELL,
        purpose=Purpose.EXIT,
        time_in_force=TimeInForce.FAK,
    )
