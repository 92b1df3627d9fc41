"""Delivering crossings: durable before the index forgets them, fair to accounts, at the pace of the rules."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import structlog

from activities.fair_places import FairPlaces
from activities.telemetry import UNMEASURED, DeliveryOutcome, Telemetry
from domain.errors import VenueError
from domain.ids import TokenId
from domain.messages import Crossed, WatchRow
from domain.orders import Instrument
from domain.ports import MarketData, Signals
from domain.rules.crossing import Crossing

log = structlog.get_logger()

AT_ONCE = 16
"""Crossings under way: signalled, or with their rule and not yet taken up.

In a crowd the others wait here, where accounts take turns and the newest book is at hand. In the queue of a
worker they would wait longer than Temporal lets them, lose their place in its cache, and be replayed.
"""
ONE_ACCOUNTS = 12
"""How many of them may be one account's: rules that do not answer never hold up those of others."""
TAKEN_LIMIT_S = 0.5
"""A rule that has not taken its crossing up after so long makes room for the next. When nothing can (their
worker is dead, Postgres is away) crossings so leave at about the pace at which two cores let rules sell. Much
longer, and rules that only wait, for the place of a dead worker say, hold up those that could go on; much
shorter, or all at once, and the crowd stands in the workers' queue after all.
"""
NOBODYS = ""
"""News of a market take turns with the crossings of each account, and never go before them all."""
FIRST_RETRY_S = 0.1
RETRY_CAP_S = 2.0

Message = Callable[[], Crossed | None]
"""Makes a crossing's signal with the book of the moment at which it leaves; None: its rule watches for
something else by now, or for nothing.
"""
Delivered = Callable[[Crossing], None]


class _Superseded(Exception):
    """A crossing's rule watches for something else by now, or for nothing: there is nothing to signal."""


class _Untaken(NamedTuple):
    """A crossing under way: the generation of the watch that it fired."""

    generation: int
    taken: asyncio.Event


class Delivery:
    """Signals rules of their crossings; keeps trying while Temporal is away, since a crossing is a fact."""

    def __init__(
        self,
        signals: Signals,
        data: MarketData,
        telemetry: Telemetry = UNMEASURED,
        *,
        taken_limit_s: float = TAKEN_LIMIT_S,
    ) -> None:
        """Take the way to workflows, and who counts."""
        self._taken_limit_s = taken_limit_s
        self._signals = signals
        self._telemetry = telemetry
        self._data = data
        self._places = FairPlaces(AT_ONCE, ONE_ACCOUNTS)
        self._untaken: dict[str, _Untaken] = {}
        self._tasks: set[asyncio.Task[object]] = set()

    def send(self, crossing: Crossing, account_id: str, message: Message, delivered: Delivered) -> None:
        """Deliver in the background; `delivered` is called once the signal is durable."""
        self._keep(self._deliver(crossing, account_id, message, delivered))

    def send_again(self, crossing: Crossing, account_id: str, message: Message, delivered: Delivered) -> None:
        """Deliver a copy of a crossing, which was counted when it was delivered first."""
        self._keep(self._deliver_copy(crossing, account_id, message, delivered))

    def taken(self, row: WatchRow) -> None:
        """Take in a rule's watch: one that is another than before its crossing says that the rule has it."""
        untaken = self._untaken.get(row.rule_id)
        if untaken is not None and (not row.armed or row.generation != untaken.generation):
            untaken.taken.set()

    def _keep(self, work: Coroutine[object, object, object]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _persist(self, signal: Callable[[], Awaitable[bool]], *, rule_id: str, account_id: str) -> bool:
        """Signal until Temporal has taken it; return whether the rule is open.

        Comes with a place and keeps it at the end; between two tries others have it.
        """
        wait_s = FIRST_RETRY_S
        while True:
            try:
                return await signal()
            except _Superseded:
                raise
            except ConnectionError as error:
                log.warning("signal.waits_for_temporal", rule_id=rule_id, error=str(error))
            except Exception:
                # Nobody foresaw it, and an exit waits: it is told loudly and tried again, never given up.
                log.exception("signal.fails", rule_id=rule_id)
            self._places.give(account_id)
            try:
                await asyncio.sleep(wait_s)
            finally:
                await self._places.take(account_id)
            wait_s = min(wait_s * 2, RETRY_CAP_S)

    async def _deliver(
        self, crossing: Crossing, account_id: str, message: Message, delivered: Delivered
    ) -> None:
        async with self._places.place(account_id):
            untaken = self._untaken[crossing.rule_id] = _Untaken(crossing.generation, asyncio.Event())
            try:
                if await self._reaches_its_rule(crossing, account_id, message, delivered):
                    await _happens(untaken.taken, within_s=self._taken_limit_s)
            finally:
                if self._untaken.get(crossing.rule_id) is untaken:
                    del self._untaken[crossing.rule_id]

    async def _reaches_its_rule(
        self, crossing: Crossing, account_id: str, message: Message, delivered: Delivered
    ) -> bool:
        signalled = self._outcome(crossing.rule_id, account_id, message)
        outcome = await self._telemetry.delivering(crossing, signalled)
        if outcome is not DeliveryOutcome.SUPERSEDED:
            delivered(crossing)
        log.info(
            f"crossing.{outcome.value}",
            rule_id=crossing.rule_id,
            generation=crossing.generation,
            condition=crossing.condition.value,
        )
        return outcome is DeliveryOutcome.DELIVERED

    async def _outcome(self, rule_id: str, account_id: str, message: Message) -> DeliveryOutcome:
        try:
            is_open = await self._signal(rule_id, account_id, message)
        except _Superseded:
            return DeliveryOutcome.SUPERSEDED
        return DeliveryOutcome.DELIVERED if is_open else DeliveryOutcome.RULE_CLOSED

    async def _deliver_copy(
        self, crossing: Crossing, account_id: str, message: Message, delivered: Delivered
    ) -> None:
        with suppress(_Superseded):
            async with self._places.place(account_id):
                if await self._signal(crossing.rule_id, account_id, message):
                    delivered(crossing)  # one that is gone is the orphans' business

    async def _signal(self, rule_id: str, account_id: str, message: Message) -> bool:
        async def signal() -> bool:
            crossed = message()
            if crossed is None:
                raise _Superseded
            return await self._signals.crossed(rule_id, crossed)

        return await self._persist(signal, rule_id=rule_id, account_id=account_id)

    async def market_changed(self, token_id: TokenId, rule_ids: Sequence[str]) -> None:
        """Read a token's terms again and tell the rules that stand on it, in the background."""
        try:
            instrument = await self._data.instrument(token_id)
        except VenueError as error:
            log.warning("instrument.unreadable", token_id=token_id, code=error.code)
            return
        for rule_id in rule_ids:
            self._keep(self._tell(rule_id, instrument))

    async def _tell(self, rule_id: str, instrument: Instrument) -> bool:
        async with self._places.place(NOBODYS):
            told = partial(self._signals.market_changed, rule_id, instrument)
            return await self._persist(told, rule_id=rule_id, account_id=NOBODYS)

    async def close(self) -> None:
        """Give up what is under way; a restarted feed finds it again in the tape."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _happens(event: asyncio.Event, *, within_s: float) -> None:
    """Wait for an event, for so long at most."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await event.wait()
