"""What venues say of orders."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import CheckConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, one_of


class VenueOrderRecord(Base):
    """`domain.orders.VenueOrder` as it was last heard; terminal never goes back."""

    __tablename__ = "venue_orders"
    __table_args__ = (CheckConstraint(one_of("mode", "paper", "live"), name="mode"),)

    account_id: Mapped[str] = mapped_column(primary_key=True)
    venue: Mapped[str] = mapped_column(primary_key=True)
    mode: Mapped[str] = mapped_column(primary_key=True)
    venue_order_id: Mapped[str] = mapped_column(primary_key=True)
    market_id: Mapped[str]
    token_id: Mapped[str]
    side: Mapped[str]
    status: Mapped[str]
    terminal: Mapped[bool]
    original_shares: Mapped[Decimal | None]
    matched_shares: Mapped[Decimal]
    price: Mapped[Decimal]
    created_at: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
