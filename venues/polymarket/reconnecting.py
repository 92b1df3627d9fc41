"""A websocket that is kept open: reconnect with backoff, text PING, and a watch on its silence."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from venues.polymarket.config import PolymarketConfig, is_loopback

_PING = "PING"
_OPEN_TIMEOUT_S = 5.0
_CLOSE_TIMEOUT_S = 1.0
_FACTOR = 2.0
_log = structlog.get_logger(__name__)

Spread = Callable[[], float]


def delays(first_s: float, cap_s: float, spread: Spread) -> Iterator[float]:
    """Yield waits that double up to the cap, each between half and all of its value by `spread` (0..1)."""
    wait_s = first_s
    while True:
        yield wait_s * (0.5 + 0.5 * spread())
        wait_s = min(wait_s * _FACTOR, cap_s)


class SilentSocket(Exception):
    """Neither a frame nor a PONG came for too long."""


class ReconnectingSocket:
    """One socket of the venue.

    Args:
        url: where to connect.
        config: PING period, silence limit, backoff.
        greeting: the first message of each connection, asked when it stands.
        on_frame: takes each frame as it came, with the local monotonic clock in ms.
        on_opened: called when a connection is heard for the first time, before its first frame; its argument
            says whether there was a connection before.
        spread: randomness of the backoff.
    """

    def __init__(
        self,
        url: str,
        config: PolymarketConfig,
        *,
        greeting: Callable[[], str],
        on_frame: Callable[[bytes, int], None],
        on_opened: Callable[[bool], None],
        spread: Spread = random.random,
    ) -> None:
        self._url = url
        self._config = config
        self._greeting = greeting
        self._on_frame = on_frame
        self._on_opened = on_opened
        self._spread = spread
        self._socket: ClientConnection | None = None
        self._opened_before = False
        self._heard = False
        self._heard_ms = 0

    @property
    def connected(self) -> bool:
        """Whether the socket stands, was greeted, and has answered."""
        return self._socket is not None and self._heard

    async def send(self, text: str) -> None:
        """Send a message on a standing socket; on a lost one the next greeting says it all."""
        socket = self._socket
        if socket is None:
            return
        try:
            await socket.send(text)
        except WebSocketException:
            _log.debug("socket.send_lost", url=self._url)  # the reader sees the loss and reconnects

    async def run(self) -> None:
        """Keep the socket open until cancelled."""
        waits = self._delays()
        while True:
            self._heard = False
            try:
                await self._connection()
                reason = "closed"
            except (OSError, TimeoutError, WebSocketException, SilentSocket) as error:
                reason = type(error).__name__
            finally:
                self._socket = None
            if self._heard:
                waits = self._delays()  # it worked for a while: begin anew
            wait_s = next(waits)
            _log.info("socket.lost", url=self._url, reason=reason, retry_in_s=round(wait_s, 3))
            await asyncio.sleep(wait_s)

    def _delays(self) -> Iterator[float]:
        return delays(self._config.reconnect_first_s, self._config.reconnect_cap_s, self._spread)

    async def _connection(self) -> None:
        async with connect(
            self._url,
            ping_interval=None,  # the venue's keep-alive is a text, and its proxies answer protocol pings
            open_timeout=_OPEN_TIMEOUT_S,
            close_timeout=_CLOSE_TIMEOUT_S,
            compression=None,  # frames are small, and inflating them costs more than it saves
            max_size=None,
            max_queue=(4096, 1024),
            proxy=None if is_loopback(self._url) else True,
        ) as socket:
            self._socket = socket
            self._heard_ms = monotonic_ms()
            await socket.send(self._greeting())
            await socket.send(
                _PING
            )  # messages are read in order: its answer says that the greeting was taken
            pinger = asyncio.create_task(self._ping(socket))
            try:
                await self._read(socket)
            finally:
                pinger.cancel()
                await asyncio.gather(pinger, return_exceptions=True)

    async def _read(self, socket: ClientConnection) -> None:
        while True:
            frame = await socket.recv(decode=False)
            self._heard_ms = received_ms = monotonic_ms()
            if not self._heard:
                self._heard = True
                self._on_opened(self._opened_before)
                self._opened_before = True
            self._on_frame(frame, received_ms)

    async def _ping(self, socket: ClientConnection) -> None:
        limit_ms = self._config.silent_socket_s * 1000
        while True:
            await asyncio.sleep(min(self._config.ping_s, self._config.silent_socket_s / 2))
            if monotonic_ms() - self._heard_ms > limit_ms:
                _log.warning("socket.silent", url=self._url)
                socket.transport.abort()
                return
            await socket.send(_PING)


def monotonic_ms() -> int:
    """Return the local monotonic clock in milliseconds."""
    return time.monotonic_ns() // 1_000_000
