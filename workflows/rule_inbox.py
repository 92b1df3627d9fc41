"""What a rule's handlers leave for its main loop, which decides one item at a time, as history has them."""

from dataclasses import dataclass

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.messages import Crossed, PatchRule, RuleAnswer


@dataclass
class Patch:
    """An update that waits for its answer, or for the reason why it is refused."""

    request: PatchRule
    answer: RuleAnswer | None = None
    refusal: str = ""


@dataclass
class Cancel:
    """A cancel that waits for its answer."""

    reason: str
    answer: RuleAnswer | None = None


@dataclass(frozen=True)
class OrderNews:
    """Facts about this rule's orders were booked."""


@dataclass(frozen=True)
class PositionNews:
    """The holding changed."""


@dataclass(frozen=True)
class MarketNews:
    """The market is resolved."""


@dataclass(frozen=True)
class Show:
    """The rows are to be written as things stand."""


Item = Crossed | Patch | Cancel | OrderNews | PositionNews | MarketNews | Show
