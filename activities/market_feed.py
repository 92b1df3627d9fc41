"""The market feed's activity: heartbeats, and one session after another."""

import asyncio
import contextlib

import structlog
from temporalio import activity

from activities.feed_delivery import Delivery
from activities.feed_gaps import GapReason
from activities.feed_notices import EventLog
from activities.feed_recorder import FeedSuperseded
from activities.feed_session import FeedRestart, FeedSession, FeedSettings
from activities.quiet_exits import QuietExits
from activities.telemetry import UNMEASURED, Telemetry
from domain.errors import StorageUnavailable
from domain.messages import FeedShard
from domain.ports import Clock, RuleWorkflows, Signals, Venues
from storage.repositories.feed_leases import FeedLeases
from storage.repositories.feed_status import FeedStatus, FeedStatuses
from storage.repositories.rules import Rules
from storage.repositories.tape import Tape
from storage.repositories.watches import Watches

log = structlog.get_logger()

STATUS_S = 1.0


class MarketFeedActivities:
    """Feeds quotes to the trigger index and crossings to rules."""

    def __init__(
        self,
        *,
        venues: Venues,
        watches: Watches,
        tape: Tape,
        leases: FeedLeases,
        observations: EventLog,
        statuses: FeedStatuses,
        rules: Rules,
        signals: Signals,
        workflows: RuleWorkflows,
        clock: Clock,
        settings: FeedSettings,
        telemetry: Telemetry = UNMEASURED,
    ) -> None:
        """Take the ports."""
        self._venues = venues
        self._watches = watches
        self._tape = tape
        self._leases = leases
        self._observations = observations
        self._statuses = statuses
        self._rules = rules
        self._signals = signals
        self._workflows = workflows
        self._clock = clock
        self._settings = settings
        self._telemetry = telemetry

    @activity.defn
    async def run_feed(self, shard: FeedShard) -> None:
        """Feed until cancelled; a session that finds itself paused begins anew, from tape and fresh books."""
        data = self._venues.market_data(shard.venue)
        reason = GapReason.RESTART
        while not activity.is_worker_shutdown():
            delivery = Delivery(self._signals, data, self._telemetry)
            try:
                async with data.stream() as stream:
                    session = FeedSession(
                        shard,
                        self._settings,
                        data=data,
                        stream=stream,
                        watches=self._watches,
                        tape=self._tape,
                        leases=self._leases,
                        observations=self._observations,
                        delivery=delivery,
                        clock=self._clock,
                        reason=reason,
                    )
                    with self._telemetry.feeding(shard, session.health):
                        await self._run(session, shard)
            except* FeedRestart as restarts:
                log.warning("feed.restart", reason=str(_first(restarts)))
                reason = GapReason.PAUSE
            finally:
                await delivery.close()

    async def _run(self, session: FeedSession, shard: FeedShard) -> None:
        """Run one session beside its heartbeat; flush what it holds when it ends."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._heartbeat(shard))
                group.create_task(self._report(session, shard))
                group.create_task(self._look_after_exits(session, shard))
                group.create_task(session.run())
                group.create_task(_stop_with_worker())
        except* _WorkerStops:
            log.info("feed.stops", venue=shard.venue)
        finally:
            with contextlib.suppress(asyncio.CancelledError, FeedSuperseded):
                await asyncio.shield(session.close())

    async def _heartbeat(self, shard: FeedShard) -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(shard.heartbeat_ms / 1000 / 3)

    async def _look_after_exits(self, session: FeedSession, shard: FeedShard) -> None:
        await session.until_live()
        exits = QuietExits(shard, self._rules, self._workflows, self._clock)
        await exits.run(lambda: session.health().writes_tape)

    async def _report(self, session: FeedSession, shard: FeedShard) -> None:
        # A report says that the feed sees.
        await session.until_live()
        while True:
            await asyncio.sleep(STATUS_S)
            health = session.health()
            status = FeedStatus(
                venue=shard.venue,
                shard=shard.shard,
                shards=shard.shards,
                replica=shard.replica,
                writes_tape=health.writes_tape,
                websocket=health.connected,
                tokens=health.tokens,
                rules=health.rules,
                newest_quote_age_ms=health.newest_quote_age_ms,
                polling=not self._settings.ws_enabled,
                at=self._clock.now(),
            )
            try:
                await self._statuses.put(status)
            except StorageUnavailable as error:
                log.warning("feed.status_not_written", error=str(error))


def _first(restarts: BaseExceptionGroup[FeedRestart]) -> FeedRestart:
    """Return the restart that task groups wrapped."""
    inner = restarts.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


class _WorkerStops(Exception):
    """The worker shuts down: the feed moves elsewhere."""


async def _stop_with_worker() -> None:
    await activity.wait_for_worker_shutdown()
    raise _WorkerStops
