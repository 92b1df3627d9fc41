"""The API's services, built from the parts of a process."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from activities.adoption import Adoption
from activities.found_holdings import FoundHoldings
from activities.held_exits import HeldExits
from activities.ingest import Ingest
from api.codec_access import CodecAccess, CodecSessions, origin_of
from api.deps import Services, TradeManager
from api.shared_reads import SharedReads
from api.temporal_gateway import TemporalGateway
from api.wallet_opener import VenueWallets
from api.wallet_vault import WalletVault
from domain import messages
from runtime.build import Parts, build_parts, probe_pace
from runtime.regions import VenueRegions
from runtime.settings import Settings
from runtime.telemetry.exposition import Exposition
from runtime.telemetry.fleet import FleetGauges
from runtime.telemetry.process import ProcessTelemetry
from runtime.telemetry.tracing import NO_TRACING, Tracing
from runtime.temporal import connect, queue, workflow_tuning
from runtime.temporal_codec import codec_of
from storage.repositories.accounts import Accounts
from storage.repositories.api_keys import ApiKeys
from storage.repositories.audit import Audit
from storage.repositories.breakers import Breakers
from storage.repositories.claims import Claims
from storage.repositories.events import Events
from storage.repositories.feed_status import FeedStatuses
from storage.repositories.fleet import Fleet
from storage.repositories.idempotency import Idempotency
from storage.repositories.ledger import Ledger
from storage.repositories.orders import Orders
from storage.repositories.positions import Positions
from storage.repositories.projections import Projections
from storage.repositories.rules import Rules
from storage.repositories.switches import Switches


@asynccontextmanager
async def build_api_services(settings: Settings, tracing: Tracing = NO_TRACING) -> AsyncGenerator[Services]:
    """Build what stands behind the API; it starts while Temporal or Postgres is away, and says so."""
    telemetry = ProcessTelemetry(settings.telemetry, role="api")
    client = await connect(
        settings.temporal, lazy=True, runtime=telemetry.runtime, interceptors=tracing.interceptors
    )
    async with (
        build_parts(settings, client, telemetry=tracing.around(telemetry.activities)) as parts,
        telemetry.served(beside=(settings.api.host, settings.api.port)),
    ):
        yield _services(settings, parts, telemetry.exposition)


def _services(settings: Settings, parts: Parts, exposition: Exposition | None) -> Services:
    database, tuning = parts.database, settings.tuning
    orders = Orders(database)
    ledger, rules = Ledger(database), Rules(database)
    projections = Projections(database, parts.hints)
    ingest = Ingest(ledger, rules, parts.venues, parts.signals, projections, tuning=workflow_tuning(tuning))
    gateway = TemporalGateway(
        parts.client,
        task_queue=queue(settings.temporal, messages.QUEUE_CORE),
        task_timeout=tuning.task_timeout,
        answer_limit=tuning.create_answer,
    )
    feeds = FeedStatuses(database)
    if exposition is not None:
        exposition.add(FleetGauges(Fleet(database), Breakers(database, parts.hints), feeds, parts.clock))
    return Services(
        database=database,
        accounts=Accounts(database),
        adoption=Adoption(rules, Claims(database, parts.hints), ledger),
        api_keys=ApiKeys(database, settings.security.pepper()),
        audit=Audit(database),
        breakers=Breakers(database, parts.hints, pace=probe_pace(tuning)),
        codec=CodecAccess(
            codec=codec_of(settings.temporal),
            ui_origin=origin_of(settings.temporal.ui_url),
            sessions=CodecSessions(settings.security.pepper()),
        ),
        events=Events(database),
        feeds=feeds,
        idempotency=Idempotency(database),
        instruments=SharedReads(parts.venues),
        found_holdings=FoundHoldings(ledger, ingest, parts.venues),
        held_exits=HeldExits(rules, orders, parts.signals),
        ledger=ledger,
        orders=orders,
        positions=Positions(database),
        rules=rules,
        switches=Switches(database),
        venues=parts.venues,
        wallets=WalletVault(VenueWallets(parts.adapters), parts.wallets, parts.credentials),
        regions=VenueRegions(parts.polymarket),
        signals=parts.signals,
        rule_starter=gateway,
        order_starter=gateway,
        temporal=gateway,
        clock=parts.clock,
        tuning=workflow_tuning(tuning),
        trade_manager=TradeManager(
            enabled=settings.trade_manager.enabled,
            ws_enabled=settings.trade_manager.ws_enabled,
            poll_interval=settings.trade_manager.poll_interval,
        ),
        entry_send_window=tuning.entry_send_window,
        answer_limit=tuning.create_answer,
        admin_key=settings.api.admin_key,
        metrics=exposition,
    )
