"""Ports and repositories of the trading activities, in memory."""

from collections import Counter, deque
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from domain.claims import Claimed, Granted, Refused, StoredClaim
from domain.errors import StorageUnavailable, UnknownToken, VenueTransient
from domain.ids import VenueOrderId
from domain.messages import Holding, OrderFacts
from domain.orders import Answer, AnswerKind, VenueOrder, VenueOrderStatus
from domain.ports import Balance, Book, CancelOutcome
from domain.quotes import Level
from storage.repositories.claims import RecordedAnswer
from storage.repositories.ledger import Booked
from tests.domain.builders import MARKET, START, TOKEN, WALLET, make_instrument

ACCEPTED = Answer(kind=AnswerKind.ACCEPTED, code="accepted", status=VenueOrderStatus.MATCHED)


def make_holding(shares="10", version=1):
    return Holding(
        shares=Decimal(shares),
        average_entry=None,
        opened_at=None,
        episode=1,
        unconfirmed_shares=Decimal(0),
        version=version,
    )


def venue_id(attempt):
    return VenueOrderId(f"0x{attempt.order_id}-{attempt.attempt}-{attempt.timestamp_ms}")


def make_order(venue_order_id, status=VenueOrderStatus.LIVE, *, side, matched="0"):
    return VenueOrder(
        venue_order_id=venue_order_id,
        market_id=MARKET,
        token_id=TOKEN,
        side=side,
        status=status,
        original_shares=Decimal(10),
        matched_shares=Decimal(matched),
        price=Decimal("0.4"),
        created_at=START,
    )


class FakeClock:
    def __init__(self):
        self.time = START

    def now(self):
        self.time += timedelta(milliseconds=1)
        return self.time

    def monotonic_ms(self):
        return int(self.time.timestamp() * 1000)


class FakeTrading:
    """A venue session: answers by a script, accepting where it has ended."""

    def __init__(self):
        self.answers = deque()
        self.posted = []
        self.known = {}
        self.all_fills = []
        self.canceled = []
        self.away = 0  # look-ups that fail from now on
        self.seen = Decimal(10)
        self.refreshed = 0
        self.unaskable = None  # raised by whoever asks for the balance

    def prepare(self, attempt):
        """Nothing to sign."""

    def venue_order_id(self, attempt):
        return venue_id(attempt)

    async def place(self, attempt):
        self.posted.append(attempt)
        return self.answers.popleft() if self.answers else ACCEPTED

    async def find_order(self, venue_order_id, market_id):
        if self.away:
            self.away -= 1
            raise VenueTransient("no answer")
        return self.known.get(venue_order_id)

    async def fills(self, *, after, market_id=None):
        return list(self.all_fills)

    async def cancel(self, venue_order_id):
        self.canceled.append(venue_order_id)
        if venue_order_id in self.known:
            self.known[venue_order_id] = replace(self.known[venue_order_id], status=VenueOrderStatus.CANCELED)
        return CancelOutcome.CANCELED

    async def cancel_many(self, venue_order_ids):
        return {each: await self.cancel(each) for each in venue_order_ids}

    async def open_orders(self, token_id=None):
        return [order for order in self.known.values() if order.status is VenueOrderStatus.LIVE]

    async def holding(self, token_id):
        if self.unaskable is not None:
            raise self.unaskable
        return Balance(amount=self.seen, allowance=self.seen)

    async def refresh_holding(self, token_id):
        self.refreshed += 1


class FakeMarketData:
    def __init__(self):
        self.token = make_instrument()
        self.away = 0
        self.bookless = False

    async def instrument(self, token_id):
        if self.away:
            self.away -= 1
            raise VenueTransient("no answer")
        return self.token

    async def book(self, token_id):
        if self.bookless:
            raise UnknownToken("no book")
        levels = tuple(Level(Decimal("0.5") - Decimal(i) / 100, Decimal(1)) for i in range(15))
        return Book(
            token_id=token_id, bids=levels, asks=(), last=None, tick=self.token.tick, venue_timestamp_ms=None
        )


class FakeVenues:
    def __init__(self, trading, data):
        self._trading, self._data = trading, data
        self.missing = None
        self.wallets = []  # whose sessions were asked for
        self.others = []  # sessions of former wallets
        self.holders = {}  # of tokens that another wallet holds than that of new orders

    async def trading(self, account_id, venue, mode, wallet_id=None):
        if self.missing is not None:
            raise self.missing
        self.wallets.append(wallet_id)
        return self._trading

    async def sessions(self, account_id, venue, mode):
        return [await self.trading(account_id, venue, mode), *self.others]

    def market_data(self, venue):
        return self._data

    async def wallet(self, account_id, venue, mode, *, holding=None):
        return self.holders.get(holding, WALLET)


class FakeProjections:
    """Rows that were written; `away` makes the next writes fail."""

    def __init__(self):
        self.written = []
        self.told = {}
        self.away = 0

    async def tell(self, *events):
        self.told |= {event.event_key: event for event in events}
        return True

    async def apply(self, rule=None, order=None):
        if self.away:
            self.away -= 1
            raise StorageUnavailable("away")
        self.written.append((rule, order))
        return True


class FakeClaims:
    """Claims of one process; `away` makes the next writes of answers fail."""

    def __init__(self):
        self.stored = {}
        self.refusal = None
        self.judged = None  # an answer given instead of judging
        self.away = 0
        self.probing = False  # whether claims of resends take a probe
        self.probes = []  # what resends were told of theirs
        self.lets_exits_go = False  # whether each answer closes the venue's breaker

    async def claim(self, request, venue_order_id, now_ms):
        attempt = request.attempt
        known = self.stored.get((attempt.order_id, attempt.attempt))
        if known is not None and known.venue_order_id != venue_order_id:
            return Claimed(stored=known)
        if known is not None and not known.may_be_sent:
            return Granted(resend=True, stored=known)
        if self.refusal is not None:
            return Refused(refusal=self.refusal, detail="refused")
        if known is not None:
            return Granted(resend=True, stored=known, probes=self.probing)
        if self.judged is not None:
            return self.judged
        stored = StoredClaim(
            attempt=attempt,
            venue_order_id=venue_order_id,
            posts=1,
            unknown_before=False,
            answer=None,
            last_post_at_ms=now_ms,
        )
        self.stored[attempt.order_id, attempt.attempt] = stored
        return Granted(resend=False, stored=stored)

    async def begin_resend(self, order_id, attempt, now_ms, send_until_ms, *, probes=False):
        self.probes.append(probes)
        if self.refusal is not None:
            return Refused(refusal=self.refusal, detail="refused")
        known = self.stored[order_id, attempt]
        doubt = known.unknown_before or known.answer is None or known.answer.kind is AnswerKind.UNKNOWN
        known = replace(
            known, posts=known.posts + 1, unknown_before=doubt, answer=None, last_post_at_ms=now_ms
        )
        self.stored[order_id, attempt] = known
        return Granted(resend=True, stored=known)

    async def record_answer(self, order_id, attempt, answer, unknown_before, *, posts=None, took_ms=0):
        if self.away:
            self.away -= 1
            raise StorageUnavailable("Postgres is away")
        known = self.stored[order_id, attempt]
        if posts is not None and posts != known.posts:
            return RecordedAnswer(written=False)
        self.stored[order_id, attempt] = replace(
            known, answer=answer, unknown_before=known.unknown_before or unknown_before
        )
        return RecordedAnswer(written=True, lets_exits_go=self.lets_exits_go)

    async def find(self, order_id, attempt):
        return self.stored.get((order_id, attempt))

    async def of_order(self, order_id):
        return [claim for (order, _), claim in sorted(self.stored.items()) if order == order_id]

    async def of_host(self, host_workflow_id):
        return list(self.stored.values())  # one host's, in tests

    async def latest_of(self, order_id):
        claims = await self.of_order(order_id)
        return claims[-1] if claims else None


class FakeLedger:
    """Books everything once; `booked` is what the next booking came to."""

    def __init__(self):
        self.held = make_holding()
        self.bookings = []
        self.next = deque()
        self.sending = set()
        self.facts = OrderFacts(
            venue_status=None,
            venue_matched_shares=Decimal(0),
            booked_shares=Decimal(0),
            reversed_shares=Decimal(0),
            unconfirmed_shares=Decimal(0),
            notional_usd=Decimal(0),
            fee_usd=Decimal(0),
            looked_up=False,
        )

    async def book(self, account_id, venue, mode, fills=(), orders=()):
        self.bookings.append((tuple(fills), tuple(orders)))
        return self.next.popleft() if self.next else Booked()

    async def order_facts(self, ref, *, looked_up=False):
        return replace(self.facts, looked_up=looked_up, holding=self.held)

    async def holding(self, key):
        return self.held

    async def still_sending(self, venue_order_ids):
        return self.sending


class FakeInstruments:
    def __init__(self):
        self.kept = []

    async def put(self, instrument):
        self.kept.append(instrument)


class FakeRules:
    def __init__(self):
        self.open = []
        self.waiting = 0
        self.rows = {}

    async def concerned_by(self, key):
        return list(self.open)

    async def find_any(self, rule_id):
        return self.rows.get(rule_id)

    async def waiting_at(self, venue, mode):
        return self.waiting

    async def may_be_held(self, account_id, *, looking=True):
        return list(self.open)


class FakeOrders:
    def __init__(self):
        self.open = []

    async def may_be_held(self, account_id, *, looking=True):
        return list(self.open)


class FakeSignals:
    """Delivers to those who live; `away` makes everything fail."""

    def __init__(self):
        self.closed = set()
        self.away = False
        self.updates = Counter()
        self.positions = []
        self.woken = []
        self.adopted = []

    def _reach(self):
        if self.away:
            raise ConnectionError("Temporal is away")

    async def order_update(self, host):
        self._reach()
        self.updates[host] += 1
        return host not in self.closed

    async def position_changed(self, rule_id, change):
        self._reach()
        self.positions.append((rule_id, change.holding))
        return True

    async def wake_stream(self, account_id, venue, mode):
        self._reach()
        self.woken.append((account_id, venue, mode))

    async def adopt_order(self, start):
        self._reach()
        self.adopted.append(start)
