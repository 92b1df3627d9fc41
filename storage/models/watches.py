"""What the feed watches, and the marks of trailing conditions."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import CheckConstraint, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import CURRENT_XID, Base, Xid8, one_of


class WatchRecord(Base):
    """`domain.messages.WatchRow`; a visible edge is made of `changed_xid`.

    `armed_at` is when this generation was armed, also once it is not any more: the tape counts for the rule
    from there on.
    """

    __tablename__ = "watches"
    __table_args__ = (
        CheckConstraint(one_of("mode", "paper", "live"), name="mode"),
        Index("watches_changed_xid_idx", "changed_xid"),
        Index("watches_armed_idx", "venue", "token_id", postgresql_where=text("armed")),
    )

    rule_id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str]
    mode: Mapped[str]
    venue: Mapped[str]
    token_id: Mapped[str]
    generation: Mapped[int]
    armed: Mapped[bool]
    not_before_ms: Mapped[int | None]
    resolved: Mapped[dict[str, object]]
    shares: Mapped[Decimal]
    version: Mapped[int]
    marks_from: Mapped[int] = mapped_column(server_default=text("0"))
    armed_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    changed_xid: Mapped[str] = mapped_column(Xid8(), server_default=text(CURRENT_XID))


class TrailMarkRecord(Base):
    """`domain.rules.watch.TrailMark`: how high the price went for one trailing condition."""

    __tablename__ = "trail_marks"

    rule_id: Mapped[str] = mapped_column(primary_key=True)
    generation: Mapped[int] = mapped_column(primary_key=True)
    condition_index: Mapped[int] = mapped_column(primary_key=True)
    mark: Mapped[Decimal | None]
    active: Mapped[bool]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
