"""The account stream: what one order or one wallet hides, the others show all the same."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

from temporalio.testing import ActivityEnvironment

from activities.account_stream import AccountStreamActivities
from domain.errors import CredentialsMissing, VenueBlocked, VenueTransient
from domain.messages import StreamStart
from domain.orders import Mode
from domain.ports import AccountEvent, AccountEventKind
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


class Wallet:
    """One wallet's session: fills that it alone knows, a socket that says nothing."""

    def __init__(self, *fills):
        self.all_fills = fills
        self.opened = asyncio.Event()

    async def fills(self, *, after, market_id=None):
        return list(self.all_fills)

    @asynccontextmanager
    async def events(self):
        async def none():
            await asyncio.Event().wait()
            yield

        self.opened.set()
        yield none()


class CountedLedger(SweptLedger):
    """Busy until so many fills were booked; `on_booking` is called after each."""

    def __init__(self, wanted, on_booking=lambda: None):
        super().__init__([])
        self.wanted = wanted
        self.on_booking = on_booking
        self.fills = []

    async def busy_accounts(self):
        return [] if len(set(self.fills)) >= self.wanted else [MINE]

    async def book(self, account_id, venue, mode, fills=(), orders=()):
        self.fills += fills
        self.on_booking()
        return Booked()


def stream_of(desk, ledger, sessions):
    async def present(account_id, venue, mode):
        return list(sessions)

    desk.ingest._ledger = ledger
    desk.venues.sessions = present
    return AccountStreamActivities(
        ledger=ledger,
        ingest=desk.ingest,
        venues=desk.venues,
        clock=desk.activities._clock,
        sweep_min_s=0.01,
        sweep_max_s=0.01,
    )


async def test_fills_of_a_former_wallet_are_booked_too():
    sessions = [Wallet("of the new"), Wallet("of the former")]
    ledger = CountedLedger(wanted=2)
    stream = stream_of(Desk(), ledger, sessions)

    async with asyncio.timeout(5):
        await ActivityEnvironment().run(stream.run_stream, START)

    assert set(ledger.fills) == {"of the new", "of the former"}
    assert all(session.opened.is_set() for session in sessions)


async def test_wallet_that_comes_while_the_stream_runs_is_followed():
    sessions = [Wallet("first")]
    late = Wallet("late")

    def come():
        if late not in sessions:
            sessions.insert(0, late)

    ledger = CountedLedger(wanted=2, on_booking=come)
    stream = stream_of(Desk(), ledger, sessions)

    async with asyncio.timeout(5):
        await ActivityEnvironment().run(stream.run_stream, START)

    assert late.opened.is_set()
    assert set(ledger.fills) == {"first", "late"}


class Talking(Wallet):
    """A socket that tells some facts at once, and then nothing more."""

    def __init__(self, *facts):
        super().__init__()
        self.facts = facts

    @asynccontextmanager
    async def events(self):
        async def told():
            for fact in self.facts:
                yield AccountEvent(kind=AccountEventKind.FILL, fill=fact)
            await asyncio.Event().wait()

        yield told()


async def test_facts_that_wait_together_are_booked_together():
    bookings = []

    class Ledger(CountedLedger):
        async def book(self, account_id, venue, mode, fills=(), orders=()):
            bookings.append(tuple(fills))
            await asyncio.sleep(0)  # the socket goes on while Postgres works
            return await super().book(account_id, venue, mode, fills, orders)

    stream = stream_of(Desk(), Ledger(wanted=3), [Talking("a", "b", "c")])
    async with asyncio.timeout(5):
        await ActivityEnvironment().run(stream.run_stream, START)

    assert [booking for booking in bookings if booking] == [("a", "b", "c")]


class Refused(Wallet):
    """A wallet whose key the venue refuses, until it is served again."""

    def __init__(self, *fills):
        super().__init__(*fills)
        self.asked_from = []
        self.served = False

    async def fills(self, *, after, market_id=None):
        self.asked_from.append(after)
        if not self.served:
            raise VenueBlocked("the key was revoked")
        return await super().fills(after=after, market_id=market_id)


async def test_fills_of_the_other_wallets_are_booked_while_the_venue_refuses_one():
    refused = Refused("of the refused")
    ledger = CountedLedger(wanted=1)
    stream = stream_of(Desk(), ledger, [Wallet("of the new"), refused])

    async with asyncio.timeout(5):
        await ActivityEnvironment().run(stream.run_stream, START)

    assert set(ledger.fills) == {"of the new"}
    assert refused.asked_from


async def test_wallet_that_is_served_again_is_read_from_where_it_was_refused_first():
    refused, bookings = Refused("of the refused"), []

    def serve():
        bookings.append(1)
        refused.served = len(bookings) >= 3

    ledger = CountedLedger(wanted=2, on_booking=serve)
    stream = stream_of(Desk(), ledger, [Wallet("of the new"), refused])

    async with asyncio.timeout(5):
        await ActivityEnvironment().run(stream.run_stream, START)

    assert set(ledger.fills) == {"of the new", "of the refused"}
    assert refused.asked_from[-1] - refused.asked_from[0] < timedelta(seconds=1)


async def test_fills_are_booked_though_an_order_s_wallet_has_no_credentials_any_more():
    desk = Desk()
    ledger = CountedLedger(wanted=1)
    ledger.refs = [make_ref()]
    desk.venues.missing = CredentialsMissing("the account has no key")
    stream = stream_of(desk, ledger, [Wallet("of the new")])

    async with asyncio.timeout(5):
        await ActivityEnvironment().run(stream.run_stream, START)

    assert ledger.fills == ["of the new"]
