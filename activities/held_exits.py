"""Exits that the kill switch held: told at once when it is lifted, instead of waiting for their next look."""

import structlog

from activities.telling import tell_all
from domain.errors import StorageUnavailable
from domain.ids import AccountId, rule_workflow_id
from domain.ports import Signals
from storage.repositories.orders import Orders
from storage.repositories.rules import Rules

log = structlog.get_logger()

AT_ONCE = 16
"""Signals under way together: a lifted switch may have held a thousand exits."""


class HeldExits:
    """Wakes exits that wait."""

    def __init__(self, rules: Rules, orders: Orders, signals: Signals) -> None:
        """Take where they are found, and the way to their workflows."""
        self._rules = rules
        self._orders = orders
        self._signals = signals

    async def wake(self, account_id: AccountId | None) -> None:
        """Make the exits of an account (None: of all) look at once, the longest waiting first.

        One that looks just now is told, too: it hears of it before it waits again.

        What cannot be told looks at its own time, within half a minute: nothing is lost, and nobody is kept.
        """
        try:
            hosts = [rule_workflow_id(rule.rule_id) for rule in await self._rules.may_be_held(account_id)]
            hosts += [order.host_workflow_id for order in await self._orders.may_be_held(account_id)]
            told = await tell_all(hosts, self._signals.order_update, at_once=AT_ONCE)
        except* (StorageUnavailable, ConnectionError) as group:
            log.warning("held_exits.not_told", errors=[str(error) for error in group.exceptions])
        else:
            log.info("held_exits.told", exits=told)
