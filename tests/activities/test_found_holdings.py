"""Holdings bought elsewhere: counted once, and never while the venue's balance may be old."""

from dataclasses import replace
from decimal import Decimal

import pytest

from activities.found_holdings import FoundHoldings
from domain.errors import VenueBlocked, VenueTransient
from domain.orders import Mode
from domain.positions import PositionKey
from storage.repositories.ledger import Booked
from tests.activities.floor import Desk, make_ref
from tests.domain.builders import ACCOUNT, MARKET, START, TOKEN
from tests.fakes.trading import FakeTrading, make_holding

KEY = PositionKey(account_id=ACCOUNT, venue="polymarket", mode=Mode.LIVE, token_id=TOKEN)


class Books:
    """A ledger that notes adjustments."""

    def __init__(self, holding, refs=()):
        self.now, self.refs, self.adjusted = holding, refs, []

    async def holding(self, key):
        return self.now

    async def unsettled_orders(self, account_id, venue, mode):
        return self.refs

    async def book(self, account_id, venue, mode, fills=(), orders=()):
        return Booked()

    async def adjust(self, key, market_id, **named):
        self.adjusted.append(named["venue_shares"])
        return Booked()


async def take(books, seen):
    desk = Desk()
    desk.trading.seen = Decimal(seen)
    desk.ingest._ledger = books
    found = FoundHoldings(books, desk.ingest, desk.venues)
    await found.take(KEY, MARKET, price=Decimal("0.5"), at=START, name="rul_1")
    return books.adjusted, desk.trading.refreshed


async def test_what_the_venue_shows_beyond_the_ledger_is_taken_after_a_refresh():
    assert await take(Books(make_holding("3")), 10) == ([Decimal(10)], 1)


async def test_nothing_is_taken_when_the_ledger_knows_it_all():
    assert (await take(Books(make_holding("10")), 10))[0] == []


@pytest.mark.parametrize(
    "books",
    [
        pytest.param(
            Books(replace(make_holding("0"), unconfirmed_shares=Decimal(10))),
            id="sold a moment ago, unconfirmed",
        ),
        pytest.param(Books(make_holding("0"), refs=[make_ref()]), id="an order of ours is unsettled"),
    ],
)
async def test_nothing_is_taken_while_the_balance_may_be_old(books):
    assert (await take(books, 10))[0] == []


async def test_what_several_wallets_hold_is_taken_as_their_sum():
    books, desk = Books(make_holding("3")), Desk()
    desk.trading.seen = Decimal(4)
    desk.ingest._ledger = books
    desk.venues.others = [desk.trading]
    await FoundHoldings(books, desk.ingest, desk.venues).take(
        KEY, MARKET, price=Decimal("0.5"), at=START, name="rul_1"
    )

    assert books.adjusted == [Decimal(8)]


async def test_what_the_others_hold_is_taken_while_the_venue_refuses_a_wallet():
    books, desk, refused = Books(make_holding("3")), Desk(), FakeTrading()
    desk.ingest._ledger = books
    refused.unaskable = VenueBlocked("the key was revoked")
    desk.venues.others = [refused]
    found = FoundHoldings(books, desk.ingest, desk.venues)
    await found.take(KEY, MARKET, price=Decimal("0.5"), at=START, name="rul_1")

    assert books.adjusted == [Decimal(10)]


async def test_nothing_is_taken_while_a_wallet_gives_no_answer():
    books, desk, away = Books(make_holding("3")), Desk(), FakeTrading()
    desk.ingest._ledger = books
    away.unaskable = VenueTransient("no answer")
    desk.venues.others = [away]
    found = FoundHoldings(books, desk.ingest, desk.venues)
    with pytest.raises(VenueTransient):
        await found.take(KEY, MARKET, price=Decimal("0.5"), at=START, name="rul_1")

    assert books.adjusted == []
