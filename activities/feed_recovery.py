"""Recovery of a feed: the tape through the same index, then the saved marks."""

from collections.abc import Container, Mapping, Sequence
from datetime import datetime

import structlog

from activities.feed_board import QuoteBoard, unix_ms
from activities.feed_gaps import Blind
from activities.feed_intake import QuoteIntake
from activities.feed_replay import Span, TapeReplay
from domain.messages import FeedShard, WatchRow
from storage.repositories.tape import FeedGap, Tape
from storage.repositories.watches import SavedMarks, Watches

log = structlog.get_logger()


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

    async def run(self, blind: Blind | None) -> int:
        """Watch every armed rule and show it the tape since it was armed; return the watches' visible edge.

        Args:
            blind: since when the tape does not tell what was to be seen; None when nobody ever saw.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        shard = self._shard
        rows, edge = await self._watches.snapshot(shard.venue, shard.shard, shard.shards)
        marks = await self._watches.load_marks([row.rule_id for row in rows])
        await self._replay(rows, marks, blind)
        return edge

    async def _replay(self, rows: Sequence[WatchRow], marks: SavedMarks, blind: Blind | None) -> None:
        """Put the watches back and show each the tape since it was armed, by the very same index.

        A rule begins with the marks that its generation was armed with. Those reached since come last: they
        are as high as the price ever went, and a row from before that high would lie below a level that did
        not stand yet, and sell for nothing.
        """
        since = await self._watches.armed_since([row.rule_id for row in rows])
        oldest: dict[str, datetime] = {}
        for row in rows:
            oldest[row.token_id] = min(since[row.rule_id], oldest.get(row.token_id, since[row.rule_id]))
        standing = await self._tape.standing(self._shard.venue, oldest)
        replay = TapeReplay(self._board, self._intake, await self._unseen(oldest, blind))
        pages = self._tape.pages(self._shard.venue, oldest)
        shown = await replay.run(rows, since, marks.carried, standing, pages)
        reached = [mark for mark in marks.reached if mark.rule_id not in replay.fired]
        self._board.restore(reached, self._intake.now())
        if shown:
            log.info("feed.tape_replayed", rows=shown)

    async def _unseen(self, since: Mapping[str, datetime], blind: Blind | None) -> list[Span]:
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
