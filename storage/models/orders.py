"""The projection of orders."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import CheckConstraint, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, one_of


class OrderRecord(Base):
    """`domain.orders.OrderRow`, written by the order's host alone, guarded by `version`."""

    __tablename__ = "orders"
    __table_args__ = (
        CheckConstraint(one_of("mode", "paper", "live"), name="mode"),
        CheckConstraint(one_of("side", "BUY", "SELL"), name="side"),
        Index(None, "account_id", "created_at"),
        Index("orders_rule_id_idx", "rule_id", postgresql_where=text("rule_id IS NOT NULL")),
        Index(
            "orders_unsettled_idx",
            "account_id",
            "venue",
            "mode",
            "token_id",
            postgresql_where=text("settled_attempt < attempt"),
        ),
    )

    order_id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str]
    host_workflow_id: Mapped[str]
    rule_id: Mapped[str | None]
    venue: Mapped[str]
    mode: Mapped[str]
    market_id: Mapped[str]
    token_id: Mapped[str]
    side: Mapped[str]
    purpose: Mapped[str]
    time_in_force: Mapped[str]
    state: Mapped[str]
    shares: Mapped[Decimal]
    limit_price: Mapped[Decimal | None]
    attempt: Mapped[int]
    settled_attempt: Mapped[int]
    filled_shares: Mapped[Decimal]
    proceeds_usd: Mapped[Decimal]
    fee_usd: Mapped[Decimal]
    venue_order_id: Mapped[str | None]
    detail: Mapped[str]
    version: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
