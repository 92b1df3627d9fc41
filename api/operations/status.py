"""State of the Trade Manager and of the parts behind the API."""

from collections.abc import Collection
from datetime import datetime, timedelta
from decimal import Decimal

from api.deps import AccountContext, Services
from api.schemas.accounts import PartHealth, SystemHealthAnswer
from api.schemas.status import BreakerAnswer, GapAnswer, GapsAnswer, TradeManagerAnswer
from domain.errors import StorageUnavailable
from domain.messages import RulePhase, RuleStatus
from storage.repositories.feed_status import FeedStatus
from storage.repositories.tape import Tape

REPORT_LIFE = timedelta(seconds=15)
"""A shard that has said nothing for this long is not counted as running."""

GAPS_SINCE = timedelta(days=1)

_MILLISECOND = timedelta(milliseconds=1)


async def trade_manager_state(services: Services, context: AccountContext) -> TradeManagerAnswer:
    """Return what the feed last said of itself, and this account's part in it."""
    now = services.clock.now()
    known = await services.feeds.all()
    reports = live_reports(known, now)
    states = await services.breakers.states(context.account_id)
    opened = [f"{state.venue} {state.mode.value}" for state in states if state.is_open]
    counts = await services.rules.count_by_status(context.account_id)
    phases = await services.rules.count_by_phase(context.account_id)
    switches = services.trade_manager
    return TradeManagerAnswer(
        running=switches.enabled and bool(reports),
        enabled=switches.enabled,
        websocket=any(report.websocket for report in reports),
        poll_interval_seconds=Decimal(str(switches.poll_interval.total_seconds())),
        breaker_open=bool(opened),
        breakers=opened,
        breaker_states=[BreakerAnswer.of_state(state) for state in states],
        active_rules=counts[RuleStatus.ACTIVE],
        blocked_rules=phases[RulePhase.BLOCKED],
        orphaned_rules=phases[RulePhase.ORPHANED],
        tokens_watched=sum(report.tokens for report in reports),
        tokens_polled=sum(report.tokens for report in reports if report.polling),
        newest_quote_age_ms=newest_quote_age(reports, now),
        gaps=await _gaps(services, {report.venue for report in known}, now - GAPS_SINCE),
    )


async def _gaps(services: Services, venues: Collection[str], since: datetime) -> GapsAnswer:
    tape = Tape(services.database)
    found = [gap for venue in sorted(venues) for gap in await tape.gaps(venue, since)]
    blind = sum((gap.ended_at - gap.started_at for gap in found), start=timedelta(0))
    latest = max(found, key=lambda gap: gap.ended_at, default=None)
    return GapsAnswer(
        since=since,
        count=len(found),
        seconds=Decimal(blind // _MILLISECOND) / 1000,
        latest=None if latest is None else GapAnswer.of(latest),
    )


def live_reports(reports: list[FeedStatus], now: datetime) -> list[FeedStatus]:
    """Return the reports of shards that gave a sign of life lately."""
    return [report for report in reports if now - report.at <= REPORT_LIFE]


def newest_quote_age(reports: list[FeedStatus], now: datetime) -> int | None:
    """Return the age of the newest quote of all shards in milliseconds, as of now; None before the first."""
    ages = [
        report.newest_quote_age_ms + max(0, (now - report.at) // _MILLISECOND)
        for report in reports
        if report.newest_quote_age_ms is not None
    ]
    return min(ages, default=None)


async def system_health(services: Services) -> SystemHealthAnswer:
    """Return the state of database, Temporal and feed; never raises for a part that is away."""
    temporal_well = await services.temporal.reachable()
    now = services.clock.now()
    try:
        await services.database.ping()
        reports = live_reports(await services.feeds.all(), now)
        database = PartHealth(ok=True, detail="answers")
    except StorageUnavailable:
        reports = []
        database = PartHealth(ok=False, detail="cannot be reached: rules go on when it is back")
    temporal = PartHealth(
        ok=temporal_well,
        detail="answers" if temporal_well else "cannot be reached: nothing can be created now",
    )
    feed = _feed_health(reports)
    return SystemHealthAnswer(
        status="ok" if database.ok and temporal.ok and feed.ok else "degraded",
        database=database,
        temporal=temporal,
        feed=feed,
        newest_quote_age_ms=newest_quote_age(reports, now),
    )


def _feed_health(reports: list[FeedStatus]) -> PartHealth:
    if not reports:
        return PartHealth(ok=False, detail="no feed gave a sign of life lately")
    polled = sum(1 for report in reports if report.polling)
    source = "by sockets" if not polled else f"{polled} of {len(reports)} shards by polling"
    return PartHealth(ok=True, detail=f"{sum(report.tokens for report in reports)} tokens watched, {source}")
