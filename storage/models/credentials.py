"""Sealed secrets of accounts."""

from datetime import datetime

from sqlalchemy import ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base


class CredentialRecord(Base):
    """One sealed secret: a wallet's private key, or a set of API credentials."""

    __tablename__ = "credentials"

    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.account_id"), primary_key=True)
    record_id: Mapped[str] = mapped_column(primary_key=True)
    master_key_id: Mapped[str] = mapped_column(index=True)
    wrapped_key: Mapped[bytes]
    ciphertext: Mapped[bytes]
    version: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
