"""Near misses and samples of a feed into the event log: looked for beside the quotes, written in batches."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

import structlog

from activities.feed_board import Moment, QuoteBoard, Seen
from domain.errors import StorageUnavailable
from domain.ids import AccountId, RuleId
from domain.messages import EventRow, Severity, WatchRow
from domain.money import plain
from domain.ports import Book, Clock
from domain.quotes import Quote
from domain.rules.armed import Run
from domain.rules.notices import MissLog, Notice, Observation, data_of
from domain.rules.noticing import Noticing
from domain.rules.standing import Sight, seen_price, standings
from domain.rules.wording import evaluation_text, notice_text
from storage.records import from_ms

log = structlog.get_logger()

WRITTEN_AT_ONCE = 200
PRUNE_S = 3600.0
ANY_TICK = Decimal("0.01")
CLOSING_TAKES_S = 2.0


class EventLog(Protocol):
    """Where observations go; each key only once. Both raise StorageUnavailable."""

    async def tell(self, *events: EventRow) -> bool:
        """Write events."""
        ...

    async def prune(self, before: datetime) -> int:
        """Remove observations from before a time."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeSettings:
    """How often a feed looks, writes and samples.

    Attributes:
        look_s: seconds between two looks through what was quoted.
        slice_s: seconds after which a look gives way to quotes.
        look_costs_s: what one look may cost; beyond it a noisy market's near misses are seen in part.
        write_s: seconds between two writes.
        pause: shortest time between two lines of one condition.
        lasting: an approach that goes on for so long is told of before its end.
        sample_s: seconds between two samples, and between two lines of one rule.
        samples: rules that one sample takes, one after the other in turn; 0 for none.
        kept: how long observations stay in the log.
    """

    look_s: float = 1.0
    slice_s: float = 0.0005
    look_costs_s: float = 0.05
    write_s: float = 5.0
    pause: timedelta = timedelta(minutes=1)
    lasting: timedelta = timedelta(minutes=1)
    sample_s: float = 60.0
    samples: int = 50
    kept: timedelta = timedelta(days=14)


class FeedNotices:
    """What a feed's index saw and did not fire on. Of the feeds of a shard the one that writes tells it."""

    def __init__(
        self,
        board: QuoteBoard,
        events: EventLog,
        clock: Clock,
        settings: NoticeSettings,
        *,
        writes: Callable[[], bool],
    ) -> None:
        """Take the board to look at, where lines go, and whether this feed is the one to write them."""
        self._writes = writes
        self._board = board
        self._events = events
        self._clock = clock
        self._settings = settings
        self._noticing = Noticing(board.index)
        self._misses = MissLog(settings.pause)
        self._owners: dict[str, AccountId] = {}
        self._ticks: dict[str, Decimal] = {}
        self._sampled: dict[str, Quote] = {}
        self._samples: list[EventRow] = []
        self._turn = 0
        self._stopped = False

    def saw(self, token_id: str, quote: Quote, at: Moment) -> None:
        """Keep a quote that the index was shown. All that the way of a quote pays for."""
        if not self._stopped:
            self._noticing.saw(token_id, quote, at.mono_ms, self._clock.now())

    def saw_book(self, book: Book) -> None:
        """Keep a token's price step."""
        if book.tick is not None:
            self._ticks[book.token_id] = book.tick

    async def run(self) -> None:
        """Look, write, sample and prune until cancelled; what waits then is written."""
        try:
            await self._go_on()
        except asyncio.CancelledError:
            await self._close()
            raise
        except Exception:
            # Whoever only looks on must not stop the feed: its rules are what protects the positions.
            self._stopped = True
            log.exception("feed.notices_stopped")

    async def _go_on(self) -> None:
        """Do one thing after the other: a look that gave way must find everything as it left it."""
        settings, clock = self._settings, asyncio.get_running_loop().time
        works = ((self.write, settings.write_s), (self.sample, settings.sample_s), (self.prune, PRUNE_S))
        due = {work: clock() + seconds for work, seconds in works} | {self.prune: clock()}
        while True:
            await asyncio.sleep(settings.look_s)
            if not self._writes():
                self._noticing.forget_quotes()  # the feed of the shard that writes looks through its own
                continue
            await self.look()
            for work, seconds in works:
                if clock() >= due[work]:
                    due[work] = clock() + seconds
                    await work()

    async def look(self) -> None:
        """Look through what was quoted since the last look, giving way to quotes."""
        loop = asyncio.get_running_loop()
        began, spent = loop.time(), 0.0
        for token_id in self._noticing.tokens():
            for _ in self._noticing.look(token_id, self._ticks.get(token_id, ANY_TICK)):
                if loop.time() - began < self._settings.slice_s:
                    continue
                spent += loop.time() - began
                if spent > self._settings.look_costs_s:
                    log.warning("feed.look_cut_short", token_id=token_id)
                    return
                await asyncio.sleep(0)
                began = loop.time()

    async def sample(self) -> None:
        """Say how the next rules in turn stand; one whose quote is still the same is passed over."""
        rows, samples = self._board.watched(), min(self._settings.samples, self._board.rules)
        if len(self._sampled) > 2 * len(rows):
            self._sampled.clear()  # mostly of rules that are gone
        for place in range(self._turn, self._turn + samples):
            row = rows[place % len(rows)]
            seen = self._board.seen(row.token_id)
            if seen is not None and self._sampled.get(row.rule_id) != seen.quote:
                self._sampled[row.rule_id] = seen.quote
                self._samples.append(self._evaluation(row, seen))
                await asyncio.sleep(0)
        self._turn = (self._turn + samples) % max(len(rows), 1)

    async def prune(self) -> None:
        """Remove what the log has kept for long enough."""
        try:
            removed = await self._events.prune(self._clock.now() - self._settings.kept)
        except StorageUnavailable as error:
            log.warning("feed.observations_not_pruned", error=str(error))
        else:
            log.info("feed.observations_pruned", events=removed)

    async def write(self, *, everything: bool = False) -> None:
        """Write what is due; what cannot be written waits, samples apart."""
        self._gather()
        now = self._clock.now()
        due = self._misses.take_all() if everything else self._misses.take_due(now, WRITTEN_AT_ONCE)
        samples, self._samples = self._samples, []
        events = [*map(self._event, due), *samples]
        if not events:
            return
        try:
            await self._events.tell(*events)
        except StorageUnavailable as error:
            self._misses.put_back(due)
            log.warning("feed.notices_not_written", error=str(error), events=len(events))

    def _gather(self) -> None:
        """Take near misses over, with whose they are: a rule may be gone when its line is written."""
        self._noticing.tell_lasting(self._clock.now() - self._settings.lasting)
        waiting = self._misses.rule_ids()
        self._owners = {rule_id: owner for rule_id, owner in self._owners.items() if rule_id in waiting}
        for miss in self._noticing.take_misses():
            row = self._board.row(miss.rule_id)
            if row is not None:
                self._owners[miss.rule_id] = row.account_id
                self._misses.add(miss)
        dropped = self._misses.take_dropped()
        if dropped:
            log.warning("feed.near_misses_dropped", count=dropped)

    async def _close(self) -> None:
        """The session ends: write what waits, unless Postgres is away for longer than anyone may wait."""
        if not self._writes():
            return
        try:
            async with asyncio.timeout(CLOSING_TAKES_S):
                await self.look()
                await self.write(everything=True)
        except TimeoutError:
            log.warning("feed.notices_lost")

    def _event(self, notice: Notice) -> EventRow:
        lasting = notice.goes_on and notice.type is Observation.HELD_BACK
        return EventRow(
            event_key=notice.key,
            account_id=self._owners[notice.rule_id],
            rule_id=RuleId(notice.rule_id),
            order_id=None,
            type=notice.type,
            severity=Severity.WARNING if lasting else Severity.INFO,
            message=notice_text(notice),
            data=data_of(notice),
            at=notice.last,
        )

    def _evaluation(self, row: WatchRow, seen: Seen) -> EventRow:
        """Return how a rule stands at the newest quote, by the functions that explain it."""
        at, index = Moment.now(self._clock), self._board.index
        waits = row.not_before_ms
        sight = Sight(
            quote=seen.quote,
            age_ms=at.mono_ms - seen.confirmed_ms,
            tick=self._ticks.get(row.token_id, ANY_TICK),
            now=self._clock.now(),
            not_before=None if waits is None else from_ms(waits),
        )
        marks = {mark.condition_index: mark.mark for mark in index.marks(row.rule_id)}
        to_wall_ms = at.wall_ms - at.mono_ms
        runs = {
            place: Run(run.since_ms + to_wall_ms, run.count, run.latest)
            for place, run in index.runs(row.rule_id).items()
        }
        found = standings(row.resolved, sight, marks=marks, runs=runs)
        price = seen_price(row.resolved, seen.quote)
        return EventRow(
            event_key=f"{row.rule_id}/{Observation.EVALUATED}/{row.generation}/{sight.now.isoformat()}",
            account_id=row.account_id,
            rule_id=row.rule_id,
            order_id=None,
            type=Observation.EVALUATED,
            severity=Severity.INFO,
            message=evaluation_text(None if price is None else price.price, found),
            data={"generation": str(row.generation)}
            | ({} if price is None else {"price": plain(price.price)}),
            at=sight.now,
        )
