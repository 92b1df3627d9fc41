"""Circuit breakers, the same for every worker."""

from datetime import datetime

from sqlalchemy import CheckConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, one_of


class BreakerRecord(Base):
    """`domain.breakers.Breaker` of a venue (`account_id` empty) or of an account there."""

    __tablename__ = "breakers"
    __table_args__ = (CheckConstraint(one_of("mode", "paper", "live"), name="mode"),)

    venue: Mapped[str] = mapped_column(primary_key=True)
    mode: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(primary_key=True, server_default="")
    failures: Mapped[int] = mapped_column(server_default="0")
    failed_at: Mapped[datetime | None]
    opened_at: Mapped[datetime | None]
    tried_at: Mapped[datetime | None]
    well_at: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
