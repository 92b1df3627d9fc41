"""The activities of a worker process, built from the process's parts."""

from datetime import timedelta

from activities.account_stream import AccountStreamActivities
from activities.feed_notices import NoticeSettings
from activities.feed_session import FeedSettings
from activities.held_exits import HeldExits
from activities.holdings import HoldingsActivities
from activities.ingest import Ingest
from activities.level_sweep import LevelSweep
from activities.lost_reversals import LostReversals
from activities.market_feed import MarketFeedActivities
from activities.orphans import Orphans
from activities.projections import ProjectionActivities
from activities.schedules import ScheduleActivities
from activities.trading import TradingActivities
from domain.breakers import BreakerLimits
from runtime.build import Parts, probe_pace
from runtime.settings import Settings
from runtime.temporal import workflow_tuning
from storage.repositories.audit import Audit
from storage.repositories.breakers import Breakers
from storage.repositories.claims import Claims
from storage.repositories.feed_leases import FeedLeases
from storage.repositories.feed_status import FeedStatuses
from storage.repositories.holdings import Holdings
from storage.repositories.instruments import Instruments
from storage.repositories.ledger import Ledger
from storage.repositories.observations import Observations
from storage.repositories.orders import Orders
from storage.repositories.projections import Projections
from storage.repositories.reversals import Reversals
from storage.repositories.rules import Rules
from storage.repositories.sweep import Sweep
from storage.repositories.tape import Tape
from storage.repositories.watches import Watches
from worker.registry import RoleActivities
from worker.singletons import FEED_VENUES


def activities_of(parts: Parts) -> RoleActivities:
    """Return every activity of the registry, with its ports."""
    database, tuning = parts.database, parts.settings.tuning
    ledger, rules = Ledger(database), Rules(database)
    projections = Projections(database, parts.hints)
    ingest = Ingest(ledger, rules, parts.venues, parts.signals, projections, tuning=workflow_tuning(tuning))
    return RoleActivities(
        trading=TradingActivities(
            claims=Claims(database, parts.hints, breakers_of(parts)),
            projections=projections,
            ledger=ledger,
            instruments=Instruments(database),
            ingest=ingest,
            venues=parts.venues,
            signals=parts.signals,
            clock=parts.clock,
            heard_by=tuning.heard_by,
            held_exits=HeldExits(rules, Orders(database), parts.signals, probe_pace(tuning)),
            telemetry=parts.telemetry,
        ),
        projections=ProjectionActivities(projections, parts.telemetry),
        feed=MarketFeedActivities(
            venues=parts.venues,
            watches=Watches(database),
            tape=Tape(database),
            leases=FeedLeases(database, life=tuning.feed_lease),
            observations=Observations(database, parts.hints),
            statuses=FeedStatuses(database),
            rules=rules,
            signals=parts.signals,
            workflows=parts.signals,
            clock=parts.clock,
            settings=feed_settings(parts.settings),
            telemetry=parts.telemetry,
        ),
        stream=AccountStreamActivities(
            ledger=ledger,
            ingest=ingest,
            venues=parts.venues,
            clock=parts.clock,
            sweep_min_s=tuning.stream_sweep_min.total_seconds(),
            sweep_max_s=tuning.stream_sweep_max.total_seconds(),
        ),
        holdings=HoldingsActivities(
            ledger=ledger,
            holdings=Holdings(database),
            wallets=parts.wallets,
            ingest=ingest,
            venues=parts.venues,
            clock=parts.clock,
            apart=tuning.holdings_apart,
        ),
        schedules=ScheduleActivities(
            ledger=ledger,
            rules=rules,
            orphans=Orphans(rules, projections, parts.signals, parts.clock, grace=tuning.orphan_grace),
            level_sweep=LevelSweep(
                sweep=Sweep(database),
                watches=Watches(database),
                signals=parts.signals,
                clock=parts.clock,
                venues=FEED_VENUES,
                beyond_for=tuning.sweep_beyond,
            ),
            reversals=LostReversals(Reversals(database), ingest, parts.clock),
            tape=Tape(database),
            watches=Watches(database),
            audit=Audit(database),
            signals=parts.signals,
            clock=parts.clock,
        ),
    )


def breakers_of(parts: Parts) -> Breakers:
    """Return the breakers, by the settings."""
    settings, tuning = parts.settings.breakers, parts.settings.tuning
    return Breakers(
        parts.database,
        parts.hints,
        limits=BreakerLimits(
            unknowns=settings.unknowns,
            blocks=settings.blocks,
            forgets_ms=_ms(tuning.breaker_forgets),
        ),
        pace=probe_pace(tuning),
    )


def _ms(duration: timedelta) -> int:
    return int(duration / timedelta(milliseconds=1))


def feed_settings(settings: Settings) -> FeedSettings:
    """Return how feeds work, by the settings."""
    tuning, observations = settings.tuning, settings.observations
    return FeedSettings(
        ws_enabled=settings.trade_manager.ws_enabled,
        poll_interval_s=settings.trade_manager.poll_interval.total_seconds(),
        reread_s=tuning.watches_reread.total_seconds(),
        flush_s=tuning.tape_flush.total_seconds(),
        silence_s=tuning.silence_check.total_seconds(),
        pause_limit_ms=int(tuning.feed_heartbeat.total_seconds() * 1000),
        notices=NoticeSettings(
            pause=observations.near_miss_pause,
            sample_s=observations.sample_every.total_seconds(),
            samples=observations.samples,
            kept=observations.kept,
        ),
    )
