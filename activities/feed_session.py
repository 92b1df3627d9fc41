"""One life of a market feed between restarts: quotes in, crossings out, the tape beside.

Recovery comes first: the tape is replayed through the same index, the saved marks are put back, fresh books
of every watched token are judged, and only then the socket's frames are.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

import structlog

from activities.feed_delivery import Delivery
from activities.feed_tape import MarkBatch, TapeBatch
from domain.errors import StorageUnavailable, VenueError
from domain.ids import TokenId
from domain.messages import FeedShard, WatchRow
from domain.ports import Book, Clock, MarketData, MarketEvent, MarketEventKind, MarketStream
from domain.quotes import Quote, price_rules_of
from domain.rules.crossing import Crossing
from domain.rules.index import TriggerIndex
from domain.rules.watch import TrailMark, Watch
from storage.repositories.tape import Tape
from storage.repositories.watches import Watches

log = structlog.get_logger()

TIMER_STEP_S = 0.05
TICK_S = 0.25
BOOKS_AT_ONCE = 50


class FeedRestart(Exception):
    """The feed was not running for a while (a paused machine): what it holds is old."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedSettings:
    """How a feed works; seconds and milliseconds."""

    ws_enabled: bool = True
    poll_interval_s: float = 60.0
    reread_s: float = 60.0
    flush_s: float = 1.0
    silence_s: float = 10.0
    pause_limit_ms: int = 3_000


@dataclass(slots=True)
class _Seen:
    """The newest quote of a token and when it was last confirmed, local monotonic milliseconds."""

    quote: Quote
    confirmed_ms: int


@dataclass(frozen=True, slots=True)
class FeedHealth:
    """What the feed says of itself."""

    connected: bool
    tokens: int
    rules: int
    newest_quote_age_ms: int | None


class FeedSession:
    """Everything that one life of the feed holds in memory."""

    def __init__(
        self,
        shard: FeedShard,
        settings: FeedSettings,
        *,
        data: MarketData,
        stream: MarketStream,
        watches: Watches,
        tape: Tape,
        delivery: Delivery,
        clock: Clock,
    ) -> None:
        """Take the ports; nothing is read before `run`."""
        self._shard = shard
        self._settings = settings
        self._data = data
        self._stream = stream
        self._watches = watches
        self._tape = tape
        self._clock = clock
        self._delivery = delivery
        self._index = TriggerIndex(price_rules_of(shard.venue))
        self._rows: dict[str, WatchRow] = {}
        self._by_token: dict[str, int] = {}
        self._seen: dict[str, _Seen] = {}
        self._batch = TapeBatch(shard.venue, tape)
        self._marks = MarkBatch(watches)
        self._edge = 0
        self._tick_ms = clock.monotonic_ms()
        self._hint = asyncio.Event()

    async def run(self) -> None:
        """Recover, go live, and stay so until cancelled.

        Raises:
            FeedRestart: the process stood still for longer than the heartbeat allows.
        """
        await self._recover()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tick())
            if self._settings.ws_enabled:
                group.create_task(self._consume())
                group.create_task(self._watch_silence())
            else:
                group.create_task(self._poll())
            group.create_task(self._flush_often())
            group.create_task(self._fire_timers())
            group.create_task(self._follow_watches())
            group.create_task(self._watches.listen(self._hint.set))

    def health(self) -> FeedHealth:
        """Return what status pages show."""
        now = self._clock.monotonic_ms()
        newest = max((seen.confirmed_ms for seen in self._seen.values()), default=None)
        return FeedHealth(
            connected=self._settings.ws_enabled and self._stream.connected,
            tokens=len(self._by_token),
            rules=len(self._rows),
            newest_quote_age_ms=None if newest is None else now - newest,
        )

    # -- recovery -------------------------------------------------------------------------------

    async def _recover(self) -> None:
        rows, self._edge = await self._watches.snapshot(
            self._shard.venue, self._shard.shard, self._shard.shards
        )
        marks = await self._watches.load_marks([row.rule_id for row in rows])
        await self._replay(rows, marks)
        tokens = [TokenId(token) for token in self._by_token]
        if self._settings.ws_enabled and tokens:
            await self._stream.subscribe(tokens)
        await self._read_books(tokens)
        log.info("feed.live", venue=self._shard.venue, rules=len(self._rows), tokens=len(tokens))

    async def _replay(self, rows: Sequence[WatchRow], marks: Sequence[TrailMark]) -> None:
        """Put the watches back and show each the tape since it was armed, by the very same index.

        The saved marks come last. They are as high as the price ever went: a row from before that high would
        lie below a level that did not stand yet, and sell for nothing.
        """
        since = await self._watches.armed_since([row.rule_id for row in rows])
        waiting = deque(sorted(rows, key=lambda row: since[row.rule_id]))
        oldest: dict[str, datetime] = {}
        for row in waiting:
            oldest.setdefault(row.token_id, since[row.rule_id])
        entries = await self._tape.since(self._shard.venue, oldest)
        fired: set[str] = set()
        for entry in entries:
            while waiting and since[waiting[0].rule_id] <= entry.ts:
                self._add(waiting.popleft(), ())
            now = self._clock.monotonic_ms()
            fired |= self._take(entry.token_id, entry.quote, now, None, to_tape=False)
        for row in waiting:
            self._add(row, ())
        self._restore([mark for mark in marks if mark.rule_id not in fired])
        if entries:
            log.info("feed.tape_replayed", rows=len(entries))

    def _restore(self, saved: Iterable[TrailMark]) -> None:
        """Raise marks to where they were saved; what the tape still shows has raised them already."""
        by_rule: dict[str, list[TrailMark]] = {}
        for mark in saved:
            by_rule.setdefault(mark.rule_id, []).append(mark)
        for rule_id, marks in by_rule.items():
            replayed = {mark.condition_index: mark for mark in self._index.marks(rule_id)}
            merged = [_higher(mark, replayed.get(mark.condition_index)) for mark in marks]
            if any(replayed.get(mark.condition_index) != mark for mark in merged):
                self._add(self._rows[rule_id], merged)

    def _rules_on(self, token_id: str) -> list[str]:
        return [row.rule_id for row in self._rows.values() if row.token_id == token_id]

    async def _read_books(self, tokens: Sequence[TokenId]) -> None:
        """Take fresh books by REST; what cannot be read now is read again by the silence check."""
        for start in range(0, len(tokens), BOOKS_AT_ONCE):
            try:
                books = await self._data.books(tokens[start : start + BOOKS_AT_ONCE])
            except VenueError as error:
                log.warning("feed.books_unreadable", code=error.code)
                continue
            for book in books:
                self._take_book(book)

    def _take_book(self, book: Book) -> None:
        self._stream.replace_book(book)
        seen = self._seen.get(book.token_id)
        now = self._clock.monotonic_ms()
        quote = book.quote
        if seen is not None and book.last is None:
            quote = replace(quote, last=seen.quote.last)
        if seen is not None and seen.quote == quote:
            seen.confirmed_ms = now
            self._deliver(self._index.on_confirmed(book.token_id, now, wall_ms=self._wall_ms()))
        else:
            self._take(book.token_id, quote, now, book.venue_timestamp_ms)

    # -- quotes ---------------------------------------------------------------------------------

    async def _consume(self) -> None:
        async for events in self._stream.events():
            self._check_pause()
            for event in events:
                await self._on_event(event)

    async def _on_event(self, event: MarketEvent) -> None:
        if event.kind is MarketEventKind.QUOTE and event.token_id is not None and event.quote is not None:
            self._take(event.token_id, event.quote, event.received_ms, event.venue_timestamp_ms)
        elif event.kind is MarketEventKind.GAP:
            log.warning("feed.gap", venue=self._shard.venue)
            await self._read_books([TokenId(token) for token in self._by_token])
        elif event.token_id is not None:
            await self._reread(event.token_id, event.kind)

    async def _reread(self, token_id: TokenId, kind: MarketEventKind) -> None:
        """A tick or state changed, or the local book went wrong: ask the venue."""
        if kind is not MarketEventKind.DESYNC:
            await self._delivery.market_changed(token_id, self._rules_on(token_id))
        await self._read_books([token_id])

    def _take(
        self, token_id: str, quote: Quote, now_ms: int, venue_ms: int | None, *, to_tape: bool = True
    ) -> set[str]:
        """Show a quote to the index, hand out what it fires, keep the change; return the fired rules."""
        seen = self._seen.get(token_id)
        if seen is None:
            self._seen[token_id] = _Seen(quote, now_ms)
        else:
            seen.confirmed_ms = now_ms
        crossings = self._index.on_quote(
            token_id, quote, now_ms, venue_timestamp_ms=venue_ms, wall_ms=self._wall_ms()
        )
        if crossings:
            self._deliver(crossings)
        if seen is None or seen.quote != quote:
            if seen is not None:
                seen.quote = quote
            if to_tape:
                self._batch.add(token_id, self._clock.now(), quote)
        return {crossing.rule_id for crossing in crossings}

    def _deliver(self, crossings: Iterable[Crossing]) -> None:
        """Hand crossings out; an entry leaves the index when its signal call has returned."""
        for crossing in crossings:
            row = self._rows.get(crossing.rule_id)
            shares = row.shares if row is not None else Decimal(0)
            bids, _ = self._stream.ladder(TokenId(row.token_id if row else ""), 10) if row else ((), ())
            self._delivery.send(crossing, bids, shares, self._index.delivered)

    async def _fire_timers(self) -> None:
        """`confirm.ms` and `not_before` fire by time, without a quote."""
        while True:
            due = self._index.next_due_ms()
            now = self._clock.monotonic_ms()
            if due is not None and due <= now:
                self._deliver(self._index.due(now, wall_ms=self._wall_ms()))
            await asyncio.sleep(TIMER_STEP_S)

    async def _poll(self) -> None:
        """Polling is the only source when the websocket is switched off."""
        while True:
            await asyncio.sleep(self._settings.poll_interval_s)
            await self._read_books([TokenId(token) for token in self._by_token])

    async def _watch_silence(self) -> None:
        """Compare silent tokens with REST books: quiet is no failure, a difference is."""
        while True:
            await asyncio.sleep(self._settings.silence_s / 2)
            now = self._clock.monotonic_ms()
            limit = int(self._settings.silence_s * 1000)
            silent = [
                TokenId(token)
                for token in self._by_token
                if token not in self._seen or now - self._seen[token].confirmed_ms > limit
            ]
            if silent:
                await self._compare(silent)

    async def _compare(self, silent: Sequence[TokenId]) -> None:
        before = {token: self._seen[token].quote for token in silent if token in self._seen}
        await self._read_books(silent)
        wrong = [t for t in silent if t not in before or self._seen[t].quote != before[t]]
        if wrong:
            log.warning("feed.silence", tokens=len(wrong))
            await self._stream.resubscribe(wrong)

    # -- watches --------------------------------------------------------------------------------

    async def _follow_watches(self) -> None:
        """Read what changed on each hint, and everything once in a while: hints may be lost."""
        loop = asyncio.get_running_loop()
        reread_at = loop.time() + self._settings.reread_s
        while True:
            try:
                async with asyncio.timeout_at(reread_at):
                    await self._hint.wait()
            except TimeoutError:
                reread_at = loop.time() + self._settings.reread_s
            self._hint.clear()
            await self._read_changes()

    async def _read_changes(self) -> None:
        try:
            rows, self._edge = await self._watches.changed_since(
                self._edge, self._shard.venue, self._shard.shard, self._shard.shards
            )
        except StorageUnavailable as error:
            log.warning("feed.watches_unreadable", error=str(error))
            await asyncio.sleep(TICK_S)
            self._hint.set()
            return
        fresh = [row for row in rows if self._is_news(row)]
        before = set(self._by_token)
        for row in fresh:
            self._change(row)
        await self._resubscribe(before)

    def _is_news(self, row: WatchRow) -> bool:
        known = self._rows.get(row.rule_id)
        return row.armed if known is None else row.version > known.version

    def _change(self, row: WatchRow) -> None:
        known = self._rows.get(row.rule_id)
        if not row.armed:
            self._remove(row.rule_id)
        elif known is not None and known.generation == row.generation and row.rule_id in self._index:
            self._rows[row.rule_id] = row  # only the size changed
        else:
            kept = [replace(m, generation=row.generation) for m in self._index.marks(row.rule_id)]
            self._remove(row.rule_id)
            self._add(row, kept)
            self._evaluate(row)

    def _add(self, row: WatchRow, marks: Sequence[TrailMark]) -> None:
        now = self._clock.monotonic_ms()
        not_before = None
        if row.not_before_ms is not None:
            not_before = now + row.not_before_ms - self._wall_ms()
        watch = Watch(
            rule_id=row.rule_id,
            generation=row.generation,
            token_id=row.token_id,
            resolved=row.resolved,
            not_before_ms=not_before,
        )
        if row.rule_id not in self._rows:
            self._by_token[row.token_id] = self._by_token.get(row.token_id, 0) + 1
        self._rows[row.rule_id] = row
        self._index.add(watch, now, mark=marks)

    def _evaluate(self, row: WatchRow) -> None:
        """Judge a new watch by the quote that stands already, so that arming and crossing cannot miss."""
        seen = self._seen.get(row.token_id)
        if seen is None:
            return
        now, wall = self._clock.monotonic_ms(), self._wall_ms()
        crossings = self._index.evaluate(row.rule_id, now, wall_ms=wall)
        if not crossings and self._by_token.get(row.token_id) == 1:
            # The index forgets a token without rules; this one is alone on it now.
            age = now - seen.confirmed_ms
            crossings = self._index.on_quote(row.token_id, seen.quote, now, age_ms=age, wall_ms=wall)
        self._deliver(crossings)

    def _remove(self, rule_id: str) -> None:
        row = self._rows.pop(rule_id, None)
        self._index.remove(rule_id)
        if row is not None:
            left = self._by_token[row.token_id] - 1
            if left:
                self._by_token[row.token_id] = left
            else:
                del self._by_token[row.token_id]

    async def _resubscribe(self, before: set[str]) -> None:
        added = [TokenId(token) for token in self._by_token if token not in before]
        gone = [TokenId(token) for token in before if token not in self._by_token]
        for token in gone:
            self._seen.pop(token, None)
        if gone:
            await self._stream.unsubscribe(gone)
        if added:
            if self._settings.ws_enabled:
                await self._stream.subscribe(added)
            await self._read_books(added)

    # -- time -----------------------------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            self._check_pause()
            await asyncio.sleep(TICK_S)

    def _check_pause(self) -> None:
        """A loop that stood still holds old frames; they must not trade."""
        now = self._clock.monotonic_ms()
        gap, self._tick_ms = now - self._tick_ms, now
        if gap > self._settings.pause_limit_ms:
            raise FeedRestart(f"the feed stood still for {timedelta(milliseconds=gap)}")

    async def _flush_often(self) -> None:
        while True:
            await asyncio.sleep(self._settings.flush_s)
            await self.flush()

    async def flush(self) -> None:
        """Write the tape and the marks of the last second; what fails is kept for the next time."""
        self._marks.add(mark for mark in self._index.take_changed_marks() if mark.rule_id in self._rows)
        try:
            await self._batch.flush()
            await self._marks.flush()
        except StorageUnavailable as error:
            log.warning("feed.flush_failed", error=str(error), rows=len(self._batch))

    def _wall_ms(self) -> int:
        return int(self._clock.now().timestamp() * 1000)


def _higher(saved: TrailMark, replayed: TrailMark | None) -> TrailMark:
    """Return the mark that went further, active if either is."""
    if replayed is None or replayed.mark is None:
        return saved
    if saved.mark is None or saved.mark <= replayed.mark:
        return replace(replayed, active=replayed.active or saved.active)
    return replace(saved, active=saved.active or replayed.active)
