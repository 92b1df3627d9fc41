"""What the API asks of Temporal: start, change and cancel rules and orders. See `temporal_gateway`."""

from enum import StrEnum
from typing import Protocol

from domain.ids import OrderId, RuleId
from domain.messages import (
    CancelOrder,
    CancelRule,
    OrderAnswer,
    OrderStart,
    PatchRule,
    RuleAnswer,
    RuleStart,
)


class Started(StrEnum):
    """How a start came out."""

    READY = "ready"  # a worker has taken it up, its row stands
    PENDING = "pending"  # durable, but no worker answered within the time: 202
    CLOSED = "closed"  # a workflow of this id ran to its end before


class StillGoingOn(Exception):
    """A worker has accepted the change, so it is durable, and it takes longer than the API waits: 202."""


class RuleStarter(Protocol):
    """Messages to `Rule` workflows.

    Errors of all methods: `Problem` 503 when Temporal is away or no worker answers, 429 when it is too busy,
    409 when the workflow refuses the message; `StillGoingOn` for a change that was accepted.
    """

    async def create_rule(self, start: RuleStart) -> Started:
        """Start the rule's workflow, or join the one of the same id, and wait until it is armed."""
        ...

    async def adopt_rule(self, start: RuleStart) -> Started:
        """Start a workflow for a rule that lost its own, or join one that runs, and wait until it acts."""
        ...

    async def patch_rule(self, rule_id: RuleId, patch: PatchRule, key: str) -> RuleAnswer | None:
        """Change a rule; None when its workflow is closed or unknown. The same key is carried out once."""
        ...

    async def cancel_rule(self, rule_id: RuleId, cancel: CancelRule, key: str) -> RuleAnswer | None:
        """Cancel a rule; None when its workflow is closed or unknown. The same key is carried out once."""
        ...


class OrderStarter(Protocol):
    """Messages to `Order` workflows; errors as for `RuleStarter`."""

    async def create_order(self, start: OrderStart) -> Started:
        """Start the order's workflow, or join the one of the same id."""
        ...

    async def cancel_order(self, order_id: OrderId, cancel: CancelOrder, key: str) -> OrderAnswer | None:
        """Cancel an order; None when its workflow is closed or unknown."""
        ...


class TemporalProbe(Protocol):
    """Whether Temporal answers."""

    async def reachable(self) -> bool:
        """Say whether Temporal answers a health check within a second."""
        ...
