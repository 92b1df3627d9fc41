"""The fills ledger, what it folds to, and the venue's word on orders."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import CheckConstraint, Identity, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, one_of


class LedgerRecord(Base):
    """`domain.fills.LedgerEntry`. UPDATE and DELETE are refused."""

    __tablename__ = "ledger"
    __table_args__ = (
        CheckConstraint(one_of("mode", "paper", "live"), name="mode"),
        CheckConstraint(one_of("side", "BUY", "SELL"), name="side"),
        CheckConstraint(
            one_of("kind", "fill", "confirmation", "reversal", "adjustment", "settlement"), name="kind"
        ),
        UniqueConstraint("account_id", "venue", "mode", "fill_key", "kind"),
        Index("ledger_token_idx", "account_id", "venue", "mode", "token_id", "traded_at"),
        Index("ledger_reversals_idx", "booked_at", postgresql_where=text("kind = 'reversal'")),
        Index(
            "ledger_order_idx",
            "account_id",
            "venue",
            "mode",
            "venue_order_id",
            postgresql_where=text("venue_order_id IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    account_id: Mapped[str]
    venue: Mapped[str]
    mode: Mapped[str]
    kind: Mapped[str]
    fill_key: Mapped[str]
    market_id: Mapped[str]
    token_id: Mapped[str]
    side: Mapped[str]
    shares: Mapped[Decimal]
    notional_usd: Mapped[Decimal]
    fee_usd: Mapped[Decimal]
    venue_order_id: Mapped[str | None]
    traded_at: Mapped[datetime]
    booked_at: Mapped[datetime] = mapped_column(server_default=func.now())
