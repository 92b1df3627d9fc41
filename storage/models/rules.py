"""The projection of rules."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import CheckConstraint, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, one_of

OPEN = "phase <> 'done'"
"""A rule that still acts. Its status does not tell: a rule that sold everything stays TRIGGERED."""

EXITING = "phase IN ('exiting', 'waiting', 'blocked')"
"""A rule that sells, or would if it could."""


class RuleRecord(Base):
    """`domain.messages.RuleRow`, written by the rule's own workflow, guarded by `version`."""

    __tablename__ = "rules"
    __table_args__ = (
        CheckConstraint(one_of("mode", "paper", "live"), name="mode"),
        Index(None, "account_id", "created_at"),
        Index(
            "rules_open_idx",
            "account_id",
            "venue",
            "mode",
            "token_id",
            postgresql_where=text(OPEN),
        ),
        Index("rules_exiting_idx", "updated_at", postgresql_where=text(EXITING)),
    )

    rule_id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str]
    mode: Mapped[str]
    venue: Mapped[str]
    market_id: Mapped[str]
    token_id: Mapped[str]
    status: Mapped[str]
    phase: Mapped[str]
    definition: Mapped[dict[str, object]]
    resolved: Mapped[dict[str, object] | None]
    sentence: Mapped[str]
    generation: Mapped[int]
    episode: Mapped[int]
    entry_price: Mapped[Decimal | None]
    fired: Mapped[dict[str, object] | None]
    order_id: Mapped[str | None]
    sold_shares: Mapped[Decimal]
    residual_shares: Mapped[Decimal]
    dust_shares: Mapped[Decimal]
    proceeds_usd: Mapped[Decimal]
    fee_usd: Mapped[Decimal]
    detail: Mapped[str]
    fingerprint: Mapped[str]
    version: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
