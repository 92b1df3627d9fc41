"""An order with a workflow of its own: manual orders, plan legs, strategy intents, adopted exits."""

import asyncio
from dataclasses import replace
from decimal import Decimal

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from domain import messages
    from domain.exits import (
        ExitBuild,
        ExitRequest,
        NoOrder,
        NoOrderReason,
        OrderRequest,
        build_exit,
        build_order,
        gtd_expiration_s,
        sold_by,
    )
    from domain.messages import (
        ORDER_REVISION,
        CancelOrder,
        FreshRead,
        Holding,
        OrderAnswer,
        OrderStart,
        RuleProjection,
    )
    from domain.money import floor_decimals, plain
    from domain.orders import OrderState
    from domain.quotes import Ladder

from workflows import attributes, calls
from workflows.calls import OrderIdentity
from workflows.execution import ExecutionEnd, OrderExecution
from workflows.order_desk import BuildRequest

ZERO = Decimal(0)
_SHARE_PLACES = 2


@workflow.defn(name=messages.ORDER)
class Order:
    """Places one order and follows it until it is terminal and all its fills are final."""

    @workflow.init
    def __init__(self, start: OrderStart) -> None:
        """Build the execution before any message is handled."""
        self._start = start
        self._instrument = start.instrument
        self._holding: Holding | None = None
        self._execution = OrderExecution(
            _identity(start),
            start.tuning,
            self,
            start.carry,
            confirms_always=True,
            send_within_ms=start.send_within_ms,
            recalls_at_end=start.revision >= 1,
            takes_facts=start.revision >= 2,
            keeps_pace=start.revision >= 3,
            keeps_timer=start.revision >= 5,
            resends_after_switch=start.revision >= 6,
        )

    @workflow.run
    async def run(self, start: OrderStart) -> OrderAnswer:
        """Run to the end; a cancellation from Temporal cancels the order at the venue, shielded."""
        life = asyncio.create_task(self._live())
        try:
            await asyncio.shield(life)
        except asyncio.CancelledError:
            self._execution.request_cancel()
            await life
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._answer()

    async def _live(self) -> None:
        # A first read would delay an order for nothing: its price is the user's own.
        start = self._start
        ladder = None if start.adopts else Ladder(())
        if start.adopts and start.carry is None:
            came_back = f"The venue took back a fill of {plain(start.shares or ZERO)} shares"
            self._execution.alarm(
                "fill.reversed", f"{came_back} after its exit had ended; they are sold again"
            )
        while await self._execution.run(ladder, workflow.time_ns() // 1_000_000) is ExecutionEnd.CONTINUE:
            await self._project()
            if workflow.all_handlers_finished() or start.revision < 4:
                workflow.continue_as_new(
                    replace(start, revision=ORDER_REVISION, carry=self._execution.carry())
                )
        attributes.set_state(self._execution.state.value)
        await self._project()

    async def _project(self) -> None:
        await calls.project(self._execution.projection(), ends_task=self._execution.cancel_requested)

    @workflow.update(name=messages.UPDATE_CANCEL)
    async def cancel(self, request: CancelOrder) -> OrderAnswer:
        """Cancel what rests; fills that were first are kept and named."""
        self._execution.request_cancel()
        await workflow.wait_condition(lambda: self._execution.trading_over)
        return self._answer()

    @cancel.validator
    def _may_cancel(self, request: CancelOrder) -> None:
        if request.account_id != self._start.account_id:
            raise ApplicationError("no such order", type="not_found")

    @workflow.signal(name=messages.SIGNAL_ORDER_UPDATE)
    def order_update(self) -> None:
        """Facts about this order were booked."""
        self._execution.notify()

    def _answer(self) -> OrderAnswer:
        totals = self._execution.totals
        return OrderAnswer(
            state=self._execution.state,
            filled_shares=totals.filled_shares,
            notional_usd=totals.notional_usd,
            fee_usd=totals.fee_usd,
            detail=self._execution.detail,
        )

    # -- what the execution asks of its host ------------------------------------------------------

    def build(self, request: BuildRequest) -> ExitBuild:
        """Build the one attempt of this order, or an adopted exit's next one."""
        if self._instrument.state.is_final:
            return NoOrder(reason=NoOrderReason.MARKET_FINAL, shares=ZERO)
        if self._start.adopts:
            return build_exit(self._exit_request(request))
        if request.attempt > 1:
            return NoOrder(reason=NoOrderReason.NOTHING_HELD, shares=self._rest())
        if request.available is not None:
            return NoOrder(reason=NoOrderReason.RESERVED, shares=self._rest())
        return build_order(self._order_request(request))

    def _exit_request(self, request: BuildRequest) -> ExitRequest:
        start, wanted = self._start, self._rest()
        if self._holding is not None:
            wanted = max(min(self._holding.shares, wanted), ZERO)
        wallet, available = sold_by(start.wallet, request.available, request.holder)
        return ExitRequest(
            order_id=start.order_id,
            attempt=request.attempt,
            account_id=start.account_id,
            venue=start.venue,
            mode=start.mode,
            wallet=wallet,
            instrument=self._instrument,
            wanted_shares=wanted,
            available_shares=wanted if available is None else available,
            ladder=request.ladder,
            reference_price=None,
            slippage_points=Decimal(start.tuning.slippage_points),
            floor=start.limit_price,
            lowest=None,
            timestamp_ms=request.timestamp_ms,
        )

    def _order_request(self, request: BuildRequest) -> OrderRequest:
        start = self._start
        return OrderRequest(
            order_id=start.order_id,
            attempt=request.attempt,
            account_id=start.account_id,
            venue=start.venue,
            mode=start.mode,
            wallet=start.wallet,
            instrument=self._instrument,
            side=start.side,
            purpose=start.purpose,
            time_in_force=start.time_in_force,
            post_only=start.post_only,
            shares=start.shares,
            budget_usd=start.budget_usd,
            limit_price=start.limit_price,
            expiration_s=gtd_expiration_s(start.expires_at) if start.expires_at else 0,
            timestamp_ms=request.timestamp_ms,
        )

    def _rest(self) -> Decimal:
        """Shares that are not filled; of a budget, what it would still buy at the limit."""
        start, totals = self._start, self._execution.totals
        if start.shares is not None:
            return max(start.shares - totals.filled_shares, ZERO)
        left = max((start.budget_usd or ZERO) - totals.notional_usd, ZERO)
        return floor_decimals(left / start.limit_price, _SHARE_PLACES)

    def rule_projection(self) -> RuleProjection | None:
        """A manual order has no rule."""
        return None

    def learned(self, read: FreshRead | None, holding: Holding | None) -> None:
        """Take a fresh read."""
        if read is not None:
            self._instrument = read.instrument
        if holding is not None and (self._holding is None or holding.version > self._holding.version):
            self._holding = holding

    def waits_for_price(self) -> bool:
        """A manual order is placed as it was asked for, or not at all; an adopted exit waits."""
        return self._start.adopts

    def waits_for_shares(self) -> bool:
        """As for its price."""
        return self._start.adopts

    def may_get_back(self) -> bool:
        """An order sells once."""
        return False

    def told(self, state: OrderState, detail: str) -> None:
        """Tell the story in the Temporal UI."""
        start = self._start
        token = start.instrument.outcome or start.instrument.token_id
        said = f"{start.side.value} {token} at {plain(start.limit_price)}"
        workflow.set_current_details(f"**{state.value}** · {said}\n\n{detail}")

    def sent(self) -> None:
        """Its state is shown from the start."""

    def cancel_lost(self) -> None:
        """The cancel waits for the end of trading, which has come."""


def _identity(start: OrderStart) -> OrderIdentity:
    return OrderIdentity(
        order_id=start.order_id,
        account_id=start.account_id,
        host_workflow_id=workflow.info().workflow_id,
        rule_id=None,
        venue=start.venue,
        mode=start.mode,
        market_id=start.instrument.market_id,
        token_id=start.instrument.token_id,
        side=start.side,
        purpose=start.purpose,
        time_in_force=start.time_in_force,
    )
