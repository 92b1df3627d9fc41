"""The ledger beside the venue's balances: trades first, then a difference that shows twice."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from activities.holdings import HoldingsActivities
from activities.ingest import Ingest
from domain.errors import CredentialsMissing, VenueBlocked, VenueTransient
from domain.orders import MarketState
from domain.outside import CompareHoldings, HoldingsPlace, LedgerToken
from domain.ports import HeldToken
from storage.repositories.ledger import Booked
from storage.repositories.ledger_entries import NOTHING_HELD
from tests.activities.floor import Desk, make_ref
from tests.domain.builders import ACCOUNT, MARKET
from tests.fakes.trading import FakeClock, FakeTrading, make_holding

D = Decimal
PLACE = HoldingsPlace(account_id=ACCOUNT, venue="polymarket")
APART = timedelta(seconds=30)


class Books:
    """A ledger of one account: `trades` turn up in it once fills are booked."""

    def __init__(self, **held):
        self.held = {token: make_holding(shares) for token, shares in held.items()}
        self.trades = {}
        self.refs = []
        self.adjusted = []

    async def holding(self, key):
        return self.held.get(key.token_id, NOTHING_HELD)

    async def unsettled_orders(self, account_id, venue, mode):
        return self.refs

    async def book(self, account_id, venue, mode, fills=(), orders=()):
        self.held |= {token: make_holding(shares, 2) for token, shares in self.trades.items()}
        return Booked()

    async def adjust(self, key, market_id, *, ledger_shares, venue_shares, price, at, adjustment_key):
        held = await self.holding(key)
        assert held.shares == ledger_shares
        self.adjusted.append((key.token_id, ledger_shares, venue_shares, price))
        self.held[key.token_id] = make_holding(str(venue_shares), held.version + 1)
        return Booked(new_entries=1, changed_positions=((key, self.held[key.token_id]),))

    async def places(self):
        return [PLACE]

    async def open_tokens(self, place, mode):
        return [
            LedgerToken(token_id=token, market_id=MARKET)
            for token, holding in sorted(self.held.items())
            if holding.shares
        ]


class Session(FakeTrading):
    """A wallet's session; `shown` is what the venue holds, `index` what its own list says."""

    def __init__(self, **shown):
        super().__init__()
        self.shown = {token: D(shares) for token, shares in shown.items()}
        self.index = []
        self.broken = set()

    async def holding(self, token_id):
        if token_id in self.broken:
            raise VenueTransient("no answer")
        return replace(await super().holding(token_id), amount=self.shown.get(token_id, D(0)))

    async def held_tokens(self):
        if self.index is None:
            raise VenueTransient("the index is away")
        return self.index


class Wallets:
    def __init__(self, count):
        self.count = count

    async def all_of(self, account_id, venue):
        return [None] * self.count


class Room:
    """Everything that a pass touches."""

    def __init__(self, books, *sessions, wallets=None, limit=60):
        self.desk = Desk()
        self.books, self.sessions = books, sessions
        self.clock = FakeClock()
        self.desk.venues.sessions = self._sessions
        self.missing = None
        self.desk.ledger = books
        self.desk.rules.open = ["rul_1"]
        self.activities = HoldingsActivities(
            ledger=books,
            holdings=books,
            wallets=Wallets(len(sessions) if wallets is None else wallets),
            ingest=Ingest(books, self.desk.rules, self.desk.venues, self.desk.signals, self.desk.projections),
            venues=self.desk.venues,
            clock=self.clock,
            apart=APART,
            tokens_in_one_pass=limit,
        )
        self.last = CompareHoldings(place=PLACE)

    async def _sessions(self, account_id, venue, mode):
        if self.missing is not None:
            raise self.missing
        return self.sessions

    async def compare(self, later=timedelta(seconds=60)):
        """Runs a pass that takes up what the one before left open."""
        self.clock.time += later
        done = await self.activities.compare_holdings(self.last)
        self.last = CompareHoldings(place=PLACE, sightings=done.sightings, after=done.after)
        return done


async def test_equal_holdings_change_nothing_and_are_read_after_a_refresh():
    session = Session(a="10")
    room = Room(Books(a="10"), session)
    done = await room.compare()
    assert (done.compared, done.adjusted, done.sightings) == (1, 0, ())
    assert session.refreshed == 1


async def test_a_shrink_counts_at_its_second_sight_and_the_rules_are_told():
    room = Room(Books(a="10"), Session(a="4"))
    first = await room.compare()
    early = await room.compare(later=timedelta(seconds=10))
    assert (first.adjusted, early.adjusted, room.books.adjusted) == (0, 0, [])
    late = await room.compare()
    assert late.adjusted == 1
    assert [line[:3] for line in room.books.adjusted] == [("a", D(10), D(4))]
    [(rule_id, holding)] = room.desk.signals.positions
    assert (rule_id, holding.shares) == ("rul_1", D(4))
    assert late.sightings == ()


async def test_a_shrink_that_was_only_the_venues_lag_passes_without_a_trace():
    session = Session(a="0")
    room = Room(Books(a="10"), session)
    await room.compare()
    session.shown["a"] = D(10)
    done = await room.compare()
    assert (done.adjusted, done.sightings, room.books.adjusted) == (0, (), [])


async def test_trades_that_explain_the_difference_are_booked_and_nothing_is_adjusted():
    books = Books(a="10")
    books.trades = {"a": "4"}
    room = Room(books, Session(a="4"))
    done = await room.compare()
    assert (done.compared, done.adjusted, done.sightings) == (1, 0, ())


async def test_a_token_that_the_ledger_does_not_know_is_found_at_once_at_the_venues_average():
    session = Session(b="7")
    session.index = [HeldToken(market_id=MARKET, token_id="b", shares=D(7), average_entry=D("0.37"))]
    room = Room(Books(), session)
    assert (await room.compare()).adjusted == 1
    assert room.books.adjusted == [("b", D(0), D(7), D("0.37"))]


async def test_what_grew_is_counted_at_the_present_mid_when_the_venue_tells_no_average():
    room = Room(Books(a="10"), Session(a="12"))
    room.desk.data.book = _book(room.desk.data)
    await room.compare()
    await room.compare()
    assert room.books.adjusted == [("a", D(10), D(12), D("0.45"))]


def _book(data):
    plain_book = data.book

    async def book(token_id):
        found = await plain_book(token_id)
        return replace(found, bids=found.bids[10:], asks=(replace(found.bids[0]),))

    return book


async def test_a_deficit_is_mended():
    room = Room(Books(a="-3"), Session(a="0"))
    await room.compare()
    await room.compare()
    assert [line[:3] for line in room.books.adjusted] == [("a", D(-3), D(0))]


async def test_nothing_is_adjusted_while_an_order_of_ours_is_unsettled_on_the_token():
    books = Books(a="10")
    books.refs = [replace(make_ref(), token_id="a")]
    room = Room(books, Session(a="4"))
    for _ in range(3):
        assert (await room.compare()).adjusted == 0


async def test_nothing_is_adjusted_while_a_fill_is_unconfirmed():
    books = Books(a="10")
    books.held["a"] = replace(books.held["a"], unconfirmed_shares=D(10))
    room = Room(books, Session(a="0"))
    for _ in range(3):
        assert (await room.compare()).adjusted == 0


async def test_wallets_are_summed():
    room = Room(Books(a="10"), Session(a="4"), Session(a="6"))
    done = await room.compare()
    assert (done.adjusted, done.sightings) == (0, ())


async def test_what_several_wallets_paid_for_a_token_is_weighted():
    one, other = Session(b="30"), Session(b="10")
    one.index = [HeldToken(market_id=MARKET, token_id="b", shares=D(30), average_entry=D("0.50"))]
    other.index = [HeldToken(market_id=MARKET, token_id="b", shares=D(10), average_entry=D("0.54"))]
    room = Room(Books(), one, other)
    await room.compare()
    assert room.books.adjusted == [("b", D(0), D(40), D("0.51"))]


async def test_less_is_not_believed_while_a_wallet_cannot_be_asked():
    room = Room(Books(a="10"), Session(a="4"), wallets=2)
    for _ in range(3):
        assert (await room.compare()).adjusted == 0


async def test_a_token_that_cannot_be_asked_keeps_its_sighting_and_stops_no_other():
    session = Session(a="4", b="5")
    room = Room(Books(a="10", b="9"), session)
    await room.compare()
    session.broken = {"a"}
    done = await room.compare()
    assert [line[0] for line in room.books.adjusted] == ["b"]
    assert [sighting.token_id for sighting in done.sightings] == ["a"]


async def test_an_index_that_is_away_leaves_the_ledgers_tokens_compared():
    session = Session(a="10")
    session.index = None
    assert (await Room(Books(a="10"), session).compare()).compared == 1


async def test_an_account_without_credentials_is_skipped_by_name():
    room = Room(Books(a="10"), Session(a="0"))
    await room.compare()
    room.missing = CredentialsMissing()
    done = await room.compare()
    assert (done.skipped, len(done.sightings)) == ("credentials_missing", 1)


async def test_many_tokens_take_several_passes():
    held = {f"t{number}": "5" for number in range(5)}
    room = Room(Books(**held), Session(**held), limit=2)
    assert [(await room.compare()).compared for _ in range(3)] == [2, 2, 2]
    assert room.last.after == "t0"


@pytest.mark.parametrize(("payout", "price"), [(D(1), D(1)), (D(0), D(0))])
async def test_what_a_resolved_market_redeemed_is_counted_at_its_payout(payout, price):
    room = Room(Books(a="10"), Session(a="0"))
    token = room.desk.data.token
    room.desk.data.token = replace(token, state=MarketState.RESOLVED, payout=payout)
    await room.compare()
    await room.compare()
    assert room.books.adjusted == [("a", D(10), D(0), price)]


async def test_places_are_those_of_the_ledger():
    room = Room(Books(), Session())
    assert (await room.activities.holdings_places()).places == (PLACE,)


class Refused(Session):
    """A wallet whose key the venue refuses."""

    async def holding(self, token_id):
        raise VenueBlocked("the key was revoked")

    async def refresh_holding(self, token_id):
        raise VenueBlocked("the key was revoked")

    async def fills(self, *, after, market_id=None):
        raise VenueBlocked("the key was revoked")


async def test_what_a_refused_wallet_may_hold_takes_nothing_from_the_ledger():
    room = Room(Books(a="10"), Session(a="6"), Refused())
    for _ in range(3):
        done = await room.compare()
        assert (done.compared, done.adjusted, done.sightings) == (1, 0, ())


async def test_what_the_others_hold_beyond_the_ledger_counts_while_a_wallet_is_refused():
    room = Room(Books(a="10"), Session(a="16"), Refused())
    room.desk.data.book = _book(room.desk.data)
    await room.compare()
    assert (await room.compare()).adjusted == 1
    assert [line[:3] for line in room.books.adjusted] == [("a", D(10), D(16))]


async def test_nothing_is_compared_while_the_venue_refuses_every_wallet():
    room = Room(Books(a="10"), Refused())
    done = await room.compare()
    assert (done.compared, done.adjusted, done.sightings) == (0, 0, ())
