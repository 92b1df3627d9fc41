"""The global kill switch: one row."""

from datetime import datetime

from sqlalchemy import CheckConstraint, SmallInteger, func
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, one_of


class GlobalSwitchRecord(Base):
    """The installation's kill switch; its only row is made by the migration."""

    __tablename__ = "global_switch"
    __table_args__ = (
        CheckConstraint("id = 1", name="single"),
        CheckConstraint(one_of("kill_switch", "off", "entries", "all"), name="kill_switch"),
    )

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    kill_switch: Mapped[str] = mapped_column(server_default="off")
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())
