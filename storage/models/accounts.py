"""Accounts: the unit of isolation."""

from datetime import datetime

from sqlalchemy import CheckConstraint, false, func, text, true
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, one_of


class AccountRecord(Base):
    """One account: its mode, switches and policy."""

    __tablename__ = "accounts"
    __table_args__ = (
        CheckConstraint(one_of("mode", "paper", "live"), name="mode"),
        CheckConstraint(one_of("kill_switch", "off", "entries", "all"), name="kill_switch"),
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    mode: Mapped[str] = mapped_column(server_default="paper")
    live_acknowledged: Mapped[bool] = mapped_column(server_default=false())
    enabled: Mapped[bool] = mapped_column(server_default=true())
    kill_switch: Mapped[str] = mapped_column(server_default="off")
    policy: Mapped[dict[str, object]] = mapped_column(server_default=text("'{}'"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
