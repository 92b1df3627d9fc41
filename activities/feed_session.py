"""One life of a market feed between restarts: quotes in, crossings out, the tape beside.

Recovery comes first: the tape is replayed through the same index and the saved marks are put back. Then the
socket's frames are judged, and beside them a fresh book of every watched token; once those were read nothing
is unseen any more, and the feed is live.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from activities.feed_board import QuoteBoard
from activities.feed_books import BookReader
from activities.feed_delivery import Delivery
from activities.feed_gaps import Blind, GapReason
from activities.feed_intake import QuoteIntake
from activities.feed_notices import EventLog, FeedNotices, NoticeSettings
from activities.feed_recorder import Recorder
from activities.feed_recovery import Recovery
from activities.feed_rereads import Loss, Rereads
from activities.feed_watching import WatchFollower
from activities.telemetry import LeavesAside
from domain.messages import FeedShard
from domain.ports import Clock, MarketData, MarketEvent, MarketEventKind, MarketStream
from storage.repositories.feed_leases import FeedLeases
from storage.repositories.tape import Tape
from storage.repositories.watches import Watches

log = structlog.get_logger()

TIMER_STEP_S = 0.05
TICK_S = 0.25


class FeedRestart(Exception):
    """The feed was not running for a while (a paused machine): what it holds is old."""

    def __init__(self, paused_for: timedelta) -> None:
        """Take for how long it stood still."""
        super().__init__(f"the feed stood still for {paused_for}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedSettings:
    """How a feed works; seconds and milliseconds."""

    ws_enabled: bool = True
    poll_interval_s: float = 60.0
    reread_s: float = 60.0
    flush_s: float = 1.0
    silence_s: float = 10.0
    pause_limit_ms: int = 3_000
    notices: NoticeSettings = field(default_factory=NoticeSettings)


@dataclass(frozen=True, slots=True)
class FeedHealth:
    """What the feed says of itself."""

    connected: bool
    tokens: int
    rules: int
    newest_quote_age_ms: int | None
    stalest_quote_age_ms: int | None
    quotes: int
    tape_rows: int
    tape_lag_ms: int
    writes_tape: bool
    left_aside: Mapping[str, int]


class FeedSession:
    """One life of the feed: its parts, and the loops that drive them."""

    def __init__(
        self,
        shard: FeedShard,
        settings: FeedSettings,
        *,
        data: MarketData,
        stream: MarketStream,
        watches: Watches,
        tape: Tape,
        leases: FeedLeases,
        observations: EventLog,
        delivery: Delivery,
        clock: Clock,
        reason: GapReason = GapReason.RESTART,
    ) -> None:
        """Take the ports, and why nobody saw before when nobody did; nothing is read before `run`."""
        self._shard = shard
        self._settings = settings
        self._stream = stream
        self._clock = clock
        self._recorder = Recorder(shard, leases=leases, watches=watches, clock=clock, reason=reason)
        self._live = asyncio.Event()
        self._board = QuoteBoard(shard.venue)
        self._notices = FeedNotices(
            self._board, observations, clock, settings.notices, writes=lambda: self._recorder.writes
        )
        self._intake = QuoteIntake(
            self._board,
            stream=stream,
            delivery=delivery,
            batch=self._recorder.batch,
            notices=self._notices,
            clock=clock,
        )
        self._books = BookReader(self._board, self._intake, data=data, stream=stream, clock=clock)
        self._follower = WatchFollower(
            shard,
            self._board,
            self._intake,
            self._books,
            watches=watches,
            stream=stream if settings.ws_enabled else None,
        )
        self._recovery = Recovery(shard, self._board, self._intake, watches=watches, tape=tape)
        self._rereads = Rereads(
            self._board, self._books, delivery=delivery, gaps=self._recorder.gaps, clock=clock
        )
        self._stood_still: datetime | None = None  # since when, once it did
        self._tick_ms = clock.monotonic_ms()  # when the loop was last known to run
        self._frame_ms = self._tick_ms  # when the last frame was received

    async def run(self) -> None:
        """Recover, go live, and stay so until cancelled.

        Raises:
            FeedRestart: the process stood still for longer than the heartbeat allows.
        """
        settings = self._settings
        self._tick_ms = self._clock.monotonic_ms()
        async with asyncio.TaskGroup() as group:
            # From the first moment on: a recovery that is slow is no pause, one that stood still is.
            group.create_task(self._tick())
            edge = await self._recover()
            if settings.ws_enabled:
                group.create_task(self._consume())
                group.create_task(self._rereads.run())
                group.create_task(self._books.watch_silence(settings.silence_s))
            else:
                group.create_task(self._books.poll(settings.poll_interval_s))
            group.create_task(self._flush_often())
            group.create_task(self._notices.run())
            group.create_task(self._follower.follow(edge, settings.reread_s))
            group.create_task(self._follower.listen())
            await self._go_live()
            # What ran out while nobody saw waits for the books, which say whether the price still stands.
            group.create_task(self._fire_timers())
            await self._recovery.look_back()

    async def until_live(self) -> None:
        """Wait until recovery is over and the feed sees."""
        await self._live.wait()

    def health(self) -> FeedHealth:
        """Return what status pages show."""
        newest, stalest = self._board.newest_confirmation_ms(), self._board.stalest_confirmation_ms()
        now = self._clock.monotonic_ms()
        return FeedHealth(
            connected=self._settings.ws_enabled and self._stream.connected,
            tokens=len(self._board.tokens()),
            rules=self._board.rules,
            newest_quote_age_ms=None if newest is None else now - newest,
            stalest_quote_age_ms=None if stalest is None else now - stalest,
            quotes=self._intake.quotes,
            tape_rows=len(self._recorder.batch),
            tape_lag_ms=self._recorder.batch.lag_ms(self._clock.now()),
            writes_tape=self._recorder.writes,
            left_aside=self._stream.left_aside() if isinstance(self._stream, LeavesAside) else {},
        )

    async def flush(self) -> None:
        """Write the tape, the marks and the gaps of the last second, when it is this feed's to write.

        Raises:
            FeedSuperseded: the same feed runs elsewhere.
        """
        await self._recorder.flush(self._board.take_changed_marks(), self._stood_still)

    async def close(self) -> None:
        """Write what is left; one that ends in order lets another feed of its shard go on at once."""
        await self.flush()
        if self._stood_still is None:
            await self._recorder.give_back()

    async def _recover(self) -> int:
        """Recover and subscribe; return the watches' visible edge."""
        edge = await self._recovery.run(await self._recorder.last_sight())
        tokens = self._board.tokens()
        if self._settings.ws_enabled and tokens:
            await self._stream.subscribe(tokens)
        self._frame_ms = self._clock.monotonic_ms()
        return edge

    async def _go_live(self) -> None:
        """Judge fresh books; from then on the feed sees."""
        await self._books.read(self._board.tokens())
        self._recorder.live()
        self._live.set()
        log.info(
            "feed.live", venue=self._shard.venue, rules=self._board.rules, tokens=len(self._board.tokens())
        )

    async def _consume(self) -> None:
        async for events in self._stream.events():
            self._check_pause()
            for event in events:
                self._on_event(event)

    def _on_event(self, event: MarketEvent) -> None:
        if event.kind is MarketEventKind.QUOTE and event.token_id is not None and event.quote is not None:
            self._intake.take(event.token_id, event.quote, event.received_ms, event.venue_timestamp_ms)
        elif event.kind is MarketEventKind.GAP:
            self._rereads.ask_lost(self._loss_of(event))
        elif event.token_id is not None:
            # A tick or state changed, or the local book went wrong: ask the venue.
            self._rereads.ask_token(event.token_id, instrument=event.kind is not MarketEventKind.DESYNC)
        self._frame_ms = max(self._frame_ms, event.received_ms)

    def _loss_of(self, event: MarketEvent) -> Loss:
        """Return what a gap is about: the tokens of the lost socket, or all when nothing is known of it."""
        heard_ms = self._frame_ms if event.lost is None else event.lost.heard_ms
        unseen = timedelta(milliseconds=self._clock.monotonic_ms() - heard_ms)
        blind = Blind(self._clock.now() - unseen, GapReason.SOCKET)
        return Loss(blind, None if event.lost is None else event.lost.tokens)

    async def _fire_timers(self) -> None:
        while True:
            self._check_pause()
            self._intake.fire_timers()
            await asyncio.sleep(TIMER_STEP_S)

    async def _tick(self) -> None:
        while True:
            self._check_pause()
            await asyncio.sleep(TICK_S)

    def _check_pause(self) -> None:
        """A loop that stood still holds old frames; they must not trade."""
        now = self._clock.monotonic_ms()
        gap, self._tick_ms = now - self._tick_ms, now
        if gap > self._settings.pause_limit_ms:
            paused_for = timedelta(milliseconds=gap)
            self._stood_still = self._clock.now() - paused_for
            raise FeedRestart(paused_for)

    async def _flush_often(self) -> None:
        while True:
            await asyncio.sleep(self._settings.flush_s)
            self._check_pause()  # or the tape would claim that it was seen
            await self.flush()
