"""The audit log and the chain that seals it."""

from datetime import datetime

from sqlalchemy import ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base


class AuditRecord(Base):
    """Who did what, when. UPDATE and DELETE are refused."""

    __tablename__ = "audit"
    __table_args__ = (Index(None, "account_id", "id"),)

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    account_id: Mapped[str | None]
    actor: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    detail: Mapped[dict[str, object]] = mapped_column(server_default=text("'{}'"))


class AuditSealRecord(Base):
    """One link of the chain: a hash over the link before and one entry. UPDATE and DELETE are refused."""

    __tablename__ = "audit_seals"

    sequence: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    audit_id: Mapped[int] = mapped_column(ForeignKey("audit.id"), unique=True)
    hash: Mapped[bytes]
    sealed_at: Mapped[datetime] = mapped_column(server_default=func.now())
