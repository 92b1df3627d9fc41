"""The paper venue's memory: orders, fills, and what resolved tokens paid."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, Index, Sequence, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, one_of

# One sequence for orders and fills: every change of an account has a place, and the account's lock makes
# places visible in their order.
CHANGES = Sequence("paper_changes", data_type=BigInteger(), metadata=Base.metadata)


class PaperOrderRecord(Base):
    """`domain.paper.PaperOrder`; `changed` is the place of its last change, its queue left aside.

    Times of the queue are Unix milliseconds of the venue's clock. A resting order without a queue was placed
    before there were queues: it joins at its end.
    """

    __tablename__ = "paper_orders"
    __table_args__ = (
        CheckConstraint(one_of("side", "BUY", "SELL"), name="side"),
        CheckConstraint("matched_shares >= 0", name="matched"),
        Index("paper_orders_changed_idx", "account_id", "venue", "changed"),
        Index(
            "paper_orders_open_idx",
            "account_id",
            "venue",
            "token_id",
            postgresql_where=text("status IN ('live', 'delayed')"),
        ),
    )

    venue_order_id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str]
    venue: Mapped[str]
    market_id: Mapped[str]
    token_id: Mapped[str]
    side: Mapped[str]
    time_in_force: Mapped[str]
    shares: Mapped[Decimal]
    limit_price: Mapped[Decimal]
    matched_shares: Mapped[Decimal]
    status: Mapped[str]
    expiration_s: Mapped[int]
    created_at: Mapped[datetime]
    changed: Mapped[int]
    queue_ahead: Mapped[Decimal | None]
    queue_credited: Mapped[Decimal | None]
    queue_credited_ms: Mapped[int | None]
    queue_seen_ms: Mapped[int | None]
    touched_at: Mapped[datetime | None]
    budget_usd: Mapped[Decimal | None]
    held_until: Mapped[datetime | None]


class PaperFillRecord(Base):
    """`domain.paper.PaperFill`; paper fills are confirmed from the start."""

    __tablename__ = "paper_fills"
    __table_args__ = (
        CheckConstraint(one_of("side", "BUY", "SELL"), name="side"),
        Index("paper_fills_changed_idx", "account_id", "venue", "changed"),
        Index("paper_fills_token_idx", "account_id", "venue", "token_id"),
    )

    fill_key: Mapped[str] = mapped_column(primary_key=True)
    venue_order_id: Mapped[str]
    account_id: Mapped[str]
    venue: Mapped[str]
    market_id: Mapped[str]
    token_id: Mapped[str]
    side: Mapped[str]
    shares: Mapped[Decimal]
    notional_usd: Mapped[Decimal]
    fee_usd: Mapped[Decimal]
    traded_at: Mapped[datetime]
    changed: Mapped[int]
    level_price: Mapped[Decimal | None]


class PaperPayoutRecord(Base):
    """What a resolved token paid an account."""

    __tablename__ = "paper_payouts"

    account_id: Mapped[str] = mapped_column(primary_key=True)
    venue: Mapped[str] = mapped_column(primary_key=True)
    token_id: Mapped[str] = mapped_column(primary_key=True)
    shares: Mapped[Decimal]
    usd: Mapped[Decimal]
