"""The API's messages to Temporal: update-with-start, updates, and every failure of them classified once."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from http import HTTPStatus
from typing import TypeVar

from aiolimiter import AsyncLimiter
from temporalio.client import (
    Client,
    RPCError,
    RPCTimeoutOrCancelledError,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
    WorkflowUpdateHandle,
    WorkflowUpdateStage,
)
from temporalio.common import (
    Priority,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCStatusCode

from api.problems import Problem, conflict, not_found, unavailable
from api.starters import Started, StillGoingOn
from domain.ids import AccountId, OrderId, RuleId, TokenId, order_workflow_id, rule_workflow_id
from domain.messages import (
    ORDER,
    RULE,
    UPDATE_CANCEL,
    UPDATE_CREATE,
    UPDATE_PATCH,
    CancelOrder,
    CancelRule,
    CreateRule,
    OrderAnswer,
    OrderStart,
    PatchRule,
    RuleAnswer,
    RuleStart,
)
from domain.orders import Instrument

T = TypeVar("T", RuleAnswer, OrderAnswer)

PRIORITY = 1
"""Rules and orders start at the highest priority: it cannot change later, and crossings need it."""

SUMMARY_LENGTH = 180
PROBE_LIMIT = timedelta(seconds=1)
FORGOTTEN_UPDATE_PAUSE_S = 0.05
# The server's type of the failure of an update whose workflow ended before it answered.
_CLOSED_MEANWHILE = "AcceptedUpdateCompletedWorkflow"
_NO_ANSWER = (
    "No worker took the change in time, and it may still be carried out. Send it again with the same key."
)
_AWAY = frozenset({RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED})


class TemporalGateway:
    """Implements `RuleStarter`, `OrderStarter` and `TemporalProbe`.

    Args:
        client: Client with the project's data converter.
        task_queue: Task queue of the core workers.
        task_timeout: Workflow task time-out of rules and orders.
        answer_limit: How long an answer is waited for; after it a start is pending and a change is a 503.
        starts_per_second: Pace of creation: in bulk it would starve the crossings of rules that stand.
    """

    def __init__(
        self,
        client: Client,
        *,
        task_queue: str,
        task_timeout: timedelta,
        answer_limit: timedelta,
        starts_per_second: int = 40,
    ) -> None:
        self._client = client
        self._task_queue = task_queue
        self._task_timeout = task_timeout
        self._answer_limit = answer_limit
        self._pace = AsyncLimiter(starts_per_second, 1)
        self._connected = False

    async def create_rule(self, start: RuleStart) -> Started:
        """Start the rule's workflow and wait until it is armed; see `RuleStarter`."""
        return await self._start_rule(start, WorkflowIDReusePolicy.REJECT_DUPLICATE)

    async def adopt_rule(self, start: RuleStart) -> Started:
        """Start a workflow in the place of one that is gone; see `RuleStarter`."""
        return await self._start_rule(start, WorkflowIDReusePolicy.ALLOW_DUPLICATE)

    async def _start_rule(self, start: RuleStart, reuse: WorkflowIDReusePolicy) -> Started:
        workflow_id = rule_workflow_id(start.rule_id)
        await self._connect()
        await self._paced()
        operation = WithStartWorkflowOperation[object, object](
            RULE,
            start,
            id=workflow_id,
            task_queue=self._task_queue,
            task_timeout=self._task_timeout,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=reuse,
            search_attributes=_attributes(start.account_id, start.venue, start.instrument.token_id, RULE),
            priority=_priority(start.account_id),
            static_summary=_summary("Rule on", start.instrument),
        )
        create = CreateRule(account_id=start.account_id, fingerprint=start.fingerprint)
        try:
            async with asyncio.timeout(self._answer_limit.total_seconds()), _classified():
                await self._client.execute_update_with_start_workflow(  # pyright: ignore[reportUnknownMemberType] - an overload of the SDK is partly untyped
                    UPDATE_CREATE,
                    create,
                    start_workflow_operation=operation,
                    id=_create_id(start),
                    result_type=RuleAnswer,
                    rpc_timeout=self._answer_limit,
                )
        except WorkflowAlreadyStartedError:
            return Started.CLOSED
        except (TimeoutError, RPCTimeoutOrCancelledError):
            return await self._pending(workflow_id)
        return Started.READY

    async def create_order(self, start: OrderStart) -> Started:
        """Start the order's workflow; see `OrderStarter`."""
        await self._connect()
        await self._paced()
        try:
            async with asyncio.timeout(self._answer_limit.total_seconds()), _classified():
                await self._client.start_workflow(
                    ORDER,
                    start,
                    id=order_workflow_id(start.order_id),
                    task_queue=self._task_queue,
                    task_timeout=self._task_timeout,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    search_attributes=_attributes(
                        start.account_id, start.venue, start.instrument.token_id, ORDER
                    ),
                    priority=_priority(start.account_id),
                    static_summary=_summary(start.side.value, start.instrument),
                    rpc_timeout=self._answer_limit,
                )
        except WorkflowAlreadyStartedError:
            return Started.CLOSED
        except (TimeoutError, RPCTimeoutOrCancelledError):
            raise _unheard() from None
        return Started.PENDING

    async def patch_rule(self, rule_id: RuleId, patch: PatchRule, key: str) -> RuleAnswer | None:
        """Change a rule; see `RuleStarter`."""
        return await self._update(rule_workflow_id(rule_id), UPDATE_PATCH, patch, key, RuleAnswer)

    async def cancel_rule(self, rule_id: RuleId, cancel: CancelRule, key: str) -> RuleAnswer | None:
        """Cancel a rule; see `RuleStarter`."""
        return await self._update(rule_workflow_id(rule_id), UPDATE_CANCEL, cancel, key, RuleAnswer)

    async def cancel_order(self, order_id: OrderId, cancel: CancelOrder, key: str) -> OrderAnswer | None:
        """Cancel an order; see `OrderStarter`."""
        return await self._update(order_workflow_id(order_id), UPDATE_CANCEL, cancel, key, OrderAnswer)

    async def reachable(self) -> bool:
        """Say whether Temporal answers a health check within a second."""
        try:
            async with asyncio.timeout(PROBE_LIMIT.total_seconds()):
                return await self._client.service_client.check_health(timeout=PROBE_LIMIT)
        except (TimeoutError, RPCError, RPCTimeoutOrCancelledError, RuntimeError):
            # A lazy client that cannot connect raises the bare RuntimeError.
            return False

    async def _connect(self) -> None:
        """Let a lazy client connect, where its failure cannot be taken for another one."""
        if not self._connected:
            if not await self.reachable():
                raise _temporal_away()
            self._connected = True

    async def _update(
        self,
        workflow_id: str,
        update: str,
        message: PatchRule | CancelRule | CancelOrder,
        key: str,
        answer: type[T],
    ) -> T | None:
        """Send an update and wait for its answer; once a worker has accepted it, it is durable."""
        await self._connect()
        accepted: WorkflowUpdateHandle[T] | None = None
        try:
            async with asyncio.timeout(self._answer_limit.total_seconds()), _classified():
                accepted = await self._accepted(workflow_id, update, message, key, answer)
                return await accepted.result()
        except _Gone:
            return None
        except (TimeoutError, RPCTimeoutOrCancelledError):
            if accepted is not None:
                raise StillGoingOn from None
            raise unavailable("no_answer_yet", _NO_ANSWER) from None

    async def _accepted(
        self,
        workflow_id: str,
        update: str,
        message: PatchRule | CancelRule | CancelOrder,
        key: str,
        answer: type[T],
    ) -> WorkflowUpdateHandle[T]:
        """Send an update until a worker has taken it: the server forgets one that meets a closing task."""
        handle = self._client.get_workflow_handle(workflow_id)
        while True:
            try:
                return await handle.start_update(  # pyright: ignore[reportUnknownMemberType] - as above
                    update,
                    message,
                    id=f"{update}:{key}",
                    wait_for_stage=WorkflowUpdateStage.ACCEPTED,
                    result_type=answer,
                    rpc_timeout=self._answer_limit,
                )
            except RPCError as error:
                if error.status is not RPCStatusCode.FAILED_PRECONDITION:
                    raise
                await asyncio.sleep(FORGOTTEN_UPDATE_PAUSE_S)

    async def _pending(self, workflow_id: str) -> Started:
        """Tell a start that waits for a worker from one that never reached Temporal."""
        try:
            async with asyncio.timeout(PROBE_LIMIT.total_seconds()), _classified():
                await self._client.get_workflow_handle(workflow_id).describe(rpc_timeout=PROBE_LIMIT)
        except (_Gone, TimeoutError, RPCTimeoutOrCancelledError):
            raise _unheard() from None
        return Started.PENDING

    async def _paced(self) -> None:
        try:
            async with asyncio.timeout(self._answer_limit.total_seconds()):
                await self._pace.acquire()
        except TimeoutError:
            raise _busy() from None


class _Gone(Exception):
    """No open workflow of this id."""


@asynccontextmanager
async def _classified() -> AsyncGenerator[None]:
    """Turn Temporal's errors into ours: gone, away, too busy, refused by the workflow."""
    try:
        yield
    except WorkflowUpdateFailedError as failed:
        cause = failed.cause
        if isinstance(cause, ApplicationError) and cause.type == _CLOSED_MEANWHILE:
            raise _Gone from None
        raise _refused(failed) from None
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise _Gone from None
        if error.status is RPCStatusCode.RESOURCE_EXHAUSTED:
            raise _busy() from None
        if error.status in _AWAY:
            raise _temporal_away() from None
        raise


def _refused(failed: WorkflowUpdateFailedError) -> Problem:
    cause = failed.cause
    code = cause.type if isinstance(cause, ApplicationError) and cause.type else "conflict"
    if code == "not_found":
        return not_found("thing for this account")
    return conflict(code, "The workflow refused this change; read the rule or order again.")


def _create_id(start: RuleStart) -> str:
    """Return the update's id: one of its own for an adoption, since the server answers a known one from the
    history of the closed workflow instead of starting another.
    """
    return ":".join((UPDATE_CREATE, start.rule_id, *([str(start.carry.version)] if start.carry else [])))


def _temporal_away() -> Problem:
    return unavailable(
        "temporal_unavailable", "Nothing was changed. Rules that stand go on when Temporal is back."
    )


def _unheard() -> Problem:
    detail = "Temporal did not answer in time: send the request again with the same Idempotency-Key."
    return unavailable("temporal_unavailable", detail)


def _busy() -> Problem:
    detail = "Temporal or this API takes no more changes just now."
    return Problem(HTTPStatus.TOO_MANY_REQUESTS, "temporal_busy", detail, retry_after=1)


def _summary(what: str, instrument: Instrument) -> str:
    return f"{what} {instrument.question or instrument.token_id}"[:SUMMARY_LENGTH]


def _priority(account_id: AccountId) -> Priority:
    return Priority(priority_key=PRIORITY, fairness_key=account_id)


def _attributes(account_id: AccountId, venue: str, token_id: TokenId, kind: str) -> TypedSearchAttributes:
    values = {"AccountId": account_id, "Venue": venue, "TokenId": token_id, "Kind": kind, "State": "starting"}
    return TypedSearchAttributes(
        [SearchAttributePair(SearchAttributeKey.for_keyword(name), value) for name, value in values.items()]
    )
