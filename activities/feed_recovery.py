"""Recovery of a feed: the tape through the same index, then the saved marks."""

from collections import deque
from collections.abc import Sequence
from datetime import datetime

import structlog

from activities.feed_board import QuoteBoard
from activities.feed_intake import QuoteIntake
from domain.ids import TokenId
from domain.messages import FeedShard, WatchRow
from domain.rules.watch import TrailMark
from storage.repositories.tape import Tape
from storage.repositories.watches import Watches

log = structlog.get_logger()


class Recovery:
    """Brings a new session's board to where the last one was."""

    def __init__(
        self, shard: FeedShard, board: QuoteBoard, intake: QuoteIntake, *, watches: Watches, tape: Tape
    ) -> None:
        """Take an empty board and what is read."""
        self._shard = shard
        self._board = board
        self._intake = intake
        self._watches = watches
        self._tape = tape

    async def run(self) -> int:
        """Watch every armed rule and show it the tape since it was armed; return the watches' visible edge.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        shard = self._shard
        rows, edge = await self._watches.snapshot(shard.venue, shard.shard, shard.shards)
        marks = await self._watches.load_marks([row.rule_id for row in rows])
        await self._replay(rows, marks)
        return edge

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
                self._board.add(waiting.popleft(), (), self._intake.now())
            crossings = self._board.take(TokenId(entry.token_id), entry.quote, self._intake.now())
            self._intake.deliver(crossings)
            fired.update(crossing.rule_id for crossing in crossings)
        for row in waiting:
            self._board.add(row, (), self._intake.now())
        self._board.restore([mark for mark in marks if mark.rule_id not in fired], self._intake.now())
        if entries:
            log.info("feed.tape_replayed", rows=len(entries))
