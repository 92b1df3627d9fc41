"""The user channel: what happens to an account's orders and trades."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType

import orjson
import structlog

from domain.errors import VenueError
from domain.fills import Fill
from domain.ports import AccountEvent, AccountEventKind
from venues.polymarket import parsing
from venues.polymarket.config import PolymarketConfig
from venues.polymarket.credentials import ApiCredentials
from venues.polymarket.reconnecting import ReconnectingSocket
from venues.polymarket.schemas import OrderPayload, TradePayload

FillsOfTrade = Callable[[TradePayload], Awaitable[Sequence[Fill]]]

_GAP = AccountEvent(kind=AccountEventKind.GAP)
_TEXT_FRAMES = frozenset({b"PONG", b"NO NEW ASSETS"})
_log = structlog.get_logger(__name__)


class UserSocket(AbstractAsyncContextManager[AsyncIterator[AccountEvent]]):
    """The account's socket as a context whose value iterates over the facts in order of arrival.

    Every opening begins with a gap, the first one too: what happened until then, only a REST sweep tells.
    A fact that cannot be read (an unknown status, an instrument out of reach) becomes a gap: the REST sweep
    finds what it was.

    Args:
        config: hosts and limits.
        api: the API credentials that the channel asks for.
        fills_of_trade: the account's fills in a trade.
    """

    def __init__(self, config: PolymarketConfig, api: ApiCredentials, fills_of_trade: FillsOfTrade) -> None:
        self._api = api
        self._fills_of_trade = fills_of_trade
        self._frames: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._socket = ReconnectingSocket(
            f"{config.ws_url}/user",
            config,
            greeting=self._greeting,
            on_frame=self._frame,
            on_opened=lambda _again: self._frames.put_nowait(None),
        )
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> AsyncIterator[AccountEvent]:
        self._task = asyncio.create_task(self._socket.run(), name="polymarket user socket")
        return self._events()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def connected(self) -> bool:
        """Whether the socket stands."""
        return self._socket.connected

    def _greeting(self) -> str:
        message = {
            "auth": {
                "apiKey": self._api.api_key.get_secret_value(),
                "secret": self._api.secret.get_secret_value(),
                "passphrase": self._api.passphrase.get_secret_value(),
            },
            "type": "user",  # without markets: every event of the key
        }
        return orjson.dumps(message).decode()

    def _frame(self, text: bytes, _received_ms: int) -> None:
        if text not in _TEXT_FRAMES:
            self._frames.put_nowait(text)

    async def _events(self) -> AsyncIterator[AccountEvent]:
        while True:
            frame = await self._frames.get()
            for event in (_GAP,) if frame is None else await self.read(frame):
                yield event

    async def read(self, frame: bytes) -> Sequence[AccountEvent]:
        """Return the facts of one frame: an object or an array of them."""
        try:
            payload: object = orjson.loads(frame)
        except orjson.JSONDecodeError:
            _log.warning("user_socket.malformed")
            return (_GAP,)
        entries: list[object] = payload if isinstance(payload, list) else [payload]  # pyright: ignore[reportUnknownVariableType]
        return [event for entry in entries for event in await self._facts(entry)]

    async def _facts(self, entry: object) -> Sequence[AccountEvent]:
        try:
            kind = parsing.event_type(entry)
            if kind == "order":
                order = parsing.venue_order(parsing.read_value(OrderPayload, entry))
                return (AccountEvent(kind=AccountEventKind.ORDER, order=order),)
            if kind == "trade":
                fills = await self._fills_of_trade(parsing.read_value(TradePayload, entry))
                return [AccountEvent(kind=AccountEventKind.FILL, fill=fill) for fill in fills]
        except VenueError as error:
            _log.warning("user_socket.unreadable", code=error.code)
            return (_GAP,)
        return ()
