"""The installation's kill switch."""

from sqlalchemy import func, select, update

from domain.claims import KillSwitch
from storage.database import Database
from storage.models.switches import GlobalSwitchRecord
from storage.repositories.accounts import audit_line


class Switches:
    """Reads and sets the kill switch that holds for all accounts. Claims read it before every send."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def kill_switch(self) -> KillSwitch:
        """Return the level that holds for all accounts.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.transaction() as connection:
            return KillSwitch(
                await connection.scalar(select(GlobalSwitchRecord.kill_switch)) or KillSwitch.OFF
            )

    async def set_kill_switch(self, level: KillSwitch, *, actor: str = "system") -> None:
        """Set the level for all accounts; every send after this one's commit sees it."""
        async with self._database.transaction() as connection:
            await connection.execute(
                update(GlobalSwitchRecord).values(kill_switch=level.value, changed_at=func.now())
            )
            detail = {"level": level.value}
            await connection.execute(audit_line(None, actor, "kill_switch", "installation", detail))
