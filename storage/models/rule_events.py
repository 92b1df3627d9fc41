"""The append-only log of what happened to rules and orders."""

from datetime import datetime

from sqlalchemy import Identity, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import CURRENT_XID, Base, Xid8

OBSERVED = "('rule.near_miss', 'rule.held_back', 'rule.evaluated')"
NEAR = "('rule.near_miss', 'rule.held_back')"


class RuleEventRecord(Base):
    """`domain.messages.EventRow`; the subject is the rule, else the order.

    UPDATE is refused, and DELETE of all but what feeds observed.
    """

    __tablename__ = "rule_events"
    __table_args__ = (
        UniqueConstraint("subject", "event_key"),
        Index(None, "account_id", "id"),
        Index("rule_events_rule_id_idx", "rule_id", "id", postgresql_where=text("rule_id IS NOT NULL")),
        Index("rule_events_order_id_idx", "order_id", "id", postgresql_where=text("order_id IS NOT NULL")),
        Index("rule_events_xid_idx", "xid"),
        Index("rule_events_observed_idx", "at", postgresql_where=text(f"type IN {OBSERVED}")),
        Index("rule_events_near_misses_idx", "rule_id", "id", postgresql_where=text(f"type IN {NEAR}")),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    subject: Mapped[str]
    event_key: Mapped[str]
    account_id: Mapped[str]
    rule_id: Mapped[str | None]
    order_id: Mapped[str | None]
    type: Mapped[str]
    severity: Mapped[str]
    message: Mapped[str]
    data: Mapped[dict[str, object]] = mapped_column(server_default=text("'{}'"))
    at: Mapped[datetime]
    xid: Mapped[str] = mapped_column(Xid8(), server_default=text(CURRENT_XID))
    booked_at: Mapped[datetime] = mapped_column(server_default=func.now())
