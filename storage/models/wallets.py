"""Wallets: immutable public identities."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base


class WalletRecord(Base):
    """What enters a signature for an account at a venue; a new key is a new row, the newest is in use."""

    __tablename__ = "wallets"
    __table_args__ = (Index(None, "account_id", "venue", "created_at"),)

    wallet_id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.account_id"))
    venue: Mapped[str]
    signer: Mapped[str]
    funder: Mapped[str]
    signature_type: Mapped[int]
    chain_id: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
