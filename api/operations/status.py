"""State of the Trade Manager and of the parts behind the API."""

from collections.abc import Collection
from datetime import datetime, timedelta
from decimal import Decimal

from api.deps import AccountContext, Services
from api.operations.feed_reports import FeedReports
from api.schemas.accounts import PartHealth, SystemHealthAnswer
from api.schemas.status import BreakerAnswer, FeedAnswer, GapAnswer, GapsAnswer, TradeManagerAnswer
from domain.errors import StorageUnavailable
from domain.messages import RulePhase, RuleStatus
from storage.repositories.tape import Tape

GAPS_SINCE = timedelta(days=1)

_MILLISECOND = timedelta(milliseconds=1)


async def trade_manager_state(services: Services, context: AccountContext) -> TradeManagerAnswer:
    """Return what the feed last said of itself, and this account's part in it."""
    now = services.clock.now()
    known = await services.feeds.all()
    reports = FeedReports.of(known, now)
    states = await services.breakers.states(context.account_id)
    opened = [f"{state.venue} {state.mode.value}" for state in states if state.is_open]
    counts = await services.rules.count_by_status(context.account_id)
    phases = await services.rules.count_by_phase(context.account_id)
    switches = services.trade_manager
    return TradeManagerAnswer(
        running=switches.enabled and reports.all_watched,
        enabled=switches.enabled,
        websocket=reports.websocket,
        poll_interval_seconds=Decimal(str(switches.poll_interval.total_seconds())),
        breaker_open=bool(opened),
        breakers=opened,
        breaker_states=[BreakerAnswer.of_state(state) for state in states],
        active_rules=counts[RuleStatus.ACTIVE],
        blocked_rules=phases[RulePhase.BLOCKED],
        orphaned_rules=phases[RulePhase.ORPHANED],
        tokens_watched=reports.tokens,
        tokens_polled=reports.tokens_polled,
        newest_quote_age_ms=reports.newest_quote_age_ms,
        feeds=[
            FeedAnswer.of(
                report,
                quote_age_ms=reports.quote_age_ms(report),
                told_ms_ago=reports.told_ms_ago(report),
            )
            for report in reports.living
        ],
        gaps=await _gaps(services, {report.venue for report in known}, now - GAPS_SINCE),
    )


async def _gaps(services: Services, venues: Collection[str], since: datetime) -> GapsAnswer:
    totals = await Tape(services.database).gap_totals(venues, since)
    return GapsAnswer(
        since=since,
        count=totals.spans,
        seconds=Decimal(totals.blind // _MILLISECOND) / 1000,
        latest=None if totals.latest is None else GapAnswer.of(totals.latest),
    )


async def system_health(services: Services) -> SystemHealthAnswer:
    """Return the state of database, Temporal and feed; never raises for a part that is away."""
    temporal_well = await services.temporal.reachable()
    now = services.clock.now()
    try:
        await services.database.ping()
        reports = FeedReports.of(await services.feeds.all(), now)
        database = PartHealth(ok=True, detail="answers")
    except StorageUnavailable:
        reports = FeedReports.of((), now)
        database = PartHealth(ok=False, detail="cannot be reached: rules go on when it is back")
    temporal = PartHealth(
        ok=temporal_well,
        detail="answers" if temporal_well else "cannot be reached: nothing can be created now",
    )
    feed = PartHealth(ok=reports.all_watched, detail=reports.in_words())
    return SystemHealthAnswer(
        status="ok" if database.ok and temporal.ok and feed.ok else "degraded",
        database=database,
        temporal=temporal,
        feed=feed,
        newest_quote_age_ms=reports.newest_quote_age_ms,
    )
