"""Exits that the kill switch or an open breaker holds: when to look, and told at once when they may go on."""

import asyncio
import secrets
from collections.abc import Callable, Sequence

import structlog

from activities.telling import tell_all
from domain.breakers import ProbePace
from domain.errors import StorageUnavailable
from domain.ids import AccountId, rule_workflow_id
from domain.orders import Mode
from domain.ports import Signals
from storage.repositories.orders import Orders
from storage.repositories.rules import Rules

log = structlog.get_logger()

LONGEST_MS = 30_000
"""Telling may fail: nobody relies on it for longer."""
AT_ONCE = 16
"""Signals under way together: a switch or a breaker may have held a thousand exits."""
TOLD_AFTER_S = (0.0, 1.0, 3.0)
"""Pauses before each telling that a breaker closed: who was refused before it begins to wait after it."""


class HeldExits:
    """Wakes exits that wait."""

    def __init__(
        self,
        rules: Rules,
        orders: Orders,
        signals: Signals,
        pace: ProbePace | None = None,
        draw: Callable[[int], int] = secrets.randbelow,
        told_after_s: Sequence[float] = TOLD_AFTER_S,
    ) -> None:
        """Take where they are found, and the way to their workflows.

        Args:
            rules: Rules that exit.
            orders: Exits of no rule.
            signals: Tells them.
            pace: How often an open breaker lets one probe.
            draw: Gives a number below another.
            told_after_s: Pauses before each telling that a breaker closed.
        """
        self._told_after_s = told_after_s
        self._telling: asyncio.Task[None] | None = None
        self._pace = pace or ProbePace()
        self._draw = draw
        self._rules = rules
        self._orders = orders
        self._signals = signals

    async def turn_ms(self, venue: str, mode: Mode) -> int:
        """Return after what time an exit that a venue's breaker holds should try again.

        A moment of its own within the time that all who wait need, so that they do not come together. Whoever
        cannot count them says nothing: the exit goes on at its own pace.
        """
        try:
            queue_ms = self._pace.queue_ms(await self._rules.waiting_at(venue, mode))
        except StorageUnavailable as error:
            log.warning("held_exits.not_counted", venue=venue, error=str(error))
            return 0
        return self._draw(min(queue_ms, LONGEST_MS) + 1)

    async def wake(self, account_id: AccountId | None, *, looking: bool = True) -> None:
        """Make the exits of an account (None: of all) look at once, the longest waiting first.

        One that looks just now is told, too: it hears of it before it waits again.

        What cannot be told looks at its own time, within half a minute: nothing is lost, and nobody is kept.

        Args:
            account_id: Whose.
            looking: Whether those that look just now are told.
        """
        try:
            rules = await self._rules.may_be_held(account_id, looking=looking)
            orders = await self._orders.may_be_held(account_id, looking=looking)
            hosts = [rule_workflow_id(rule.rule_id) for rule in rules]
            hosts += [order.host_workflow_id for order in orders]
            told = await tell_all(hosts, self._signals.order_update, at_once=AT_ONCE)
        except* (StorageUnavailable, ConnectionError) as group:
            log.warning("held_exits.not_told", errors=[str(error) for error in group.exceptions])
        else:
            log.info("held_exits.told", exits=told)

    def let_go(self) -> None:
        """Tell all exits that wait, beside whatever goes on: the order that closed a breaker waits for none.

        Should this process die meanwhile they look by themselves.
        """
        if self._telling is not None:
            self._telling.cancel()
        self._telling = asyncio.create_task(self._tell_repeatedly(), name="held exits")
        self._telling.add_done_callback(_say_why)

    async def _tell_repeatedly(self) -> None:
        for pause_s in self._told_after_s:
            await asyncio.sleep(pause_s)
            await self.wake(None, looking=False)


def _say_why(telling: asyncio.Task[None]) -> None:
    """Nobody awaits the telling: what ended it, other than what it names itself, is said here."""
    if not telling.cancelled() and (error := telling.exception()) is not None:
        log.error("held_exits.telling_failed", exc_info=error)
