"""Delivering crossings: durable before the index forgets them, fair between accounts."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from decimal import Decimal
from functools import partial

import structlog

from activities.telemetry import UNMEASURED, Telemetry
from domain.errors import VenueError
from domain.ids import TokenId
from domain.messages import Crossed
from domain.ports import MarketData, Signals
from domain.quotes import Level, ladder_for
from domain.rules.crossing import Crossing

log = structlog.get_logger()

AT_ONCE = 64
FIRST_RETRY_S = 0.1
RETRY_CAP_S = 2.0

Delivered = Callable[[Crossing], None]


class Delivery:
    """Signals rules of their crossings; keeps trying while Temporal is away, since a crossing is a fact."""

    def __init__(self, signals: Signals, data: MarketData, telemetry: Telemetry = UNMEASURED) -> None:
        """Take the way to workflows, and who counts."""
        self._signals = signals
        self._telemetry = telemetry
        self._data = data
        self._places = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[object]] = set()

    def send(self, crossing: Crossing, bids: Sequence[Level], shares: Decimal, delivered: Delivered) -> None:
        """Deliver in the background; `delivered` is called once the signal is durable."""
        self._keep(self._deliver(_crossed(crossing, bids, shares), delivered))

    def send_again(
        self, crossing: Crossing, bids: Sequence[Level], shares: Decimal, delivered: Delivered
    ) -> None:
        """Deliver a copy of a crossing, which was counted when it was delivered first."""
        self._keep(self._deliver_copy(_crossed(crossing, bids, shares), delivered))

    def _keep(self, work: Coroutine[object, object, object]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _persist(self, signal: Callable[[], Awaitable[bool]], *, rule_id: str) -> bool:
        """Signal until Temporal has taken it; return whether the rule is open."""
        wait_s = FIRST_RETRY_S
        while True:
            try:
                async with self._places:
                    return await signal()
            except ConnectionError as error:
                log.warning("signal.waits_for_temporal", rule_id=rule_id, error=str(error))
            except Exception:
                # Nobody foresaw it, and an exit waits: it is told loudly and tried again, never given up.
                log.exception("signal.fails", rule_id=rule_id)
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, RETRY_CAP_S)

    async def _deliver(self, crossed: Crossed, delivered: Delivered) -> None:
        crossing = crossed.crossing
        open_ = await self._telemetry.delivering(crossing, self._signal(crossed))
        delivered(crossing)
        log.info(
            "crossing.delivered" if open_ else "crossing.rule_closed",
            rule_id=crossing.rule_id,
            generation=crossing.generation,
            condition=crossing.condition.value,
        )

    async def _deliver_copy(self, crossed: Crossed, delivered: Delivered) -> None:
        if await self._signal(crossed):  # one that is gone is the orphans' business
            delivered(crossed.crossing)

    async def _signal(self, crossed: Crossed) -> bool:
        rule_id = crossed.crossing.rule_id
        return await self._persist(lambda: self._signals.crossed(rule_id, crossed), rule_id=rule_id)

    async def market_changed(self, token_id: TokenId, rule_ids: Sequence[str]) -> None:
        """Read a token's terms again and tell the rules that stand on it, in the background."""
        try:
            instrument = await self._data.instrument(token_id)
        except VenueError as error:
            log.warning("instrument.unreadable", token_id=token_id, code=error.code)
            return
        for rule_id in rule_ids:
            self._keep(
                self._persist(partial(self._signals.market_changed, rule_id, instrument), rule_id=rule_id)
            )

    async def close(self) -> None:
        """Give up what is under way; a restarted feed finds it again in the tape."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _crossed(crossing: Crossing, bids: Sequence[Level], shares: Decimal) -> Crossed:
    return Crossed(crossing=crossing, ladder=ladder_for(bids, shares))
