"""Claims: what was reserved before it was sent."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import CheckConstraint, ForeignKey, Index, false, func, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, one_of


class ClaimRecord(Base):
    """One attempt: its digest (the venue's order id), its fields, its posts and the latest answer.

    `body` is the whole `domain.orders.Attempt`; the columns beside it are what queries look for.
    `answer` is emptied when a resend begins: the earlier answer says nothing of the send in flight.
    """

    __tablename__ = "claims"
    __table_args__ = (
        CheckConstraint(one_of("mode", "paper", "live"), name="mode"),
        CheckConstraint(one_of("side", "BUY", "SELL"), name="side"),
        Index(None, "account_id", "venue", "mode", "token_id", "side"),
        Index("claims_venue_order_id_idx", "venue_order_id"),
        Index("claims_host_workflow_id_idx", "host_workflow_id"),
        Index(
            "claims_entries_idx",
            "account_id",
            "mode",
            "created_at",
            postgresql_where=text("purpose = 'entry'"),
        ),
    )

    order_id: Mapped[str] = mapped_column(ForeignKey("orders.order_id"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    venue_order_id: Mapped[str]
    host_workflow_id: Mapped[str]
    account_id: Mapped[str]
    venue: Mapped[str]
    mode: Mapped[str]
    market_id: Mapped[str]
    token_id: Mapped[str]
    side: Mapped[str]
    purpose: Mapped[str]
    time_in_force: Mapped[str]
    shares: Mapped[Decimal]
    limit_price: Mapped[Decimal]
    usd: Mapped[Decimal]
    body: Mapped[dict[str, object]]
    posts: Mapped[int]
    last_post_at: Mapped[datetime]
    unknown_before: Mapped[bool] = mapped_column(server_default=false())
    answer_kind: Mapped[str | None]
    answer: Mapped[dict[str, object] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
