"""A feed's session over fakes: a stream, books and a tape that tests write, a clock that they move."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

from activities.feed_delivery import Delivery
from activities.feed_gaps import GapReason
from activities.feed_session import FeedSession, FeedSettings
from domain.errors import StorageUnavailable
from domain.ids import RuleId
from domain.messages import FeedShard, WatchRow
from domain.orders import Mode
from domain.ports import Book, MarketEvent, MarketEventKind
from domain.quotes import Level, PriceRules, Quote
from domain.rules.definition import RuleDefinition
from domain.rules.levels import resolve
from storage.repositories.feed_leases import Lease, LeaseLost, LeaseState
from storage.repositories.tape import TapeEntry
from storage.repositories.watches import SavedMarks
from tests.domain.builders import ACCOUNT, START, TOKEN, D, make_instrument

SHARD = FeedShard(venue="polymarket")
LIMIT_S = 10


class MovedClock:
    """Stands still until it is moved; both clocks together, each from an origin of its own."""

    def __init__(self):
        self.time = START + timedelta(days=1)

    def now(self):
        return self.time

    def monotonic_ms(self):
        return (self.time - START) // timedelta(milliseconds=1)

    def pass_s(self, seconds):
        self.time += timedelta(seconds=seconds)


class LeasesOfOneShard:
    """The lease of one shard in memory; it runs out when a test says so."""

    def __init__(self, floor):
        self.floor = floor
        self.state = LeaseState(
            shards=1, revision=0, fence=0, replica=None, wanted_by=None, free=False, seen_until=None
        )

    def change(self, **fields):
        self.state = replace(self.state, **fields)

    async def read(self, shard):
        self._reach()
        return self.state

    async def seen_until(self, shard):
        self._reach()
        return self.state.seen_until

    async def take(self, shard):
        self._reach()
        state = self.state
        if not state.is_open_to(shard.replica):
            if state.replica is None or shard.replica < state.replica:
                self.change(wanted_by=shard.replica)
            return None
        self.change(replica=shard.replica, fence=state.fence + 1, wanted_by=None, free=False)
        return Lease(self.state.fence, state.seen_until)

    async def write(self, shard, lease, *, until, changes, gaps):
        self._reach()
        if (self.state.replica, self.state.fence) != (shard.replica, lease.fence):
            raise LeaseLost
        self.change(seen_until=max(until, self.state.seen_until or until))
        await self.floor.written(changes, gaps)
        wanted_by = self.state.wanted_by
        return wanted_by is not None and wanted_by < shard.replica

    async def give_back(self, shard, lease):
        self._reach()
        if (self.state.replica, self.state.fence) == (shard.replica, lease.fence):
            self.change(replica=None)

    def _reach(self):
        if self.floor.storage_away:
            raise StorageUnavailable("away")


class FeedFloor:
    """Everything that a session touches, in one object, and what tests do with it."""

    connected = True

    def __init__(self):
        self.clock = MovedClock()
        self.rows = []
        self.armed = {}
        self.changed = []  # rows that the session has not read yet
        self.hint = None
        self.saved_marks = []
        self.carried_marks = []  # those of the generation before
        self.books_at = {}  # token → bid and ask of the book by REST, and its venue's time
        self.held = {}  # token → event that holds up a read of its book
        self.reads = []
        self.resubscribed = []
        self.instruments_read = []
        self.leases = LeasesOfOneShard(self)
        self.entries = []  # the tape
        self.old_tape = None  # event that holds up those who look far back
        self.outages_of_old_tape = 0  # reads of it that fail from now on
        self.recorded = []  # gaps
        self.storage_away = False
        self.crossings = []
        self.told = []  # events of near misses and samples
        self.pruned_before = []
        self._frames = asyncio.Queue()
        self._news = asyncio.Condition()

    # -- what tests do --------------------------------------------------------------------------------

    def watch(self, *conditions, rule="rul_1", token=TOKEN, armed_s=0, not_before_s=None, **fields):
        """A rule armed so many seconds before now."""
        armed_at = self.clock.now() + timedelta(seconds=armed_s)
        definition = RuleDefinition.model_validate({"conditions": conditions, **fields})
        terms = {"armed_at": armed_at, "opened_at": None, "market_end": None, "rules": PriceRules()}
        not_before = None if not_before_s is None else self.unix_ms(not_before_s)
        row = WatchRow(
            rule_id=RuleId(rule),
            account_id=ACCOUNT,
            mode=Mode.LIVE,
            venue=SHARD.venue,
            token_id=token,
            generation=1,
            armed=True,
            not_before_ms=not_before,
            resolved=resolve(definition, None, **terms),
            shares=D(10),
            version=1,
        )
        self.rows.append(row)
        self.armed[row.rule_id] = armed_at
        return row

    def unix_ms(self, seconds):
        return int((self.clock.now() + timedelta(seconds=seconds)).timestamp() * 1000)

    def taped(self, seconds, bid, ask, token=TOKEN):
        """A row of the tape, so many seconds from now."""
        at = self.clock.now() + timedelta(seconds=seconds)
        self.entries.append(TapeEntry(venue=SHARD.venue, token_id=token, ts=at, quote=quote(bid, ask)))

    async def frame(self, kind, token=TOKEN, bid=None, ask=None, *, lost=None, venue_ms=None):
        """A frame of one event arrives at the session."""
        told = quote(bid, ask) if kind is MarketEventKind.QUOTE else None
        self._frames.put_nowait(
            MarketEvent(
                kind=kind,
                token_id=token,
                quote=told,
                venue_timestamp_ms=venue_ms,
                received_ms=self.clock.monotonic_ms(),
                lost=lost,
            )
        )

    async def quoted(self, bid, ask, token=TOKEN, *, venue_ms=None):
        await self.frame(MarketEventKind.QUOTE, token, bid, ask, venue_ms=venue_ms)

    async def changes(self, *rows):
        """Watches are written; returns when the session has read them."""
        self.changed.extend(rows)
        await self.until(lambda: self.hint is not None)
        self.hint()
        await self.until(lambda: not self.changed)

    async def until(self, holds):
        async with asyncio.timeout(LIMIT_S), self._news:
            await self._news.wait_for(holds)

    async def next_read(self):
        seen = len(self.reads)
        await self.until(lambda: len(self.reads) > seen)

    async def happened(self):
        async with self._news:
            self._news.notify_all()

    @asynccontextmanager
    async def running(self, *, live=True, shard=SHARD, **settings):
        """A session that runs beside the test, live unless said otherwise."""
        session = self.session(shard=shard, **settings)
        task = asyncio.create_task(session.run())
        try:
            if live:
                async with asyncio.timeout(LIMIT_S):
                    await session.until_live()
            yield session
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def session(self, *, shard=SHARD, reason=GapReason.RESTART, **settings):
        return FeedSession(
            shard,
            FeedSettings(**{"flush_s": 0.01, "silence_s": 3600, **settings}),
            data=self,
            stream=self,
            watches=self,
            tape=self,
            leases=self.leases,
            observations=self,
            delivery=Delivery(self, self),
            clock=self.clock,
            reason=reason,
        )

    # -- stream and books -----------------------------------------------------------------------------

    async def subscribe(self, tokens):
        pass

    async def unsubscribe(self, tokens):
        pass

    async def resubscribe(self, tokens):
        self.resubscribed.append(list(tokens))
        await self.happened()

    def ladder(self, token_id, depth):
        return (), ()

    def replace_book(self, book):
        pass

    async def events(self):
        while True:
            yield (await self._frames.get(),)

    async def instrument(self, token_id):
        self.instruments_read.append(token_id)
        await self.happened()
        return make_instrument()

    async def books(self, token_ids):
        self.reads.append(tuple(token_ids))
        await self.happened()
        tops = {token: self.books_at[token] for token in token_ids if token in self.books_at}
        for token in token_ids:
            if token in self.held:
                await self.held[token].wait()
        return [book(token, *top) for token, top in tops.items()]

    # -- storage --------------------------------------------------------------------------------------

    async def snapshot(self, venue, shard, shards):
        return list(self.rows), 1

    async def changed_since(self, edge, venue, shard, shards):
        rows, self.changed = self.changed, []
        await self.happened()
        return rows, edge

    async def armed_since(self, rule_ids):
        return dict(self.armed)

    async def load_marks(self, rule_ids):
        return SavedMarks(tuple(self.carried_marks), tuple(self.saved_marks))

    async def save_marks(self, marks):
        self.saved_marks.extend(marks)

    async def listen(self, on_hint):
        self.hint = on_hint
        await self.happened()
        await asyncio.Event().wait()

    async def pages(self, venue, tokens, *, size=None):
        if size is not None and self.old_tape is not None:
            await self.old_tape.wait()
        if size is not None and self.outages_of_old_tape:
            self.outages_of_old_tape -= 1
            raise StorageUnavailable("away")
        for row in self._rows_of(tokens):
            if row.ts >= tokens[row.token_id]:
                yield [row]

    async def standing(self, venue, tokens):
        found = {row.token_id: row for row in self._rows_of(tokens) if row.ts < tokens[row.token_id]}
        return sorted(found.values(), key=lambda row: row.ts)

    def _rows_of(self, tokens):
        return sorted((row for row in self.entries if row.token_id in tokens), key=lambda row: row.ts)

    async def gaps(self, venue, since, until=None, *, token_id=None):
        return [gap for gap in self.recorded if gap.ended_at >= since]

    async def tell(self, *events):
        if self.storage_away:
            raise StorageUnavailable("away")
        self.told.extend(events)
        await self.happened()
        return True

    async def prune(self, before):
        self.pruned_before.append(before)
        await self.happened()
        return 0

    async def written(self, changes, gaps):
        self.entries.extend(changes)
        self.recorded.extend(gaps)
        await self.happened()

    # -- signals --------------------------------------------------------------------------------------

    async def crossed(self, rule_id, crossed):
        self.crossings.append(crossed.crossing)
        await self.happened()
        return True

    async def market_changed(self, rule_id, instrument):
        return True


def quote(bid, ask):
    return Quote(D(bid), D(ask), None)


def book(token_id, bid, ask, venue_ms=None):
    return Book(
        token_id=token_id,
        bids=(Level(D(bid), D(100)),),
        asks=(Level(D(ask), D(100)),),
        last=None,
        tick=D("0.01"),
        venue_timestamp_ms=venue_ms,
    )
