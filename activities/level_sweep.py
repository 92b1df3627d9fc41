"""The backstop of the trigger index: rules that the tape shows beyond their level for long are told of it."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import structlog

from activities.telling import tell_all
from domain.messages import Crossed, WatchRow
from domain.ports import Clock, Signals
from domain.quotes import Ladder
from domain.rules.crossing import Crossing
from storage.repositories.sweep import BeyondLevel, Sweep
from storage.repositories.watches import Watches

log = structlog.get_logger()

AT_ONCE = 4
"""Rules that are told and have not taken their crossing up. Few: when a gap crosses a thousand rules many are
found here while the feed lets them sell one after another, and all at once they would stand in its way.
"""
LOOKS = 5
LOOK_AGAIN_S = 0.1
"""A rule that has not taken its crossing up after so many looks makes room for the next."""
TAKES_S = 20.0
"""What one pass could not tell in so long is found by the next one."""


class LevelSweep:
    """Signals what the feed should have signalled. Shares no code with the trigger index, on purpose."""

    def __init__(
        self,
        *,
        sweep: Sweep,
        watches: Watches,
        signals: Signals,
        clock: Clock,
        venues: tuple[str, ...],
        beyond_for: timedelta,
        takes_s: float = TAKES_S,
    ) -> None:
        """Take where watches are found, the way to workflows, and how long beyond its level one is swept."""
        self._sweep = sweep
        self._watches = watches
        self._signals = signals
        self._clock = clock
        self._venues = venues
        self._beyond_for = beyond_for
        self._takes_s = takes_s

    async def tell(self) -> int:
        """Signal armed watches that the tape shows beyond their level for the whole window; return how many.

        Accounts take turns. A rule that was let sell meanwhile is left alone.

        Raises:
            ExceptionGroup: some could not be told; all others were.
            StorageUnavailable: Postgres cannot be reached now.
        """
        ends_ms = self._clock.monotonic_ms() + round(self._takes_s * 1000)
        found = [one for venue in self._venues for one in await self._beyond(venue)]

        async def tell(one: BeyondLevel) -> bool:
            if self._clock.monotonic_ms() > ends_ms:
                log.warning("crossing.left_to_next_sweep", rule_id=one.watch.rule_id)
                return False
            return await self._tell(one)

        return await tell_all(_in_turns(found), tell, at_once=AT_ONCE)

    async def _beyond(self, venue: str) -> list[BeyondLevel]:
        return await self._sweep.beyond(venue, self._clock.now(), window=self._beyond_for)

    async def _tell(self, found: BeyondLevel) -> bool:
        watch = found.watch
        if not await self._stands(watch):
            return False
        crossed = Crossed(crossing=self._crossing(found), ladder=Ladder(()))
        if not await self._signals.crossed(watch.rule_id, crossed):
            return False  # its workflow is gone: the orphans' business
        log.warning("crossing.found_by_sweep", rule_id=watch.rule_id)
        for _ in range(LOOKS):
            await asyncio.sleep(LOOK_AGAIN_S)
            if not await self._stands(watch):
                break
        return True

    async def _stands(self, watch: WatchRow) -> bool:
        return await self._watches.armed_generation(watch.rule_id) == watch.generation

    def _crossing(self, found: BeyondLevel) -> Crossing:
        watch = found.watch
        return Crossing(
            rule_id=watch.rule_id,
            generation=watch.generation,
            condition_index=found.condition_index,
            condition=watch.resolved.conditions[found.condition_index].type,
            level=found.level,
            quote=found.quote,
            price=found.price,
            mark=found.mark,
            confirm_count=found.changes,
            beyond_since_ms=int(found.since.timestamp() * 1000),
            observed_at_ms=int(self._clock.now().timestamp() * 1000),
            venue_timestamp_ms=None,
        )


def _in_turns(found: Sequence[BeyondLevel]) -> list[BeyondLevel]:
    """Order by accounts in turn, each account's in the order given."""
    before: Counter[str] = Counter()
    places: list[int] = []
    for one in found:
        places.append(before[one.watch.account_id])
        before[one.watch.account_id] += 1
    return [one for _, one in sorted(zip(places, found, strict=True), key=lambda pair: pair[0])]
