"""Who writes the tape of each feed shard."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base


class FeedLeaseRecord(Base):
    """The one feed of a shard that writes tape, marks and gaps; the rows of a venue are one layout.

    `renewed_at` is the database's clock, when the holder last wrote (or gave the lease back); `seen_until` is
    the feeds' clock: whatever was seen up to then is on the tape.
    """

    __tablename__ = "feed_leases"

    venue: Mapped[str] = mapped_column(primary_key=True)
    shard: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    shards: Mapped[int]
    revision: Mapped[int]
    fence: Mapped[int]
    replica: Mapped[int | None]
    wanted_by: Mapped[int | None]
    renewed_at: Mapped[datetime]
    seen_until: Mapped[datetime | None]
