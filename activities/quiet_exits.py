"""Exits of which nothing is heard: their workflow may not know of them any more.

A Temporal whose file was rolled back knows such a rule as armed, while its watch is disarmed and its claim
stands, which binds the shares for every other rule too. The workflow finds the exit by its claims once
something makes it look. The minute's pass does; this looks within seconds.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from activities.telling import tell_all
from domain.errors import StorageUnavailable
from domain.ids import RuleId
from domain.messages import FeedShard
from domain.ports import Clock, RuleWorkflows
from storage.repositories.rules import OpenRule, Rules

log = structlog.get_logger()

LOOK_EVERY_S = 2.0
QUIET = timedelta(seconds=4)
"""An exit that goes well writes its rows sooner."""
AGAIN_AFTER = timedelta(seconds=60)
"""One that only waits, for its venue say, is told once; if it stays quiet it is the minute's pass's."""
LOOKED_AFTER = 16
"""How many one look tells: in an outage of the venue all its exits are quiet."""
AT_ONCE = 4
"""Of these, how many signals are under way together."""


class QuietExits:
    """Makes the workflows of quiet exits look after them, those of one feed's tokens."""

    def __init__(self, shard: FeedShard, rules: Rules, workflows: RuleWorkflows, clock: Clock) -> None:
        """Take whose exits, where they are found, and the way to their workflows."""
        self._shard = shard
        self._rules = rules
        self._workflows = workflows
        self._clock = clock
        self._told: dict[RuleId, datetime] = {}

    async def run(self, in_charge: Callable[[], bool]) -> None:
        """Look again and again while in charge of the shard (a standby leaves it to the other)."""
        while True:
            try:
                if in_charge():
                    await self.look()
            except* (StorageUnavailable, ConnectionError) as group:
                log.warning("quiet_exits.not_told", errors=[str(error) for error in group.exceptions])
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Tell the exits that have been quiet for a while and were not told lately, the longest quiet first.

        Raises:
            ExceptionGroup: some could not be told; all others were.
            StorageUnavailable: Postgres cannot be reached now.
        """
        now = self._clock.now()
        self._told = {rule: at for rule, at in self._told.items() if now - at < AGAIN_AFTER}

        async def tell(rule: OpenRule) -> bool:
            if await self._workflows.look_after_exit(rule.rule_id):
                # One that its history shows as armed, and that has no claim, watches again by this.
                await self._workflows.show_rule(rule.rule_id)
            self._told[rule.rule_id] = now
            log.info("exit.quiet", rule_id=rule.rule_id, phase=rule.phase.value)
            return True

        await tell_all((await self._quiet(now))[:LOOKED_AFTER], tell, at_once=AT_ONCE)

    async def _quiet(self, now: datetime) -> list[OpenRule]:
        shard = self._shard
        quiet = await self._rules.quiet_exits(
            shard.venue, shard.shard, shard.shards, last_heard=(now - AGAIN_AFTER, now - QUIET)
        )
        return [rule for rule in quiet if rule.rule_id not in self._told]
