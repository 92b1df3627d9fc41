"""Positions: the fold of the ledger, and the row that claims and booking lock."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import CheckConstraint, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, one_of


class PositionRecord(Base):
    """`domain.positions.Position`; a row of episode 0 only exists to be locked, nothing was ever held."""

    __tablename__ = "positions"
    __table_args__ = (
        CheckConstraint(one_of("mode", "paper", "live"), name="mode"),
        Index("positions_open_idx", "account_id", "venue", "mode", postgresql_where=text("shares <> 0")),
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    venue: Mapped[str] = mapped_column(primary_key=True)
    mode: Mapped[str] = mapped_column(primary_key=True)
    token_id: Mapped[str] = mapped_column(primary_key=True)
    market_id: Mapped[str]
    shares: Mapped[Decimal] = mapped_column(server_default="0")
    average_entry: Mapped[Decimal | None]
    cost_usd: Mapped[Decimal] = mapped_column(server_default="0")
    realized_pnl_usd: Mapped[Decimal] = mapped_column(server_default="0")
    fees_usd: Mapped[Decimal] = mapped_column(server_default="0")
    unconfirmed_shares: Mapped[Decimal] = mapped_column(server_default="0")
    episode: Mapped[int] = mapped_column(server_default="0")
    opened_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(server_default="0")
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
