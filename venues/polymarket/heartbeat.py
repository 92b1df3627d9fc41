"""The venue's dead man's switch: while it is on, silence of this process cancels the key's open orders.

Off by default, see `docs/venues.md`. The first heartbeat has an empty id, each reply names the next one; a
wrong id is answered 400 with the expected one (venue's documentation, Heartbeat, 2026-10).
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType

import orjson
import structlog

from domain.errors import VenueError, VenueProtocolError
from venues.polymarket.http import HttpSession
from venues.polymarket.parsing import read_payload
from venues.polymarket.reads import checked, send
from venues.polymarket.schemas import HeartbeatPayload

PATH = "/v1/heartbeats"
_REFUSED = 400
SOON_S = 0.5
"""After a failed beat: longest pause, request and this one end before the venue's ten seconds do."""
_log = structlog.get_logger(__name__)

Headers = Callable[[str, str, bytes], Mapping[str, str]]
"""(method, path, body) → authentication headers."""


class Heartbeat(AbstractAsyncContextManager[None]):
    """Sends heartbeats of one API key as long as its context is open.

    Args:
        session: requests to the CLOB host.
        headers: signs a request.
        every_s: the pause between two of them.
    """

    def __init__(self, session: HttpSession, headers: Headers, every_s: float) -> None:
        self._session = session
        self._headers = headers
        self._every_s = every_s
        self._next_id = ""
        self._beating: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._beating = asyncio.create_task(self.run(), name="polymarket heartbeat")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._beating is not None:
            self._beating.cancel()
            (ended,) = await asyncio.gather(self._beating, return_exceptions=True)
            if isinstance(ended, Exception):  # it was not cancelled, but failed by a defect of its own
                raise ended

    async def run(self) -> None:
        """Beat for ever; one that fails is soon followed by the next: the venue cancels after ten seconds."""
        while True:
            pause_s = self._every_s
            try:
                await self.beat()
            except VenueError as error:
                _log.warning("heartbeat.failed", code=error.code)
                pause_s = min(pause_s, SOON_S)
            await asyncio.sleep(pause_s)

    async def beat(self) -> None:
        """Send one heartbeat, at once again where the venue expects another id.

        Raises:
            VenueError: the venue did not take it.
        """
        if not await self._sent() and not await self._sent():
            raise VenueProtocolError("the venue expects yet another heartbeat id")

    async def _sent(self) -> bool:
        body = orjson.dumps({"heartbeat_id": self._next_id})
        reply = await send(self._session, "POST", PATH, body=body, headers=self._headers("POST", PATH, body))
        accepted = reply.status != _REFUSED
        payload = read_payload(HeartbeatPayload, (checked(reply) if accepted else reply).body)
        self._next_id = payload.heartbeat_id
        return accepted
