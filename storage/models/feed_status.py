"""What each feed shard says of itself."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base


class FeedStatusRecord(Base):
    """The newest report of one feed shard."""

    __tablename__ = "feed_status"

    venue: Mapped[str] = mapped_column(primary_key=True)
    shard: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    websocket: Mapped[bool]
    tokens: Mapped[int]
    rules: Mapped[int]
    newest_quote_age_ms: Mapped[int | None]
    polling: Mapped[bool]
    at: Mapped[datetime]
