"""The composition root: the only place that names concrete classes, for API, workers and tools alike."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from temporalio.client import Client

from activities.telemetry import UNMEASURED, Telemetry
from domain.breakers import ProbePace
from runtime.clock import SystemClock
from runtime.settings import Settings, TuningSettings
from runtime.temporal_signals import TemporalSignals
from runtime.venues import AccountVenues
from storage.database import Database
from storage.hints import NotifyHints
from storage.repositories.credentials import Credentials
from storage.repositories.paper_orders import PaperOrders
from storage.repositories.wallets import Wallets
from storage.sealed import KeyRing
from venues.adapter import VenueAdapter
from venues.paper.trading import PaperConfig
from venues.polymarket.config import HEARTBEAT_S, PolymarketConfig
from venues.registry import adapters


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a process of Holdfast is made of; repositories are made from `database` where they are used."""

    settings: Settings
    client: Client
    database: Database
    hints: NotifyHints
    wallets: Wallets
    credentials: Credentials
    venues: AccountVenues
    signals: TemporalSignals
    clock: SystemClock
    telemetry: Telemetry
    polymarket: PolymarketConfig
    adapters: Mapping[str, VenueAdapter]


@asynccontextmanager
async def build_parts(
    settings: Settings, client: Client, *, telemetry: Telemetry = UNMEASURED
) -> AsyncGenerator[Parts]:
    """Build the parts of a process and close them at its end."""
    async with AsyncExitStack() as stack:
        database = _database(settings)
        stack.push_async_callback(database.close)
        hints = NotifyHints(database, gap=settings.tuning.notify_gap.total_seconds())
        stack.push_async_callback(hints.close)
        clock = SystemClock()
        wallets = Wallets(database)
        credentials = Credentials(database, key_ring(settings))
        config = polymarket_config(settings)
        known = adapters(polymarket=config)
        venues = await stack.enter_async_context(
            AccountVenues(
                known,
                wallets=wallets,
                credentials=credentials,
                paper_orders=PaperOrders(database),
                clock=clock,
                credential_cache=settings.tuning.credential_cache,
                paper_config=PaperConfig(sockets=settings.trade_manager.ws_enabled),
            )
        )
        yield Parts(
            settings=settings,
            client=client,
            database=database,
            hints=hints,
            wallets=wallets,
            credentials=credentials,
            venues=venues,
            signals=TemporalSignals(client, settings.temporal, task_timeout=settings.tuning.task_timeout),
            clock=clock,
            telemetry=telemetry,
            polymarket=config,
            adapters=known,
        )


def key_ring(settings: Settings) -> KeyRing:
    """Return the ring of master keys; the first one of the settings seals."""
    ring = settings.security.key_ring()
    return KeyRing(ring[0].key_id, {key.key_id: key.raw() for key in ring})


def polymarket_config(settings: Settings) -> PolymarketConfig:
    """Return the venue's hosts and limits."""
    hosts = settings.polymarket
    return PolymarketConfig(
        clob_url=hosts.clob_url,
        gamma_url=hosts.gamma_url,
        data_url=hosts.data_url,
        ws_url=hosts.ws_url,
        geoblock_url=hosts.geoblock_url,
        chain_id=hosts.chain_id,
        heartbeat_s=HEARTBEAT_S if hosts.heartbeats else None,
        request_timeout_s=settings.tuning.venue_request.total_seconds(),
    )


def _database(settings: Settings) -> Database:
    database = settings.database
    return Database(
        database.dsn(),
        pool_size=database.pool_size,
        pool_overflow=database.pool_overflow,
        connect_timeout=database.connect_timeout.total_seconds(),
        statement_timeout=database.statement_timeout.total_seconds(),
    )


def probe_pace(tuning: TuningSettings) -> ProbePace:
    """Return how often sends may probe an open breaker: what claims keep, and what the API promises."""
    millisecond = timedelta(milliseconds=1)
    return ProbePace(
        exit_ms=tuning.breaker_probe // millisecond, entry_ms=tuning.breaker_entry_probe // millisecond
    )
