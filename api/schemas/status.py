"""State of the Trade Manager."""

from datetime import datetime
from typing import Literal, Self

from pydantic import Field

from api.schemas.common import Amount, Answer
from domain.orders import Mode
from storage.repositories.breakers import BreakerState
from storage.repositories.feed_status import FeedStatus
from storage.repositories.tape import FeedGap


class BreakerAnswer(Answer):
    """A breaker: of a venue it counts sends without a clear answer, of an account there refused ones."""

    venue: str
    mode: Mode
    of: Literal["venue", "account"]
    open: bool
    failures: int = Field(description="In a row; 0 while all is well")
    opened_at: datetime | None

    @classmethod
    def of_state(cls, state: BreakerState) -> Self:
        """Return the answer form of a breaker's state."""
        return cls(
            venue=state.venue,
            mode=state.mode,
            of="account" if state.account_id else "venue",
            open=state.is_open,
            failures=state.failures,
            opened_at=state.opened_at,
        )


class FeedAnswer(Answer):
    """A feed: the first one of a shard, or a standby that sees and signals the same."""

    venue: str
    shard: int = Field(description="Its part of the venue's tokens, counted from 0")
    shards: int = Field(description="Into how many parts they are cut")
    standby: bool
    writes_tape: bool = Field(description="Of the feeds of a shard one writes what they see")
    websocket: bool
    polling: bool
    tokens: int
    rules: int
    newest_quote_age_ms: int | None
    told_ms_ago: int = Field(description="How old this report is")

    @classmethod
    def of(cls, report: FeedStatus, *, quote_age_ms: int | None, told_ms_ago: int) -> Self:
        """Return the answer form of a feed's report, with ages as of now."""
        return cls(
            venue=report.venue,
            shard=report.shard,
            shards=report.shards,
            standby=report.replica > 0,
            writes_tape=report.writes_tape,
            websocket=report.websocket,
            polling=report.polling,
            tokens=report.tokens,
            rules=report.rules,
            newest_quote_age_ms=quote_age_ms,
            told_ms_ago=told_ms_ago,
        )


class GapAnswer(Answer):
    """A span in which a feed could not see any token, or one; a spike in it may have been missed."""

    venue: str
    shard: int
    token_id: str | None
    started_at: datetime
    ended_at: datetime
    reason: str = Field(examples=["restart"])

    @classmethod
    def of(cls, gap: FeedGap) -> Self:
        """Return the answer form of a gap."""
        return cls(
            venue=gap.venue,
            shard=gap.shard,
            token_id=gap.token_id,
            started_at=gap.started_at,
            ended_at=gap.ended_at,
            reason=gap.reason,
        )


class GapsAnswer(Answer):
    """The gaps of all feeds that reach into the last day."""

    since: datetime
    count: int
    seconds: Amount = Field(description="All of them together")
    latest: GapAnswer | None


class TradeManagerAnswer(Answer):
    """State of the Trade Manager: switch, feed and what this account has in it."""

    running: bool = Field(description="Switched on, and every shard's feed gave a sign of life lately")
    enabled: bool
    websocket: bool = Field(description="Prices come from sockets; false when polling is the only source")
    poll_interval_seconds: Amount
    breaker_open: bool
    breakers: list[str] = Field(description="Breakers that are open, by name")
    breaker_states: list[BreakerAnswer] = Field(description="Of the venues, and of this account there")
    active_rules: int
    blocked_rules: int = Field(description="Fired, and kept from sending by what only their owner can mend")
    orphaned_rules: int = Field(description="Their workflow was ended from outside: adopt them")
    tokens_watched: int
    tokens_polled: int
    newest_quote_age_ms: int | None
    feeds: list[FeedAnswer] = Field(description="Those that gave a sign of life lately")
    gaps: GapsAnswer
