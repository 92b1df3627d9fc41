"""Recovery of a feed: the tape through the same index, then the saved marks.

The last minutes of the tape come first, so that a feed sees again soon however long its rules have stood.
What is older is looked through afterwards, beside the live quotes and on a board of its own: a crossing in it
that no rule has taken lost its signal long ago.
"""

import asyncio
from collections.abc import AsyncGenerator, Container, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from activities.feed_board import Moment, QuoteBoard, unix_ms
from activities.feed_gaps import Blind
from activities.feed_intake import QuoteIntake
from activities.feed_replay import RULES_IN_ONE_GO, Outlet, Span, TapeReplay
from domain.errors import StorageUnavailable
from domain.messages import FeedShard, WatchRow
from domain.rules.crossing import Crossing
from domain.rules.watch import TrailMark
from storage.repositories.tape import FeedGap, Tape, TapeEntry
from storage.repositories.watches import SavedMarks, Watches

log = structlog.get_logger()

RECENT = timedelta(minutes=10)
# Beside live quotes: few rows at a time, and at most half of the time.
ROWS_AT_A_TIME = 1_000
REST_S = 0.02
RETRY_S = 0.5
# What stood on a token before its first rule was armed was seen to stand only if somebody watched the token.
# Nobody knows that afterwards, so it is believed for as long as a quote may be old.
STANDS_FOR = timedelta(seconds=20)
UPDATE_TAKES = timedelta(seconds=15)  # a silent token's book is confirmed that often by REST

Since = Mapping[str, datetime]


@dataclass(frozen=True, slots=True)
class _Armed:
    """The watches with which a recovery began.

    Attributes:
        since: From when on each is shown the tape.
        armed_at: When each was armed; earlier where it is shown only the last minutes.
    """

    rows: Sequence[WatchRow]
    since: Since
    armed_at: Since
    marks: SavedMarks
    blind: Blind | None


class Recovery:
    """Brings a new session's board to where the last one was."""

    def __init__(
        self,
        shard: FeedShard,
        board: QuoteBoard,
        intake: QuoteIntake,
        *,
        watches: Watches,
        tape: Tape,
    ) -> None:
        """Take an empty board and what is read."""
        self._shard = shard
        self._board = board
        self._intake = intake
        self._watches = watches
        self._tape = tape
        self._began = _wall_time(intake.now())
        self._unshown: _Armed | None = None  # watches of which only the last minutes were shown

    async def run(self, blind: Blind | None) -> int:
        """Watch every armed rule and show it the tape of the last minutes; return the watches' visible edge.

        Args:
            blind: since when the tape does not tell what was to be seen; None when nobody ever saw.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        shard, self._began = self._shard, _wall_time(self._intake.now())
        rows, edge = await self._watches.snapshot(shard.venue, shard.shard, shard.shards)
        marks = await self._watches.load_marks([row.rule_id for row in rows])
        since = await self._watches.armed_since([row.rule_id for row in rows])
        recent = self._recent(rows, since, blind)
        old = [row for row in rows if recent[row.rule_id] > since[row.rule_id]]
        self._unshown = _Armed(old, since, since, marks, blind) if old else None
        replay = await self._replay(self._board, self._intake, _Armed(rows, recent, since, marks, blind))
        # A rule begins with the marks that its generation was armed with. Those reached since come last: they
        # are as high as the price ever went, and a row from before that high would lie below a level that did
        # not stand yet, and sell for nothing.
        reached = [mark for mark in marks.reached if mark.rule_id not in replay.fired]
        await self._restore(reached)
        return edge

    async def look_back(self) -> None:
        """Show the rest of the tape to those that were armed before its last minutes; does not fail."""
        while self._unshown is not None:
            board = QuoteBoard(self._shard.venue)
            try:
                await self._replay(board, _Late(self._intake), self._unshown, slowly=True)
                self._unshown = None
            except StorageUnavailable as error:
                log.warning("feed.looks_back_later", error=str(error))
                await asyncio.sleep(RETRY_S)

    def _recent(self, rows: Sequence[WatchRow], since: Since, blind: Blind | None) -> dict[str, datetime]:
        """Return from when on each rule is shown the tape at once; what it takes to confirm fits in."""
        last = self._began if blind is None else blind.since
        recent: dict[str, datetime] = {}
        for row in rows:
            confirm = row.resolved.confirm
            confirms = max(timedelta(milliseconds=confirm.ms), confirm.updates * UPDATE_TAKES)
            recent[row.rule_id] = max(since[row.rule_id], last - max(RECENT, 2 * confirms))
        return recent

    async def _replay(
        self,
        board: QuoteBoard,
        outlet: Outlet,
        armed: _Armed,
        *,
        slowly: bool = False,
    ) -> TapeReplay:
        """Put watches on a board and show each the tape since its time, by the very same index."""
        oldest, first = _oldest(armed.rows, armed.since), _oldest(armed.rows, armed.armed_at)
        found = await self._tape.standing(self._shard.venue, oldest)
        standing = [entry for entry in found if entry.ts >= first[entry.token_id] - STANDS_FOR]
        replay = TapeReplay(board, outlet, await self._unseen(oldest, armed.blind))
        pages = self._slowly(oldest) if slowly else self._tape.pages(self._shard.venue, oldest)
        shown = await replay.run(armed.rows, armed.since, armed.marks.carried, standing, pages)
        if shown:
            log.info("feed.tape_replayed", rows=shown, late=slowly)
        return replay

    async def _restore(self, reached: Sequence[TrailMark]) -> None:
        """Put saved marks back; those of one rule stand together."""
        of_rules: dict[str, list[TrailMark]] = {}
        for mark in reached:
            of_rules.setdefault(mark.rule_id, []).append(mark)
        for count, marks in enumerate(of_rules.values(), start=1):
            self._board.restore(marks, self._intake.now())
            if count % RULES_IN_ONE_GO == 0:
                await asyncio.sleep(0)

    async def _slowly(self, oldest: Since) -> AsyncGenerator[Sequence[TapeEntry]]:
        """Yield the tape of before this recovery, with a rest after each page."""
        async with aclosing(self._tape.pages(self._shard.venue, oldest, size=ROWS_AT_A_TIME)) as pages:
            async for page in pages:
                seen_before = [entry for entry in page if entry.ts <= self._began]
                yield seen_before
                if len(seen_before) < len(page):
                    return
                await asyncio.sleep(REST_S)

    async def _unseen(self, since: Since, blind: Blind | None) -> list[Span]:
        """Return the gaps of these tokens since the oldest time, with the one that is open still."""
        recorded: list[FeedGap] = []
        if since:
            recorded = await self._tape.gaps(self._shard.venue, min(since.values()))
        spans: list[Span] = [
            (unix_ms(gap.started_at), unix_ms(gap.ended_at)) for gap in recorded if self._concerns(gap, since)
        ]
        if blind is not None:
            spans.append((unix_ms(blind.since), None))
        return spans

    def _concerns(self, gap: FeedGap, tokens: Container[str]) -> bool:
        """Whether a gap may have hidden one of these tokens; of another layout's shards any may have."""
        if gap.token_id is not None:
            return gap.token_id in tokens
        return gap.shards != self._shard.shards or gap.shard == self._shard.shard


class _Late:
    """The intake, for crossings of long ago."""

    def __init__(self, intake: QuoteIntake) -> None:
        self._intake = intake

    def now(self) -> Moment:
        """Return the present."""
        return self._intake.now()

    def deliver(self, crossings: Sequence[Crossing]) -> None:
        """Hand out what still concerns its rule."""
        self._intake.deliver_late(crossings)


def _oldest(rows: Sequence[WatchRow], times: Since) -> dict[str, datetime]:
    """Return the earliest time of each token's rules."""
    oldest: dict[str, datetime] = {}
    for row in rows:
        oldest[row.token_id] = min(times[row.rule_id], oldest.get(row.token_id, times[row.rule_id]))
    return oldest


def _wall_time(moment: Moment) -> datetime:
    return datetime.fromtimestamp(moment.wall_ms / 1000, tz=UTC)
