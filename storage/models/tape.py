"""The tape: every change of the top of a book; its gaps; its candles."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base


class TapeRecord(Base):
    """One change of the top of a token's book, in the order in which the feed saw it (`id`)."""

    __tablename__ = "tape"
    __table_args__ = (
        Index(None, "venue", "token_id", "ts", "id"),
        Index("tape_ts_brin", "ts", postgresql_using="brin"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    venue: Mapped[str]
    token_id: Mapped[str]
    ts: Mapped[datetime]
    bid: Mapped[Decimal | None]
    ask: Mapped[Decimal | None]
    last: Mapped[Decimal | None]


class FeedGapRecord(Base):
    """A span in which a feed could not see; without a token it holds for the whole shard of `shards`."""

    __tablename__ = "feed_gaps"
    __table_args__ = (Index(None, "venue", "ended_at"),)

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    venue: Mapped[str]
    shard: Mapped[int]
    shards: Mapped[int] = mapped_column(server_default=text("1"))
    token_id: Mapped[str | None]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]
    reason: Mapped[str]


class CandleRecord(Base):
    """One minute of a token: the displayed price, the extremes of both sides, the number of changes."""

    __tablename__ = "candles"

    venue: Mapped[str] = mapped_column(primary_key=True)
    token_id: Mapped[str] = mapped_column(primary_key=True)
    minute: Mapped[datetime] = mapped_column(primary_key=True)
    open: Mapped[Decimal | None]
    high: Mapped[Decimal | None]
    low: Mapped[Decimal | None]
    close: Mapped[Decimal | None]
    bid_low: Mapped[Decimal | None]
    bid_high: Mapped[Decimal | None]
    ask_low: Mapped[Decimal | None]
    ask_high: Mapped[Decimal | None]
    changes: Mapped[int]
