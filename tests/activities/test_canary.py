"""Secrets planted in a session never leave through an activity: not by result, failure or log line.

Every activity that a worker registers has a case, and so has every row of the venue's error table: a new one
without a case fails here.
"""

import asyncio
import io
import json
import traceback
from contextlib import aclosing
from datetime import timedelta
from types import SimpleNamespace

import pytest
from pydantic import SecretStr
from temporalio.testing import ActivityEnvironment

import runtime.logging
from activities.account_stream import AccountStreamActivities
from activities.feed_session import FeedSettings
from activities.held_exits import HeldExits
from activities.holdings import HoldingsActivities
from activities.ingest import Ingest
from activities.market_feed import MarketFeedActivities
from activities.projections import ProjectionActivities
from activities.schedules import ScheduleActivities
from activities.trading import TradingActivities
from domain.errors import StorageUnavailable
from domain.ids import RuleId
from domain.messages import (
    FeedShard,
    FollowOrder,
    Projection,
    ReadMarket,
    RecallOrder,
    RecallSales,
    ReleaseShares,
    StreamStart,
)
from domain.orders import Mode
from domain.outside import CompareHoldings, HoldingsPlace
from runtime.clock import SystemClock
from runtime.temporal_payloads import CONVERTER
from tests.activities.floor import HEARD_BY, Desk, make_ref, make_request
from tests.domain.builders import ACCOUNT, MARKET, TOKEN, make_attempt
from tests.fakes.trading import FakeVenues
from tests.venues.recording_server import Prepared, recording_server
from venues.polymarket.answers import TABLE
from venues.polymarket.authentication import wallet_identity
from venues.polymarket.config import PolymarketConfig
from venues.polymarket.credentials import ApiCredentials, VenueCredentials
from venues.polymarket.http import HttpSession
from venues.polymarket.market_data import PolymarketMarketData
from venues.polymarket.trading import PolymarketTrading
from worker.registry import Role, RoleActivities, work_of

PRIVATE_KEY = "0x" + "c0ffee11" * 8
API_SECRET = "Y2FuYXJ5LXNlY3JldC1jYW5hcnktc2VjcmV0LWNhbmFyeQ=="
PASSPHRASE = "canary-passphrase-5a1f"
CANARIES = (PRIVATE_KEY, PRIVATE_KEY[2:], API_SECRET, PASSPHRASE)
CLOSED = "http://127.0.0.1:9"
CONFIG = PolymarketConfig(clob_url=CLOSED, gamma_url=CLOSED, data_url=CLOSED, ws_url="ws://127.0.0.1:9/ws")
BRIEFLY_S = 0.3


class Away:
    """A repository whose database is away, whatever is asked of it."""

    def __getattr__(self, name):
        async def fail(*arguments, **named):
            raise StorageUnavailable("the database is away")

        return fail


def planted_session(venue_url=CLOSED):
    """A real session with planted secrets."""
    credentials = VenueCredentials(
        private_key=SecretStr(PRIVATE_KEY),
        api=ApiCredentials(
            api_key=SecretStr("00000000-0000-0000-0000-0000000000aa"),
            secret=SecretStr(API_SECRET),
            passphrase=SecretStr(PASSPHRASE),
        ),
        funder="",
    )
    return PolymarketTrading(CONFIG, credentials, Desk().data, HttpSession(venue_url, CONFIG))


def own_attempt():
    return make_attempt(wallet=wallet_identity("wal_1", SecretStr(PRIVATE_KEY), chain_id=137))


def activities_with(trading):
    desk = Desk()
    venues = FakeVenues(trading, desk.data)
    ingest = Ingest(desk.ledger, desk.rules, venues, desk.signals, desk.projections)
    clock = SystemClock()
    return RoleActivities(
        trading=TradingActivities(
            claims=desk.claims,
            projections=desk.projections,
            ledger=desk.ledger,
            instruments=desk.instruments,
            ingest=ingest,
            venues=venues,
            signals=desk.signals,
            clock=clock,
            heard_by=HEARD_BY,
            held_exits=HeldExits(desk.rules, Away(), desk.signals),
        ),
        projections=ProjectionActivities(Away()),
        feed=MarketFeedActivities(
            venues=SimpleNamespace(market_data=lambda venue: PolymarketMarketData(CONFIG)),
            watches=Away(),
            tape=Away(),
            leases=Away(),
            observations=Away(),
            statuses=Away(),
            rules=Away(),
            signals=desk.signals,
            workflows=Away(),
            clock=clock,
            settings=FeedSettings(),
        ),
        stream=AccountStreamActivities(ledger=Away(), ingest=ingest, venues=venues, clock=clock),
        holdings=HoldingsActivities(
            ledger=Away(),
            holdings=Away(),
            wallets=Away(),
            ingest=ingest,
            venues=venues,
            clock=clock,
            apart=timedelta(seconds=30),
        ),
        schedules=ScheduleActivities(
            ledger=Away(),
            orphans=Away(),
            rules=Away(),
            level_sweep=Away(),
            reversals=Away(),
            tape=Away(),
            watches=Away(),
            audit=Away(),
            signals=desk.signals,
            clock=clock,
        ),
    )


MARKET_OF_TOKEN = {
    "account_id": ACCOUNT,
    "venue": "polymarket",
    "mode": Mode.LIVE,
    "market_id": MARKET,
    "token_id": TOKEN,
}
ARGUMENTS = {
    "place_order": lambda: (make_request(own_attempt()),),
    "follow_order": lambda: (FollowOrder(ref=make_ref(own_attempt()), look_up=True),),
    "confirm_absent": lambda: (make_ref(own_attempt()),),
    "recall_order": lambda: (RecallOrder(order_id=own_attempt().order_id),),
    "recall_sales": lambda: (
        RecallSales(rule_id=RuleId("rul_1"), host_workflow_id="rule/rul_1", generation=1),
    ),
    "read_market": lambda: (ReadMarket(**MARKET_OF_TOKEN),),
    "cancel_order": lambda: (make_ref(own_attempt()),),
    "release_shares": lambda: (ReleaseShares(**MARKET_OF_TOKEN, for_order_id=own_attempt().order_id),),
    "project": lambda: (Projection(),),
    "run_feed": lambda: (FeedShard(venue="polymarket"),),
    "run_stream": lambda: (StreamStart(account_id=ACCOUNT, venue="polymarket", mode=Mode.LIVE),),
    "reconcile": lambda: (),
    "holdings_places": lambda: (),
    "compare_holdings": lambda: (
        CompareHoldings(place=HoldingsPlace(account_id=ACCOUNT, venue="polymarket")),
    ),
}


def registered(trading):
    """Every activity that a worker registers, by its name."""
    works = work_of(Role.ALL, activities_with(trading))
    return {activity.__name__: activity for work in works for activity in work.activities}


@pytest.fixture
def logged():
    """What the process logs, at the lowest level, as it would be written."""
    stream = io.StringIO()
    runtime.logging.configure(level=0, stream=stream, json=True)
    yield stream
    runtime.logging.configure()


async def shown_by(activity, arguments):
    """Run an activity; return its result as a payload, or its failure as text with every cause."""
    try:
        async with asyncio.timeout(BRIEFLY_S):
            result = await ActivityEnvironment().run(activity, *arguments)
    except Exception as error:  # whatever it raises is what Temporal would store
        return "".join(traceback.format_exception(error)) + repr(error)
    return repr(result) + str(CONVERTER.payload_converter.to_payloads([result])[0].data)


def test_every_registered_activity_has_a_case():
    assert set(ARGUMENTS) == set(registered(planted_session()))


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
async def test_secrets_stay_inside_when_an_activity_fails(name, logged):
    async with aclosing(planted_session()) as session:
        shown = await shown_by(registered(session)[name], ARGUMENTS[name]())

    assert not [canary for canary in CANARIES if canary in shown + logged.getvalue()]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.code + ":" + row.text[:24])
async def test_secrets_stay_inside_whatever_the_venue_refuses(row, logged):
    def echoing(request):
        """A venue that sends the body back with its refusal."""
        error = {"error": f"{row.text} {request.body.decode()}"}
        return Prepared(400, json.dumps(error).encode(), {"Content-Type": "application/json"})

    async with recording_server(echoing) as venue, aclosing(planted_session(venue.url)) as session:
        trading = activities_with(session).trading
        shown = await shown_by(trading.place_order, ARGUMENTS["place_order"]())

    assert not [canary for canary in CANARIES if canary in shown + logged.getvalue()]
    assert "answered" in shown  # the venue was reached, so there was something to leak
