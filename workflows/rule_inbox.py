"""What a rule's handlers leave for its main loop, which decides one item at a time, as history has them."""

from collections import deque
from dataclasses import dataclass

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.messages import (
        Crossed,
        PatchRule,
        RuleAnswer,
        RuleCarry,
        RuleOutcome,
        RulePhase,
        RuleStatus,
    )

from workflows.rule_state import RuleState


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


class RuleInbox:
    """Items that wait to be decided, oldest first, and the requests that wait for their answer."""

    def __init__(self, state: RuleState, carry: RuleCarry | None) -> None:
        """Begin with what an earlier run of the workflow left: a cancel comes before its crossings."""
        self._state = state
        self._items: deque[Item] = deque(carry.crossings if carry else ())
        if carry is not None and carry.cancel:
            self._items.appendleft(Cancel(carry.cancel))
        self._cancels: list[Cancel] = []  # of the exit under way, or waiting for the last projection

    def __bool__(self) -> bool:
        return bool(self._items)

    def put(self, item: Item) -> None:
        """Queue an item behind what was first."""
        self._items.append(item)

    def take(self) -> Item:
        """Take the oldest item out."""
        return self._items.popleft()

    def crossings(self) -> tuple[Crossed, ...]:
        """Return the crossings that nobody has judged."""
        return tuple(item for item in self._items if isinstance(item, Crossed))

    # -- requests that wait ---------------------------------------------------------------------

    @property
    def has_cancels(self) -> bool:
        """Whether somebody waits to hear what became of his cancel."""
        return bool(self._cancels)

    @property
    def cancel_reason(self) -> str:
        """Why somebody asked to cancel, empty while nobody did."""
        items = (*self._cancels, *self._items)
        return next((item.reason for item in items if isinstance(item, Cancel)), "")

    def keep(self, cancel: Cancel) -> None:
        """Answer a cancel later: its exit is being stopped, or the rule's end is not written yet."""
        self._cancels.append(cancel)

    def lose_to_crossing(self) -> None:
        """An exit begins: patches behind its crossing are told that they lost, cancels are to stop it."""
        waiting, self._items = self._items, deque()
        for item in waiting:
            if isinstance(item, Patch):
                item.answer = self._state.answer(RuleOutcome.CROSSING_WON)
            elif isinstance(item, Cancel):
                self.keep(item)
            elif isinstance(item, Crossed) and not self._state.is_repeated(item.crossing):
                self.put(item)

    def requeue_cancels(self) -> None:
        """The exit is over and the rule watches again: what was to stop it cancels the rule first of all."""
        self._items.extendleft(reversed(self._cancels))
        self._cancels.clear()

    def answer_crossing_won(self) -> None:
        """The exit had sold everything before it could be stopped."""
        for item in self._cancels:
            item.answer = self._state.answer(RuleOutcome.CROSSING_WON)
        self._cancels.clear()

    def answer_all(self) -> None:
        """Tell everybody who still waits how the rule ended."""
        for item in [*self._cancels, *(i for i in self._items if isinstance(i, Cancel | Patch))]:
            if self._state.status is RuleStatus.CANCELED and isinstance(item, Cancel):
                residual = self._state.residual_shares > 0
                outcome = RuleOutcome.CANCELED_WITH_RESIDUAL if residual else RuleOutcome.DONE
                item.answer = self._state.answer(outcome)
            else:
                item.answer = self.too_late()

    def too_late(self) -> RuleAnswer:
        """Return the answer to a request that lost its race."""
        state = self._state
        over = state.phase is RulePhase.DONE and state.status is not RuleStatus.TRIGGERED
        return state.answer(RuleOutcome.ALREADY_FINISHED if over else RuleOutcome.CROSSING_WON)
