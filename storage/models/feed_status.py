"""What each feed says of itself."""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base


class FeedStatusRecord(Base):
    """The newest report of one feed: the first of its shard, or a standby of it (`replica` above 0)."""

    __tablename__ = "feed_status"

    venue: Mapped[str] = mapped_column(primary_key=True)
    shard: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    replica: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, server_default=text("0"))
    shards: Mapped[int] = mapped_column(server_default=text("1"))
    writes_tape: Mapped[bool] = mapped_column(server_default=text("true"))
    websocket: Mapped[bool]
    tokens: Mapped[int]
    rules: Mapped[int]
    newest_quote_age_ms: Mapped[int | None]
    polling: Mapped[bool]
    at: Mapped[datetime]
