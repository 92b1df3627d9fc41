"""The ports `Signals` and `RuleWorkflows` over a Temporal client."""

from datetime import timedelta

from temporalio.client import Client, WorkflowHandle
from temporalio.common import Priority, TypedSearchAttributes, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from domain import messages
from domain.ids import (
    AccountId,
    OrderId,
    RuleId,
    hosted_rule,
    order_workflow_id,
    rule_workflow_id,
    stream_workflow_id,
)
from domain.messages import Crossed, OrderStart, PositionChanged, StreamStart
from domain.orders import Instrument, Mode
from runtime.settings import TemporalSettings
from runtime.temporal import queue
from workflows import attributes

RULES_PER_PAGE = 1000
_RUNNING_RULES = f'WorkflowType = "{messages.RULE}" AND ExecutionStatus = "Running"'
_GONE = frozenset({RPCStatusCode.NOT_FOUND})
# One call that nobody answers must not hold up an exit: the caller tries again.
RPC_TIMEOUT = timedelta(seconds=5)


class TemporalSignals:
    """Signals by workflow id and name; a closed or unknown workflow is an answer, not an error.

    Every method raises ConnectionError when Temporal does not take the call, for whatever reason: only a
    workflow that is gone is a reason to give a message up.
    """

    def __init__(
        self, client: Client, settings: TemporalSettings, *, task_timeout: timedelta | None = None
    ) -> None:
        """Take a connected (or lazy) client, and the workflow task time-out of what is started here.

        Without one it is the server's own: so long would a killed worker hold up what it was told to do.
        """
        self._client = client
        self._settings = settings
        self._task_timeout = task_timeout

    async def crossed(self, rule_id: str, crossed: Crossed) -> bool:
        """Deliver a crossing; durable once this returns."""
        return await self._signal(rule_workflow_id(RuleId(rule_id)), messages.SIGNAL_CROSSED, crossed)

    async def order_update(self, host_workflow_id: str) -> bool:
        """Tell a host that facts about its orders were booked."""
        return await self._signal(host_workflow_id, messages.SIGNAL_ORDER_UPDATE)

    async def position_changed(self, rule_id: str, change: PositionChanged) -> bool:
        """Tell a rule what is held now."""
        return await self._signal(rule_workflow_id(RuleId(rule_id)), messages.SIGNAL_POSITION_CHANGED, change)

    async def market_changed(self, rule_id: str, instrument: Instrument) -> bool:
        """Tell a rule what its token trades by now."""
        return await self._signal(
            rule_workflow_id(RuleId(rule_id)), messages.SIGNAL_MARKET_CHANGED, instrument
        )

    async def running_rules(self) -> set[RuleId]:
        """Return the rules whose workflow runs, as visibility has them."""
        found: set[RuleId] = set()
        try:
            async for execution in self._client.list_workflows(
                _RUNNING_RULES, page_size=RULES_PER_PAGE, rpc_timeout=RPC_TIMEOUT
            ):
                rule_id = hosted_rule(execution.id)
                if rule_id is not None:
                    found.add(rule_id)
        except RPCError as error:
            raise _away(error) from error
        except RuntimeError as error:
            raise _unconnected(error) from error
        return found

    async def rule_end(self, rule_id: RuleId) -> str | None:
        """Return how the rule's latest run ended ("unknown" when Temporal has none); None while it runs."""
        handle = self._handle(rule_workflow_id(rule_id))
        try:
            description = await handle.describe(rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status in _GONE:
                return "unknown"
            raise _away(error) from error
        except RuntimeError as error:
            raise _unconnected(error) from error
        if description.close_time is None:
            return None
        return description.status.name.lower().replace("_", " ") if description.status else "closed"

    async def show_rule(self, rule_id: RuleId) -> bool:
        """Ask a rule to write its rows again."""
        return await self._signal(rule_workflow_id(rule_id), messages.SIGNAL_SHOW)

    async def cancel_rule(self, rule_id: RuleId) -> bool:
        """Ask for Temporal's own cancellation, which runs the rule's cancel path."""
        try:
            await self._handle(rule_workflow_id(rule_id)).cancel(rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status in _GONE:
                return False
            raise _away(error) from error
        except RuntimeError as error:
            raise _unconnected(error) from error
        return True

    async def look_after_exit(self, rule_id: RuleId) -> bool:
        """Tell a rule that there may be facts about its orders."""
        return await self.order_update(rule_workflow_id(rule_id))

    async def wake_stream(self, account_id: AccountId, venue: str, mode: Mode) -> None:
        """Signal-with-start the account's stream."""
        try:
            await self._client.start_workflow(
                messages.ACCOUNT_STREAM,
                StreamStart(account_id=account_id, venue=venue, mode=mode),
                id=stream_workflow_id(account_id, venue, paper=mode is Mode.PAPER),
                task_queue=queue(self._settings, messages.QUEUE_IO),
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                start_signal=messages.SIGNAL_WAKE,
                task_timeout=self._task_timeout,
                search_attributes=search_attributes(
                    account_id, venue, "", messages.ACCOUNT_STREAM, mode.value
                ),
                priority=Priority(fairness_key=account_id),
                rpc_timeout=RPC_TIMEOUT,
            )
        except RPCError as error:
            raise _away(error) from error
        except RuntimeError as error:
            raise _unconnected(error) from error

    async def adopt_order(self, start: OrderStart) -> None:
        """Start an order workflow; one that runs already goes on."""
        try:
            await self._client.start_workflow(
                messages.ORDER,
                start,
                id=order_workflow_id(OrderId(start.order_id)),
                task_queue=queue(self._settings, messages.QUEUE_CORE),
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                task_timeout=self._task_timeout,
                search_attributes=search_attributes(
                    start.account_id, start.venue, start.instrument.token_id, messages.ORDER, "pending"
                ),
                priority=Priority(priority_key=1, fairness_key=start.account_id),
                rpc_timeout=RPC_TIMEOUT,
            )
        except WorkflowAlreadyStartedError:
            return  # it ran and is closed: the same reversal was taken up before
        except RPCError as error:
            raise _away(error) from error
        except RuntimeError as error:
            raise _unconnected(error) from error

    def _handle(self, workflow_id: str) -> WorkflowHandle[object, object]:
        return self._client.get_workflow_handle(workflow_id)

    async def _signal(self, workflow_id: str, name: str, argument: object | None = None) -> bool:
        handle = self._handle(workflow_id)
        try:
            if argument is None:
                await handle.signal(name, rpc_timeout=RPC_TIMEOUT)
            else:
                await handle.signal(name, argument, rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status in _GONE:
                return False
            raise _away(error) from error
        except RuntimeError as error:
            raise _unconnected(error) from error
        return True


def _away(error: RPCError) -> ConnectionError:
    """Return what callers decide on: whatever the status says, what was not taken is to be tried again."""
    return ConnectionError(f"Temporal: {error.status.name}")


def _unconnected(error: RuntimeError) -> ConnectionError:
    """A lazy client that cannot connect yet raises the SDK's bare RuntimeError."""
    return ConnectionError(f"Temporal: {error}")


def search_attributes(
    account_id: str, venue: str, token_id: str, kind: str, state: str
) -> TypedSearchAttributes:
    """Return the search attributes of a workflow at its start."""
    pairs = [
        attributes.pair(attributes.ACCOUNT_ID, account_id),
        attributes.pair(attributes.VENUE, venue),
        attributes.pair(attributes.KIND, kind),
        attributes.pair(attributes.STATE, state),
    ]
    if token_id:
        pairs.append(attributes.pair(attributes.TOKEN_ID, token_id))
    return TypedSearchAttributes(pairs)
