"""Gauges over everything, out of Postgres. The API serves them, so that no two roles count the same."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import structlog
from prometheus_client.metrics_core import Metric

from domain.errors import StorageUnavailable
from domain.ports import Clock
from runtime.telemetry import catalogue
from runtime.telemetry.families import family
from storage.repositories.breakers import Breakers, BreakerState
from storage.repositories.feed_status import FeedStatus, FeedStatuses
from storage.repositories.fleet import Fleet, FleetCounts

log = structlog.stdlib.get_logger(__name__)

# However many ask and however often: one question to Postgres in this time.
FRESH_S = 5.0
# A large database is not kept busy with counting: a reading is good for this many times what it took.
REST = 20


@dataclass(frozen=True, slots=True)
class _Reading:
    counts: FleetCounts | None  # None where counting took longer than a statement may
    breakers: list[BreakerState]
    feeds: list[FeedStatus]
    at: datetime


class FleetGauges:
    """The latest reading; it is taken by `refresh` and shown by `collect`."""

    def __init__(
        self,
        fleet: Fleet,
        breakers: Breakers,
        feeds: FeedStatuses,
        clock: Clock,
        *,
        fresh_s: float = FRESH_S,
        rest: int = REST,
    ) -> None:
        """Take the repositories, and how long a reading is good: in seconds, and in times what it took."""
        self._fleet = fleet
        self._breakers = breakers
        self._feeds = feeds
        self._clock = clock
        self._fresh_s = fresh_s
        self._rest = rest
        self._turn = asyncio.Lock()
        self._good_until = 0.0
        self._reading: _Reading | None = None

    async def refresh(self) -> None:
        """Read again unless the latest reading is fresh. Without Postgres there are no figures."""
        async with self._turn:
            began = time.monotonic()
            if began < self._good_until:
                return
            self._reading = await self._read()
            ended = time.monotonic()
            self._good_until = ended + max(self._fresh_s, self._rest * (ended - began))

    async def _read(self) -> _Reading | None:
        try:
            breakers, feeds = await self._breakers.states(), await self._feeds.all()
        except StorageUnavailable as error:
            log.warning("metrics.postgres_not_read", error=str(error))
            return None
        return _Reading(await self._counts(), breakers, feeds, self._clock.now())

    async def _counts(self) -> FleetCounts | None:
        try:
            return await self._fleet.counts()
        except StorageUnavailable as error:
            log.warning("metrics.fleet_not_counted", error=str(error))
            return None

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of the latest reading."""
        reading = self._reading
        yield family(catalogue.DATABASE_UP, [((), 0.0 if reading is None else 1.0)])
        counts = None if reading is None else reading.counts
        yield family(catalogue.COUNTS_READ, [((), 0.0 if counts is None else 1.0)])
        if counts is not None:
            yield from _of_counts(counts)
        if reading is not None:
            yield from _of_states(reading)


def _of_counts(counts: FleetCounts) -> Iterable[Metric]:
    yield family(catalogue.RULES, [((c.venue, c.mode.value, c.phase.value), c.rules) for c in counts.rules])
    places = [((p.venue, p.mode.value), p) for p in counts.positions]
    yield family(catalogue.POSITIONS_OPEN, [(place, p.open) for place, p in places])
    yield family(catalogue.POSITIONS_UNPROTECTED, [(place, p.unprotected) for place, p in places])
    sends = [((u.venue, u.mode.value), u) for u in counts.unsettled]
    yield family(catalogue.CLAIMS_UNSETTLED, [(place, u.claims) for place, u in sends])
    yield family(catalogue.OLDEST_UNSETTLED, [(place, u.oldest_seconds) for place, u in sends])
    gaps = [((g.venue, g.reason), g) for g in counts.gaps]
    yield family(catalogue.FEED_GAPS, [(labels, g.gaps) for labels, g in gaps])
    yield family(catalogue.FEED_GAP_SECONDS, [(labels, g.seconds) for labels, g in gaps])


def _of_states(reading: _Reading) -> Iterable[Metric]:
    breakers = Counter[tuple[str, str, str]]()
    for state in reading.breakers:
        scope = "account" if state.account_id else "venue"
        breakers[state.venue, state.mode.value, scope] += int(state.is_open)
    yield family(catalogue.BREAKERS_OPEN, breakers.items())
    newest: dict[tuple[str, str], datetime] = {}
    for report in reading.feeds:
        place = (report.venue, str(report.shard))
        newest[place] = max(report.at, newest.get(place, report.at))
    ages = [(place, max((reading.at - at).total_seconds(), 0.0)) for place, at in newest.items()]
    yield family(catalogue.FEED_REPORT_AGE, ages)
