"""The activities that an order's host calls, with their time-outs and retries."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, FailureError, is_cancelled_exception
from temporalio.workflow import ActivityCancellationType, ActivityHandle

with workflow.unsafe.imports_passed_through():
    from activities.projections import ProjectionActivities
    from activities.trading import TradingActivities
    from domain.ids import AccountId, MarketId, OrderId, RuleId, TokenId
    from domain.messages import (
        FollowOrder,
        ForgottenSales,
        FreshRead,
        OrderFacts,
        OrderRef,
        PlaceOrder,
        PlaceResult,
        Projection,
        ReadMarket,
        RecalledOrder,
        RecallOrder,
        RecallSales,
        ReleaseShares,
        Tuning,
    )
    from domain.orders import Mode, Purpose, Side, TimeInForce

from workflows import policies
from workflows.attempts import AttemptRecord

_Activities = TypeVar("_Activities")
_Argument = TypeVar("_Argument")
_Result = TypeVar("_Result")


async def at_once(
    method: Callable[[_Activities, _Argument], Awaitable[_Result]], argument: _Argument
) -> _Result:
    """Call an activity that only touches Postgres: within this very task, or normally while Postgres is away.

    A local activity is one event instead of six; one that goes on failing would fill the history.
    """
    try:
        return await workflow.execute_local_activity_method(
            method, argument, schedule_to_close_timeout=policies.LOCAL_LIMIT, retry_policy=policies.LOCAL
        )
    except FailureError as error:
        # Not only an ActivityError: one that timed out comes back from history as the bare time-out, and
        # a replay that let it pass would end the workflow where it had gone on.
        if is_cancelled_exception(error):
            raise
    return await _surely(method, argument)


async def _surely(
    method: Callable[[_Activities, _Argument], Awaitable[_Result]], argument: _Argument
) -> _Result:
    return await workflow.execute_activity_method(
        method, argument, start_to_close_timeout=policies.PROJECT_TIMEOUT, retry_policy=policies.PROJECT
    )


async def project(projection: Projection, *, ends_task: bool = False) -> None:
    """Write the rows and events of one step.

    Args:
        projection: The step.
        ends_task: Write in a task of its own. The server forgets an update whose very task is lost, or would
            close the workflow when anything else arrives meanwhile, so its acceptance has to be history
            before that.
    """
    if ends_task:
        await _surely(ProjectionActivities.project, projection)
    else:
        await at_once(ProjectionActivities.project, projection)


async def recall(order_id: OrderId) -> RecalledOrder:
    """Return the attempts of an order that stand as claims."""
    return await at_once(TradingActivities.recall_order, RecallOrder(order_id=order_id))


async def recall_sales(request: RecallSales) -> ForgottenSales:
    """Return what a rule's exits sold of which its history knows nothing."""
    return await at_once(TradingActivities.recall_sales, request)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderIdentity:
    """What names the order and its place, fixed for its life."""

    order_id: OrderId
    account_id: AccountId
    host_workflow_id: str
    rule_id: RuleId | None
    venue: str
    mode: Mode
    market_id: MarketId
    token_id: TokenId
    side: Side
    purpose: Purpose
    time_in_force: TimeInForce


class OrderCalls:
    """The activities of one order."""

    def __init__(self, identity: OrderIdentity, tuning: Tuning) -> None:
        self._identity = identity
        self._tuning = tuning

    def read_market(self, *, holder: bool) -> ActivityHandle[FreshRead]:
        """Start to read book, instrument and holding, and who holds most if asked. Fails after a limit."""
        identity = self._identity
        return workflow.start_activity_method(
            TradingActivities.read_market,
            ReadMarket(
                account_id=identity.account_id,
                venue=identity.venue,
                mode=identity.mode,
                market_id=identity.market_id,
                token_id=identity.token_id,
                holder=holder,
            ),
            start_to_close_timeout=policies.READ_TIMEOUT,
            heartbeat_timeout=policies.READ_HEARTBEAT,
            schedule_to_close_timeout=policies.READ_LIMIT,
            retry_policy=policies.READ,
        )

    async def place(self, request: PlaceOrder) -> PlaceResult:
        """Claim, sign and post: from the scheduling on the order is fixed in history."""
        return await workflow.execute_activity_method(
            TradingActivities.place_order,
            request,
            start_to_close_timeout=timedelta(milliseconds=self._tuning.place_start_to_close_ms),
            heartbeat_timeout=policies.PLACE_HEARTBEAT,
            retry_policy=policies.place_retry(timedelta(milliseconds=self._tuning.place_first_retry_ms)),
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )

    async def follow(self, record: AttemptRecord, *, look_up: bool) -> OrderFacts:
        """Return what is known of an attempt; the ledger alone answers within this task."""
        request = FollowOrder(ref=self._ref(record), look_up=look_up)
        if not look_up:
            return await at_once(TradingActivities.follow_order, request)
        return await workflow.execute_activity_method(
            TradingActivities.follow_order,
            request,
            start_to_close_timeout=policies.READ_TIMEOUT,
            heartbeat_timeout=policies.READ_HEARTBEAT,
            retry_policy=policies.READ,
        )

    async def confirm_absent(self, record: AttemptRecord) -> bool:
        """Whether the venue surely has nothing of an attempt; False as well when it cannot be asked."""
        try:
            return await workflow.execute_activity_method(
                TradingActivities.confirm_absent,
                self._ref(record),
                start_to_close_timeout=policies.READ_TIMEOUT,
                heartbeat_timeout=policies.READ_HEARTBEAT,
                schedule_to_close_timeout=policies.READ_LIMIT,
                retry_policy=policies.READ,
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            return False

    async def cancel(self, record: AttemptRecord) -> None:
        """Ask the venue to cancel; a failure shows in the facts, and the caller asks again."""
        try:
            await workflow.execute_activity_method(
                TradingActivities.cancel_order,
                self._ref(record),
                start_to_close_timeout=policies.READ_TIMEOUT,
                heartbeat_timeout=policies.READ_HEARTBEAT,
                schedule_to_close_timeout=policies.READ_LIMIT,
                retry_policy=policies.READ,
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            workflow.logger.warning("cancel failed: %s", error.cause)

    async def release_shares(self, held_by: tuple[OrderId, ...]) -> None:
        """Cancel the resting sells that stand in the way; a failure shows in the next claim."""
        identity = self._identity
        try:
            await workflow.execute_activity_method(
                TradingActivities.release_shares,
                ReleaseShares(
                    account_id=identity.account_id,
                    venue=identity.venue,
                    mode=identity.mode,
                    market_id=identity.market_id,
                    token_id=identity.token_id,
                    for_order_id=identity.order_id,
                    held_by=held_by,
                ),
                start_to_close_timeout=policies.READ_TIMEOUT,
                heartbeat_timeout=policies.READ_HEARTBEAT,
                schedule_to_close_timeout=policies.READ_LIMIT,
                retry_policy=policies.READ,
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            workflow.logger.warning("release failed: %s", error.cause)

    def _ref(self, record: AttemptRecord) -> OrderRef:
        identity = self._identity
        return OrderRef(
            order_id=identity.order_id,
            attempt=record.attempt.attempt,
            account_id=identity.account_id,
            venue=identity.venue,
            mode=identity.mode,
            market_id=identity.market_id,
            token_id=identity.token_id,
            venue_order_id=record.venue_order_id,
            placed_at_ms=record.attempt.timestamp_ms,
            wallet_id=record.attempt.wallet.wallet_id,
        )
