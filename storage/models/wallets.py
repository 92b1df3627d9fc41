"""Wallets: immutable public identities, and which of them is in use."""

from datetime import datetime

from sqlalchemy import ForeignKey, Identity, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base


class WalletRecord(Base):
    """What enters a signature for an account at a venue; a new key is a new row."""

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


class WalletUseRecord(Base):
    """A wallet came into use; the last one of an account at a venue is in use. Append-only.

    A wallet never changes, so that a former one is in use again cannot stand in its own row.
    """

    __tablename__ = "wallet_uses"
    __table_args__ = (Index(None, "account_id", "venue", "id"),)

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.account_id"))
    venue: Mapped[str]
    wallet_id: Mapped[str] = mapped_column(ForeignKey("wallets.wallet_id"))
    since: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
