"""The cache of what tokens trade by."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Index, false, func, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base


class InstrumentRecord(Base):
    """`domain.orders.Instrument` as it was last read from its venue."""

    __tablename__ = "instruments"
    __table_args__ = (Index(None, "venue", "market_id"),)

    venue: Mapped[str] = mapped_column(primary_key=True)
    token_id: Mapped[str] = mapped_column(primary_key=True)
    market_id: Mapped[str]
    tick: Mapped[Decimal]
    min_shares: Mapped[Decimal]
    neg_risk: Mapped[bool] = mapped_column(server_default=false())
    state: Mapped[str]
    fee_rate: Mapped[Decimal]
    ends_at: Mapped[datetime | None]
    question: Mapped[str]
    outcome: Mapped[str]
    payout: Mapped[Decimal | None]
    hold_ms: Mapped[int] = mapped_column(server_default=text("0"))
    read_at: Mapped[datetime] = mapped_column(server_default=func.now())
