"""Spans in which a feed could not see: a spike in one may be missed, and the span is recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import structlog

from domain.ids import TokenId
from domain.messages import FeedShard
from storage.repositories.tape import FeedGap

log = structlog.get_logger()


class GapReason(StrEnum):
    """Why a feed could not see."""

    RESTART = "restart"  # no feed ran: from the last writing of the one before to fresh books
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

    def __init__(self, shard: FeedShard) -> None:
        """Begin with none."""
        self._shard = shard
        self._waiting: list[FeedGap] = []

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
                    shards=self._shard.shards,
                    token_id=token,
                    started_at=min(blind.since, at),
                    ended_at=at,
                    reason=blind.reason,
                )
            )

    def take(self) -> list[FeedGap]:
        """Return what waits; it waits no more."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def put_back(self, gaps: list[FeedGap]) -> None:
        """Let gaps wait again that could not be written."""
        self._waiting = gaps + self._waiting

    def forget(self, before: datetime) -> None:
        """Drop gaps that ended before a time up to which another feed saw."""
        self._waiting = [gap for gap in self._waiting if gap.ended_at >= before]
