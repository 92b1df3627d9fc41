"""Checkpoints of positions: what the oldest entries of a long ledger amount to."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, one_of


class PositionCheckpointRecord(Base):
    """`domain.ledger.Checkpoint`. Only saves work: a position without one is folded from all its entries."""

    __tablename__ = "position_checkpoints"
    __table_args__ = (CheckConstraint(one_of("mode", "paper", "live"), name="mode"),)

    account_id: Mapped[str] = mapped_column(primary_key=True)
    venue: Mapped[str] = mapped_column(primary_key=True)
    mode: Mapped[str] = mapped_column(primary_key=True)
    token_id: Mapped[str] = mapped_column(primary_key=True)
    through: Mapped[datetime]
    shares: Mapped[Decimal]
    cost_usd: Mapped[Decimal]
    entry_fees_usd: Mapped[Decimal]
    realized_pnl_usd: Mapped[Decimal]
    fees_usd: Mapped[Decimal]
    unconfirmed_shares: Mapped[Decimal]
    episode: Mapped[int]
    opened_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
