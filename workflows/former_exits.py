"""Exits of a rule's earlier generations: over, but the venue may still take back one of their fills."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.messages import ExecutionCarry

from workflows.rule_exit import RuleExit
from workflows.rule_state import RuleState
from workflows.sold import Sold


class FormerExits:
    """Keeps them until all their fills are final, and what they sold in the rule's sum."""

    def __init__(self, state: RuleState) -> None:
        """Begin with none."""
        self._state = state
        self._exits: list[RuleExit] = []

    async def take_up(self, exits: list[RuleExit]) -> None:
        """Take those that an earlier run of the workflow left, and read what they sold."""
        self._exits = exits
        if self._state.start.revision < 6:
            await self.refresh()
            return
        for former in exits:
            await former.execution.read_fills()
        self._drop_final()

    def add(self, ended: RuleExit) -> None:
        """Take the exit that has just ended."""
        self._exits.append(ended)
        self._drop_final()

    def notify(self) -> None:
        """Wake whatever waits for facts about their orders."""
        for former in self._exits:
            former.execution.notify()

    async def refresh(self) -> None:
        """Look at what the ledger says of their fills."""
        for former in self._exits:
            await former.execution.refresh_fills()
        self._drop_final()

    async def confirm(self) -> bool:
        """Wait until all their fills are final; True when one of them was taken back."""
        back = [await former.execution.confirm_fills() for former in self._exits]
        self._drop_final()
        return any(back)

    def carry(self) -> tuple[ExecutionCarry, ...]:
        """Return what the next run needs."""
        return tuple(former.execution.carry() for former in self._exits)

    def _drop_final(self) -> None:
        """Count anew what they sold, and let go of those whose fills are final."""
        final = [former.sold for former in self._exits if not former.execution.has_unconfirmed]
        self._exits = [former for former in self._exits if former.execution.has_unconfirmed]
        self._state.count_sold(sum(final, Sold()), sum((former.sold for former in self._exits), Sold()))
