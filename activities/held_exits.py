"""Exits that the kill switch held: told at once when it is lifted, instead of waiting for their next look."""

import structlog

from activities.telling import tell_all
from domain.errors import StorageUnavailable
from domain.ids import AccountId, rule_workflow_id
from domain.ports import Signals
from storage.repositories.rules import OpenRule, Rules

log = structlog.get_logger()

AT_ONCE = 16
"""Signals under way together: a lifted switch may have held a thousand exits."""


class HeldExits:
    """Wakes exits that wait."""

    def __init__(self, rules: Rules, signals: Signals) -> None:
        """Take where they are found, and the way to their workflows."""
        self._rules = rules
        self._signals = signals

    async def wake(self, account_id: AccountId | None) -> None:
        """Make the waiting exits of an account (None: of all) look at once, the longest waiting first.

        What cannot be told looks at its own time, which is soon: nothing is lost by that, and nobody is kept.
        """

        async def tell(rule: OpenRule) -> bool:
            return await self._signals.order_update(rule_workflow_id(rule.rule_id))

        try:
            told = await tell_all(await self._rules.waiting(account_id), tell, at_once=AT_ONCE)
        except* (StorageUnavailable, ConnectionError) as group:
            log.warning("held_exits.not_told", errors=[str(error) for error in group.exceptions])
        else:
            log.info("held_exits.told", rules=told)
