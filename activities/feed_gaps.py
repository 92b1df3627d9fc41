"""Spans in which a feed could not see: a spike in one may be missed, and the span is recorded."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import structlog

from domain.ids import TokenId
from domain.messages import FeedShard
from storage.repositories.tape import FeedGap, Tape

log = structlog.get_logger()


class GapReason(StrEnum):
    """Why a feed could not see."""

    RESTART = "restart"  # no feed ran: from the last report of the one before to fresh books
    PAUSE = "pause"  # its process stood still
    SOCKET = "socket"  # a market socket was lost: from the last frame to fresh books
    TAPE_FULL = "tape_full"  # it saw, but the database was away for longer than its memory reached


@dataclass(frozen=True, slots=True)
class Blind:
    """Since when a feed does not see, and why."""

    since: datetime
    reason: GapReason


class GapLog:
    """Gaps of one shard that wait to be written, in the order in which they ended."""

    def __init__(self, shard: FeedShard, tape: Tape) -> None:
        """Take the place to write to."""
        self._shard = shard
        self._tape = tape
        self._waiting: deque[FeedGap] = deque()

    def end(self, blind: Blind, at: datetime, *, tokens: Sequence[TokenId] | None = None) -> None:
        """Take in that the feed sees again: the whole shard, or only these tokens of it."""
        told = "all" if tokens is None else len(tokens)
        log.warning(
            "feed.gap", venue=self._shard.venue, reason=blind.reason.value, since=blind.since, tokens=told
        )
        for token in (None,) if tokens is None else tokens:
            self._waiting.append(
                FeedGap(
                    venue=self._shard.venue,
                    shard=self._shard.shard,
                    token_id=token,
                    started_at=min(blind.since, at),
                    ended_at=at,
                    reason=blind.reason,
                )
            )

    async def flush(self) -> None:
        """Write what waits; on a failure it goes on waiting.

        Raises:
            StorageUnavailable: Postgres is away.
        """
        while self._waiting:
            gap = self._waiting.popleft()
            try:
                await self._tape.record_gap(gap)
            except BaseException:
                self._waiting.appendleft(gap)
                raise
