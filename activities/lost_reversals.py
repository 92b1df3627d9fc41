"""Reversals whose host had ended and whose booker died before it could tell anybody of them."""

from datetime import timedelta

import structlog

from activities.ingest import Ingest
from activities.telling import tell_all
from domain.errors import CredentialsMissing, VenueError
from domain.ports import Clock
from storage.repositories.ledger import Reversed
from storage.repositories.reversals import Reversals

log = structlog.get_logger()

LOOKED_BACK = timedelta(days=1)
"""What nobody could take up for so long is left to people: its failures were logged each minute."""
TELLING_TAKES = timedelta(seconds=10)
AT_ONCE = 4


class LostReversals:
    """Tells them as their booker would have; the ids of what that starts make a repetition harmless."""

    def __init__(self, reversals: Reversals, ingest: Ingest, clock: Clock) -> None:
        """Take where they are found, and who tells them."""
        self._reversals = reversals
        self._ingest = ingest
        self._clock = clock

    async def tell(self) -> int:
        """Have each taken up, or its owner told; return for how many that was done.

        Raises:
            ExceptionGroup: Some could not be told, since Temporal is away; all others were.
            StorageUnavailable: Postgres cannot be reached now.
        """
        now = self._clock.now()
        found = await self._reversals.untold(now - LOOKED_BACK, now - TELLING_TAKES)
        return await tell_all(found, self._tell, at_once=AT_ONCE)

    async def _tell(self, reversal: Reversed) -> bool:
        fill_key = reversal.entry.fill_key
        try:
            await self._ingest.take_up(reversal)
        except (VenueError, CredentialsMissing) as error:
            # One account's trouble must not fail the whole pass; the next one tries again.
            log.warning("reversal.not_taken_up", fill_key=fill_key, code=error.code)
            return False
        log.warning("reversal.told_late", fill_key=fill_key)
        return True
