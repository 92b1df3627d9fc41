"""The account stream's sweep: one order that cannot be looked up must not hide the fills of the others."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

from temporalio.testing import ActivityEnvironment

from activities.account_stream import AccountStreamActivities
from domain.errors import VenueTransient
from domain.messages import StreamStart
from domain.orders import Mode
from storage.repositories.ledger import Booked, BusyAccount
from tests.activities.floor import Desk, make_ref
from tests.domain.builders import ACCOUNT, make_attempt

START = StreamStart(account_id=ACCOUNT, venue="polymarket", mode=Mode.LIVE)
MINE = BusyAccount(account_id=ACCOUNT, venue="polymarket", mode=Mode.LIVE)


class SweptLedger:
    """Two unsettled orders; busy until the fills were booked."""

    def __init__(self, refs):
        self.refs = refs
        self.booked = 0

    async def busy_accounts(self):
        return [] if self.booked else [MINE]

    async def unsettled_orders(self, account_id, venue, mode):
        return self.refs

    async def unconfirmed_since(self, account_id, venue, mode):
        return None

    async def book(self, account_id, venue, mode, fills=(), orders=()):
        self.booked += 1
        return Booked()


async def test_sweep_books_fills_though_one_order_cannot_be_looked_up():
    desk = Desk()
    stuck, fine = make_ref(), replace(make_ref(), order_id=make_attempt(order_id="ord_2").order_id)
    ledger = SweptLedger([stuck, fine])
    desk.ingest._ledger = ledger
    asked = []

    async def find_order(venue_order_id, market_id):
        asked.append(venue_order_id)
        if len(asked) == 1:
            raise VenueTransient("unreadable")
        return None

    @asynccontextmanager
    async def events():
        async def none():
            await asyncio.Event().wait()
            yield

        yield none()

    desk.trading.find_order, desk.trading.events = find_order, events
    activities = AccountStreamActivities(
        ledger=ledger,
        ingest=desk.ingest,
        venues=desk.venues,
        clock=desk.activities._clock,
        sweep_min_s=0.01,
        sweep_max_s=0.01,
    )

    async with asyncio.timeout(5):
        await ActivityEnvironment().run(activities.run_stream, START)

    assert len(asked) == 2
    assert ledger.booked == 1
